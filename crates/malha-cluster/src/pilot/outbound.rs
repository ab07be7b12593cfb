//! What a sidecar knows: every name of every Service, with the rules of the `VirtualService`s for the mesh
//! (Istio, `BuildSidecarVirtualHostWrapper`).
//!
//! All pods share one table. So a name without a namespace (`posts-service`) means a Service of namespace `default`, also
//! for pods elsewhere; those write `posts-service.their-namespace`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use malha_routing::{HostPattern, HostTable, VirtualHost};

use crate::object::VirtualService;

use super::Findings;
use super::registry::{MeshService, Registry, default_route, full_name};
use super::rules::{Entrance, serves};

/// The port at which a host that is no Service is known (Istio: 80).
const DEFAULT_PORT: u16 = 80;

/// The namespace whose Services are known by their bare names.
const SHORT_NAMES: &str = "default";

/// The hosts of each port.
pub(super) fn tables<P>(
    registry: &Registry<P>,
    virtual_services: &[Arc<VirtualService>],
    findings: &mut Findings,
) -> HashMap<u16, HostTable<Arc<VirtualHost<P>>>> {
    let bound = Bound::new(virtual_services);
    let mut tables: HashMap<u16, HostTable<_>> = HashMap::new();
    for service in registry.services() {
        let rules = bound.of(&service.fqdn);
        for (port, cluster) in &service.ports {
            let routes = match rules {
                Some(rules) => Entrance { registry, gateway: "mesh", port: *port }.routes(rules, findings),
                None => vec![default_route(cluster)],
            };
            let host = Arc::new(VirtualHost { name: service.domain(*port), routes });
            let table = tables.entry(*port).or_default();
            for name in names(service) {
                table.insert(HostPattern::Exact(name), Arc::clone(&host));
            }
        }
    }
    // Hosts that are no Service: anything that a VirtualService gives a meaning.
    for (host, rules) in &bound.exact {
        if registry.get(host).is_none() {
            let entrance = Entrance { registry, gateway: "mesh", port: DEFAULT_PORT };
            let name = format!("{host}:{DEFAULT_PORT}");
            let routes = entrance.routes(rules, findings);
            let table = tables.entry(DEFAULT_PORT).or_default();
            table.insert(HostPattern::parse(host), Arc::new(VirtualHost { name, routes }));
        }
    }
    tables
}

/// Every name that a pod may call a Service by, and its address (Istio, `generateVirtualHostDomains`).
fn names<P>(service: &MeshService<P>) -> impl Iterator<Item = String> {
    let MeshService { name, namespace, fqdn, ip, .. } = service;
    let short = (namespace == SHORT_NAMES).then(|| name.clone());
    [fqdn.clone(), format!("{name}.{namespace}.svc"), format!("{name}.{namespace}")]
        .into_iter()
        .chain(short)
        .chain(ip.clone())
}

/// Which `VirtualService` a host obeys in the mesh: they are not merged, the oldest for a host has it.
struct Bound<'a> {
    exact: BTreeMap<String, &'a VirtualService>,
    /// Wildcards, the longest first.
    wild: Vec<(HostPattern, &'a VirtualService)>,
}

impl<'a> Bound<'a> {
    fn new(virtual_services: &'a [Arc<VirtualService>]) -> Self {
        let mut exact = BTreeMap::new();
        let mut wild: Vec<(usize, HostPattern, &VirtualService)> = Vec::new();
        for service in virtual_services {
            let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
            let routed = !service.spec.http.is_empty() && serves(&service.spec.gateways, namespace, "mesh");
            for host in service.spec.hosts.iter().filter(|_| routed) {
                let host = full_name(host, namespace);
                match HostPattern::parse(&host) {
                    HostPattern::Exact(_) => drop(exact.entry(host).or_insert(service.as_ref())),
                    pattern => wild.push((host.len(), pattern, service)),
                }
            }
        }
        // A stable sort: of two equal ones the older stays first.
        wild.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
        Self { exact, wild: wild.into_iter().map(|(_, pattern, service)| (pattern, service)).collect() }
    }

    fn of(&self, fqdn: &str) -> Option<&'a VirtualService> {
        let host = HostPattern::Exact(fqdn.to_owned());
        let wild = || self.wild.iter().find(|(pattern, _)| pattern.covers(&host)).map(|(_, service)| *service);
        self.exact.get(fqdn).copied().or_else(wild)
    }
}
