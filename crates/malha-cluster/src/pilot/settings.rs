//! The mesh's own settings: what Istio calls `MeshConfig`, and what `Sidecar`s set for namespaces.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::ConfigMap;
use malha_manifest::istio::{MeshConfig, OutboundMode, Retries};
use malha_routing::{RetryPolicy, UnknownHosts};

use crate::controllers::name;
use crate::object::{Key, Kind, Sidecar};
use crate::selector::Labels;
use crate::store::Store;

use super::actions::retry;
use super::{Findings, age};

/// The namespace that Istio is installed in: that of the gateway's pods, and of the mesh's settings.
pub(crate) const SYSTEM: &str = MeshConfig::NAMESPACE;

/// Labels of the gateways that malha plays, as Istio's installers label them: `istioctl` and the gateway chart.
pub(super) const GATEWAYS: [[(&str, &str); 2]; 2] =
    [[("app", "istio-ingressgateway"), ("istio", "ingressgateway")], [("app", "istio-ingress"), ("istio", "ingress")]];

/// Settings as far as malha acts on them.
#[derive(Debug)]
pub(super) struct Settings {
    /// Of the whole mesh.
    pub(super) mesh: MeshConfig,
    /// What the `Sidecar`s without a selector say, by namespace.
    by_namespace: HashMap<String, OutboundMode>,
}

impl Settings {
    pub(super) fn new(store: &Store, findings: &mut Findings) -> Self {
        let mut by_namespace = HashMap::new();
        let mut sidecars: Vec<_> = store.list::<Sidecar>().collect();
        sidecars.sort_by_cached_key(|sidecar| age(&sidecar.metadata));
        for sidecar in sidecars {
            let namespace = sidecar.metadata.namespace.as_deref().unwrap_or_default();
            let mut report = |message: &str| {
                findings.add(Key::new(Kind::Sidecar, namespace, name(sidecar.as_ref())), message.to_owned());
            };
            if !sidecar.spec.ingress.is_empty() {
                report("spec.ingress: not carried out");
            }
            if sidecar.spec.inbound_connection_pool.is_some() {
                report("spec.inboundConnectionPool: not carried out");
            }
            if sidecar
                .spec
                .egress
                .iter()
                .any(|listener| listener.hosts.iter().any(|host| host != "*/*") || listener.port.is_some())
            {
                report("spec.egress: not carried out; all exported services are reached");
            }
            if sidecar.spec.workload_selector.as_ref().is_some_and(|selector| !selector.labels.is_empty()) {
                report("spec.workloadSelector: not carried out; the Sidecar is left out");
                continue;
            }
            let Some(policy) = &sidecar.spec.outbound_traffic_policy else { continue };
            if policy.egress_proxy.is_some() {
                report("spec.outboundTrafficPolicy.egressProxy: not carried out");
            }
            by_namespace.entry(namespace.to_owned()).or_insert(policy.mode);
        }
        Self { mesh: mesh(store), by_namespace }
    }

    /// The namespace whose policies are for all.
    pub(super) fn root(&self) -> &str {
        &self.mesh.root_namespace
    }

    /// Retries of routes that say nothing of it; `None`: Istio's own.
    pub(super) fn retries(&self) -> Option<&Retries> {
        self.mesh.default_http_retry_policy.as_ref()
    }

    /// What becomes of calls to hosts that nobody knows: what the namespace says, or the root namespace, or the mesh.
    pub(super) fn unknown_hosts(&self, namespace: &str) -> UnknownHosts {
        let said = self.by_namespace.get(namespace).or_else(|| self.by_namespace.get(self.root()));
        match said.copied().unwrap_or(self.mesh.outbound_traffic_policy) {
            OutboundMode::AllowAny => UnknownHosts::AllowAny,
            OutboundMode::RegistryOnly => UnknownHosts::RegistryOnly,
        }
    }

    /// The retries of routes that say nothing of it.
    pub(super) fn retry(&self) -> Option<RetryPolicy> {
        retry(self.retries(), &mut Vec::new())
    }

    /// Labels of the gateway that malha plays.
    pub(super) fn gateway_labels() -> Labels {
        GATEWAYS[0].iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }
}

/// The mesh's own settings, where there are any. What is wrong with them is said where manifests are loaded.
fn mesh(store: &Store) -> MeshConfig {
    let map = store.get::<ConfigMap>(MeshConfig::NAMESPACE, MeshConfig::NAME);
    let text = map.and_then(|map| map.data.as_ref()?.get(MeshConfig::KEY));
    text.map_or_else(MeshConfig::default, |text| MeshConfig::parse(text).0)
}
