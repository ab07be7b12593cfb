//! Which `DestinationRule` holds for a service, seen from a namespace (Istio, `setDestinationRules` and `destinationRule` in
//! `pilot/pkg/model/push_context.go`; `mergeDestinationRule` in `pilot/pkg/model/destination_rule.go`).

use std::collections::HashMap;
use std::sync::Arc;

use malha_manifest::istio::{PortTrafficPolicy, Subset, TrafficPolicy};

use crate::controllers::name;
use crate::object::{DestinationRule, Key, Kind};
use crate::selector::Labels;
use crate::store::Store;

use super::clusters::Client;
use super::host_index::HostIndex;
use super::registry::full_name;
use super::traffic::Effective;
use super::visibility::Visibility;
use super::workloads::subset;
use super::{Findings, age};

/// A rule that was merged of one or more objects: its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RuleId(usize);

/// All rules.
#[derive(Debug, Default)]
pub(super) struct DestinationRules {
    objects: Vec<Arc<DestinationRule>>,
    /// What each rule was merged of, the oldest first.
    merged: Vec<Vec<usize>>,
    /// By the namespace of the object: what proxies of the same namespace see.
    local: HashMap<String, HostIndex<Entry>>,
    /// By the namespace of the object: what others may see.
    exported: HashMap<String, HostIndex<Entry>>,
    /// What only proxies of the root namespace see.
    root_local: HostIndex<Entry>,
    root: String,
}

#[derive(Debug)]
struct Entry {
    visibility: Visibility,
    sources: Vec<usize>,
    id: RuleId,
}

impl DestinationRules {
    pub(super) fn new(store: &Store, root: &str, findings: &mut Findings) -> Self {
        let mut rules = Self { root: root.to_owned(), ..Self::default() };
        let mut objects: Vec<_> = store.list::<DestinationRule>().cloned().collect();
        // Those for some callers come first (Istio, `sortConfigBySelectorAndCreationTime`).
        objects.sort_by_cached_key(|rule| (rule.spec.workload_selector.is_none(), age(&rule.metadata)));
        for object in objects {
            rules.add(object, findings);
        }
        rules.number();
        rules
    }

    fn add(&mut self, object: Arc<DestinationRule>, findings: &mut Findings) {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let host = full_name(&object.spec.host, &namespace);
        let own = [".".to_owned()];
        // A rule for some callers is for those of its own namespace.
        let export_to = if object.spec.workload_selector.is_some() { &own[..] } else { &object.spec.export_to[..] };
        let visibility = Visibility::new(export_to.iter().map(String::as_str), &namespace);
        let index = self.objects.len();
        self.objects.push(object);
        let only_here = visibility == Visibility::Only(vec![namespace.clone()]);
        if visibility.reaches(&namespace) {
            let list = self.local.entry(namespace.clone()).or_default().entry(&host);
            merge(list, &self.objects, index, &visibility, findings);
        }
        if !only_here {
            let list = self.exported.entry(namespace).or_default().entry(&host);
            merge(list, &self.objects, index, &visibility, findings);
        } else if namespace == self.root {
            merge(self.root_local.entry(&host), &self.objects, index, &visibility, findings);
        }
    }

    /// Gives rules that were merged of the same objects the same number.
    fn number(&mut self) {
        let mut known: HashMap<Vec<usize>, RuleId> = HashMap::new();
        let indexes = self.local.values_mut().chain(self.exported.values_mut()).chain([&mut self.root_local]);
        for entry in indexes.flat_map(HostIndex::values_mut) {
            let merged = &mut self.merged;
            entry.id = *known.entry(entry.sources.clone()).or_insert_with(|| {
                merged.push(entry.sources.clone());
                RuleId(merged.len() - 1)
            });
        }
    }

    /// The rule for a host of a service in `service_namespace`, for the proxies of `client`: where the rules of their own
    /// namespace speak of the host at all, one that selects them or else one for all (Istio, `SidecarScope.DestinationRule`).
    pub(super) fn find(&self, client: Client<'_>, host: &str, service_namespace: &str) -> Option<RuleId> {
        let Client { namespace: client, labels, .. } = client;
        let own = if client == self.root { Some(&self.root_local) } else { self.local.get(client) };
        if let Some(entries) = own.and_then(|index| index.find(host).next()) {
            let selector = |entry: &Entry| self.selector(entry);
            let selected = |entry: &&Entry| selector(entry).is_some_and(|wanted| subset(wanted, Some(labels)));
            let chosen =
                entries.iter().find(selected).or_else(|| entries.iter().rfind(|entry| selector(entry).is_none()));
            return chosen.map(|entry| entry.id);
        }
        [service_namespace, self.root.as_str()].into_iter().find_map(|namespace| {
            let entries = self.exported.get(namespace)?.find(host).next()?;
            entries.iter().rfind(|entry| entry.visibility.reaches(client)).map(|entry| entry.id)
        })
    }

    /// The callers that an entry is for, if it is not for all.
    fn selector(&self, entry: &Entry) -> Option<&Labels> {
        let first = entry.sources.first().and_then(|index| self.objects.get(*index))?;
        first.spec.workload_selector.as_ref().map(|selector| &selector.match_labels)
    }

    /// Whether a rule is for some callers only: then it is its namespace, which is theirs.
    pub(super) fn selects(&self, id: RuleId) -> Option<&str> {
        let first = self.objects(id).next().filter(|rule| rule.spec.workload_selector.is_some())?;
        first.metadata.namespace.as_deref()
    }

    fn objects(&self, id: RuleId) -> impl Iterator<Item = &DestinationRule> {
        self.merged[id.0].iter().map(|index| self.objects[*index].as_ref())
    }

    /// The objects that a rule was merged of.
    pub(super) fn keys(&self, id: RuleId) -> impl Iterator<Item = Key> {
        self.objects(id).map(key)
    }

    /// The subset of this name: of two with the same name the older.
    pub(super) fn subset(&self, id: RuleId, name: &str) -> Option<&Subset> {
        self.objects(id).flat_map(|rule| &rule.spec.subsets).find(|subset| subset.name == name)
    }

    /// What holds for a port of the service, or of a subset of it.
    pub(super) fn policy(&self, id: RuleId, subset: Option<&Subset>, port: u16) -> Effective<'_> {
        let own = self.objects(id).find_map(|rule| rule.spec.traffic_policy.as_ref());
        let mut policy = own.map_or_else(Effective::default, |policy| at_port(policy, port).0);
        // The borrow of a subset that the caller holds is not that of `self`: look it up again.
        let subset =
            subset.and_then(|subset| self.subset(id, &subset.name)).and_then(|subset| subset.traffic_policy.as_ref());
        if let Some((over, whole)) = subset.map(|subset| at_port(subset, port)) {
            policy = Effective {
                load_balancer: if whole { over.load_balancer } else { over.load_balancer.or(policy.load_balancer) },
                pool: if whole { over.pool } else { over.pool.or(policy.pool) },
                outlier: if whole { over.outlier } else { over.outlier.or(policy.outlier) },
                tls: if whole { over.tls } else { over.tls.or(policy.tls) },
                tunnel: over.tunnel || policy.tunnel,
                proxy_protocol: over.proxy_protocol || policy.proxy_protocol,
                retry_budget: over.retry_budget.or(policy.retry_budget),
            };
        }
        policy
    }
}

/// What a policy says of a port, and whether that is a setting of this very port: such a one takes nothing from the
/// policy around it.
fn at_port(policy: &TrafficPolicy, port: u16) -> (Effective<'_>, bool) {
    let is_it = |one: &&PortTrafficPolicy| one.port.is_some_and(|own| own.number == u32::from(port));
    match policy.port_level_settings.iter().find(is_it) {
        Some(own) => (
            Effective {
                load_balancer: own.load_balancer.as_ref(),
                pool: own.connection_pool.as_ref(),
                outlier: own.outlier_detection.as_ref(),
                tls: own.tls.as_ref(),
                ..Effective::default()
            },
            true,
        ),
        None => (
            Effective {
                load_balancer: policy.load_balancer.as_ref(),
                pool: policy.connection_pool.as_ref(),
                outlier: policy.outlier_detection.as_ref(),
                tls: policy.tls.as_ref(),
                tunnel: policy.tunnel.is_some(),
                proxy_protocol: policy.proxy_protocol.is_some(),
                retry_budget: policy.retry_budget.as_ref(),
            },
            false,
        ),
    }
}

/// Joins a rule with those there are for the same host: with each that is exported to the same namespaces or to fewer.
fn merge(
    list: &mut Vec<Entry>,
    objects: &[Arc<DestinationRule>],
    index: usize,
    visibility: &Visibility,
    findings: &mut Findings,
) {
    let covers = |other: &Visibility| match (visibility, other) {
        (Visibility::Only(mine), Visibility::Only(other)) => other.iter().all(|one| mine.contains(one)),
        // The list `*` is no superset of names.
        (mine, other) => mine == other,
    };
    let selector = |index: usize| objects[index].spec.workload_selector.as_ref().map(|selector| &selector.match_labels);
    let own = selector(index);
    let mut joined = false;
    for entry in list.iter_mut().filter(|entry| covers(&entry.visibility)) {
        let other = entry.sources.first().and_then(|first| selector(*first));
        if own.is_some() && other != own {
            continue;
        }
        // A rule for all stands for itself beside those for some. As private as they are, it also adds to them.
        joined |= other == own;
        let known = |name: &str| {
            entry.sources.iter().flat_map(|source| &objects[*source].spec.subsets).any(|subset| subset.name == name)
        };
        for subset in objects[index].spec.subsets.iter().filter(|subset| other == own && known(&subset.name)) {
            let message = format!(
                "spec.subsets: {} is there already in an older rule for the same host, which counts",
                subset.name
            );
            findings.add(key(&objects[index]), message);
        }
        entry.sources.push(index);
    }
    if !joined {
        list.push(Entry { visibility: visibility.clone(), sources: vec![index], id: RuleId(usize::MAX) });
    }
}

fn key(rule: &DestinationRule) -> Key {
    Key::new(Kind::DestinationRule, rule.metadata.namespace.as_deref().unwrap_or_default(), name(rule))
}
