//! What a Service is given: its address and its node ports (Kubernetes, `pkg/registry/core/service/storage/alloc.go`).
//!
//! What it has it keeps.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use rand::Rng;

use crate::address::Pool;
use crate::error::Error;
use crate::object::Key;

use super::ports::NodePorts;

/// Gives the Service what it needs and does not have. Nothing is given out when there is an error.
pub(super) fn allocate(
    key: &Key,
    service: &mut Service,
    before: Option<&Service>,
    addresses: &mut Pool,
    ports: &mut NodePorts,
    chance: &mut impl Rng,
) -> Result<(), Error> {
    let before = before.and_then(|service| service.spec.as_ref());
    let spec = service.spec.get_or_insert_default();
    let given = address(key, spec, before, addresses)?;
    if let Err(error) = node_ports(key, spec, before, ports, chance) {
        if let Some(address) = given {
            addresses.free(address);
        }
        return Err(error);
    }
    Ok(())
}

/// Takes back what `before` had and `after` has not.
pub(super) fn release(before: &Service, after: Option<&Service>, addresses: &mut Pool, ports: &mut NodePorts) {
    let ip = |service: &Service| service.spec.as_ref()?.cluster_ip.as_ref()?.parse::<Ipv4Addr>().ok();
    if let Some(old) = ip(before)
        && after.and_then(ip) != Some(old)
    {
        addresses.free(old);
    }
    let numbers = |service: &Service| -> BTreeSet<i32> {
        let all = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        all.filter_map(|port| port.node_port).collect()
    };
    let kept = after.map(numbers).unwrap_or_default();
    numbers(before).difference(&kept).for_each(|port| ports.free(*port));
}

/// The address that was given out for this, if one was.
fn address(
    key: &Key,
    spec: &mut ServiceSpec,
    before: Option<&ServiceSpec>,
    pool: &mut Pool,
) -> Result<Option<Ipv4Addr>, Error> {
    let had = before.and_then(|spec| spec.cluster_ip.clone()).filter(|ip| ip != "None");
    let mut given = None;
    if spec.type_.as_deref() == Some("ExternalName") {
        (spec.cluster_ip, spec.cluster_ips) = (None, None);
        return Ok(None);
    }
    if spec.cluster_ip.as_deref() != Some("None") {
        let wanted = spec.cluster_ip.take().filter(|ip| !ip.is_empty());
        let ip = match (wanted, had) {
            (None, Some(had)) => had,
            (Some(wanted), Some(had)) if wanted == had => had,
            (Some(wanted), Some(_)) => {
                let message = "may not change once set";
                return Err(Error::invalid_value(key, "spec.clusterIPs[0]", &[wanted], message));
            }
            (Some(wanted), None) => {
                let refused =
                    |why: &str| Error::invalid_value(key, "spec.clusterIPs", std::slice::from_ref(&wanted), why);
                let address: Ipv4Addr = wanted.parse().map_err(|_| refused("must be a valid IPv4 address"))?;
                pool.claim(address).map_err(refused)?;
                given = Some(address);
                wanted
            }
            (None, None) => {
                let full = || Error::internal(key, "spec.clusterIPs", "failed to allocate IP: range is full");
                let address = pool.take().ok_or_else(full)?;
                given = Some(address);
                address.to_string()
            }
        };
        spec.cluster_ip = Some(ip);
    }
    spec.cluster_ips = spec.cluster_ip.clone().map(|ip| vec![ip]);
    Ok(given)
}

fn node_ports(
    key: &Key,
    spec: &mut ServiceSpec,
    before: Option<&ServiceSpec>,
    pool: &mut NodePorts,
    chance: &mut impl Rng,
) -> Result<(), Error> {
    let needed = match spec.type_.as_deref() {
        Some("NodePort") => true,
        Some("LoadBalancer") => spec.allocate_load_balancer_node_ports != Some(false),
        _ => false,
    };
    let empty = Vec::new();
    let old: &Vec<ServicePort> = before.and_then(|spec| spec.ports.as_ref()).unwrap_or(&empty);
    let had: BTreeSet<i32> = old.iter().filter_map(|port| port.node_port).collect();
    let mut given = Vec::new();
    let mut give = || -> Result<(), Error> {
        for (index, port) in spec.ports.iter_mut().flatten().enumerate() {
            if !needed {
                port.node_port = None;
                continue;
            }
            // A manifest without a node port keeps the one of the same port (`patchAllocatedValues`).
            let same = |other: &&ServicePort| other.port == port.port && other.protocol == port.protocol;
            let kept = old.iter().find(same).and_then(|other| other.node_port);
            port.node_port = match port.node_port.filter(|number| *number != 0).or(kept) {
                Some(number) if had.contains(&number) => Some(number),
                Some(number) => {
                    let field = format!("spec.ports[{index}].nodePort");
                    pool.claim(number).map_err(|why| Error::invalid_value(key, &field, &number, why))?;
                    given.push(number);
                    Some(number)
                }
                None => {
                    let number = pool.draw(chance).ok_or_else(|| {
                        Error::internal(key, "spec.ports", "failed to allocate a nodePort: range is full")
                    })?;
                    given.push(number);
                    Some(number)
                }
            };
        }
        Ok(())
    };
    let result = give();
    if result.is_err() {
        for number in given {
            pool.free(number);
        }
    }
    result
}
