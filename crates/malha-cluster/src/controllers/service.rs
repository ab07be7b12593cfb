//! Service → `EndpointSlice`s: the addresses of the pods that it selects, with the port that each of its ports means there
//! (kube-controller-manager, `pkg/controller/endpointslice`; staging `endpointslice/reconciler.go`).
//!
//! A `targetPort` by name can be another number in each pod: pods with the same numbers share a slice. Unlike Kubernetes
//! malha does not cut slices at 100 endpoints. A Service without a selector gets none: its endpoints are someone else's.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::object::{Key, Kind, Stored};
use crate::selector;
use crate::store::Store;

use super::{Action, name, owned_by, ready, uid};

/// Names the Service of a slice.
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What the Service's slices need now.
pub(super) fn sync(store: &Store, key: &Key) -> Vec<Action> {
    let Some(service) = store.get::<Service>(&key.namespace, &key.name) else { return Vec::new() };
    let spec = service.spec.clone().unwrap_or_default();
    let mut wanted: BTreeMap<Vec<Option<i32>>, Vec<Endpoint>> = BTreeMap::new();
    let ports = spec.ports.unwrap_or_default();
    if spec.type_.as_deref() != Some("ExternalName") && spec.selector.as_ref().is_some_and(|labels| !labels.is_empty())
    {
        let not_ready_too = spec.publish_not_ready_addresses == Some(true);
        for pod in store.list_in::<Pod>(&key.namespace) {
            if selector::selects(spec.selector.as_ref(), pod.metadata.labels.as_ref())
                && let Some(endpoint) = endpoint(pod, not_ready_too)
            {
                let numbers = ports.iter().map(|port| target_port(port, pod)).collect();
                wanted.entry(numbers).or_default().push(endpoint);
            }
        }
    }
    let mut existing: Vec<&Arc<EndpointSlice>> = store.owned::<EndpointSlice>(uid(service.as_ref())).collect();
    let mut actions = Vec::new();
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
            labels: Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
            owner_references: Some(owned_by(service)),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints,
        ports: Some(ports),
    }
}

/// `None` for a pod without an address.
fn endpoint(pod: &Pod, not_ready_too: bool) -> Option<Endpoint> {
    let ip = pod.status.as_ref()?.pod_ip.clone()?;
    let ready = ready(pod);
    Some(Endpoint {
        addresses: vec![ip],
        conditions: Some(EndpointConditions {
            ready: Some(ready || not_ready_too),
            serving: Some(ready),
            terminating: Some(false),
        }),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    })
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
