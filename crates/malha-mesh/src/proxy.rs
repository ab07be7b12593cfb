//! A proxy: for whom it works, and what it remembers. The gateway is one, and every pod's sidecar.
//!
//! As with real Envoys, no proxy knows what another has seen: each ejects hosts, counts connections and takes turns for
//! itself.

use std::sync::Arc;

use http::HeaderValue;
use malha_policy::Identity;
use malha_routing::{Labels, ProxyState, Workload};
use malha_runtime::Pod;

/// A proxy.
pub(crate) struct Proxy {
    /// For whom it works.
    pub(crate) workload: Arc<Workload>,
    /// What it shows to those that it calls.
    pub(crate) identity: Identity,
    /// What it writes into `server`: Envoy's default in front of a pod that calls, Istio's name at the edge.
    pub(crate) server: HeaderValue,
    /// What it remembers.
    pub(crate) state: ProxyState<Pod>,
}

impl Proxy {
    /// The sidecar of a workload, on the side where its pod calls others.
    pub(crate) fn sidecar(workload: Arc<Workload>) -> Self {
        Self::new(workload, HeaderValue::from_static("envoy"))
    }

    /// The ingress gateway, as `istioctl` and the Helm chart install it.
    pub(crate) fn gateway() -> Self {
        let labels: Labels = [("app", "istio-ingressgateway"), ("istio", "ingressgateway")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let workload = Workload {
            namespace: "istio-system".into(),
            service_account: "istio-ingressgateway-service-account".into(),
            name: "istio-ingressgateway".into(),
            labels,
        };
        Self::new(Arc::new(workload), ISTIO_ENVOY)
    }

    fn new(workload: Arc<Workload>, server: HeaderValue) -> Self {
        let identity = Identity::new(&*workload.namespace, &*workload.service_account);
        Self { workload, identity, server, state: ProxyState::default() }
    }
}

/// What the edge, and the inbound side of a sidecar, write into `server`.
pub(crate) const ISTIO_ENVOY: HeaderValue = HeaderValue::from_static("istio-envoy");
