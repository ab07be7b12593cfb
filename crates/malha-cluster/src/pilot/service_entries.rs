//! `ServiceEntry`s as services (Istio, `convertServices` and `convertServiceEntryToInstances` in
//! `pilot/pkg/serviceregistry/serviceentry/conversion.go`).
//!
//! Names are resolved when a connection is made, not here: an endpoint of resolution `DNS` is a name to connect to.

use std::net::IpAddr;
use std::sync::Arc;

use malha_manifest::istio::{Location, Resolution, ServicePort};

use crate::controllers::name;
use crate::object::{Key, Kind, ServiceEntry};
use crate::selector::Labels;

use super::registry::{MeshService, Origin, Port, PortProtocol};
use super::visibility::Visibility;
use super::workloads::{Member, Workloads};
use super::{Findings, age};

/// One service for each host.
pub(super) fn services<P>(
    entry: &ServiceEntry,
    workloads: &mut Workloads<'_, '_, P>,
    findings: &mut Findings,
) -> Vec<MeshService<P>> {
    let namespace = entry.metadata.namespace.clone().unwrap_or_default();
    let key = Key::new(Kind::ServiceEntry, namespace.as_str(), name(entry));
    let mut report = |message: String| findings.add(key.clone(), message);
    let mut services = Vec::new();
    for (index, host) in entry.spec.hosts.iter().enumerate() {
        let host = host.to_ascii_lowercase();
        let mut original_destination = false;
        match entry.spec.resolution {
            Resolution::None => original_destination = true,
            Resolution::Static => {}
            Resolution::DynamicDns if host.starts_with('*') => {
                report(format!(
                    "spec.hosts[{index}]: DYNAMIC_DNS is not carried out; calls to {host} go where the caller resolved the name to"
                ));
                original_destination = true;
            }
            Resolution::Dns | Resolution::DnsRoundRobin | Resolution::DynamicDns => {
                if host.starts_with('*') && entry.spec.endpoints.is_empty() && entry.spec.workload_selector.is_none() {
                    report(format!(
                        "spec.hosts[{index}]: {host} cannot be resolved; give endpoints, or resolution NONE. The host is left out"
                    ));
                    continue;
                }
            }
        }
        let mut ports = Vec::new();
        for (at, port) in entry.spec.ports.iter().enumerate() {
            match (protocol(port), u16::try_from(port.number).ok().filter(|number| *number > 0)) {
                (Some(protocol), Some(number)) => {
                    // Where the caller resolved the name to is where the name leads; of a wildcard, only the caller knows.
                    let members = if original_destination && host.starts_with('*') {
                        Vec::new()
                    } else {
                        members(entry, &host, number, port, &namespace, workloads, &mut report)
                    };
                    ports.push(Port { number, protocol, members });
                }
                (None, _) => report(format!(
                    "spec.ports[{at}].protocol: {} is not carried out; the port is left out",
                    if port.protocol.is_empty() { "TCP" } else { &port.protocol }
                )),
                (_, None) => report(format!("spec.ports[{at}].number: {} is no port", port.number)),
            }
        }
        services.push(MeshService {
            host,
            namespace: namespace.clone(),
            origin: Origin::Entry { external: entry.spec.location == Location::MeshExternal },
            addresses: entry.spec.addresses.iter().filter_map(|address| single(address)).collect(),
            ports,
            visibility: Visibility::new(entry.spec.export_to.iter().map(String::as_str), &namespace),
            original_destination,
            subject_alt_names: entry.spec.subject_alt_names.clone(),
            age: age(&entry.metadata),
        });
    }
    services
}

fn members<P>(
    entry: &ServiceEntry,
    host: &str,
    number: u16,
    port: &ServicePort,
    namespace: &str,
    workloads: &mut Workloads<'_, '_, P>,
    report: &mut impl FnMut(String),
) -> Vec<Member<P>> {
    let target = |number: u32| u16::try_from(number).ok().filter(|number| *number > 0);
    let default = port.target_port.and_then(target).unwrap_or(number);
    if let Some(selector) = &entry.spec.workload_selector {
        return workloads.selected(namespace, &selector.labels, default);
    }
    if entry.spec.endpoints.is_empty() {
        // Of a name without endpoints the name itself is the endpoint.
        return match entry.spec.resolution {
            Resolution::Static => Vec::new(),
            _ => vec![workloads.address(host, default, 1, &Arc::new(Labels::new()))],
        };
    }
    let mut members = Vec::new();
    for (index, endpoint) in entry.spec.endpoints.iter().enumerate() {
        if endpoint.address.starts_with("unix:") {
            report(format!(
                "spec.endpoints[{index}].address: Unix sockets are not carried out; the endpoint is left out"
            ));
            continue;
        }
        if endpoint.address.is_empty() {
            report(format!("spec.endpoints[{index}].address: missing; the endpoint is left out"));
            continue;
        }
        if entry.spec.resolution == Resolution::Static && endpoint.address.parse::<IpAddr>().is_err() {
            report(format!(
                "spec.endpoints[{index}].address: {} is no address, which resolution STATIC needs; the endpoint is left out",
                endpoint.address
            ));
            continue;
        }
        let own = endpoint.ports.get(&port.name).copied().and_then(target);
        let labels = Arc::new(endpoint.labels.clone());
        members.push(workloads.address(&endpoint.address, own.unwrap_or(default), endpoint.weight.max(1), &labels));
    }
    members
}

/// An address of one host; networks are no names that a request could carry.
fn single(address: &str) -> Option<String> {
    let address = address.strip_suffix("/32").or_else(|| address.strip_suffix("/128")).unwrap_or(address);
    address.parse::<IpAddr>().is_ok().then(|| address.to_owned())
}

/// `None`: bytes that malha does not carry (Istio, `pkg/config/protocol/instance.go`).
fn protocol(port: &ServicePort) -> Option<PortProtocol> {
    let written = if port.protocol.is_empty() {
        port.name.split_once('-').map_or(port.name.as_str(), |(first, _)| first)
    } else {
        port.protocol.as_str()
    };
    match written.to_ascii_uppercase().as_str() {
        "HTTP" | "HTTP_PROXY" => Some(PortProtocol::Http),
        "HTTP2" | "GRPC" | "GRPC-WEB" => Some(PortProtocol::Http2),
        "HTTPS" | "TLS" => Some(PortProtocol::Tls),
        _ => None,
    }
}
