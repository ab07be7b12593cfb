//! Who a workload is: its service account, as its certificate says it (SPIFFE; Istio, `pkg/spiffe/spiffe.go`).

use std::fmt;

/// The name in a workload's certificate. Shown as Istio's principal: `cluster.local/ns/NAMESPACE/sa/ACCOUNT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The trust domain; Istio's default is `cluster.local`.
    pub trust_domain: String,
    /// The namespace of the workload.
    pub namespace: String,
    /// The service account that it runs as.
    pub service_account: String,
}

impl Identity {
    /// Trust domain of a mesh that names none.
    pub const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

    /// An identity in the default trust domain.
    pub fn new(namespace: impl Into<String>, service_account: impl Into<String>) -> Self {
        Self {
            trust_domain: Self::DEFAULT_TRUST_DOMAIN.to_owned(),
            namespace: namespace.into(),
            service_account: service_account.into(),
        }
    }

    /// The form in certificates: `spiffe://cluster.local/ns/NAMESPACE/sa/ACCOUNT`.
    pub fn spiffe_uri(&self) -> String {
        format!("spiffe://{self}")
    }

    /// Reads what [`Self::spiffe_uri`] writes; `None` for any other form.
    pub fn from_spiffe_uri(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix("spiffe://")?.split('/');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let trust_domain = part()?;
        let namespace = (part()? == "ns").then(&mut part)??;
        let service_account = (part()? == "sa").then(&mut part)??;
        parts.next().is_none().then(|| Self {
            trust_domain: trust_domain.to_owned(),
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_written_as_istios_principal() {
        let identity = Identity::new("default", "posts");
        assert_eq!(identity.to_string(), "cluster.local/ns/default/sa/posts");
        assert_eq!(identity.spiffe_uri(), "spiffe://cluster.local/ns/default/sa/posts");
    }

    #[test]
    fn a_spiffe_uri_is_read_back_and_nothing_else_is() {
        let identity = Identity::new("default", "posts");
        assert_eq!(Identity::from_spiffe_uri(&identity.spiffe_uri()), Some(identity));
        for other in [
            "",
            "spiffe://",
            "cluster.local/ns/default/sa/posts",
            "spiffe://cluster.local/ns/default",
            "spiffe://cluster.local/ns/default/sa/",
            "spiffe://cluster.local/ns/default/sa/posts/more",
            "spiffe://cluster.local/sa/default/ns/posts",
            "spiffe:///ns/default/sa/posts",
        ] {
            assert_eq!(Identity::from_spiffe_uri(other), None, "{other}");
        }
    }
}
