//! The HTTP rules of a `VirtualService` as routes (Istio, `BuildHTTPRoutesForVirtualService` in
//! `pilot/pkg/networking/core/route/route.go`).
//!
//! A rule is read once ([`Rules::new`]) and becomes routes at each entrance ([`Rules::routes`]): which conditions stand
//! there and which clusters its destinations are depends on who looks. A rule with a part that cannot be read is left
//! out as a whole: it may neither take requests that it was not written for nor treat them otherwise.

use std::sync::Arc;

use malha_manifest::istio::Retries;
use malha_routing::{Action, Answer, Balancer, Cluster, Condition, Destination, Forward, Mirror, Redirect, Route};

use crate::controllers::name;
use crate::object::{Key, Kind, VirtualService};
use crate::store::Store;

use super::Findings;
use super::actions::{self, Plan, Target};
use super::clusters::{Client, Clusters};
use super::delegates::{self, Sourced};
use super::host_index::HostIndex;
use super::matching::{Alternative, Viewer, is_everything};
use super::profiles::Pair;
use super::registry::full_name;
use super::visibility::Visibility;

/// The rules of one `VirtualService`.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) namespace: String,
    /// In full.
    pub(super) hosts: Vec<String>,
    pub(super) gateways: Vec<String>,
    pub(super) visibility: Visibility,
    http: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    object: Key,
    index: usize,
    name: String,
    alternatives: Vec<Alternative>,
    plan: Plan,
}

/// Where routes stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrance<'a> {
    pub(super) viewer: Viewer<'a>,
    pub(super) client: Client<'a>,
    /// Whether clients speak TLS.
    pub(super) tls: bool,
}

/// What the routes at an entrance depend on besides its port.
#[derive(Debug)]
pub(super) struct Dependencies<P> {
    /// Which conditions stand there.
    stands: Vec<bool>,
    /// Which clusters the destinations are.
    found: Vec<Option<Arc<Cluster<P>>>>,
}

impl<P> PartialEq for Dependencies<P> {
    fn eq(&self, other: &Self) -> bool {
        self.stands == other.stands
            && self.found.len() == other.found.len()
            && self.found.iter().zip(&other.found).all(|(a, b)| same_cluster(a.as_ref(), b.as_ref()))
    }
}

/// Whether two are the same value, or both none.
pub(super) fn same_cluster<P>(a: Option<&Arc<Cluster<P>>>, b: Option<&Arc<Cluster<P>>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// A route before it is one: of these several hosts can have their own.
#[derive(Debug)]
pub(super) struct Part<P> {
    name: String,
    pub(super) condition: Condition,
    action: Arc<Action<P>>,
}

impl<P> Part<P> {
    pub(super) fn route(&self) -> Route<P> {
        Route { name: self.name.clone(), condition: self.condition.clone(), action: Arc::clone(&self.action) }
    }
}

/// Whether a list of gateways in a `VirtualService` of `namespace` names the entrance: `mesh`, or `namespace/name` of a
/// gateway. A bare name is a gateway of the same namespace; an empty list means `mesh`.
pub(crate) fn serves(gateways: &[String], namespace: &str, entrance: &str) -> bool {
    if gateways.is_empty() {
        return entrance == "mesh";
    }
    let bare = entrance.split_once('/').filter(|(home, _)| *home == namespace).map(|(_, name)| name);
    gateways.iter().any(|gateway| gateway == entrance || Some(gateway.as_str()) == bare)
}

impl Rules {
    pub(super) fn new(
        store: &Store,
        service: &VirtualService,
        retries: Option<&Retries>,
        findings: &mut Findings,
    ) -> Self {
        let namespace = service.metadata.namespace.clone().unwrap_or_default();
        let key = Key::new(Kind::VirtualService, namespace.as_str(), name(service));
        let mut rules = Vec::new();
        let mut read = |sourced: &Sourced| rules.extend(rule(sourced, &namespace, retries, findings));
        if service.spec.http.iter().any(|rule| rule.delegate.is_some()) {
            let mut beside = Findings::default();
            delegates::rules(store, service, &key, &mut beside).iter().for_each(&mut read);
            findings.extend(beside);
        } else {
            for (index, rule) in service.spec.http.iter().enumerate() {
                read(&Sourced { rule: rule.clone(), object: key.clone(), index });
            }
        }
        Self {
            hosts: service.spec.hosts.iter().map(|host| full_name(host, &namespace)).collect(),
            gateways: if service.spec.gateways.is_empty() {
                vec!["mesh".to_owned()]
            } else {
                service.spec.gateways.clone()
            },
            visibility: Visibility::new(service.spec.export_to.iter().map(String::as_str), &namespace),
            namespace,
            http: rules,
        }
    }

    /// The routes of all rules, in order. A rule that takes everything is the last.
    pub(super) fn routes<P>(
        &self,
        entrance: Entrance<'_>,
        clusters: &mut Clusters<'_, P>,
        findings: &mut Findings,
    ) -> Vec<Part<P>> {
        let mut parts = Vec::new();
        for rule in &self.http {
            let mut action = None;
            for alternative in &rule.alternatives {
                let Some(condition) = alternative.seen_by(entrance.viewer, &self.namespace) else { continue };
                let action = action.get_or_insert_with(|| {
                    let mut author = Author { rule, findings };
                    Arc::new(self.action(rule, entrance, clusters, &mut author))
                });
                // Istio: `rule.match`.
                let name =
                    alternative.name.as_ref().map_or_else(|| rule.name.clone(), |name| format!("{}.{name}", rule.name));
                let last = is_everything(&condition);
                parts.push(Part { name, condition, action: Arc::clone(action) });
                if last {
                    return parts;
                }
            }
        }
        parts
    }

    /// The labels that conditions ask callers for.
    fn source_labels(&self) -> impl Iterator<Item = &Pair> {
        self.http.iter().flat_map(|rule| &rule.alternatives).flat_map(Alternative::source_labels)
    }

    /// What the routes depend on. Two entrances of one port with equal answers have the same routes.
    ///
    /// `findings` are those of `DestinationRule`s; what is wrong with the rules themselves is said by [`Self::routes`].
    pub(super) fn dependencies<P>(
        &self,
        entrance: Entrance<'_>,
        clusters: &mut Clusters<'_, P>,
        findings: &mut Findings,
    ) -> Dependencies<P> {
        let conditions = self.http.iter().flat_map(|rule| &rule.alternatives);
        let stands = conditions.map(|one| one.stands(entrance.viewer, &self.namespace)).collect();
        let targets = self.http.iter().flat_map(|rule| rule.plan.targets());
        let found = targets.map(|target| self.cluster(target, entrance, clusters, findings).ok()).collect();
        Dependencies { stands, found }
    }

    fn action<P>(
        &self,
        rule: &Rule,
        entrance: Entrance<'_>,
        clusters: &mut Clusters<'_, P>,
        author: &mut Author<'_>,
    ) -> Action<P> {
        let plan = &rule.plan;
        let answer = match &plan.answer {
            actions::Answer::Redirect(redirect) => {
                let redirect: Redirect = redirect.at(entrance.viewer.port, entrance.tls);
                Answer::Redirect(redirect)
            }
            actions::Answer::Respond { status, body } => Answer::Respond { status: *status, body: body.clone() },
            actions::Answer::Forward(forward) => Answer::Forward(self.forward(forward, entrance, clusters, author)),
        };
        Action {
            answer,
            fault: plan.fault.clone(),
            cors: plan.cors.clone(),
            request_headers: plan.request_headers.clone(),
            response_headers: plan.response_headers.clone(),
        }
    }

    fn forward<P>(
        &self,
        plan: &actions::Forward,
        entrance: Entrance<'_>,
        clusters: &mut Clusters<'_, P>,
        author: &mut Author<'_>,
    ) -> Forward<P> {
        let mut find = |target: &Target, field: &str, otherwise: &str| {
            let found = self.cluster(target, entrance, clusters, author.findings);
            found.map_err(|why| author.report(format_args!(".{field}: {why}; {otherwise}"))).ok()
        };
        let destinations: Vec<Destination<P>> = plan
            .destinations
            .iter()
            .map(|one| Destination {
                weight: one.weight,
                cluster: find(&one.target, "route", "its share is answered with 503"),
                request_headers: one.request_headers.clone(),
                response_headers: one.response_headers.clone(),
            })
            .collect();
        let mirrors = plan
            .mirrors
            .iter()
            .map(|(share, target)| Mirror { share: *share, cluster: find(target, "mirror", "nothing is copied") });
        let mirrors = mirrors.collect();
        let mut retry = plan.retry.clone();
        // A consistent hash stays with its host (Istio, `ConvertPolicy`), where there is but one destination.
        if let ([only], Some(retry)) = (destinations.as_slice(), &mut retry)
            && !plan.explicit_previous_hosts
            && only
                .cluster
                .as_ref()
                .is_some_and(|cluster| matches!(cluster.policy.balancer, Balancer::ConsistentHash { .. }))
        {
            retry.avoid_previous_hosts = false;
        }
        Forward { destinations, rewrite: plan.rewrite.clone(), timeout: plan.timeout, retry, mirrors }
    }

    /// The cluster of a destination (Istio, `GetDestinationCluster`). Without a port it is the one that the request came
    /// in on; a gateway takes the only port of a service that has but one.
    fn cluster<P>(
        &self,
        target: &Target,
        entrance: Entrance<'_>,
        clusters: &mut Clusters<'_, P>,
        findings: &mut Findings,
    ) -> Result<Arc<Cluster<P>>, String> {
        let host = &target.host;
        let registry = clusters.registry;
        let near = entrance.client.gateway.then_some(self.namespace.as_str());
        let Some(service) = registry.find(host, entrance.client.namespace, near) else {
            if registry.knows(host) {
                return Err(format!("destination {host} is not exported to namespace {}", entrance.client.namespace));
            }
            let short = target.written.contains('.') && !host.ends_with(".svc.cluster.local");
            let hint = if short { " (write a name without dots, or the full one, as Istio needs it)" } else { "" };
            return Err(format!("destination {host} is no service of the mesh{hint}"));
        };
        let known = registry.get(service);
        let port = match (target.port, known.ports.as_slice()) {
            (Some(port), _) => port,
            (None, [only]) if entrance.client.gateway => u32::from(only.number),
            (None, _) => u32::from(entrance.viewer.port),
        };
        let missing = |port: u32| {
            let hint = match (target.port, known.ports.as_slice()) {
                (None, [only, ..]) => format!(" (requests come in on it; write port: {{number: {}}})", only.number),
                _ => String::new(),
            };
            format!("destination {host} has no port {port}{hint}")
        };
        let number = u16::try_from(port).ok().filter(|number| known.port(*number).is_some());
        clusters.get(service, number.ok_or_else(|| missing(port))?, &target.subset, entrance.client, findings)
    }
}

impl Plan {
    fn targets(&self) -> impl Iterator<Item = &Target> {
        let forward = match &self.answer {
            actions::Answer::Forward(forward) => Some(forward),
            _ => None,
        };
        forward.into_iter().flat_map(|forward| {
            let destinations = forward.destinations.iter().map(|destination| &destination.target);
            destinations.chain(forward.mirrors.iter().map(|(_, target)| target))
        })
    }
}

fn rule(sourced: &Sourced, namespace: &str, retries: Option<&Retries>, findings: &mut Findings) -> Option<Rule> {
    let Sourced { rule, object, index } = sourced;
    let mut report = |what: String| findings.add(object.clone(), format!("spec.http[{index}].{what}"));
    let mut notes = Vec::new();
    let plan = actions::plan(rule, namespace, retries, &mut notes);
    notes.into_iter().for_each(&mut report);
    let mut alternatives = Vec::new();
    let mut good = true;
    for (at, condition) in rule.r#match.iter().enumerate() {
        match Alternative::new(condition) {
            Ok(alternative) => alternatives.push(alternative),
            Err(why) => {
                report(format!("match[{at}].{why}; the rule is left out"));
                good = false;
            }
        }
    }
    if rule.r#match.is_empty() {
        alternatives.push(Alternative::default());
    }
    match plan {
        Ok(plan) if good => {
            let name = rule.name.clone().unwrap_or_default();
            Some(Rule { object: object.clone(), index: *index, name, alternatives, plan })
        }
        Ok(_) => None,
        Err(why) => {
            report(format!("{why}; the rule is left out"));
            None
        }
    }
}

/// Says whose rule it is in findings.
struct Author<'a> {
    rule: &'a Rule,
    findings: &'a mut Findings,
}

impl Author<'_> {
    fn report(&mut self, what: std::fmt::Arguments<'_>) {
        self.findings.add(self.rule.object.clone(), format!("spec.http[{}]{what}", self.rule.index));
    }
}

/// Where several `VirtualService`s share a host of a gateway, routes that take everything move last (Istio,
/// `SortVHostRoutes`).
pub(super) fn catch_all_last<P>(routes: &mut [Route<P>]) {
    // A stable sort: the others keep their order.
    routes.sort_by_key(|route| is_everything(&route.condition));
}

/// All `VirtualService`s with hosts, in the order in which they claim them: the oldest first.
#[derive(Debug)]
pub(super) struct AllRules {
    pub(super) all: Vec<Rules>,
    /// Those for the mesh by their hosts.
    pub(super) mesh: HostIndex<usize>,
    /// Those for each gateway, by `namespace/name`.
    gateways: std::collections::HashMap<String, Vec<usize>>,
}

impl AllRules {
    pub(super) fn new(
        store: &Store,
        services: &[Arc<VirtualService>],
        retries: Option<&Retries>,
        findings: &mut Findings,
    ) -> Self {
        let with_hosts = services.iter().filter(|service| !service.spec.hosts.is_empty());
        let all: Vec<Rules> = with_hosts.map(|service| Rules::new(store, service, retries, findings)).collect();
        let mut mesh = HostIndex::default();
        let mut gateways: std::collections::HashMap<String, Vec<usize>> = std::collections::HashMap::new();
        for (index, rules) in all.iter().enumerate() {
            for gateway in &rules.gateways {
                if gateway == "mesh" {
                    for host in &rules.hosts {
                        mesh.entry(host).push(index);
                    }
                    continue;
                }
                let full =
                    if gateway.contains('/') { gateway.clone() } else { format!("{}/{gateway}", rules.namespace) };
                let list = gateways.entry(full).or_default();
                if list.last() != Some(&index) {
                    list.push(index);
                }
            }
        }
        Self { all, mesh, gateways }
    }

    /// The labels that conditions ask callers for.
    pub(super) fn source_labels(&self) -> impl Iterator<Item = &Pair> {
        self.all.iter().flat_map(Rules::source_labels)
    }

    /// Those for a gateway that `client` sees, in order.
    pub(super) fn of_gateway(&self, gateway: &str, client: &str) -> Vec<&Rules> {
        let all = self.gateways.get(gateway).into_iter().flatten();
        let seen = all.filter_map(|index| Some((self.rank(*index, client)?, &self.all[*index])));
        let mut ranked: Vec<(u8, &Rules)> = seen.collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, rules)| rules).collect()
    }

    /// In which order `client` looks at it; `None`: it does not see it.
    pub(super) fn rank(&self, index: usize, client: &str) -> Option<u8> {
        let rules = &self.all[index];
        rules.visibility.rank(&rules.namespace, client)
    }
}
