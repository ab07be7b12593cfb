//! What the inbound proxies of workloads demand: the policies that hold for each (Istio, `pilot/pkg/model/authentication.go`,
//! `authorization.go` and `policyattachment.go`; `ComposePeerAuthentication` in `pilot/pkg/security/authn/policy_applier.go`).
//!
//! Workloads for which the same policies hold share one compiled policy, and as long as these objects and the keys that
//! they name stay, the next snapshot has the same one.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use malha_manifest::istio::{self, MtlsMode as WrittenMode, PolicySelector, TargetRef};
use malha_policy::jwt::JwtRules;
use malha_policy::rbac::{Action, Authorization, Condition, Operation, PolicySpec, RuleSpec, Source};
use malha_policy::{InboundPolicy, MtlsMode, PeerPolicy, effective};

use crate::controllers::name;
use crate::object::{AuthorizationPolicy, Istio, Key, Kind, PeerAuthentication, RequestAuthentication, Stored};
use crate::selector::Labels;
use crate::store::Store;

use super::keys::KeyRing;
use super::tokens;
use super::workloads::subset;
use super::{Findings, age};

/// The annotation of an `AuthorizationPolicy` that only tells what it would do.
const DRY_RUN: &str = "istio.io/dry-run";

/// Compiled policies, by what they were made of.
pub(super) type Compiled = HashMap<Vec<String>, Arc<InboundPolicy>>;

/// The policies of the mesh, for any workload.
#[derive(Debug, Default)]
pub(super) struct Policies {
    root: String,
    peers: Scoped<PeerPolicy>,
    tokens: Scoped<Vec<malha_policy::jwt::JwtRule>>,
    access: Scoped<PolicySpec>,
    before: Compiled,
    now: Compiled,
}

/// Policies of a kind, by namespace, the oldest first.
type Scoped<T> = HashMap<String, Vec<Policy<T>>>;

#[derive(Debug)]
struct Policy<T> {
    /// Tells it from others, and from itself before and after a change.
    id: String,
    selector: Labels,
    content: T,
}

impl Policies {
    pub(super) fn new(
        store: &Store,
        root: &str,
        keys: &mut KeyRing,
        before: Compiled,
        findings: &mut Findings,
    ) -> Self {
        Self {
            root: root.to_owned(),
            peers: peers(store, root, findings),
            tokens: tokens(store, keys, findings),
            access: access(store, findings),
            before,
            now: Compiled::new(),
        }
    }

    /// What the next snapshot goes on with.
    pub(super) fn compiled(self) -> Compiled {
        self.now
    }

    /// What holds for pods with these labels in `namespace`.
    pub(super) fn of(&mut self, namespace: &str, labels: &Labels) -> Arc<InboundPolicy> {
        self.made(namespace, labels, true)
    }

    /// What holds for the gateway: its listeners take whatever their servers say, so that no `PeerAuthentication` is about
    /// them.
    pub(super) fn of_gateway(&mut self, namespace: &str, labels: &Labels) -> Arc<InboundPolicy> {
        self.made(namespace, labels, false)
    }

    fn made(&mut self, namespace: &str, labels: &Labels, with_peers: bool) -> Arc<InboundPolicy> {
        let home = (namespace != self.root).then_some(namespace);
        let mesh = Self::first(&self.peers, Some(&self.root), with_peers, Labels::is_empty);
        let own = Self::first(&self.peers, home, with_peers, Labels::is_empty);
        let workload = Self::first(&self.peers, home, with_peers, |selector| {
            !selector.is_empty() && subset(selector, Some(labels))
        });
        // Tokens: the namespace first; access: the root first (`getConfigsForWorkload`, `ListAuthorizationPolicies`).
        let tokens: Vec<_> = [home, Some(&self.root)]
            .into_iter()
            .flatten()
            .flat_map(|namespace| fitting(&self.tokens, namespace, labels))
            .collect();
        let access: Vec<_> = [Some(self.root.as_str()), home]
            .into_iter()
            .flatten()
            .flat_map(|namespace| fitting(&self.access, namespace, labels))
            .collect();
        let mut id: Vec<String> =
            [mesh, own, workload].map(|policy| policy.map(|policy| policy.id.clone()).unwrap_or_default()).into();
        id.extend(tokens.iter().map(|policy| policy.id.clone()).chain(access.iter().map(|policy| policy.id.clone())));
        if let Some(known) = self.now.get(&id) {
            return Arc::clone(known);
        }
        let policy = self.before.remove(&id).unwrap_or_else(|| {
            let one = |policy: Option<&Policy<PeerPolicy>>| {
                policy.map(|policy| policy.content.clone()).into_iter().collect::<Vec<_>>()
            };
            Arc::new(InboundPolicy {
                peer: effective(&one(mesh), &one(own), &one(workload)),
                jwt: JwtRules::new(tokens.iter().flat_map(|policy| policy.content.iter().cloned())),
                authorization: Authorization::new(access.iter().map(|policy| &policy.content)).0,
            })
        });
        self.now.insert(id, Arc::clone(&policy));
        policy
    }

    fn first<'p, T>(
        scoped: &'p Scoped<T>,
        namespace: Option<&str>,
        wanted: bool,
        fits: impl Fn(&Labels) -> bool,
    ) -> Option<&'p Policy<T>> {
        let policies = namespace.filter(|_| wanted).and_then(|namespace| scoped.get(namespace));
        policies.into_iter().flatten().find(|policy| fits(&policy.selector))
    }
}

fn fitting<'p, T>(scoped: &'p Scoped<T>, namespace: &str, labels: &Labels) -> impl Iterator<Item = &'p Policy<T>> {
    let policies = scoped.get(namespace).into_iter().flatten();
    policies.filter(|policy| subset(&policy.selector, Some(labels)))
}

/// All objects of a kind, the oldest first.
fn by_age<S>(store: &Store) -> Vec<&Arc<Istio<S>>>
where
    Istio<S>: Stored,
{
    let mut all: Vec<_> = store.list::<Istio<S>>().collect();
    all.sort_by_cached_key(|object| age(&object.metadata));
    all
}

fn key<S>(kind: Kind, object: &Istio<S>) -> Key
where
    Istio<S>: Stored,
{
    Key::new(kind, namespace(&object.metadata), name(object))
}

fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

fn id(meta: &ObjectMeta) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}@{}", part(&meta.uid), part(&meta.resource_version))
}

fn labels(selector: Option<&PolicySelector>) -> Labels {
    selector.map(|selector| selector.match_labels.clone()).unwrap_or_default()
}

/// Whether a policy is for an object; those are waypoints and gateways of the Kubernetes Gateway API only, which malha has
/// not, so that it holds for nobody.
fn targeted(one: Option<&TargetRef>, many: &[TargetRef]) -> bool {
    one.is_some() || !many.is_empty()
}

const TARGETED: &str = "spec.targetRefs: only waypoints and gateways of the Kubernetes Gateway API have such policies, and there are none; \
     it holds for nobody. A selector picks pods";

fn peers(store: &Store, root: &str, findings: &mut Findings) -> Scoped<PeerPolicy> {
    let mut scoped: Scoped<PeerPolicy> = HashMap::new();
    for object in by_age::<istio::PeerAuthentication>(store) {
        let object: &PeerAuthentication = object;
        let key = key(Kind::PeerAuthentication, object);
        let namespace = namespace(&object.metadata);
        let selector = labels(object.spec.selector.as_ref());
        if namespace == root && !selector.is_empty() {
            findings.add(key, "spec.selector: in the root namespace it holds for nobody, as in Istio".to_owned());
            continue;
        }
        let list = scoped.entry(namespace.to_owned()).or_default();
        if list.iter().any(|other| other.selector.is_empty() && selector.is_empty()) {
            findings.add(
                key,
                "there is an older one for the whole namespace, which counts; it holds for nobody".to_owned(),
            );
            continue;
        }
        let mut policy = PeerPolicy { mode: object.spec.mtls.and_then(|mtls| mode(mtls.mode)), ports: Vec::new() };
        for (port, mtls) in &object.spec.port_level_mtls {
            match port.parse::<u16>() {
                Ok(_) if selector.is_empty() => {
                    findings
                        .add(key.clone(), "spec.portLevelMtls: counts only beside a selector, as in Istio".to_owned());
                }
                Ok(port) => policy.ports.push((port, mode(mtls.mode))),
                Err(_) => findings.add(key.clone(), format!("spec.portLevelMtls: `{port}` is no port")),
            }
        }
        list.push(Policy { id: id(&object.metadata), selector, content: policy });
    }
    scoped
}

fn mode(written: WrittenMode) -> Option<MtlsMode> {
    match written {
        WrittenMode::Unset => None,
        WrittenMode::Disable => Some(MtlsMode::Disable),
        WrittenMode::Permissive => Some(MtlsMode::Permissive),
        WrittenMode::Strict => Some(MtlsMode::Strict),
    }
}

fn tokens(store: &Store, keys: &mut KeyRing, findings: &mut Findings) -> Scoped<Vec<malha_policy::jwt::JwtRule>> {
    let mut scoped: Scoped<_> = HashMap::new();
    for object in by_age::<istio::RequestAuthentication>(store) {
        let object: &RequestAuthentication = object;
        let key = key(Kind::RequestAuthentication, object);
        if targeted(object.spec.target_ref.as_ref(), &object.spec.target_refs) {
            findings.add(key, TARGETED.to_owned());
            continue;
        }
        let mut id = id(&object.metadata);
        let mut rules = Vec::new();
        for (index, rule) in object.spec.jwt_rules.iter().enumerate() {
            let mut report = |what: String| findings.add(key.clone(), format!("spec.jwtRules[{index}].{what}"));
            rules.push(tokens::rule(rule, keys, &mut id, &mut report));
        }
        let list = scoped.entry(namespace(&object.metadata).to_owned()).or_insert_with(Vec::new);
        list.push(Policy { id, selector: labels(object.spec.selector.as_ref()), content: rules });
    }
    scoped
}

fn access(store: &Store, findings: &mut Findings) -> Scoped<PolicySpec> {
    let mut scoped: Scoped<PolicySpec> = HashMap::new();
    for object in by_age::<istio::AuthorizationPolicy>(store) {
        let object: &AuthorizationPolicy = object;
        let key = key(Kind::AuthorizationPolicy, object);
        if targeted(object.spec.target_ref.as_ref(), &object.spec.target_refs) {
            findings.add(key, TARGETED.to_owned());
            continue;
        }
        let action = match object.spec.action {
            istio::Action::Allow => Action::Allow,
            istio::Action::Deny => Action::Deny,
            istio::Action::Audit => Action::Audit,
            istio::Action::Custom => {
                // As in Istio, where a provider that the mesh does not know lets nothing pass.
                let message = "spec.action: CUSTOM is not carried out; requests that match are refused";
                findings.add(key.clone(), message.to_owned());
                Action::Deny
            }
        };
        let annotations = object.metadata.annotations.as_ref();
        let spec = PolicySpec {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            action,
            dry_run: annotations.and_then(|all| all.get(DRY_RUN)).is_some_and(|value| value == "true"),
            rules: object.spec.rules.iter().map(rule).collect(),
        };
        for problem in Authorization::new([&spec]).1 {
            let said = problem.to_string();
            let said = said.split_once(": ").map_or(said.as_str(), |(_, what)| what);
            findings.add(key.clone(), format!("spec.rules[{}]: {said}", problem.rule));
        }
        let policy =
            Policy { id: id(&object.metadata), selector: labels(object.spec.selector.as_ref()), content: spec };
        scoped.entry(key.namespace).or_default().push(policy);
    }
    scoped
}

fn rule(written: &istio::Rule) -> RuleSpec {
    RuleSpec {
        from: written.from.iter().map(|from| from.source.as_ref().map(source).unwrap_or_default()).collect(),
        to: written.to.iter().map(|to| to.operation.as_ref().map(operation).unwrap_or_default()).collect(),
        when: written
            .when
            .iter()
            .map(|one| Condition {
                key: one.key.clone(),
                values: one.values.clone(),
                not_values: one.not_values.clone(),
            })
            .collect(),
    }
}

fn source(written: &istio::Source) -> Source {
    let written = written.clone();
    Source {
        principals: written.principals,
        not_principals: written.not_principals,
        request_principals: written.request_principals,
        not_request_principals: written.not_request_principals,
        namespaces: written.namespaces,
        not_namespaces: written.not_namespaces,
        trust_domains: written.trust_domains,
        not_trust_domains: written.not_trust_domains,
        service_accounts: written.service_accounts,
        not_service_accounts: written.not_service_accounts,
        ip_blocks: written.ip_blocks,
        not_ip_blocks: written.not_ip_blocks,
        remote_ip_blocks: written.remote_ip_blocks,
        not_remote_ip_blocks: written.not_remote_ip_blocks,
    }
}

fn operation(written: &istio::Operation) -> Operation {
    let written = written.clone();
    Operation {
        hosts: written.hosts,
        not_hosts: written.not_hosts,
        ports: written.ports,
        not_ports: written.not_ports,
        methods: written.methods,
        not_methods: written.not_methods,
        paths: written.paths,
        not_paths: written.not_paths,
    }
}
