//! From objects to what the mesh works from: one immutable [`Snapshot`] of everything.
//!
//! Plays Istio's Pilot. The parts: [`registry`] (Services and their endpoints as clusters), [`rules`] (HTTP rules of one
//! `VirtualService`), [`outbound`] (what a sidecar knows) and [`gateway`] (what the edge knows).
//!
//! The snapshot is a function of the store alone. What a manifest asks for and malha does not carry out is never
//! carried out by halves: it is left out, and named in a [`Finding`].
//!
//! Every TCP port of a Service is taken for HTTP, whatever its name says; ports of other protocols, `ExternalName`
//! Services and Services without a selector are absent.

mod gateway;
mod outbound;
mod registry;
mod rules;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use malha_routing::{Endpoint, Snapshot};

use crate::object::{Key, VirtualService};
use crate::store::Store;

use registry::Registry;
pub(crate) use rules::serves;

/// Something about an object that is not carried out, or not as its author may think.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The object.
    pub object: Key,
    /// What it is, with the field's path, and what happens instead.
    pub message: String,
}

/// Finds the endpoint of a pod (by uid) and port; `None` while the pod does not run.
pub(crate) type Endpoints<'a, P> = &'a mut dyn FnMut(&str, u16) -> Option<Arc<Endpoint<P>>>;

/// The snapshot of the store as it is now.
pub(crate) fn build<P>(store: &Store, version: u64, endpoints: Endpoints<'_, P>) -> (Snapshot<P>, Vec<Finding>) {
    let registry = Registry::new(store, endpoints);
    let virtual_services = virtual_services(store);
    let mut findings = Findings::default();
    let mut listeners = gateway::listeners(store, &registry, &virtual_services, &mut findings);
    listeners.extend(registry.load_balancers());
    let outbound = outbound::tables(&registry, &virtual_services, &mut findings);
    (Snapshot { version, listeners, outbound }, findings.0.into_iter().collect())
}

/// In the order in which they claim hosts: the oldest first, then by name and namespace
/// (Istio, `sortConfigByCreationTime`).
pub(crate) fn virtual_services(store: &Store) -> Vec<Arc<VirtualService>> {
    let mut all: Vec<_> = store.list::<VirtualService>().cloned().collect();
    all.sort_by_cached_key(|service| age(&service.metadata));
    all
}

fn age(meta: &ObjectMeta) -> (Option<Time>, String) {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    (meta.creation_timestamp.clone(), format!("{}.{}", part(&meta.name), part(&meta.namespace)))
}

/// Without repetition: a rule is looked at once for each entrance.
#[derive(Debug, Default)]
struct Findings(BTreeSet<Finding>);

impl Findings {
    fn add(&mut self, object: Key, message: String) {
        self.0.insert(Finding { object, message });
    }
}
