//! Rows for tables: what there is, for people.

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use malha_manifest::istio::StringMatch;

use crate::controllers::{name, ready, uid};
use crate::object::{Gateway, VirtualService};
use crate::store::Store;

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `Pending` or `Running`.
    pub phase: String,
    /// Whether it takes requests.
    pub ready: bool,
    /// Why its container waits: `ContainerCreating`, `ErrImageNeverPull`, …
    pub reason: Option<String>,
    /// The same in a sentence.
    pub message: Option<String>,
    /// Its address.
    pub ip: Option<String>,
    /// How often its container was started again.
    pub restarts: u32,
    /// Image of its (first) container.
    pub image: String,
    /// The label `app`, or else the name of its container.
    pub app: String,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `ClusterIP`, `LoadBalancer`, …
    pub kind: String,
    /// Its address; `None` for one without.
    pub cluster_ip: Option<String>,
    /// Its TCP ports.
    pub ports: Vec<u16>,
    /// Pods that are ready behind it.
    pub ready: usize,
}

/// A Gateway and what is reached through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Each server's port and hosts, as written.
    pub servers: Vec<(u32, Vec<String>)>,
    /// The rules of the `VirtualService`s bound to it, in order.
    pub routes: Vec<RouteRow>,
}

/// A rule of a `VirtualService`, as far as a URL shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRow {
    /// Name of the `VirtualService`.
    pub virtual_service: String,
    /// Its hosts, as written.
    pub hosts: Vec<String>,
    /// The path, or its beginning; `/` for a rule that takes everything.
    pub path: String,
    /// Whether `path` is the whole path.
    pub exact: bool,
    /// Hosts of the destinations, as written.
    pub destinations: Vec<String>,
}

pub(crate) fn pods(store: &Store) -> Vec<PodRow> {
    store.list::<Pod>().map(|pod| pod_row(pod)).collect()
}

fn pod_row(pod: &Pod) -> PodRow {
    let status = pod.status.clone().unwrap_or_default();
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let state = status.container_statuses.as_ref().and_then(|all| all.first());
    let waiting = state.and_then(|state| state.state.as_ref()?.waiting.clone());
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get("app"));
    PodRow {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: name(pod).to_owned(),
        phase: status.phase.unwrap_or_default(),
        ready: ready(pod),
        reason: waiting.as_ref().and_then(|waiting| waiting.reason.clone()),
        message: waiting.and_then(|waiting| waiting.message),
        ip: status.pod_ip,
        restarts: state.map_or(0, |state| u32::try_from(state.restart_count).unwrap_or(0)),
        image: container.and_then(|container| container.image.clone()).unwrap_or_default(),
        app: label.or(container.map(|container| &container.name)).cloned().unwrap_or_default(),
    }
}

pub(crate) fn services(store: &Store) -> Vec<ServiceRow> {
    store.list::<Service>().map(|service| service_row(store, service)).collect()
}

fn service_row(store: &Store, service: &Service) -> ServiceRow {
    let spec = service.spec.clone().unwrap_or_default();
    let endpoints = store.owned::<EndpointSlice>(uid(service)).flat_map(|slice| &slice.endpoints);
    let is_ready = |conditions: &k8s_openapi::api::discovery::v1::EndpointConditions| conditions.ready == Some(true);
    let ports = spec.ports.iter().flatten().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    ServiceRow {
        namespace: service.metadata.namespace.clone().unwrap_or_default(),
        name: name(service).to_owned(),
        kind: spec.type_.clone().unwrap_or_default(),
        cluster_ip: spec.cluster_ip.clone().filter(|ip| ip != "None"),
        ports: ports.filter_map(|port| u16::try_from(port.port).ok()).collect(),
        ready: endpoints.filter(|endpoint| endpoint.conditions.as_ref().is_some_and(is_ready)).count(),
    }
}

pub(crate) fn gateways(store: &Store) -> Vec<GatewayRow> {
    store.list::<Gateway>().map(|gateway| gateway_row(store, gateway)).collect()
}

fn gateway_row(store: &Store, gateway: &Gateway) -> GatewayRow {
    let namespace = gateway.metadata.namespace.clone().unwrap_or_default();
    let full = format!("{namespace}/{}", name(gateway));
    let bound = crate::pilot::virtual_services(store).into_iter().filter(|service| {
        let home = service.metadata.namespace.as_deref().unwrap_or_default();
        crate::pilot::serves(&service.spec.gateways, home, &full)
    });
    GatewayRow {
        servers: gateway.spec.servers.iter().map(|server| (server.port.number, server.hosts.clone())).collect(),
        routes: bound.flat_map(|service| route_rows(&service)).collect(),
        name: name(gateway).to_owned(),
        namespace,
    }
}

fn route_rows(service: &VirtualService) -> Vec<RouteRow> {
    let mut rows = Vec::new();
    for rule in &service.spec.http {
        let paths: Vec<(String, bool)> = rule
            .r#match
            .iter()
            .filter_map(|condition| match &condition.uri {
                Some(StringMatch::Exact(path)) => Some((path.clone(), true)),
                Some(StringMatch::Prefix(path)) => Some((path.clone(), false)),
                None => Some(("/".to_owned(), false)),
                // A URL cannot be read out of an expression.
                Some(StringMatch::Regex(_) | StringMatch::Present) => None,
            })
            .collect();
        let paths = if rule.r#match.is_empty() { vec![("/".to_owned(), false)] } else { paths };
        rows.extend(paths.into_iter().map(|(path, exact)| RouteRow {
            virtual_service: name(service).to_owned(),
            hosts: service.spec.hosts.clone(),
            path,
            exact,
            destinations: rule.route.iter().map(|route| route.destination.host.clone()).collect(),
        }));
    }
    rows
}
