//! Pods as the mesh knows them: who they are, and what their sidecars demand of whoever calls.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use malha_routing::{Endpoint, Resident, Upstream, Workload};

use crate::controllers::{name, ready, uid};
use crate::object::Stored;
use crate::selector::Labels;
use crate::store::Store;

use super::Endpoints;
use super::policies::Policies;

/// The service account of a pod that names none (Kubernetes).
const DEFAULT_ACCOUNT: &str = "default";

/// A member of a service.
#[derive(Debug)]
pub(super) struct Member<P> {
    pub(super) endpoint: Arc<Endpoint<P>>,
    pub(super) weight: u32,
    pub(super) labels: Arc<Labels>,
    pub(super) resident: Option<Arc<Resident>>,
}

impl<P> Clone for Member<P> {
    fn clone(&self) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
            weight: self.weight,
            labels: Arc::clone(&self.labels),
            resident: self.resident.clone(),
        }
    }
}

/// What of addresses and residents lives on from snapshot to snapshot.
#[derive(Debug)]
pub(super) struct Known<P> {
    addresses: HashMap<(String, u16), Arc<Endpoint<P>>>,
    /// By uid.
    residents: HashMap<String, (Arc<Labels>, Arc<Resident>)>,
}

impl<P> Default for Known<P> {
    fn default() -> Self {
        Self { addresses: HashMap::new(), residents: HashMap::new() }
    }
}

/// Finds members.
pub(super) struct Workloads<'a, 'b, P> {
    pub(super) store: &'a Store,
    pub(super) policies: &'a mut Policies,
    endpoints: Endpoints<'b, P>,
    before: Known<P>,
    now: Known<P>,
    /// Uids by address; made when the first is looked for.
    by_ip: Option<HashMap<String, Arc<Pod>>>,
}

impl<'a, 'b, P> Workloads<'a, 'b, P> {
    pub(super) fn new(
        store: &'a Store,
        policies: &'a mut Policies,
        endpoints: Endpoints<'b, P>,
        before: Known<P>,
    ) -> Self {
        Self { store, policies, endpoints, before, now: Known::default(), by_ip: None }
    }

    /// What the next snapshot goes on with.
    pub(super) fn known(self) -> Known<P> {
        self.now
    }

    /// A port of a pod; `None` while it does not run.
    pub(super) fn pod(&mut self, pod: &Pod, port: u16) -> Option<Member<P>> {
        let endpoint = (self.endpoints)(uid(pod), port)?;
        let (labels, resident) = self.resident(pod);
        Some(Member { endpoint, weight: 1, labels, resident: Some(resident) })
    }

    /// The ready pods of a namespace that have all of `labels` (`ServiceEntry.workloadSelector`), at a port.
    pub(super) fn selected(&mut self, namespace: &str, labels: &Labels, port: u16) -> Vec<Member<P>> {
        let store = self.store;
        let pods =
            store.list_in::<Pod>(namespace).filter(|pod| ready(pod) && subset(labels, pod.metadata.labels.as_ref()));
        pods.filter_map(|pod| self.pod(pod, port)).collect()
    }

    /// An address, which may be that of a pod.
    pub(super) fn address(&mut self, address: &str, port: u16, weight: u32, labels: &Arc<Labels>) -> Member<P> {
        if address.starts_with(|first: char| first.is_ascii_digit())
            && let Some(pod) = self.by_ip().get(address).cloned()
            && let Some(member) = self.pod(&pod, port)
        {
            return Member { weight, labels: Arc::clone(labels), ..member };
        }
        let key = (address.to_owned(), port);
        let before = &mut self.before.addresses;
        let endpoint = self.now.addresses.entry(key).or_insert_with_key(|key| {
            before.remove(key).unwrap_or_else(|| {
                let shown =
                    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
                Arc::new(Endpoint { address: shown, port, upstream: Upstream::Address(address.into(), port) })
            })
        });
        Member { endpoint: Arc::clone(endpoint), weight, labels: Arc::clone(labels), resident: None }
    }

    fn by_ip(&mut self) -> &HashMap<String, Arc<Pod>> {
        let store = self.store;
        self.by_ip.get_or_insert_with(|| {
            let pods = store.list::<Pod>();
            pods.filter_map(|pod| Some((pod.status.as_ref()?.pod_ip.clone()?, Arc::clone(pod)))).collect()
        })
    }

    fn resident(&mut self, pod: &Pod) -> (Arc<Labels>, Arc<Resident>) {
        let uid = uid(pod);
        if let Some((labels, resident)) = self.now.residents.get(uid) {
            return (Arc::clone(labels), Arc::clone(resident));
        }
        let workload = workload(self.store, pod);
        let policy = self.policies.of(&workload.namespace, &workload.labels);
        let same = self
            .before
            .residents
            .remove(uid)
            .filter(|(_, resident)| *resident.workload == workload && Arc::ptr_eq(&resident.policy, &policy));
        let (labels, resident) = same.unwrap_or_else(|| {
            let labels = Arc::new(workload.labels.clone());
            (labels, Arc::new(Resident { workload: Arc::new(workload), policy }))
        });
        self.now.residents.insert(uid.to_owned(), (Arc::clone(&labels), Arc::clone(&resident)));
        (labels, resident)
    }
}

/// Whether `labels` has all of `wanted`; nothing wanted is always there.
pub(super) fn subset(wanted: &Labels, labels: Option<&Labels>) -> bool {
    wanted.iter().all(|(key, value)| labels.is_some_and(|labels| labels.get(key) == Some(value)))
}

/// Who a pod is.
pub(super) fn workload(store: &Store, pod: &Pod) -> Workload {
    Workload {
        namespace: pod.metadata.namespace.as_deref().unwrap_or_default().into(),
        service_account: service_account(pod).into(),
        name: owner(store, pod).into(),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
    }
}

/// `spec.serviceAccountName`, or what stands for it where there is none.
pub(crate) fn service_account(pod: &Pod) -> &str {
    let named = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    named.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_ACCOUNT)
}

/// What made a pod, as Istio's telemetry names it: of a Deployment's pods the Deployment (Istio,
/// `GetDeployMetaFromPod` in `pkg/kube/util.go`).
pub(crate) fn owner(store: &Store, pod: &Pod) -> String {
    let Some(owner) = controller(pod) else { return name(pod).to_owned() };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let above = (owner.kind == "ReplicaSet")
        .then(|| store.get::<ReplicaSet>(namespace, &owner.name))
        .flatten()
        .and_then(|set| controller(set.as_ref()));
    above.map_or_else(|| owner.name.clone(), |above| above.name.clone())
}

fn controller<T: Stored>(object: &T) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    object.metadata().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}
