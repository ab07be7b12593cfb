//! Rules of `ServiceEntry` (`ValidateServiceEntry`).

use super::common::{export_to, is_fqdn, is_http, is_network, is_tls, protocol, workload_selector};
use crate::check::Checker;
use crate::istio::{Resolution, ServiceEntry, WorkloadEntry};
use crate::names;
use crate::path::FieldPath;

/// What an endpoint's address begins with that is a socket of this machine.
const UNIX: &str = "unix://";

pub(in crate::check) fn service_entry(checker: &mut Checker<'_>, entry: &ServiceEntry) {
    let root = FieldPath::parse("spec");
    workload_selector(checker, &root.field("workloadSelector"), entry.workload_selector.as_ref());
    if entry.workload_selector.is_some() && !entry.endpoints.is_empty() {
        checker.error_at_key(
            root.field("endpoints"),
            "only one of WorkloadSelector or Endpoints is allowed in Service Entry",
        );
    }
    hosts(checker, &root.field("hosts"), entry);
    addresses(checker, &root.field("addresses"), entry);
    ports(checker, &root.field("ports"), entry);
    resolution(checker, &root, entry);
    export_to(checker, &entry.export_to, true);
}

fn hosts(checker: &mut Checker<'_>, path: &FieldPath, entry: &ServiceEntry) {
    if entry.hosts.is_empty() {
        checker.error(path, "service entry must have at least one host");
    }
    for (index, host) in entry.hosts.iter().enumerate() {
        let place = path.item(index);
        if host == "*" {
            checker.error(&place, "invalid host *").help("`*.` and a host name is the widest that is allowed");
        } else {
            checker.name(&place, host, names::HOST);
        }
    }
}

fn addresses(checker: &mut Checker<'_>, path: &FieldPath, entry: &ServiceEntry) {
    for (index, address) in entry.addresses.iter().enumerate() {
        let place = path.item(index);
        if !is_network(address) {
            checker.error(&place, format!("`{address}` is not an address or a network"));
        } else if address.contains('/') && !matches!(entry.resolution, Resolution::None | Resolution::Static) {
            checker.error(&place, "CIDR addresses are allowed only for NONE/STATIC resolution types");
        }
    }
}

fn ports(checker: &mut Checker<'_>, path: &FieldPath, entry: &ServiceEntry) {
    for (index, port) in entry.ports.iter().enumerate() {
        let path = path.item(index);
        checker.name(path.field("name"), &port.name, names::MESH_LABEL);
        protocol(checker, &path.field("protocol"), &port.protocol);
        checker.port(path.field("number"), port.number.into());
        if let Some(target) = port.target_port {
            checker.port(path.field("targetPort"), target.into());
            if entry.resolution == Resolution::None {
                checker.warning(path.field("targetPort"), "targetPort has no effect when resolution mode is NONE");
            }
        }
    }
    let at = |index: usize, field: &str| path.item(index).field(field);
    checker.unique(
        "port name",
        entry.ports.iter().enumerate().map(|(index, port)| (at(index, "name"), port.name.as_str())),
    );
    let numbers: Vec<_> = entry.ports.iter().map(|port| port.number.to_string()).collect();
    checker.unique(
        "port number",
        numbers.iter().enumerate().map(|(index, number)| (at(index, "number"), number.as_str())),
    );
    // With HTTP the host is in the request and with TLS in the handshake; plain TCP has no word for it.
    let other = |protocol: &str| !is_http(protocol) && !is_tls(protocol);
    if entry.resolution != Resolution::None
        && entry.hosts.len() > 1
        && let Some(index) = entry.ports.iter().position(|port| other(&port.protocol))
    {
        checker.error(at(index, "protocol"), "multiple hosts provided with non-HTTP, non-TLS ports");
    }
}

fn resolution(checker: &mut Checker<'_>, root: &FieldPath, entry: &ServiceEntry) {
    let path = root.field("endpoints");
    let named = match entry.resolution {
        Resolution::None => "NONE",
        Resolution::Static => "STATIC",
        Resolution::Dns => "DNS",
        Resolution::DnsRoundRobin => "DNS_ROUND_ROBIN",
        Resolution::DynamicDns => "DYNAMIC_DNS",
    };
    if entry.workload_selector.is_some() && entry.resolution != Resolution::Static {
        let message = format!("workloadSelector should not be set when resolution mode is {named}");
        checker.warning(root.field("workloadSelector"), message).help("write `resolution: STATIC`");
    }
    match entry.resolution {
        Resolution::None | Resolution::DynamicDns if !entry.endpoints.is_empty() => {
            checker.error_at_key(&path, format!("no endpoints should be provided for resolution type {named}"));
        }
        Resolution::None => {}
        Resolution::Static => {
            for (index, endpoint) in entry.endpoints.iter().enumerate() {
                static_address(checker, &path.item(index), entry, endpoint);
            }
        }
        Resolution::Dns | Resolution::DnsRoundRobin => {
            if entry.endpoints.is_empty() {
                for (index, _) in entry.hosts.iter().enumerate().filter(|(_, host)| !is_fqdn(host)) {
                    let place = root.field("hosts").item(index);
                    let message =
                        format!("hosts must be FQDN if no endpoints are provided for resolution mode {named}");
                    checker.error(place, message);
                }
            }
            if entry.resolution == Resolution::DnsRoundRobin && entry.endpoints.len() > 1 {
                let message = format!("there must only be 0 or 1 endpoint for resolution mode {named}");
                checker.error_at_key(&path, message);
            }
            for (index, endpoint) in entry.endpoints.iter().enumerate() {
                let place = path.item(index).field("address");
                let address = &endpoint.address;
                if !is_fqdn(address) && address.parse::<std::net::IpAddr>().is_err() {
                    let message = format!("endpoint address `{address}` is not a valid FQDN or an IP address");
                    checker.error(place, message);
                }
            }
        }
        Resolution::DynamicDns => {
            for (index, _) in entry.hosts.iter().enumerate().filter(|(_, host)| !host.starts_with("*.")) {
                let message = format!("hosts must be wildcards for resolution mode {named}");
                checker.error(root.field("hosts").item(index), message);
            }
        }
    }
    for (index, endpoint) in entry.endpoints.iter().enumerate() {
        let path = path.item(index);
        checker.labels(&path.field("labels"), Some(&endpoint.labels));
        for (name, number) in &endpoint.ports {
            let place = path.field("ports").field(name);
            if entry.ports.iter().all(|port| port.name != *name) {
                checker.error_at_key(&place, format!("endpoint port {number} is not defined by the service entry"));
            }
            checker.port(&place, (*number).into());
        }
    }
}

/// `validateWorkloadEntry`, for an endpoint whose address nobody resolves.
fn static_address(checker: &mut Checker<'_>, path: &FieldPath, entry: &ServiceEntry, endpoint: &WorkloadEntry) {
    let place = path.field("address");
    let address = &endpoint.address;
    if address.is_empty() {
        if endpoint.network.as_ref().is_none_or(String::is_empty) {
            checker.error(&place, "address is required");
        }
    } else if let Some(socket) = address.strip_prefix(UNIX) {
        if !socket.starts_with('@') && (!socket.starts_with('/') || socket.ends_with('/')) {
            checker.error(&place, format!("`{socket}` is not an absolute path to a file"));
        }
        if !endpoint.ports.is_empty() {
            checker.error_at_key(path.field("ports"), format!("unix endpoint {address} must not include ports"));
        }
        if entry.ports.len() != 1 {
            checker.error(&place, "exactly 1 service port required for unix endpoints");
        }
    } else if address.parse::<std::net::IpAddr>().is_err() {
        checker
            .error(&place, format!("endpoint address `{address}` is not a valid IP address"))
            .help("write `resolution: DNS` to have names resolved");
    }
}
