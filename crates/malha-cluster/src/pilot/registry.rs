//! Services as the mesh knows them, Kubernetes' and those of `ServiceEntry`s: hosts, ports, and who answers.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::controllers::{name, uid};
use crate::object::ServiceEntry;
use crate::store::Store;

use super::visibility::Visibility;
use super::workloads::{Member, Workloads};
use super::{Age, Findings, age, service_entries};

/// Domain of the cluster's names.
const DOMAIN: &str = "cluster.local";

/// Istio's annotation of Services that stands for `exportTo`.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// All services.
#[derive(Debug)]
pub(super) struct Registry<P> {
    services: Vec<MeshService<P>>,
    /// Of those with the same host, Kubernetes' come first and then the oldest.
    by_host: HashMap<String, Vec<usize>>,
}

/// A service: one host.
#[derive(Debug)]
pub(super) struct MeshService<P> {
    /// `posts-service.default.svc.cluster.local`, or a host of a `ServiceEntry`, which may be a wildcard.
    pub(super) host: String,
    pub(super) namespace: String,
    pub(super) origin: Origin,
    /// Its addresses, if it has any of its own.
    pub(super) addresses: Vec<String>,
    /// In the manifest's order.
    pub(super) ports: Vec<Port<P>>,
    pub(super) visibility: Visibility,
    /// Whether requests go where the caller resolved the name to.
    pub(super) original_destination: bool,
    /// Names that its certificate may have (`ServiceEntry.subjectAltNames`).
    pub(super) subject_alt_names: Vec<String>,
    pub(super) age: Age,
}

/// Where a service comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A Service of Kubernetes.
    Kubernetes {
        /// Its name.
        name: String,
        /// Whether it is of type `LoadBalancer`.
        load_balancer: bool,
    },
    /// A `ServiceEntry`.
    Entry {
        /// Whether it is outside of the mesh.
        external: bool,
    },
}

/// A port of a service.
#[derive(Debug)]
pub(super) struct Port<P> {
    pub(super) number: u16,
    pub(super) protocol: PortProtocol,
    /// The ready ones.
    pub(super) members: Vec<Member<P>>,
}

/// What is spoken on a port, as far as it matters to the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortProtocol {
    /// HTTP/1.1
    Http,
    /// HTTP/2, gRPC included.
    Http2,
    /// TLS that passes through.
    Tls,
}

impl PortProtocol {
    /// Whether requests are seen.
    pub(super) fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2)
    }
}

impl<P> MeshService<P> {
    pub(super) fn port(&self, number: u16) -> Option<&Port<P>> {
        self.ports.iter().find(|port| port.number == number)
    }

    pub(super) fn is_kubernetes(&self) -> bool {
        matches!(self.origin, Origin::Kubernetes { .. })
    }
}

/// The full name of a host as an object of Istio in `namespace` writes it: a name without dots is a Service of that
/// namespace, everything else is a full name already (Istio, `ResolveShortnameToFQDN`).
pub(super) fn full_name(host: &str, namespace: &str) -> String {
    if host == "*" || host.contains('.') {
        host.to_ascii_lowercase()
    } else {
        format!("{}.{namespace}.svc.{DOMAIN}", host.to_ascii_lowercase())
    }
}

impl<P> Registry<P> {
    pub(super) fn new(store: &Store, workloads: &mut Workloads<'_, '_, P>, findings: &mut Findings) -> Self {
        let mut services: Vec<MeshService<P>> =
            store.list::<Service>().filter_map(|service| mesh_service(store, service, workloads)).collect();
        for entry in store.list::<ServiceEntry>() {
            services.extend(service_entries::services(entry, workloads, findings));
        }
        services.sort_by(|a, b| {
            let order = |service: &MeshService<P>| !service.is_kubernetes();
            order(a).cmp(&order(b)).then_with(|| a.age.cmp(&b.age)).then_with(|| a.host.cmp(&b.host))
        });
        let mut by_host: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, service) in services.iter().enumerate() {
            by_host.entry(service.host.clone()).or_default().push(index);
        }
        Self { services, by_host }
    }

    pub(super) fn get(&self, index: usize) -> &MeshService<P> {
        &self.services[index]
    }

    /// Whether there is such a host at all, whoever may see it.
    pub(super) fn knows(&self, host: &str) -> bool {
        self.by_host.contains_key(host)
    }

    /// The service that a host means for proxies of `client`; of several that they see, one in `near` comes first
    /// (Istio, `buildNameToServiceMapForHTTPRoutes`), then Kubernetes', then the oldest (`addService` of `sidecar.go`).
    pub(super) fn find(&self, host: &str, client: &str, near: Option<&str>) -> Option<usize> {
        let all = self.by_host.get(host)?;
        let seen = |index: &&usize| self.services[**index].visibility.reaches(client);
        let nearest =
            near.and_then(|near| all.iter().filter(seen).find(|index| self.services[**index].namespace == near));
        let rank = |index: &&usize| {
            let service = &self.services[**index];
            (!service.is_kubernetes(), service.visibility.rank(&service.namespace, client))
        };
        nearest.or_else(|| all.iter().filter(seen).min_by_key(rank)).copied()
    }

    /// All services with their indexes: Kubernetes' first, each kind by age.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &MeshService<P>)> {
        self.services.iter().enumerate()
    }
}

fn mesh_service<P>(store: &Store, service: &Service, workloads: &mut Workloads<'_, '_, P>) -> Option<MeshService<P>> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let mut ready = ready(store, service, workloads);
    let ports = spec.ports.iter().flatten().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    let ports = ports.filter_map(|port| {
        let number = u16::try_from(port.port).ok()?;
        let members = ready.remove(port.name.as_deref().unwrap_or_default()).unwrap_or_default();
        Some(Port { number, protocol: protocol(port), members })
    });
    let export_to = service.metadata.annotations.as_ref().and_then(|annotations| annotations.get(EXPORT_TO));
    let export_to = export_to.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|one| !one.is_empty());
    Some(MeshService {
        host: full_name(name(service), &namespace),
        visibility: Visibility::new(export_to, &namespace),
        ports: ports.collect(),
        origin: Origin::Kubernetes {
            name: name(service).to_owned(),
            load_balancer: matches!(spec.type_.as_deref(), Some("LoadBalancer" | "NodePort")),
        },
        namespace,
        addresses: spec.cluster_ip.clone().filter(|ip| ip != "None").into_iter().collect(),
        original_destination: false,
        subject_alt_names: Vec::new(),
        age: age(&service.metadata),
    })
}

/// A port is HTTP/2 if `appProtocol` or the beginning of its name says so (Istio, "Explicit protocol selection"); all others are
/// taken for HTTP/1.1.
fn protocol(port: &ServicePort) -> PortProtocol {
    let named = port.name.as_deref().map(|name| name.split_once('-').map_or(name, |(first, _)| first));
    match port.app_protocol.as_deref().or(named).unwrap_or_default() {
        "http2" | "grpc" | "kubernetes.io/h2c" => PortProtocol::Http2,
        _ => PortProtocol::Http,
    }
}

/// The ready members of a Service, by the name of its port.
fn ready<P>(store: &Store, service: &Service, workloads: &mut Workloads<'_, '_, P>) -> HashMap<String, Vec<Member<P>>> {
    let mut ready: HashMap<String, Vec<_>> = HashMap::new();
    for slice in store.owned::<EndpointSlice>(uid(service)) {
        let endpoints = slice.endpoints.iter();
        let pods: Vec<&Arc<Pod>> = endpoints
            .filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true))
            .filter_map(|endpoint| {
                let target = endpoint.target_ref.as_ref()?;
                let pod = store.get::<Pod>(target.namespace.as_deref()?, target.name.as_deref()?)?;
                (pod.metadata.uid == target.uid).then_some(pod)
            })
            .collect();
        for port in slice.ports.iter().flatten() {
            let Some(number) = port.port.and_then(|number| u16::try_from(number).ok()) else { continue };
            let found = pods.iter().filter_map(|pod| workloads.pod(pod, number));
            ready.entry(port.name.clone().unwrap_or_default()).or_default().extend(found);
        }
    }
    ready
}
