//! The mesh's own settings: what Istio calls `MeshConfig`, and which `Sidecar` is for whom.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use malha_manifest::istio::{self, CaptureMode, EgressListener, MeshConfig, OutboundMode, Retries};
use malha_routing::{RetryPolicy, UnknownHosts};

use crate::controllers::name;
use crate::object::{Key, Kind, Sidecar};
use crate::selector::Labels;
use crate::store::Store;

use super::actions::retry;
use super::workloads::subset;
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
    /// By namespace; those for some pods first, each kind by age.
    sidecars: HashMap<String, Vec<Arc<Sidecar>>>,
}

impl Settings {
    pub(super) fn new(store: &Store, findings: &mut Findings) -> Self {
        let mut by_namespace: HashMap<String, Vec<Arc<Sidecar>>> = HashMap::new();
        let mut sidecars: Vec<_> = store.list::<Sidecar>().collect();
        sidecars.sort_by_cached_key(|sidecar| (selector(&sidecar.spec).is_none(), age(&sidecar.metadata)));
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
            if sidecar.spec.egress.iter().any(is_called_itself) {
                report(
                    "spec.egress: bind, captureMode and HTTP_PROXY are not carried out; the hosts are known by their names",
                );
            }
            if sidecar.spec.outbound_traffic_policy.as_ref().is_some_and(|policy| policy.egress_proxy.is_some()) {
                report("spec.outboundTrafficPolicy.egressProxy: not carried out");
            }
            by_namespace.entry(namespace.to_owned()).or_default().push(Arc::clone(sidecar));
        }
        Self { mesh: mesh(store), sidecars: by_namespace }
    }

    /// The namespace whose policies are for all.
    pub(super) fn root(&self) -> &str {
        &self.mesh.root_namespace
    }

    /// Retries of routes that say nothing of it; `None`: Istio's own.
    pub(super) fn retries(&self) -> Option<&Retries> {
        self.mesh.default_http_retry_policy.as_ref()
    }

    /// The `Sidecar` that is for pods with these labels: one of their namespace, or one of the root namespace that is for all.
    /// There is never more than one (Istio, `doGetSidecarScope`).
    pub(super) fn sidecar(&self, namespace: &str, labels: &Labels) -> Option<&istio::Sidecar> {
        let all = |namespace: &str| self.sidecars.get(namespace).into_iter().flatten().map(|sidecar| &sidecar.spec);
        let own = all(namespace).find(|one| selector(one).is_none_or(|wanted| subset(wanted, Some(labels))));
        own.or_else(|| all(self.root()).find(|one| selector(one).is_none()))
    }

    /// What becomes of calls to hosts that nobody knows: what the `Sidecar` says, or the mesh.
    pub(super) fn unknown_hosts(&self, sidecar: Option<&istio::Sidecar>) -> UnknownHosts {
        let said = sidecar.and_then(|sidecar| sidecar.outbound_traffic_policy.as_ref()).map(|policy| policy.mode);
        match said.unwrap_or(self.mesh.outbound_traffic_policy) {
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

/// Whether pods call a listener by its own address, and not their calls are led to it.
fn is_called_itself(listener: &EgressListener) -> bool {
    let proxy = listener.port.as_ref().is_some_and(|port| port.protocol.eq_ignore_ascii_case("HTTP_PROXY"));
    proxy || listener.bind.is_some() || listener.capture_mode == CaptureMode::None
}

/// The pods that a `Sidecar` is for, if it is not for all.
fn selector(sidecar: &istio::Sidecar) -> Option<&Labels> {
    sidecar.workload_selector.as_ref().map(|selector| &selector.labels).filter(|labels| !labels.is_empty())
}

/// The mesh's own settings, where there are any. What is wrong with them is said where manifests are loaded.
fn mesh(store: &Store) -> MeshConfig {
    let map = store.get::<ConfigMap>(MeshConfig::NAMESPACE, MeshConfig::NAME);
    let text = map.and_then(|map| map.data.as_ref()?.get(MeshConfig::KEY));
    text.map_or_else(MeshConfig::default, |text| MeshConfig::parse(text).0)
}
