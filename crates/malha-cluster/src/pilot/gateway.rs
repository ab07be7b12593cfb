//! What the edge knows: a listener for each port of the Gateways, with the rules of the `VirtualService`s bound to them
//! (Istio, `buildGatewayHTTPRouteConfig` in `pilot/pkg/networking/core/gateway.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use malha_manifest::istio::Server;
use malha_routing::{HostPattern, HostTable, Listener, ListenerKind, Route, VirtualHost};

use crate::controllers::name;
use crate::object::{Gateway, Key, Kind, VirtualService};
use crate::selector::Labels;
use crate::store::Store;

use super::registry::{Registry, full_name};
use super::rules::{Entrance, catch_all_last, serves};
use super::{Findings, age};

/// Labels of the gateways that malha plays, as Istio's installers label them: `istioctl` and the gateway chart.
const PLAYED: [[(&str, &str); 2]; 2] =
    [[("app", "istio-ingressgateway"), ("istio", "ingressgateway")], [("app", "istio-ingress"), ("istio", "ingress")]];

/// A port's hosts with the routes of all `VirtualService`s for them.
type Hosts<P> = BTreeMap<String, Vec<Route<P>>>;

/// The listeners, by port. A port without any route answers 404, as in Istio.
pub(super) fn listeners<P>(
    store: &Store,
    registry: &Registry<P>,
    virtual_services: &[Arc<VirtualService>],
    findings: &mut Findings,
) -> Vec<Listener<P>> {
    let mut gateways: Vec<&Arc<Gateway>> = store.list::<Gateway>().collect();
    gateways.sort_by_cached_key(|gateway| age(&gateway.metadata));
    let mut ports: BTreeMap<u16, Hosts<P>> = BTreeMap::new();
    for gateway in gateways {
        let namespace = gateway.metadata.namespace.as_deref().unwrap_or_default();
        let key = Key::new(Kind::Gateway, namespace, name(gateway.as_ref()));
        if !played(&gateway.spec.selector) {
            let message =
                "spec.selector: selects no gateway that malha plays (istio: ingressgateway); nothing listens for it";
            findings.add(key, message.to_owned());
            continue;
        }
        let full = format!("{namespace}/{}", key.name);
        for (index, server) in gateway.spec.servers.iter().enumerate() {
            match plain_http(server) {
                Ok(port) => {
                    let hosts = ports.entry(port).or_default();
                    let entrance = Entrance { registry, gateway: &full, port };
                    add(hosts, &entrance, server, namespace, virtual_services, findings);
                }
                Err(why) => {
                    findings.add(key.clone(), format!("spec.servers[{index}].{why}; nothing listens for this server"));
                }
            }
        }
    }
    ports.into_iter().map(|(port, hosts)| listener(port, hosts)).collect()
}

fn listener<P>(port: u16, hosts: Hosts<P>) -> Listener<P> {
    let mut table = HostTable::default();
    for (host, mut routes) in hosts {
        catch_all_last(&mut routes);
        let name = format!("{host}:{port}");
        table.insert(HostPattern::parse(&host), Arc::new(VirtualHost { name, routes }));
    }
    Listener { kind: ListenerKind::Gateway, port, hosts: table }
}

fn add<P>(
    hosts: &mut Hosts<P>,
    entrance: &Entrance<'_, P>,
    server: &Server,
    gateway_namespace: &str,
    virtual_services: &[Arc<VirtualService>],
    findings: &mut Findings,
) {
    for service in virtual_services {
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        if service.spec.gateways.is_empty() || !serves(&service.spec.gateways, namespace, entrance.gateway) {
            continue;
        }
        for host in intersection(&server_hosts(server, gateway_namespace, namespace), &service.spec.hosts, namespace) {
            hosts.entry(host).or_default().extend(entrance.routes(service, findings));
        }
    }
}

/// The hosts of a server that are there for `VirtualService`s in `namespace`: `namespace/host`, where the namespace may be
/// `*` or `.` (the gateway's own); without one, for all.
fn server_hosts(server: &Server, gateway_namespace: &str, namespace: &str) -> Vec<String> {
    let visible = |host: &str| match host.split_once('/') {
        None | Some(("*", _)) => true,
        Some((".", _)) => gateway_namespace == namespace,
        Some((of, _)) => of == namespace,
    };
    let hosts = server.hosts.iter().filter(|host| visible(host));
    hosts.map(|host| host.split_once('/').map_or(host.as_str(), |(_, host)| host).to_ascii_lowercase()).collect()
}

/// The hosts that both sides name: of two that overlap the narrower (Istio, `host.Names.Intersection`).
fn intersection(server: &[String], virtual_service: &[String], namespace: &str) -> Vec<String> {
    let mut common: Vec<String> = Vec::new();
    let wanted: Vec<String> = virtual_service.iter().map(|host| full_name(host, namespace)).collect();
    for ours in server {
        for theirs in &wanted {
            let (a, b) = (HostPattern::parse(ours), HostPattern::parse(theirs));
            let narrower = if b.covers(&a) {
                ours
            } else if a.covers(&b) {
                theirs
            } else {
                continue;
            };
            if !common.contains(narrower) {
                common.push(narrower.clone());
            }
        }
    }
    common
}

fn played(selector: &Labels) -> bool {
    PLAYED.iter().any(|labels| selector.iter().all(|(key, value)| labels.contains(&(key.as_str(), value.as_str()))))
}

/// The port of a server that speaks plain HTTP; the error is the field that says otherwise.
fn plain_http(server: &Server) -> Result<u16, String> {
    let port = &server.port;
    if !["HTTP", "HTTP2", "GRPC", "GRPC-WEB"].contains(&port.protocol.to_ascii_uppercase().as_str()) {
        return Err(format!("port.protocol: {} is not carried out yet", port.protocol));
    }
    if server.tls.as_ref().is_some_and(|tls| tls.https_redirect) {
        return Err("tls.httpsRedirect: not carried out yet".to_owned());
    }
    u16::try_from(port.number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("port.number: {} is no port", port.number))
}
