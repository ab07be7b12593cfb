//! What Istio's gateways, destinations and policies name, in the manner of `istioctl analyze`
//! (`pkg/config/analysis/analyzers`; its codes are in the comments).

use std::collections::BTreeMap;

use super::{References, service_name};
use crate::istio::{AuthorizationPolicy, DestinationRule, Gateway, MeshConfig, PolicySelector, Sidecar, TlsMode};
use crate::object::{LoadedObject, Object};
use crate::path::FieldPath;

impl References<'_> {
    /// IST0101: a certificate that is not there. Gateways read Secrets of their own namespace.
    pub(super) fn gateway(&mut self, object: &LoadedObject, gateway: &Gateway) {
        let own = object.id.namespace.clone().unwrap_or_default();
        for (index, server) in gateway.servers.iter().enumerate() {
            let Some(tls) = &server.tls else { continue };
            let Some(name) = tls.credential_name.as_ref().filter(|name| !name.is_empty()) else { continue };
            let path = FieldPath::parse("spec.servers").item(index).field("tls").field("credentialName");
            let namespace = [own.as_str(), MeshConfig::NAMESPACE]
                .into_iter()
                .find(|namespace| self.find("Secret", namespace, name).is_some());
            let Some(namespace) = namespace else {
                let message = format!("there is no Secret `{name}`; clients cannot connect without it");
                self.warn(object, &path, &message, self.similar("Secret", &own, name));
                continue;
            };
            self.certificate(object, &path, namespace, name, tls.mode == Some(TlsMode::Mutual));
        }
    }

    /// Keys of a Secret with a certificate, as istiod reads them (`pilot/pkg/credentials/kube`): those of
    /// kubernetes.io/tls, or the old `cert` and `key`; for MUTUAL also authorities, there or in `NAME-cacert`.
    fn certificate(&mut self, object: &LoadedObject, path: &FieldPath, namespace: &str, name: &str, mutual: bool) {
        let own = self.secret_keys(namespace, name);
        let has = |keys: &[String], wanted: &[&str]| wanted.iter().all(|key| keys.iter().any(|known| known == key));
        if !has(&own, &["tls.crt", "tls.key"]) && !has(&own, &["cert", "key"]) {
            let message = format!("Secret `{name}` has no `tls.crt` and `tls.key`");
            self.warn(object, path, &message, Some("make it with `kubectl create secret tls`".to_owned()));
        }
        let apart = self.secret_keys(namespace, &format!("{name}-cacert"));
        if mutual && ![own, apart].iter().any(|keys| has(keys, &["ca.crt"]) || has(keys, &["cacert"])) {
            let message = format!("neither Secret `{name}` nor Secret `{name}-cacert` has a `ca.crt`");
            self.warn(object, path, &message, Some("MUTUAL needs the authorities of clients' certificates".to_owned()));
        }
    }

    fn secret_keys(&self, namespace: &str, name: &str) -> Vec<String> {
        match self.find("Secret", namespace, name).map(|found| &found.object) {
            Some(Object::Secret(secret)) => {
                let data = secret.data.iter().flat_map(BTreeMap::keys);
                data.chain(secret.string_data.iter().flat_map(BTreeMap::keys)).cloned().collect()
            }
            _ => Vec::new(),
        }
    }

    /// IST0174: a host that is not there. IST0173: a subset without pods.
    pub(super) fn destination_rule(&mut self, object: &LoadedObject, rule: &DestinationRule) {
        let own = object.id.namespace.clone().unwrap_or_default();
        let path = FieldPath::parse("spec");
        if rule.host.contains('*') || self.is_entry(&rule.host) {
            return;
        }
        let (name, namespace) = service_name(&rule.host, &own);
        let Some(found) = self.find("Service", namespace, name) else {
            let message = format!("there is no Service or ServiceEntry with the host `{}`", rule.host);
            self.warn(object, &path.field("host"), &message, self.similar("Service", namespace, name));
            return;
        };
        let Object::Service(service) = &found.object else { return };
        let Some(selector) = service.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { return };
        for (index, subset) in rule.subsets.iter().enumerate() {
            // Labels of nodes, which are no part of a pod's template.
            let wanted = subset.labels.iter().filter(|(key, _)| !key.starts_with("topology."));
            let wanted: BTreeMap<_, _> = selector.iter().chain(wanted).map(|(k, v)| (k.clone(), v.clone())).collect();
            if !self.selects(Some(namespace), &wanted) {
                let message = format!("no Deployment makes pods for subset `{}`", subset.name);
                let help = "requests for it are answered with 503 `no healthy upstream`".to_owned();
                self.warn(object, &path.field("subsets").item(index), &message, Some(help));
            }
        }
    }

    /// IST0101: a subset that no rule of the host has.
    pub(super) fn subset(&mut self, object: &LoadedObject, own: &str, path: &FieldPath, host: &str, subset: &str) {
        let wanted = self.full(host, own);
        let mut known = Vec::new();
        for other in self.of_kind("DestinationRule") {
            let Object::DestinationRule(rule) = &other.object else { continue };
            let meant = self.full(&rule.host, other.id.namespace.as_deref().unwrap_or_default());
            if meant == wanted || meant.strip_prefix('*').is_some_and(|end| wanted.ends_with(end)) {
                known.extend(rule.subsets.iter().map(|subset| subset.name.as_str()));
            }
        }
        if !known.contains(&subset) {
            let message = format!(
                "no DestinationRule of `{host}` has a subset `{subset}`; requests for it are answered with 503"
            );
            self.warn(object, &path.field("subset"), &message, super::did_you_mean(subset, &known));
        }
    }

    /// Whether a `ServiceEntry` has this host, by itself or within a wildcard.
    pub(super) fn is_entry(&self, host: &str) -> bool {
        self.of_kind("ServiceEntry").any(|other| {
            let Object::ServiceEntry(entry) = &other.object else { return false };
            entry
                .hosts
                .iter()
                .any(|known| known == host || known.strip_prefix('*').is_some_and(|end| host.ends_with(end)))
        })
    }

    /// A host's full name, where it is a Service's.
    fn full(&self, host: &str, own: &str) -> String {
        let (name, namespace) = service_name(host, own);
        if !host.contains('.') || self.find("Service", namespace, name).is_some() {
            format!("{name}.{namespace}.svc.cluster.local")
        } else {
            host.to_owned()
        }
    }

    /// IST0111: two configurations for the same pods.
    pub(super) fn sidecar(&mut self, object: &LoadedObject, sidecar: &Sidecar) {
        let general = |sidecar: &Sidecar| sidecar.workload_selector.as_ref().is_none_or(|one| one.labels.is_empty());
        let namespace = object.id.namespace.clone().unwrap_or_default();
        if let Some(selector) = sidecar.workload_selector.as_ref().filter(|selector| !selector.labels.is_empty()) {
            if !self.selects(Some(&namespace), &selector.labels) {
                self.nobody(object, &FieldPath::parse("spec.workloadSelector"));
            }
            return;
        }
        let others = self.of_kind("Sidecar").filter(|other| other.id != object.id);
        let twin = others
            .filter(|other| other.id.namespace == object.id.namespace)
            .find(|other| matches!(&other.object, Object::Sidecar(sidecar) if general(sidecar)));
        if let Some(twin) = twin {
            let message = format!("{} has no workload selector either; which of them holds is not defined", twin.id);
            let help = "keep one for the whole namespace".to_owned();
            self.warn(object, &FieldPath::parse("metadata.name"), &message, Some(help));
        }
    }

    /// IST0127: a policy for nobody. One without labels is for whoever comes.
    pub(super) fn selector(&mut self, object: &LoadedObject, selector: Option<&PolicySelector>) {
        let Some(selector) = selector.filter(|selector| !selector.match_labels.is_empty()) else { return };
        // In the root namespace it is for the pods of all namespaces.
        let namespace = object.id.namespace.as_deref().filter(|namespace| *namespace != MeshConfig::NAMESPACE);
        if !self.selects(namespace, &selector.match_labels) && !is_gateway(&selector.match_labels) {
            self.nobody(object, &FieldPath::parse("spec.selector"));
        }
    }

    fn nobody(&mut self, object: &LoadedObject, path: &FieldPath) {
        let message = "no Deployment makes pods with these labels: this is for nobody";
        self.warn(object, path, message, None);
    }

    /// Whether some Deployment makes pods with these labels.
    fn selects(&self, namespace: Option<&str>, labels: &BTreeMap<String, String>) -> bool {
        self.of_kind("Deployment")
            .filter(|other| namespace.is_none_or(|namespace| other.id.namespace.as_deref() == Some(namespace)))
            .any(|other| {
                let Object::Deployment(deployment) = &other.object else { return false };
                let meta = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
                let Some(own) = meta.and_then(|meta| meta.labels.as_ref()) else { return labels.is_empty() };
                labels.iter().all(|(key, value)| own.get(key) == Some(value))
            })
    }

    /// IST0101: namespaces that are not there.
    pub(super) fn authorization_policy(&mut self, object: &LoadedObject, policy: &AuthorizationPolicy) {
        self.selector(object, policy.selector.as_ref());
        let mut wrong = Vec::new();
        for (rule, one) in policy.rules.iter().enumerate() {
            for (from, one) in one.from.iter().enumerate() {
                let Some(source) = &one.source else { continue };
                let path = FieldPath::parse("spec.rules").item(rule).field("from").item(from).field("source");
                for (field, names) in [("namespaces", &source.namespaces), ("notNamespaces", &source.not_namespaces)] {
                    for (index, name) in names.iter().enumerate().filter(|(_, name)| !self.is_namespace(name)) {
                        wrong.push((path.field(field).item(index), name));
                    }
                }
            }
        }
        for (path, name) in wrong {
            self.warn(object, &path, &format!("there is no namespace `{name}`"), None);
        }
    }

    /// Whether there is such a namespace, or one within the pattern.
    fn is_namespace(&self, pattern: &str) -> bool {
        let fits = |name: &str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (_, Some(begin)) => name.starts_with(begin),
            _ => name == pattern,
        };
        super::GIVEN_NAMESPACES.into_iter().any(fits) || self.of_kind("Namespace").any(|other| fits(&other.id.name))
    }
}

/// Whether labels select malha's own gateway, which no Deployment makes.
fn is_gateway(labels: &BTreeMap<String, String>) -> bool {
    labels.iter().all(|(key, value)| match key.as_str() {
        "istio" => value == "ingressgateway" || value == "ingress",
        "app" => value == "istio-ingressgateway",
        _ => false,
    })
}
