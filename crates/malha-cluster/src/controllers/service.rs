//! Service → `EndpointSlice`s and Endpoints: the addresses of the pods that it selects, with the port that each of its ports
//! means there (kube-controller-manager, `pkg/controller/endpointslice` and `pkg/controller/endpoint`; staging
//! `endpointslice/reconciler.go`, `utils.go`).
//!
//! A `targetPort` by name can be another number in each pod: pods with the same numbers share a slice. Unlike Kubernetes
//! malha does not cut slices at 100 endpoints. A Service without a selector gets none: its endpoints are someone else's.
//!
//! A pod that is on its way out is not ready any more, whatever its probes say; it serves on as long as they do.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort as CorePort, EndpointSubset, Endpoints, ObjectReference, Pod, Service, ServicePort,
};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::object::{Key, Kind, Stored};
use crate::selector;
use crate::store::Store;

use super::{Action, name, owned_by, ready, uid};

/// Names the Service of a slice.
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Marks what belongs to a Service without an address.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// Who writes Endpoints.
const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");

/// What the Service's slices and Endpoints need now.
pub(super) fn sync(store: &Store, key: &Key) -> Vec<Action> {
    let Some(service) = store.get::<Service>(&key.namespace, &key.name) else {
        // Endpoints have no owner: they go by their name.
        let left = store.get::<Endpoints>(&key.namespace, &key.name).filter(|endpoints| managed(endpoints));
        return left.map(|_| Action::Delete(Key { kind: Kind::Endpoints, ..key.clone() })).into_iter().collect();
    };
    if service.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let spec = service.spec.clone().unwrap_or_default();
    let mut wanted: BTreeMap<Vec<Option<i32>>, Vec<Endpoint>> = BTreeMap::new();
    let mut subsets: BTreeMap<Vec<Option<i32>>, EndpointSubset> = BTreeMap::new();
    let ports = spec.ports.unwrap_or_default();
    let selects = spec.type_.as_deref() != Some("ExternalName")
        && spec.selector.as_ref().is_some_and(|labels| !labels.is_empty());
    if selects {
        let not_ready_too = spec.publish_not_ready_addresses == Some(true);
        for pod in store.list_in::<Pod>(&key.namespace) {
            if selector::selects(spec.selector.as_ref(), pod.metadata.labels.as_ref())
                && let Some(endpoint) = endpoint(pod, not_ready_too)
            {
                let numbers: Vec<_> = ports.iter().map(|port| target_port(port, pod)).collect();
                add(subsets.entry(numbers.clone()).or_default(), pod, &endpoint, not_ready_too);
                wanted.entry(numbers).or_default().push(endpoint);
            }
        }
    }
    let mut existing: Vec<&Arc<EndpointSlice>> = store.owned::<EndpointSlice>(uid(service.as_ref())).collect();
    let mut actions = Vec::new();
    if selects {
        actions.extend(endpoints(store, service, &ports, subsets));
    }
    for (numbers, endpoints) in wanted {
        let ports = endpoint_ports(&ports, &numbers);
        match existing.iter().position(|slice| slice.ports.as_ref() == Some(&ports)) {
            Some(index) => {
                let slice = existing.swap_remove(index);
                if slice.endpoints != endpoints {
                    actions
                        .push(Action::Update(EndpointSlice { endpoints, ..EndpointSlice::clone(slice) }.into_object()));
                }
            }
            None => actions.push(Action::Create(slice(service, ports, endpoints).into_object())),
        }
    }
    let left = existing.into_iter().map(|slice| Key::new(Kind::EndpointSlice, &*key.namespace, name(slice.as_ref())));
    actions.extend(left.map(Action::Delete));
    actions
}

fn slice(service: &Service, ports: Vec<EndpointPort>, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let labels =
        [(SERVICE_LABEL, name(service)), ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io")];
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", name(service))),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labelled(service, &labels)),
            owner_references: Some(owned_by(service)),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints,
        ports: Some(ports),
    }
}

/// A Service's own labels, the mark of one without an address, and these.
fn labelled(service: &Service, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    if service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    labels
}

/// `None` for a pod without an address, and for one that has ended (`ShouldPodBeInEndpoints`).
fn endpoint(pod: &Pod, not_ready_too: bool) -> Option<Endpoint> {
    let status = pod.status.as_ref()?;
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        return None;
    }
    let ip = status.pod_ip.clone()?;
    let (ready, terminating) = (ready(pod), pod.metadata.deletion_timestamp.is_some());
    Some(Endpoint {
        addresses: vec![ip],
        conditions: Some(EndpointConditions {
            ready: Some(not_ready_too || (ready && !terminating)),
            serving: Some(ready),
            terminating: Some(terminating),
        }),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        target_ref: Some(reference(pod)),
        ..Endpoint::default()
    })
}

fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Adds a pod to a subset. Endpoints know no pods on their way out, but where those that are not ready are wanted too.
fn add(subset: &mut EndpointSubset, pod: &Pod, endpoint: &Endpoint, not_ready_too: bool) {
    if pod.metadata.deletion_timestamp.is_some() && !not_ready_too {
        return;
    }
    let address = EndpointAddress {
        ip: endpoint.addresses.first().cloned().unwrap_or_default(),
        node_name: endpoint.node_name.clone(),
        target_ref: Some(reference(pod)),
        hostname: None,
    };
    let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true);
    let list = if ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
    let list = list.get_or_insert_default();
    list.push(address);
    list.sort_by(|a, b| a.ip.cmp(&b.ip));
}

fn managed(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY.0)).is_some_and(|by| by == MANAGED_BY.1)
}

/// The Service's Endpoints, if they are not as they should be.
fn endpoints(
    store: &Store,
    service: &Service,
    ports: &[ServicePort],
    subsets: BTreeMap<Vec<Option<i32>>, EndpointSubset>,
) -> Option<Action> {
    let core = |port: EndpointPort| CorePort {
        name: port.name.filter(|name| !name.is_empty()),
        port: port.port.unwrap_or_default(),
        protocol: port.protocol,
        app_protocol: port.app_protocol,
    };
    let subsets: Vec<EndpointSubset> = subsets
        .into_iter()
        .filter(|(_, subset)| subset.addresses.is_some() || subset.not_ready_addresses.is_some())
        .map(|(numbers, subset)| EndpointSubset {
            ports: Some(endpoint_ports(ports, &numbers).into_iter().map(core).collect()),
            ..subset
        })
        .collect();
    let subsets = (!subsets.is_empty()).then_some(subsets);
    let labels = Some(labelled(service, &[MANAGED_BY]));
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    match store.get::<Endpoints>(namespace, name(service)) {
        Some(stored) if stored.subsets == subsets && stored.metadata.labels == labels => None,
        Some(stored) => {
            let mut endpoints = Endpoints { subsets, ..Endpoints::clone(stored) };
            endpoints.metadata.labels = labels;
            Some(Action::Update(endpoints.into_object()))
        }
        None => {
            let metadata = ObjectMeta {
                name: service.metadata.name.clone(),
                namespace: service.metadata.namespace.clone(),
                labels,
                ..ObjectMeta::default()
            };
            Some(Action::Create(Endpoints { metadata, subsets }.into_object()))
        }
    }
}

/// The number that a Service's port means in this pod; `None` if it names a port that the pod does not have
/// (`FindPort`).
fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(wanted)) => {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            ports
                .find(|port| {
                    port.name.as_ref() == Some(wanted) && port.protocol.as_deref().unwrap_or("TCP") == protocol
                })
                .map(|port| port.container_port)
        }
    }
}

fn endpoint_ports(ports: &[ServicePort], numbers: &[Option<i32>]) -> Vec<EndpointPort> {
    ports
        .iter()
        .zip(numbers)
        .filter(|(_, number)| number.is_some())
        .map(|(port, number)| EndpointPort {
            // An unnamed port has the empty name, by which it is found again.
            name: Some(port.name.clone().unwrap_or_default()),
            port: *number,
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
        .collect()
}
