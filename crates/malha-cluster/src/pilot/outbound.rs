//! What sidecars know, by the namespace of their pods and what of their labels matters: every host that is exported to it
//! and that its `Sidecar` lets in, with the rules that are seen there (Istio, `BuildSidecarOutboundVirtualHosts` in
//! `pilot/pkg/networking/core/httproute.go` and `BuildSidecarVirtualHostWrapper` in `route/route.go`).
//!
//! Pods that see the same share virtual hosts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use malha_routing::{
    Action, Answer, Cluster, Condition, Destination, Forward, HeaderChanges, HostPattern, HostTable, Hosts, Outbound,
    RetryPolicy, Rewrite, Route, RouteTable, Sidecars, UnknownHosts, VirtualHost,
};

use crate::controllers::name;
use crate::selector::Labels;
use crate::store::Store;

use super::Findings;
use super::clusters::{Client, Clusters};
use super::matching::Viewer;
use super::profiles::{self, Profiles};
use super::registry::{MeshService, Registry};
use super::rules::{AllRules, Dependencies, Entrance, Part, same_cluster};
use super::scope::Scope;
use super::settings::Settings;

/// The port at which a host that is no service is known (Istio).
const DEFAULT_PORT: u16 = 80;

/// Istio's name for what becomes of hosts that are not known.
const ALLOW_ANY: &str = "allow_any";

/// The end of a full name of a Service.
const DOMAIN: &str = ".svc.cluster.local";

/// The tables of each namespace.
pub(super) fn tables<P>(
    store: &Store,
    clusters: &mut Clusters<'_, P>,
    rules: &AllRules,
    settings: &Settings,
    findings: &mut Findings,
) -> HashMap<Arc<str>, Sidecars<P>> {
    let mut shared = Shared::default();
    let asked = profiles::asked(store, rules);
    let mut outbound = |namespace: &str, labels: &Labels| {
        let sidecar = settings.sidecar(namespace, labels);
        let scope = Scope::new(sidecar, namespace);
        let unknown = settings.unknown_hosts(sidecar);
        let view = View {
            namespace,
            labels,
            scope,
            unknown,
            rules,
            settings,
            seen: Vec::new(),
            clusters: &mut *clusters,
            shared: &mut shared,
            findings: &mut *findings,
        };
        Arc::new(view.outbound())
    };
    let namespaces = store.list::<Namespace>().map(|namespace| name(namespace.as_ref()));
    namespaces
        .map(|namespace| {
            let Profiles { asked, kinds } = Profiles::new(store, namespace, &asked);
            let others = outbound(namespace, &Labels::new());
            let labelled = kinds.into_iter().map(|(has, labels)| (has, outbound(namespace, &labels))).collect();
            (namespace.into(), Sidecars { others, asked, labelled })
        })
        .collect()
}

/// Routes that several hosts can have.
type Parts<P> = Arc<Vec<Part<P>>>;

/// A host, as those who see the same share it.
type SharedHost<P> = Arc<VirtualHost<P>>;

/// By host or service, and port: values with what they were made of. There are few, for most pods see the same.
type Variants<K, M, V> = HashMap<(K, u16), Vec<(M, V)>>;

/// What pods have in common.
struct Shared<P> {
    /// Of each rule set at each port.
    parts: Variants<usize, Dependencies<P>, Parts<P>>,
    /// Of each host at each port.
    hosts: Variants<String, Parts<P>, SharedHost<P>>,
    /// Of each service without rules.
    plain: Variants<usize, Option<Arc<Cluster<P>>>, SharedHost<P>>,
    /// Of each service that some are not to know of.
    hidden: HashMap<(usize, u16), SharedHost<P>>,
}

impl<P> Default for Shared<P> {
    fn default() -> Self {
        Self { parts: HashMap::new(), hosts: HashMap::new(), plain: HashMap::new(), hidden: HashMap::new() }
    }
}

/// Pods that know the same, at work.
struct View<'v, 'a, P> {
    namespace: &'v str,
    /// What of their labels matters.
    labels: &'v Labels,
    scope: Scope,
    unknown: UnknownHosts,
    rules: &'v AllRules,
    settings: &'v Settings,
    /// The rules that are seen here, in Istio's order: private ones, those exported here, those for all.
    seen: Vec<usize>,
    clusters: &'v mut Clusters<'a, P>,
    shared: &'v mut Shared<P>,
    findings: &'v mut Findings,
}

/// The services at a port.
#[derive(Debug, Default)]
struct Services {
    known: Vec<usize>,
    /// Not exported here, or beyond the pods' `Sidecar`.
    hidden: Vec<usize>,
}

/// A host's place among the rules.
type Place = (u8, usize);

impl<'v, P> View<'v, '_, P> {
    fn outbound(mut self) -> Outbound<P> {
        let registry = self.clusters.registry;
        let mut seen: Vec<Place> = (0..self.rules.all.len()).filter_map(|index| self.place(index)).collect();
        seen.sort_unstable();
        self.seen = seen.into_iter().map(|(_, index)| index).collect();
        let mut by_port: BTreeMap<u16, Services> = BTreeMap::from([(DEFAULT_PORT, Services::default())]);
        let mut passthrough: HashMap<u16, HostTable<Arc<Cluster<P>>>> = HashMap::new();
        for (index, service) in registry.all() {
            let found = registry.find(&service.host, self.namespace, None);
            for port in &service.ports {
                let in_scope = self.scope.at(port.number).service(&service.host, &service.namespace);
                if found != Some(index) || !in_scope {
                    let hidden = service.is_kubernetes() && (found.is_none() || found == Some(index));
                    if hidden && self.unknown == UnknownHosts::AllowAny {
                        by_port.entry(port.number).or_default().hidden.push(index);
                    }
                    continue;
                }
                // Where requests to a wildcard wanted to go, only the request knows: it leaves as it came.
                let leaves = service.original_destination
                    && service.host.starts_with('*')
                    && self.obeys(&service.host, port.number).is_empty();
                if port.protocol.is_http() && !leaves {
                    by_port.entry(port.number).or_default().known.push(index);
                } else if let Ok(cluster) = self.cluster(index, port.number) {
                    passthrough.entry(port.number).or_default().insert(HostPattern::parse(&service.host), cluster);
                }
            }
        }
        let ports = by_port.into_iter().map(|(port, services)| (port, self.port(port, &services)));
        let ports = ports.collect();
        Outbound { ports, passthrough, unknown: self.unknown }
    }

    /// A rule set that is for the mesh and seen here, and its place.
    fn place(&self, index: usize) -> Option<Place> {
        let mesh = self.rules.all[index].gateways.iter().any(|gateway| gateway == "mesh");
        mesh.then(|| self.rules.rank(index, self.namespace)).flatten().map(|rank| (rank, index))
    }

    /// Whether the pods' `Sidecar` lets a rule set in at a port.
    fn in_scope(&self, index: usize, port: u16) -> bool {
        let rules = &self.rules.all[index];
        self.scope.at(port).rules(&rules.hosts, &rules.namespace)
    }

    /// The hosts that are known at a port.
    fn port(&mut self, port: u16, services: &Services) -> Hosts<P> {
        let Services { known: services, hidden } = services;
        let registry = self.clusters.registry;
        let in_scope: Vec<usize> = (self.seen.iter().copied()).filter(|index| self.in_scope(*index, port)).collect();
        let here: HashSet<&str> = services.iter().map(|index| registry.get(*index).host.as_str()).collect();
        let mut obeying: HashMap<usize, Vec<usize>> = HashMap::new();
        for index in services {
            for rules in self.obeys(&registry.get(*index).host, port) {
                obeying.entry(rules).or_default().push(*index);
            }
        }
        let mut table = Table::default();
        let mut claimed: HashSet<usize> = HashSet::new();
        let rules = self.rules;
        for index in in_scope {
            let obeying = obeying.get(&index).map_or(&[][..], Vec::as_slice);
            // A host that is no service is known at port 80, and at the ports of services that the same rules are for.
            if obeying.is_empty() && port != DEFAULT_PORT {
                continue;
            }
            // Istio makes the hosts of a service that is not here known at port 80 too, to clusters that are not there.
            // That is nothing that anybody wrote.
            let quiet =
                obeying.is_empty() && rules.all[index].hosts.iter().all(|host| is_service_somewhere(host, registry));
            let parts = self.parts(index, port, quiet);
            if parts.is_empty() {
                continue;
            }
            for host in rules.all[index].hosts.iter().filter(|host| !is_service(host, &here)) {
                let virtual_host = self.host(host, port, &parts);
                table.add(host, virtual_host);
            }
            for service in obeying.iter().filter(|service| claimed.insert(**service)) {
                let virtual_host = self.host(&registry.get(*service).host, port, &parts);
                table.add_service(registry.get(*service), self.namespace, virtual_host);
            }
        }
        for index in services.iter().filter(|index| !claimed.contains(index)) {
            let virtual_host = self.plain(*index, port);
            table.add_service(registry.get(*index), self.namespace, virtual_host);
        }
        for index in hidden {
            let virtual_host = self.hidden(*index, port);
            table.add_service(registry.get(*index), self.namespace, virtual_host);
        }
        table.finish()
    }

    /// The rule sets that a service obeys if they have routes: those that name it, or else the one with the longest
    /// wildcard (Istio, `MostSpecificWildcardVirtualServiceIndex`).
    fn obeys(&self, host: &str, port: u16) -> Vec<usize> {
        let places = |list: &[usize]| {
            let in_scope = list.iter().filter(|index| self.in_scope(**index, port));
            let mut places: Vec<Place> = in_scope.filter_map(|index| self.place(*index)).collect();
            places.sort_unstable();
            places
        };
        let index = &self.rules.mesh;
        let exact = places(index.exact(host));
        if !exact.is_empty() {
            return exact.into_iter().map(|(_, index)| index).collect();
        }
        let wild = index.find(host).find_map(|list| places(list).first().copied());
        wild.into_iter().map(|(_, index)| index).collect()
    }

    fn parts(&mut self, index: usize, port: u16, quiet: bool) -> Parts<P> {
        let rules = &self.rules.all[index];
        let entrance = Entrance {
            viewer: Viewer { gateway: "mesh", port, namespace: self.namespace, labels: self.labels },
            client: self.client(),
            tls: false,
        };
        let dependencies = rules.dependencies(entrance, self.clusters, self.findings);
        let known = self.shared.parts.entry((index, port)).or_default();
        if let Some((_, parts)) = known.iter().find(|(other, _)| *other == dependencies) {
            return Arc::clone(parts);
        }
        let mut unsaid = Findings::default();
        let findings = if quiet { &mut unsaid } else { &mut *self.findings };
        let parts = Arc::new(rules.routes(entrance, self.clusters, findings));
        known.push((dependencies, Arc::clone(&parts)));
        parts
    }

    /// A host with these routes.
    fn host(&mut self, host: &str, port: u16, parts: &Parts<P>) -> Arc<VirtualHost<P>> {
        let known = self.shared.hosts.entry((host.to_owned(), port)).or_default();
        if let Some((_, host)) = known.iter().find(|(other, _)| Arc::ptr_eq(other, parts)) {
            return Arc::clone(host);
        }
        let routes = RouteTable::new(parts.iter().map(Part::route).collect());
        let made = Arc::new(VirtualHost { name: format!("{host}:{port}"), routes, https_redirect: false });
        known.push((Arc::clone(parts), Arc::clone(&made)));
        made
    }

    /// A service that obeys no rules.
    fn plain(&mut self, service: usize, port: u16) -> Arc<VirtualHost<P>> {
        let cluster = self.cluster(service, port).ok();
        let known = self.shared.plain.entry((service, port)).or_default();
        let is_it = |other: &Option<Arc<Cluster<P>>>| same_cluster(other.as_ref(), cluster.as_ref());
        if let Some((_, host)) = known.iter().find(|(other, _)| is_it(other)) {
            return Arc::clone(host);
        }
        let host = &self.clusters.registry.get(service).host;
        let routes = RouteTable::new(vec![default_route(cluster.clone(), self.settings.retry())]);
        let made = Arc::new(VirtualHost { name: format!("{host}:{port}"), routes, https_redirect: false });
        known.push((cluster, Arc::clone(&made)));
        made
    }

    /// A service that these pods are not to know of. Its name can be resolved all the same, and what goes to unknown hosts
    /// may leave: past all rules to any of its pods, as kube-proxy chooses (Istio, `PassthroughCluster`).
    fn hidden(&mut self, service: usize, port: u16) -> Arc<VirtualHost<P>> {
        let clusters = &mut *self.clusters;
        let made = self.shared.hidden.entry((service, port)).or_insert_with(|| {
            let route =
                Route { name: ALLOW_ANY.to_owned(), ..default_route(clusters.without_rules(service, port), None) };
            Arc::new(VirtualHost {
                name: ALLOW_ANY.to_owned(),
                routes: RouteTable::new(vec![route]),
                https_redirect: false,
            })
        });
        Arc::clone(made)
    }

    fn client(&self) -> Client<'v> {
        Client { namespace: self.namespace, labels: self.labels, gateway: false }
    }

    fn cluster(&mut self, service: usize, port: u16) -> Result<Arc<Cluster<P>>, String> {
        let client = self.client();
        self.clusters.get(service, port, "", client, self.findings)
    }
}

/// Hosts in the order in which they claim names: full names first, for no short form may hide one.
struct Table<'t, P> {
    hosts: Hosts<P>,
    short: Vec<Short<'t, P>>,
}

/// A service that is to have its short names yet, and whose pods use them.
type Short<'t, P> = (&'t MeshService<P>, &'t str, Arc<VirtualHost<P>>);

impl<P> Default for Table<'_, P> {
    fn default() -> Self {
        Self { hosts: HostTable::default(), short: Vec::new() }
    }
}

impl<'t, P> Table<'t, P> {
    fn add(&mut self, host: &str, virtual_host: Arc<VirtualHost<P>>) {
        self.hosts.insert(HostPattern::parse(host), virtual_host);
    }

    fn add_service(&mut self, service: &'t MeshService<P>, namespace: &'t str, virtual_host: Arc<VirtualHost<P>>) {
        self.add(&service.host, Arc::clone(&virtual_host));
        self.short.push((service, namespace, virtual_host));
    }

    fn finish(mut self) -> Hosts<P> {
        for (service, namespace, host) in self.short {
            for name in other_names(service, namespace) {
                self.hosts.insert(HostPattern::Exact(name), Arc::clone(&host));
            }
        }
        self.hosts
    }
}

/// The other names that a pod of `namespace` may call a service by, and its addresses (Istio, `generateVirtualHostDomains`).
fn other_names<P>(service: &MeshService<P>, namespace: &str) -> Vec<String> {
    let host = &service.host;
    let mut names = service
        .addresses
        .iter()
        .map(|ip| if ip.contains(':') { format!("[{ip}]") } else { ip.clone() })
        .collect::<Vec<_>>();
    if host.starts_with('*') {
        return names;
    }
    names.push(format!("{host}."));
    if let Some((name, home)) = host.strip_suffix(DOMAIN).and_then(|short| short.split_once('.'))
        && !home.contains('.')
    {
        names.push(format!("{name}.{home}.svc"));
        names.push(format!("{name}.{home}"));
        if home == namespace {
            names.push(name.to_owned());
        }
    }
    names
}

/// Whether a host of rules means services of this port: one by its name, or any by a wildcard.
fn is_service(host: &str, here: &HashSet<&str>) -> bool {
    if !host.starts_with('*') {
        return here.contains(host);
    }
    let pattern = HostPattern::parse(host);
    here.iter().any(|service| pattern.covers(&HostPattern::parse(service)))
}

/// Whether a host of rules means a service of any port, whoever sees it.
fn is_service_somewhere<P>(host: &str, registry: &Registry<P>) -> bool {
    if !host.starts_with('*') {
        return registry.knows(host);
    }
    let pattern = HostPattern::parse(host);
    registry.all().any(|(_, service)| pattern.covers(&HostPattern::parse(&service.host)))
}

/// The route of a service without rules (Istio names it `default`).
pub(super) fn default_route<P>(cluster: Option<Arc<Cluster<P>>>, retry: Option<RetryPolicy>) -> Route<P> {
    let destination = Destination {
        weight: 1,
        cluster,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    };
    let forward = Forward {
        destinations: vec![destination],
        rewrite: Rewrite::default(),
        timeout: None,
        retry,
        mirrors: Vec::new(),
    };
    let action = Action {
        answer: Answer::Forward(forward),
        fault: None,
        cors: None,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    };
    Route { name: "default".to_owned(), condition: Condition::default(), action: Arc::new(action) }
}
