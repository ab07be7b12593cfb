//! From objects to what the mesh works from: one immutable [`Snapshot`] of everything.
//!
//! Plays Istio's Pilot. The parts: [`registry`] and [`service_entries`] (services and who answers for them),
//! [`workloads`] and [`policies`] (who pods are and what their sidecars demand), [`destination_rules`], [`traffic`] and
//! [`clusters`] (how services are spoken to), [`rules`] with [`matching`], [`actions`] and [`delegates`] (HTTP rules of
//! `VirtualService`s), [`outbound`] with
//! [`profiles`] and [`scope`] (what sidecars know), [`gateway`] and [`load_balancers`] (what the edge knows).
//!
//! The snapshot is a function of the store, of the pods that run, and of the keys that were fetched. [`Memory`] changes
//! nothing of it: by it, what stays the same is the same value in the next snapshot. What a manifest asks for and malha
//! does not carry out is never carried out by halves: it is left out, and named in a [`Finding`].
//!
//! Every TCP port of a Service is taken for HTTP, whatever its name says; ports of other protocols, `ExternalName`
//! Services and Services without a selector are absent.

mod actions;
mod clusters;
mod delegates;
mod destination_rules;
mod gateway;
mod host_index;
mod keys;
mod load_balancers;
mod matching;
mod outbound;
mod policies;
mod profiles;
mod registry;
mod rules;
mod scope;
mod secrets;
mod service_entries;
mod settings;
mod tokens;
mod traffic;
mod visibility;
mod workloads;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use malha_routing::{Endpoint, Snapshot};

use crate::object::{Key, VirtualService};
use crate::store::Store;

use clusters::Clusters;
use destination_rules::DestinationRules;
pub(crate) use keys::KeyRing;
use policies::Policies;
use registry::Registry;
use rules::AllRules;
pub(crate) use rules::serves;
pub(crate) use settings::SYSTEM;
use settings::Settings;
use workloads::Workloads;
pub(crate) use workloads::{owner, service_account};

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

/// What lives on from snapshot to snapshot.
#[derive(Debug)]
pub(crate) struct Memory<P> {
    /// Keys that were fetched.
    pub(crate) keys: KeyRing,
    known: workloads::Known<P>,
    compiled: policies::Compiled,
    clusters: clusters::Previous<P>,
}

impl<P> Default for Memory<P> {
    fn default() -> Self {
        Self {
            keys: KeyRing::default(),
            known: workloads::Known::default(),
            compiled: policies::Compiled::new(),
            clusters: clusters::Previous::new(),
        }
    }
}

/// The snapshot of the store as it is now.
pub(crate) fn build<P>(
    store: &Store,
    version: u64,
    memory: &mut Memory<P>,
    endpoints: Endpoints<'_, P>,
) -> (Snapshot<P>, Vec<Finding>) {
    let mut findings = Findings::default();
    let settings = Settings::new(store, &mut findings);
    let compiled = std::mem::take(&mut memory.compiled);
    let mut policies = Policies::new(store, settings.root(), &mut memory.keys, compiled, &mut findings);
    let mut workloads = Workloads::new(store, &mut policies, endpoints, std::mem::take(&mut memory.known));
    let registry = Registry::new(store, &mut workloads, &mut findings);
    memory.known = workloads.known();
    let edge = policies.of_gateway(SYSTEM, &Settings::gateway_labels());
    memory.compiled = policies.compiled();

    let destination_rules = DestinationRules::new(store, settings.root(), &mut findings);
    let rules = AllRules::new(store, &virtual_services(store), settings.retries(), &mut findings);
    let previous = std::mem::take(&mut memory.clusters);
    let mut clusters = Clusters::new(store, &registry, &destination_rules, SYSTEM, previous);
    let mut listeners = gateway::listeners(store, &mut clusters, &rules, &edge, &mut findings);
    listeners.extend(load_balancers::listeners(&mut clusters));
    let sidecars = outbound::tables(store, &mut clusters, &rules, &settings, &mut findings);
    memory.clusters = clusters.into_previous();
    let remote_keys = memory.keys.finish();
    let access_log = !settings.mesh.access_log_file.is_empty();
    (Snapshot { version, listeners, sidecars, remote_keys, access_log }, findings.0.into_iter().collect())
}

/// In the order in which they claim hosts: the oldest first, then by name and namespace
/// (Istio, `sortConfigByCreationTime`).
pub(crate) fn virtual_services(store: &Store) -> Vec<Arc<VirtualService>> {
    let mut all: Vec<_> = store.list::<VirtualService>().cloned().collect();
    all.sort_by_cached_key(|service| age(&service.metadata));
    all
}

/// What objects are ordered by.
type Age = (Option<Time>, String);

fn age(meta: &ObjectMeta) -> Age {
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

    fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}
