//! Services as the mesh knows them: a cluster for each port, with the endpoints that are ready.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use malha_routing::{
    Cluster, Destination, Endpoint, HostPattern, HostTable, Listener, ListenerKind, Route, VirtualHost,
};

use crate::controllers::{name, uid};
use crate::store::Store;

use super::Endpoints;

/// Domain of the cluster's names.
const DOMAIN: &str = "cluster.local";

/// All Services, by their full names.
#[derive(Debug)]
pub(super) struct Registry<P> {
    services: BTreeMap<String, MeshService<P>>,
}

/// A Service.
#[derive(Debug)]
pub(super) struct MeshService<P> {
    pub(super) name: String,
    pub(super) namespace: String,
    /// `posts-service.default.svc.cluster.local`
    pub(super) fqdn: String,
    /// Its address, if it has one of its own.
    pub(super) ip: Option<String>,
    /// In the manifest's order.
    pub(super) ports: Vec<(u16, Arc<Cluster<P>>)>,
    load_balancer: bool,
}

impl<P> MeshService<P> {
    pub(super) fn cluster(&self, port: u16) -> Option<&Arc<Cluster<P>>> {
        self.ports.iter().find(|(number, _)| *number == port).map(|(_, cluster)| cluster)
    }

    /// Its name and port, as Istio names virtual hosts.
    pub(super) fn domain(&self, port: u16) -> String {
        format!("{}:{port}", self.fqdn)
    }
}

/// The full name of a host as a `VirtualService` in `namespace` writes it: a name without dots is a Service of that
/// namespace, everything else is a full name already (Istio, `ResolveShortnameToFQDN`).
pub(super) fn full_name(host: &str, namespace: &str) -> String {
    if host == "*" || host.contains('.') {
        host.to_ascii_lowercase()
    } else {
        format!("{}.{namespace}.svc.{DOMAIN}", host.to_ascii_lowercase())
    }
}

/// The route of a Service without a `VirtualService` (Istio names it `default`).
pub(super) fn default_route<P>(cluster: &Arc<Cluster<P>>) -> Route<P> {
    Route {
        name: "default".to_owned(),
        matches: Vec::new(),
        rewrite: None,
        destinations: vec![Destination { weight: 100, cluster: Some(Arc::clone(cluster)) }],
    }
}

impl<P> Registry<P> {
    pub(super) fn new(store: &Store, endpoints: Endpoints<'_, P>) -> Self {
        let services = store.list::<Service>().filter_map(|service| mesh_service(store, service, endpoints));
        Self { services: services.map(|service| (service.fqdn.clone(), service)).collect() }
    }

    pub(super) fn get(&self, fqdn: &str) -> Option<&MeshService<P>> {
        self.services.get(fqdn)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &MeshService<P>> {
        self.services.values()
    }

    /// An entrance for each port of each Service of type `LoadBalancer`. As kube-proxy would, it goes to the endpoints
    /// whatever host is asked for, past all `VirtualService`s.
    pub(super) fn load_balancers(&self) -> impl Iterator<Item = Listener<P>> {
        let services = self.services.values().filter(|service| service.load_balancer);
        services.flat_map(|service| {
            service.ports.iter().map(|(port, cluster)| {
                let mut hosts = HostTable::default();
                let host = VirtualHost { name: service.domain(*port), routes: vec![default_route(cluster)] };
                hosts.insert(HostPattern::Any, Arc::new(host));
                let kind =
                    ListenerKind::LoadBalancer { namespace: service.namespace.clone(), service: service.name.clone() };
                Listener { kind, port: *port, hosts }
            })
        })
    }
}

fn mesh_service<P>(store: &Store, service: &Service, endpoints: Endpoints<'_, P>) -> Option<MeshService<P>> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let fqdn = format!("{}.{namespace}.svc.{DOMAIN}", name(service));
    let mut ready = ready(store, service, endpoints);
    let ports = spec.ports.iter().flatten().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    let ports = ports.filter_map(|port: &ServicePort| {
        let number = u16::try_from(port.port).ok()?;
        let endpoints = ready.remove(port.name.as_deref().unwrap_or_default()).unwrap_or_default();
        Some((number, Arc::new(Cluster { name: format!("outbound|{number}||{fqdn}"), endpoints })))
    });
    Some(MeshService {
        ports: ports.collect(),
        name: name(service).to_owned(),
        namespace,
        ip: spec.cluster_ip.clone().filter(|ip| ip != "None"),
        load_balancer: spec.type_.as_deref() == Some("LoadBalancer"),
        fqdn,
    })
}

/// The ready endpoints of a Service, by the name of its port.
fn ready<P>(store: &Store, service: &Service, find: Endpoints<'_, P>) -> HashMap<String, Vec<Arc<Endpoint<P>>>> {
    let mut ready: HashMap<String, Vec<_>> = HashMap::new();
    for slice in store.owned::<EndpointSlice>(uid(service)) {
        let endpoints = slice.endpoints.iter();
        let pods: Vec<&str> = endpoints
            .filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true))
            .filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.as_deref())
            .collect();
        for port in slice.ports.iter().flatten() {
            let Some(number) = port.port.and_then(|number| u16::try_from(number).ok()) else { continue };
            let found = pods.iter().filter_map(|pod| find(pod, number));
            ready.entry(port.name.clone().unwrap_or_default()).or_default().extend(found);
        }
    }
    ready
}
