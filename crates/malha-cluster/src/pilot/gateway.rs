//! What the edge knows: a listener for each port of the Gateways, with the rules of the `VirtualService`s bound to them
//! (Istio, `mergeGateways` in `pilot/pkg/model/gateway.go` and `buildGatewayHTTPRouteConfig` in
//! `pilot/pkg/networking/core/gateway.go`).
//!
//! Servers of one port share a listener: plain HTTP ones one table of hosts, TLS ones each its own, chosen by server name. A
//! server that fits into neither, or whose certificate is not there, is left out and named.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use malha_manifest::istio::{Server, ServerTls, TlsMode, TlsVersion as WrittenVersion};
use malha_policy::InboundPolicy;
use malha_routing::{
    ClientCertificates, HostPattern, HostTable, Hosts, Listener, ListenerKind, Route, RouteTable, TlsOptions,
    TlsServer, TlsVersion, Transport, VirtualHost,
};

use crate::controllers::name;
use crate::object::{Gateway, Key, Kind};
use crate::selector::Labels;
use crate::store::Store;

use super::clusters::{Client, Clusters};
use super::matching::Viewer;
use super::rules::{AllRules, Entrance, Part, Rules, catch_all_last};
use super::secrets::Secrets;
use super::settings::{GATEWAYS, SYSTEM, Settings};
use super::{Findings, age};

/// A host with the routes of all `VirtualService`s for it.
struct Collected<P> {
    routes: Vec<Route<P>>,
    https_redirect: bool,
}

impl<P> Default for Collected<P> {
    fn default() -> Self {
        Self { routes: Vec::new(), https_redirect: false }
    }
}

/// A port's hosts.
type HostRoutes<P> = BTreeMap<String, Collected<P>>;

/// What has been put on a port so far.
enum Port<P> {
    Plain(HostRoutes<P>),
    Tls { servers: Vec<TlsServer<P>>, names: HashSet<String> },
}

/// The listeners, by port. A port without any route answers 404, as in Istio.
pub(super) fn listeners<P>(
    store: &Store,
    clusters: &mut Clusters<'_, P>,
    rules: &AllRules,
    policy: &Arc<InboundPolicy>,
    findings: &mut Findings,
) -> Vec<Listener<P>> {
    let mut gateways: Vec<&Arc<Gateway>> = store.list::<Gateway>().collect();
    gateways.sort_by_cached_key(|gateway| age(&gateway.metadata));
    let labels = Settings::gateway_labels();
    let mut edge = Edge { clusters, rules, labels: &labels, findings, ports: BTreeMap::new() };
    for gateway in gateways {
        edge.gateway(gateway);
    }
    let ports = edge.ports;
    ports.into_iter().map(|(port, content)| listener(port, content, policy)).collect()
}

struct Edge<'e, 'a, P> {
    clusters: &'e mut Clusters<'a, P>,
    rules: &'e AllRules,
    labels: &'e Labels,
    findings: &'e mut Findings,
    ports: BTreeMap<u16, Port<P>>,
}

impl<P> Edge<'_, '_, P> {
    fn gateway(&mut self, gateway: &Gateway) {
        let namespace = gateway.metadata.namespace.as_deref().unwrap_or_default();
        let key = Key::new(Kind::Gateway, namespace, name(gateway));
        if !played(&gateway.spec.selector) {
            let message =
                "spec.selector: selects no gateway that malha plays (istio: ingressgateway); nothing listens for it";
            self.findings.add(key, message.to_owned());
            return;
        }
        let full = format!("{namespace}/{}", key.name);
        let bound = self.rules.of_gateway(&full, SYSTEM);
        for (index, server) in gateway.spec.servers.iter().enumerate() {
            let mut notes = Vec::new();
            if let Err(why) = self.server(server, namespace, &full, &bound, &mut notes) {
                let message = format!("spec.servers[{index}].{why}; nothing listens for this server");
                self.findings.add(key.clone(), message);
            }
            for note in notes {
                self.findings.add(key.clone(), format!("spec.servers[{index}].{note}"));
            }
        }
    }

    /// # Errors
    /// The field, and why the server cannot be.
    fn server(
        &mut self,
        server: &Server,
        namespace: &str,
        gateway: &str,
        bound: &[&Rules],
        notes: &mut Vec<String>,
    ) -> Result<(), String> {
        let number = u16::try_from(server.port.number).ok().filter(|port| *port > 0);
        let number = number.ok_or_else(|| format!("port.number: {} is no port", server.port.number))?;
        let protocol = server.port.protocol.to_ascii_uppercase();
        let tls = match (protocol.as_str(), &server.tls) {
            ("HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB", _) => None,
            ("HTTPS", Some(tls)) => Some(tls),
            ("HTTPS", None) => return Err("tls: missing, and HTTPS needs it".to_owned()),
            (other, _) => return Err(format!("port.protocol: {other} is not carried out")),
        };
        if server.bind.as_deref().is_some_and(|bind| !bind.is_empty() && bind != "0.0.0.0") {
            notes.push("bind: not carried out; malha listens where --gateway says".to_owned());
        }
        let secrets = self.clusters.secrets();
        let options = tls.map(|tls| options(tls, secrets, notes)).transpose()?;
        match (self.ports.get(&number), &options) {
            (Some(Port::Plain(_)), Some(_)) => {
                return Err(format!("port: {number} is plain HTTP for an older server, and HTTPS here"));
            }
            (Some(Port::Tls { .. }), None) => {
                return Err(format!("port: {number} is HTTPS for an older server, and plain HTTP here"));
            }
            (Some(Port::Tls { names, .. }), Some(_)) => {
                if let Some(host) = sni_hosts(server).into_iter().find(|host| names.contains(host)) {
                    return Err(format!("hosts: an older server of port {number} has {host} already"));
                }
            }
            _ => {}
        }
        let mut taken = match self.ports.remove(&number) {
            Some(Port::Plain(hosts)) => Some(hosts),
            Some(other) => {
                self.ports.insert(number, other);
                None
            }
            None => None,
        };
        let mut own = HostRoutes::new();
        let hosts = if options.is_none() { taken.get_or_insert_default() } else { &mut own };
        self.fill(hosts, server, number, namespace, gateway, bound);
        match options {
            None => {
                self.ports.insert(number, Port::Plain(taken.unwrap_or_default()));
            }
            Some(options) => {
                let hosts = sni_hosts(server);
                let port = self.ports.entry(number);
                let port = port.or_insert_with(|| Port::Tls { servers: Vec::new(), names: HashSet::new() });
                if let Port::Tls { servers, names } = port {
                    let patterns = hosts.iter().map(|host| HostPattern::parse(host)).collect();
                    names.extend(hosts);
                    servers.push(TlsServer { names: patterns, options: Arc::new(options), hosts: table(number, own) });
                }
            }
        }
        Ok(())
    }

    /// Adds the routes of the `VirtualService`s for the server.
    fn fill(
        &mut self,
        hosts: &mut HostRoutes<P>,
        server: &Server,
        port: u16,
        gateway_namespace: &str,
        gateway: &str,
        bound: &[&Rules],
    ) {
        let tls = server.tls.as_ref();
        let https_redirect = tls.is_some_and(|tls| tls.https_redirect);
        let entrance = Entrance {
            viewer: Viewer { gateway, port, namespace: SYSTEM, labels: self.labels },
            client: Client { namespace: SYSTEM, labels: self.labels, gateway: true },
            tls: tls.is_some(),
        };
        for rules in bound {
            let common = intersection(&server_hosts(server, gateway_namespace, &rules.namespace), &rules.hosts);
            if common.is_empty() {
                continue;
            }
            let parts: Vec<Part<P>> = rules.routes(entrance, self.clusters, self.findings);
            // Without a route here the VirtualService is not there (`no routes matched`).
            if parts.is_empty() {
                continue;
            }
            for host in common {
                let collected = hosts.entry(host).or_default();
                collected.routes.extend(parts.iter().map(Part::route));
                collected.https_redirect |= https_redirect;
            }
        }
        // A host that nobody has routes for is redirected all the same; one with a namespace before it is not, in Istio.
        for host in server.hosts.iter().filter(|host| https_redirect && !host.contains('/')) {
            hosts.entry(host.to_ascii_lowercase()).or_default().https_redirect = true;
        }
    }
}

fn listener<P>(port: u16, content: Port<P>, policy: &Arc<InboundPolicy>) -> Listener<P> {
    let transport = match content {
        Port::Plain(hosts) => Transport::Plain(table(port, hosts)),
        Port::Tls { servers, .. } => Transport::Tls(servers),
    };
    Listener { kind: ListenerKind::Gateway, port, transport, policy: Arc::clone(policy) }
}

fn table<P>(port: u16, hosts: HostRoutes<P>) -> Hosts<P> {
    let mut table = HostTable::default();
    for (host, Collected { mut routes, https_redirect }) in hosts {
        catch_all_last(&mut routes);
        let name = format!("{host}:{port}");
        let host = HostPattern::parse(&host);
        table.insert(host, Arc::new(VirtualHost { name, routes: RouteTable::new(routes), https_redirect }));
    }
    table
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
    hosts.map(|host| bare(host)).collect()
}

/// Without the namespace.
fn bare(host: &str) -> String {
    host.split_once('/').map_or(host, |(_, host)| host).to_ascii_lowercase()
}

/// The server names that a TLS server is for (Istio, `GetSNIHostsForServer`).
fn sni_hosts(server: &Server) -> Vec<String> {
    let mut hosts: Vec<String> = server.hosts.iter().map(|host| bare(host)).collect();
    if hosts.iter().any(|host| host == "*") {
        return vec!["*".to_owned()];
    }
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// The hosts that both sides name: of two that overlap the narrower (Istio, `host.Names.Intersection`).
fn intersection(server: &[String], virtual_service: &[String]) -> Vec<String> {
    let mut common: Vec<String> = Vec::new();
    for ours in server {
        let a = HostPattern::parse(ours);
        for theirs in virtual_service {
            let b = HostPattern::parse(theirs);
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
    GATEWAYS.iter().any(|labels| selector.iter().all(|(key, value)| labels.contains(&(key.as_str(), value.as_str()))))
}

/// The TLS of a server (Istio, `buildGatewayListenerTLSContext`).
fn options(tls: &ServerTls, secrets: &Secrets<'_>, notes: &mut Vec<String>) -> Result<TlsOptions, String> {
    let (mutual, optional) = match tls.mode {
        Some(TlsMode::Simple) => (false, false),
        Some(TlsMode::Mutual) => (true, false),
        Some(TlsMode::OptionalMutual) => (true, true),
        Some(TlsMode::IstioMutual) => return Err("tls.mode: ISTIO_MUTUAL is not carried out".to_owned()),
        Some(TlsMode::AutoPassthrough) => return Err("tls.mode: AUTO_PASSTHROUGH is not carried out".to_owned()),
        Some(TlsMode::Passthrough) => return Err("tls.mode: PASSTHROUGH is not carried out".to_owned()),
        None => return Err("tls.mode: missing, which means PASSTHROUGH; that is not carried out".to_owned()),
    };
    for (field, set) in [("caCrl", tls.ca_crl.is_some()), ("ecdhCurves", !tls.ecdh_curves.is_empty())] {
        if set {
            notes.push(format!("tls.{field}: not carried out"));
        }
    }
    // Who would be refused must not be let in.
    for (field, set) in [
        ("verifyCertificateSpki", !tls.verify_certificate_spki.is_empty()),
        ("verifyCertificateHash", !tls.verify_certificate_hash.is_empty()),
    ] {
        if set && mutual {
            return Err(format!("tls.{field}: not carried out"));
        }
    }
    let single = tls.credential_name.iter().filter(|name| !name.is_empty());
    let names: Vec<&String> =
        if tls.credential_names.is_empty() { single.collect() } else { tls.credential_names.iter().collect() };
    let Some(first) = names.first() else {
        let files = tls.server_certificate.is_some() || !tls.tls_certificates.is_empty();
        let why = if files { "files of the gateway's pod are not carried out; give credentialName" } else { "missing" };
        return Err(format!("tls.credentialName: {why}"));
    };
    let certificates = names.iter().map(|name| secrets.certificate(name)).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|why| format!("tls.credentialName: {why}"))?;
    let clients = if mutual {
        let source = tls.ca_cert_credential_name.as_ref().filter(|name| !name.is_empty()).unwrap_or(first);
        ClientCertificates::Required {
            authorities: secrets.authorities(source).map_err(|why| format!("tls.credentialName: {why}"))?,
            subject_alt_names: tls.subject_alt_names.clone(),
            optional,
        }
    } else {
        ClientCertificates::Unasked
    };
    let lowest = version(tls.min_protocol_version, TlsVersion::V1_2, "minProtocolVersion", notes);
    let highest = version(tls.max_protocol_version, TlsVersion::V1_3, "maxProtocolVersion", notes);
    if lowest > highest {
        return Err("tls.maxProtocolVersion: is below the lowest version".to_owned());
    }
    Ok(TlsOptions { certificates, clients, lowest, highest, cipher_suites: tls.cipher_suites.clone() })
}

fn version(written: Option<WrittenVersion>, default: TlsVersion, field: &str, notes: &mut Vec<String>) -> TlsVersion {
    match written {
        None | Some(WrittenVersion::Auto) => default,
        Some(WrittenVersion::V1_2) => TlsVersion::V1_2,
        Some(WrittenVersion::V1_3) => TlsVersion::V1_3,
        Some(WrittenVersion::V1_0 | WrittenVersion::V1_1) => {
            notes.push(format!("tls.{field}: below 1.2 is not carried out; it is 1.2"));
            TlsVersion::V1_2
        }
    }
}
