//! Rules of `Sidecar` (`ValidateSidecar`).

use super::common::{is_fqdn, is_http, protocol, workload_selector};
use super::traffic;
use crate::check::Checker;
use crate::istio::{
    CaptureMode, EgressListener, IngressListener, OutboundMode, OutboundTrafficPolicy, Sidecar, TlsMode,
};
use crate::names;
use crate::path::FieldPath;

pub(in crate::check) fn sidecar(checker: &mut Checker<'_>, sidecar: &Sidecar) {
    let root = FieldPath::parse("spec");
    workload_selector(checker, &root.field("workloadSelector"), sidecar.workload_selector.as_ref());
    if sidecar.ingress.is_empty()
        && sidecar.egress.is_empty()
        && sidecar.outbound_traffic_policy.is_none()
        && sidecar.inbound_connection_pool.is_none()
    {
        checker.error(&root, "sidecar: empty configuration provided");
    }
    for (index, listener) in sidecar.ingress.iter().enumerate() {
        ingress(checker, &root.field("ingress").item(index), listener);
    }
    traffic::connection_pool(checker, &root.field("inboundConnectionPool"), sidecar.inbound_connection_pool.as_ref());
    let last = sidecar.egress.len().saturating_sub(1);
    for (index, listener) in sidecar.egress.iter().enumerate() {
        let path = root.field("egress").item(index);
        if listener.port.is_none() && index != last {
            let message = "sidecar: the egress listener with empty port should be the last listener in the list";
            checker.error(&path, message);
        }
        egress(checker, &path, listener);
    }
    let ports = |listeners: Vec<Option<u32>>| -> Vec<String> {
        listeners.into_iter().map(|port| port.map(|port| port.to_string()).unwrap_or_default()).collect()
    };
    for (field, ports) in [
        ("ingress", ports(sidecar.ingress.iter().map(|one| Some(one.port.number)).collect())),
        ("egress", ports(sidecar.egress.iter().map(|one| one.port.as_ref().map(|port| port.number)).collect())),
    ] {
        let at = |index| root.field(field).item(index).field("port").field("number");
        checker.unique("port", ports.iter().enumerate().map(|(index, port)| (at(index), port.as_str())));
    }
    if let Some(policy) = &sidecar.outbound_traffic_policy {
        outbound(checker, &root.field("outboundTrafficPolicy"), policy);
    }
}

fn ingress(checker: &mut Checker<'_>, path: &FieldPath, listener: &IngressListener) {
    let port = path.field("port");
    if !listener.port.name.is_empty() {
        checker.name(port.field("name"), &listener.port.name, names::MESH_LABEL);
    }
    protocol(checker, &port.field("protocol"), &listener.port.protocol);
    checker.port(port.field("number"), listener.port.number.into());
    bind(checker, &path.field("bind"), listener.bind.as_deref());
    if let Some(endpoint) = listener.default_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) {
        default_endpoint(checker, &path.field("defaultEndpoint"), endpoint);
    }
    if let Some(tls) = &listener.tls {
        let path = path.field("tls");
        for (field, set) in [
            ("subjectAltNames", !tls.subject_alt_names.is_empty()),
            ("httpsRedirect", tls.https_redirect),
            ("credentialName", tls.credential_name.is_some()),
            ("mode", matches!(tls.mode, Some(TlsMode::IstioMutual | TlsMode::AutoPassthrough))),
        ] {
            if set {
                checker.error(path.field(field), "sidecar: not supported in ingress tls");
            }
        }
    }
    let pool = listener.connection_pool.as_ref();
    traffic::connection_pool(checker, &path.field("connectionPool"), pool);
    if pool.is_some_and(|pool| pool.http.is_some()) && !is_http(&listener.port.protocol) {
        let message = "sidecar: HTTP connection pool settings are configured for a port whose protocol is not HTTP; \
                       only TCP settings will apply";
        checker.warning(path.field("connectionPool").field("http"), message);
    }
}

fn bind(checker: &mut Checker<'_>, path: &FieldPath, bind: Option<&str>) {
    if let Some(address) = bind.filter(|bind| !bind.is_empty())
        && address.parse::<std::net::IpAddr>().is_err()
    {
        checker.error(path, format!("`{address}` is not an address"));
    }
}

fn default_endpoint(checker: &mut Checker<'_>, path: &FieldPath, endpoint: &str) {
    const HOSTS: [&str; 5] = ["", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"];
    let fits = match endpoint.strip_prefix("unix://") {
        Some(socket) => socket.starts_with('@') || socket.starts_with('/') && !socket.ends_with('/'),
        None => endpoint
            .rsplit_once(':')
            .is_some_and(|(host, port)| HOSTS.contains(&host) && port.parse::<u16>().is_ok_and(|port| port > 0)),
    };
    if !fits {
        let message = "sidecar: defaultEndpoint must be of form \
                       127.0.0.1:<port>,0.0.0.0:<port>,[::1]:port,[::]:port,unix://filepath or unset";
        checker.error(path, message);
    }
}

fn egress(checker: &mut Checker<'_>, path: &FieldPath, listener: &EgressListener) {
    if let Some(port) = &listener.port {
        let place = path.field("port");
        if !port.name.is_empty() {
            checker.name(place.field("name"), &port.name, names::MESH_LABEL);
        }
        protocol(checker, &place.field("protocol"), &port.protocol);
        if port.number == 0 {
            if !listener.bind.as_ref().is_some_and(|bind| bind.starts_with("unix://")) {
                let message = "sidecar: ports with 0 value must have a unix domain socket bind address";
                checker.error(place.field("number"), message);
            }
            if listener.capture_mode == CaptureMode::Iptables {
                let message = "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners";
                checker.error(path.field("captureMode"), message);
            }
        } else {
            checker.port(place.field("number"), port.number.into());
            bind(checker, &path.field("bind"), listener.bind.as_deref());
        }
    }
    if listener.hosts.is_empty() {
        checker.error(path.field("hosts"), "sidecar: egress listener must contain at least one host");
    }
    for (index, host) in listener.hosts.iter().enumerate() {
        let place = path.field("hosts").item(index);
        let Some((namespace, name)) = host.split_once('/') else {
            checker.error(&place, format!("`{host}` names no namespace")).help("write `NAMESPACE/HOST`, or `*/HOST`");
            continue;
        };
        // With `~` before it the host is left out; alone, that means every namespace.
        let excluded = namespace.strip_prefix('~');
        let namespace = excluded.unwrap_or(namespace);
        if !matches!(namespace, "*" | ".") && excluded != Some("") {
            checker.name(&place, namespace, names::LABEL);
        }
        checker.name(&place, name, names::HOST);
    }
    checker.unique(
        "egress host",
        listener.hosts.iter().enumerate().map(|(index, host)| (path.field("hosts").item(index), host.as_str())),
    );
}

/// `validateSidecarOutboundTrafficPolicy`
fn outbound(checker: &mut Checker<'_>, path: &FieldPath, policy: &OutboundTrafficPolicy) {
    let Some(proxy) = &policy.egress_proxy else { return };
    let path = path.field("egressProxy");
    if policy.mode != OutboundMode::AllowAny {
        let message = "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode";
        checker.error(&path, message);
        return;
    }
    if !is_fqdn(&proxy.host) {
        checker.error(path.field("host"), format!("`{}` is not a host name", proxy.host));
    }
    match proxy.port {
        None => {
            checker.error(path.field("port"), "sidecar: egress_proxy port must be non-nil");
        }
        Some(port) => checker.port(path.field("port").field("number"), port.number.into()),
    }
}
