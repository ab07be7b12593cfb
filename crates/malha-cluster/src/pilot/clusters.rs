//! Clusters: a port of a service, or of a subset of it, under the rule that holds for whoever calls (Istio,
//! `buildOutboundClusters` in `pilot/pkg/networking/core/cluster.go`).
//!
//! Those who see the same rule share one cluster; and a cluster that is as it was in the last snapshot is the same
//! value as there.

use std::collections::HashMap;
use std::sync::Arc;

use malha_routing::{Balancer, ClientTls, Cluster, Host, Protocol, TrafficPolicy};

use crate::selector::Labels;
use crate::store::Store;

use super::Findings;
use super::destination_rules::{DestinationRules, RuleId};
use super::registry::{MeshService, Origin, Port, PortProtocol, Registry};
use super::secrets::Secrets;
use super::traffic::{self, Effective, Target};
use super::workloads::{Member, subset};

/// Whose proxies look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    /// Their namespace.
    pub(super) namespace: &'a str,
    /// Their labels, as far as anything asks for them.
    pub(super) labels: &'a Labels,
    /// Whether they are gateways, which may read Secrets.
    pub(super) gateway: bool,
}

/// A service's index, port, subset, rule, and whether a gateway looks through Secrets.
type ClusterKey = (usize, u16, String, Option<RuleId>, bool);

/// The clusters of the last snapshot, by name.
pub(super) type Previous<P> = HashMap<Arc<str>, Vec<Arc<Cluster<P>>>>;

/// Makes clusters as they are asked for.
#[derive(Debug)]
pub(super) struct Clusters<'a, P> {
    pub(super) registry: &'a Registry<P>,
    rules: &'a DestinationRules,
    secrets: Secrets<'a>,
    made: HashMap<ClusterKey, Result<Arc<Cluster<P>>, String>>,
    plain: Arc<TrafficPolicy>,
    plain_http2: Arc<TrafficPolicy>,
    previous: Previous<P>,
    /// Those of load balancers.
    outside: Vec<Arc<Cluster<P>>>,
}

impl<'a, P> Clusters<'a, P> {
    pub(super) fn new(
        store: &'a Store,
        registry: &'a Registry<P>,
        rules: &'a DestinationRules,
        gateway_namespace: &'a str,
        previous: Previous<P>,
    ) -> Self {
        let http2 = TrafficPolicy { protocol: Protocol::Http2, ..TrafficPolicy::default() };
        Self {
            registry,
            rules,
            secrets: Secrets { store, namespace: gateway_namespace },
            made: HashMap::new(),
            plain: Arc::default(),
            plain_http2: Arc::new(http2),
            previous,
            outside: Vec::new(),
        }
    }

    pub(super) fn secrets(&self) -> &Secrets<'a> {
        &self.secrets
    }

    /// All that were made, for the next snapshot to go on with.
    pub(super) fn into_previous(self) -> Previous<P> {
        let mut previous: Previous<P> = HashMap::new();
        for cluster in self.made.into_values().flatten().chain(self.outside) {
            previous.entry(Arc::clone(&cluster.name)).or_default().push(cluster);
        }
        previous
    }

    /// The cluster of a port of a service, for `client`; `subset` is empty for the whole of it.
    ///
    /// # Errors
    /// Why there is none: requests are answered with 503.
    pub(super) fn get(
        &mut self,
        service: usize,
        port: u16,
        subset: &str,
        client: Client<'_>,
        findings: &mut Findings,
    ) -> Result<Arc<Cluster<P>>, String> {
        let registry = self.registry;
        let known = registry.get(service);
        let rule = self.rules.find(client, &known.host, &known.namespace);
        // Only what reads a Secret is another cluster for a gateway. Sidecars may read one if the rule is for them in
        // particular: a Secret is not handed to every sidecar of a namespace (Istio).
        let may = |rule: RuleId| client.gateway || self.rules.selects(rule).is_some();
        let reads = rule.is_some_and(|rule| may(rule) && self.reads_secrets(rule, port, subset));
        let key = (service, port, subset.to_owned(), rule, reads);
        if let Some(made) = self.made.get(&key) {
            return made.clone();
        }
        let made = self.make(known, port, subset, rule, reads, findings);
        self.made.insert(key, made.clone());
        made
    }

    /// The cluster of a port as those who are outside of the mesh reach it: any endpoint is as good as another.
    pub(super) fn without_rules(&mut self, service: usize, port: u16) -> Option<Arc<Cluster<P>>> {
        let registry = self.registry;
        let service = registry.get(service);
        let port = service.port(port)?;
        let policy = TrafficPolicy { balancer: Balancer::Random, tls: ClientTls::Disable, ..TrafficPolicy::default() };
        let cluster = self.reuse(Cluster {
            name: format!("outbound|{}||{}", port.number, service.host).into(),
            service: service.host.as_str().into(),
            port: port.number,
            hosts: hosts(&port.members, None),
            policy: Arc::new(policy),
        });
        self.outside.push(Arc::clone(&cluster));
        Some(cluster)
    }

    fn reads_secrets(&self, rule: RuleId, port: u16, subset: &str) -> bool {
        let subset = self.rules.subset(rule, subset);
        self.rules.policy(rule, subset, port).tls.is_some_and(|tls| tls.credential_name.is_some())
    }

    fn make(
        &mut self,
        service: &MeshService<P>,
        port: u16,
        subset_name: &str,
        rule: Option<RuleId>,
        reads_secrets: bool,
        findings: &mut Findings,
    ) -> Result<Arc<Cluster<P>>, String> {
        let host = &service.host;
        let Some(port) = service.port(port) else { return Err(format!("{host} has no port {port}")) };
        let chosen = match (subset_name, rule) {
            ("", _) => None,
            (name, None) => {
                return Err(format!("subset {name} of {host}: no DestinationRule that is seen here defines it"));
            }
            (name, Some(rule)) => match self.rules.subset(rule, name) {
                None => return Err(format!("subset {name} of {host}: its DestinationRule does not define it")),
                found => found,
            },
        };
        let policy = match rule {
            None => self.plain(port.protocol),
            Some(rule) => {
                let effective = self.rules.policy(rule, chosen, port.number);
                match self.policy(service, port, &effective, reads_secrets, rule, findings) {
                    Ok(policy) => policy,
                    Err(why) => {
                        for key in self.rules.keys(rule) {
                            findings.add(key, format!("spec.{why}; requests to {host} are answered with 503"));
                        }
                        return Err(format!("the DestinationRule for {host} cannot be carried out"));
                    }
                }
            }
        };
        let original = service.original_destination || policy.balancer == Balancer::OriginalDestination;
        // Where the caller wanted to go does not depend on subsets. That is the host by its name, but for a wildcard.
        let labels = chosen.map(|subset| &subset.labels).filter(|_| !original);
        let hosts = if original && host.starts_with('*') { Vec::new() } else { hosts(&port.members, labels) };
        let policy = if service.original_destination && policy.balancer != Balancer::OriginalDestination {
            Arc::new(TrafficPolicy { balancer: Balancer::OriginalDestination, ..TrafficPolicy::clone(&policy) })
        } else {
            policy
        };
        let cluster = Cluster {
            name: format!("outbound|{}|{subset_name}|{host}", port.number).into(),
            service: host.as_str().into(),
            port: port.number,
            hosts,
            policy,
        };
        Ok(self.reuse(cluster))
    }

    fn plain(&self, protocol: PortProtocol) -> Arc<TrafficPolicy> {
        Arc::clone(if protocol == PortProtocol::Http2 { &self.plain_http2 } else { &self.plain })
    }

    fn policy(
        &self,
        service: &MeshService<P>,
        port: &Port<P>,
        effective: &Effective<'_>,
        reads_secrets: bool,
        rule: RuleId,
        findings: &mut Findings,
    ) -> Result<Arc<TrafficPolicy>, String> {
        let own = self.rules.selects(rule).map(|namespace| Secrets { store: self.secrets.store, namespace });
        let secrets = own.as_ref().unwrap_or(&self.secrets);
        let target = Target {
            http2: port.protocol == PortProtocol::Http2,
            external: service.origin == Origin::Entry { external: true },
            subject_alt_names: &service.subject_alt_names,
            secrets: reads_secrets.then_some(secrets),
        };
        let mut notes = Vec::new();
        let policy = traffic::policy(effective, &target, &mut notes);
        for note in notes {
            for key in self.rules.keys(rule) {
                findings.add(key, format!("spec.{note}"));
            }
        }
        let policy = policy?;
        let plain = self.plain(port.protocol);
        Ok(if policy == *plain { plain } else { Arc::new(policy) })
    }

    /// The cluster of the last snapshot, if it is the same.
    fn reuse(&self, cluster: Cluster<P>) -> Arc<Cluster<P>> {
        let same = |old: &&Arc<Cluster<P>>| {
            old.policy == cluster.policy
                && old.service == cluster.service
                && old.hosts.len() == cluster.hosts.len()
                && old.hosts.iter().zip(&cluster.hosts).all(|(a, b)| same_host(a, b))
        };
        let old = self.previous.get(&cluster.name).and_then(|old| old.iter().find(same)).map(Arc::clone);
        old.unwrap_or_else(|| Arc::new(cluster))
    }
}

fn same_host<P>(a: &Host<P>, b: &Host<P>) -> bool {
    let residents = match (&a.resident, &b.resident) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    };
    residents && a.weight == b.weight && Arc::ptr_eq(&a.endpoint, &b.endpoint)
}

fn hosts<P>(members: &[Member<P>], labels: Option<&Labels>) -> Vec<Host<P>> {
    let wanted = members.iter().filter(|member| labels.is_none_or(|labels| subset(labels, Some(&member.labels))));
    wanted
        .map(|member| Host {
            endpoint: Arc::clone(&member.endpoint),
            weight: member.weight,
            resident: member.resident.clone(),
        })
        .collect()
}
