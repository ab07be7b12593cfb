//! The immutable picture of the mesh that the data plane works from.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use malha_policy::InboundPolicy;

use crate::cluster::Cluster;
use crate::host::{HostPattern, HostTable};
use crate::table::RouteTable;
use crate::traffic::Certificate;
use crate::workload::Labels;

/// One version of the mesh.
#[derive(Debug)]
pub struct Snapshot<P> {
    /// Grows with every change; shown to people, never compared by the data plane.
    pub version: u64,
    /// Where traffic enters from outside.
    pub listeners: Vec<Listener<P>>,
    /// What sidecars know, by the namespace of their pods: short names, visibility and `DestinationRule`s depend on it.
    pub sidecars: HashMap<Arc<str>, Sidecars<P>>,
    /// Keys that policies need and that are somewhere else. Whoever fetches them hands them to the control side, and the
    /// next snapshot's policies have them.
    pub remote_keys: Vec<RemoteKeys>,
    /// Whether proxies log each request (`meshConfig.accessLogFile`).
    pub access_log: bool,
}

/// Keys that sign tokens, to be fetched (Istio, `pilot/pkg/model/jwks_resolver.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteKeys {
    /// Where they are.
    pub source: KeySource,
    /// How long it may take.
    pub timeout: Duration,
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySource {
    /// At this URL (`jwksUri`), which may be a service of the mesh.
    Uri(Arc<str>),
    /// Where the issuer with this URL says in its `/.well-known/openid-configuration`, as `jwks_uri`.
    Issuer(Arc<str>),
}

impl<P> Default for Snapshot<P> {
    fn default() -> Self {
        Self { version: 0, listeners: Vec::new(), sidecars: HashMap::new(), remote_keys: Vec::new(), access_log: false }
    }
}

/// Virtual hosts by the names they answer to.
pub type Hosts<P> = HostTable<Arc<VirtualHost<P>>>;

/// An entrance of the mesh.
#[derive(Debug)]
pub struct Listener<P> {
    /// What opened it.
    pub kind: ListenerKind,
    /// The port that the manifest names; where it is bound on the machine is the listener's own business.
    pub port: u16,
    /// What clients speak to it.
    pub transport: Transport<P>,
    /// What the gateway itself demands of whoever comes; allows everything at a load balancer.
    pub policy: Arc<InboundPolicy>,
}

/// What clients speak to a listener.
#[derive(Debug)]
pub enum Transport<P> {
    /// HTTP in the clear.
    Plain(Hosts<P>),
    /// HTTP in TLS: the server name decides among these. Each knows its own hosts only, as in Istio.
    Tls(Vec<TlsServer<P>>),
    /// What a load balancer hands through to the pods' own sidecars, past all routes, as kube-proxy would.
    Direct(Arc<Cluster<P>>),
}

/// A TLS server of a Gateway.
#[derive(Debug)]
pub struct TlsServer<P> {
    /// Server names that it is for.
    pub names: Vec<HostPattern>,
    /// Certificates and demands.
    pub options: Arc<TlsOptions>,
    /// What it answers for.
    pub hosts: Hosts<P>,
}

/// TLS of clients' connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// At most one for each kind of key.
    pub certificates: Vec<Certificate>,
    /// Whether clients show a certificate.
    pub clients: ClientCertificates,
    /// Lowest version: 1.2 or 1.3.
    pub lowest: TlsVersion,
    /// Highest version.
    pub highest: TlsVersion,
    /// Cipher suites in Envoy's names; none: the library's own choice.
    pub cipher_suites: Vec<String>,
}

/// What a TLS server wants to see of its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nothing (`SIMPLE`).
    Unasked,
    /// A certificate of one of these authorities, in PEM, for one of these names (any, if there is none).
    Required {
        /// In PEM.
        authorities: Vec<u8>,
        /// Names; none: any.
        subject_alt_names: Vec<String>,
        /// Whether a client may show none (`OPTIONAL_MUTUAL`).
        optional: bool,
    },
}

/// A version of TLS that malha speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

/// What opened a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// A server of a Gateway: plays `istio-ingressgateway`.
    Gateway,
    /// A Service of type `LoadBalancer`: traffic goes to its endpoints as kube-proxy would send it.
    LoadBalancer {
        /// Namespace of the Service.
        namespace: String,
        /// Name of the Service.
        service: String,
    },
}

/// What the sidecars of a namespace know: the same, but for pods with labels that something asks for (`sourceLabels`,
/// `workloadSelector`).
#[derive(Debug)]
pub struct Sidecars<P> {
    /// Those of pods that have none of the labels.
    pub others: Arc<Outbound<P>>,
    /// Labels that are asked for, and that some pod has.
    pub asked: Vec<(String, String)>,
    /// Those of pods with labels: which of `asked` these are.
    pub labelled: Vec<(Vec<bool>, Arc<Outbound<P>>)>,
}

impl<P> Sidecars<P> {
    /// All pods know the same.
    pub fn same(outbound: Arc<Outbound<P>>) -> Self {
        Self { others: outbound, asked: Vec::new(), labelled: Vec::new() }
    }

    /// What the sidecar of a pod with these labels knows.
    pub fn of(&self, labels: &Labels) -> &Arc<Outbound<P>> {
        let has = |(at, wanted): (usize, &bool)| {
            let asked = self.asked.get(at).is_some_and(|(key, value)| labels.get(key) == Some(value));
            asked == *wanted
        };
        let found = self.labelled.iter().find(|(wanted, _)| wanted.iter().enumerate().all(has));
        found.map_or(&self.others, |(_, outbound)| outbound)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Outbound<P>>> {
        std::iter::once(&self.others).chain(self.labelled.iter().map(|(_, outbound)| outbound))
    }
}

/// What a sidecar knows.
#[derive(Debug)]
pub struct Outbound<P> {
    /// HTTP: every name of every service. Port first: the port of a call decides the set of hosts, as Istio's outbound
    /// listeners do.
    pub ports: HashMap<u16, Hosts<P>>,
    /// What passes through as it is: TLS, by server name, and requests to wildcards that only the caller resolves.
    pub passthrough: HashMap<u16, HostTable<Arc<Cluster<P>>>>,
    /// What becomes of every other call.
    pub unknown: UnknownHosts,
}

/// Istio's `outboundTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownHosts {
    /// They are called as they are.
    #[default]
    AllowAny,
    /// 502, or for TLS a connection that is cut.
    RegistryOnly,
}

/// A set of hosts with rules in common.
#[derive(Debug)]
pub struct VirtualHost<P> {
    /// For people, e.g. `posts-service.default.svc.cluster.local:80`.
    pub name: String,
    /// In order of precedence.
    pub routes: RouteTable<P>,
    /// Answers 301 to the same URL with `https` (Istio, `httpsRedirect`).
    pub https_redirect: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_are_asked_for_decide_what_a_sidecar_knows() {
        let outbound =
            |unknown| Arc::new(Outbound::<()> { ports: HashMap::new(), passthrough: HashMap::new(), unknown });
        let (others, web) = (outbound(UnknownHosts::AllowAny), outbound(UnknownHosts::RegistryOnly));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let sidecars = Sidecars {
            others: Arc::clone(&others),
            asked: vec![pair("app", "web"), pair("version", "v2")],
            labelled: vec![(vec![true, false], Arc::clone(&web))],
        };
        for (labels, want) in [
            (vec![], &others),
            (vec![pair("app", "web")], &web),
            (vec![pair("app", "web"), pair("tier", "front")], &web),
            (vec![pair("app", "web"), pair("version", "v1")], &web),
            (vec![pair("app", "web"), pair("version", "v2")], &others),
            (vec![pair("app", "api")], &others),
        ] {
            assert!(Arc::ptr_eq(sidecars.of(&labels.iter().cloned().collect()), want), "{labels:?}");
        }
        assert_eq!(sidecars.all().count(), 2);
        assert!(Arc::ptr_eq(Sidecars::same(others).of(&Labels::new()), &sidecars.others));
    }
}
