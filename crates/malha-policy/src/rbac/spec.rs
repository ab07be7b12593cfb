//! What an `AuthorizationPolicy` says (Istio, `security/v1/authorization_policy.proto`). Within a field any value may
//! match; the fields of one element all have to; of several elements of a list any may. A field with a leading `not_`
//! is met when none of its values matches.

/// What becomes of a request that a policy matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is let in. A request that no `ALLOW` policy matches is refused if there is one at all.
    #[default]
    Allow,
    /// It is refused, whatever allows it.
    Deny,
    /// It is told, and nothing else.
    Audit,
}

/// A policy that holds for a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySpec {
    /// Its namespace: a `serviceAccounts` without one means this.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What becomes of a request that it matches.
    pub action: Action,
    /// The annotation `istio.io/dry-run`: it is told what the policy would do, and nothing is done.
    pub dry_run: bool,
    /// Any may match. None at all matches nothing; an empty one matches everything.
    pub rules: Vec<RuleSpec>,
}

/// One of the `rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    /// Who calls. Empty: anybody.
    pub from: Vec<Source>,
    /// What is called. Empty: anything.
    pub to: Vec<Operation>,
    /// What else has to hold, all of it.
    pub when: Vec<Condition>,
}

/// One of the `from`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of Istio's Source, by their names")]
pub struct Source {
    pub principals: Vec<String>,
    pub not_principals: Vec<String>,
    pub request_principals: Vec<String>,
    pub not_request_principals: Vec<String>,
    pub namespaces: Vec<String>,
    pub not_namespaces: Vec<String>,
    pub trust_domains: Vec<String>,
    pub not_trust_domains: Vec<String>,
    pub service_accounts: Vec<String>,
    pub not_service_accounts: Vec<String>,
    pub ip_blocks: Vec<String>,
    pub not_ip_blocks: Vec<String>,
    pub remote_ip_blocks: Vec<String>,
    pub not_remote_ip_blocks: Vec<String>,
}

/// One of the `to`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of Istio's Operation, by their names")]
pub struct Operation {
    pub hosts: Vec<String>,
    pub not_hosts: Vec<String>,
    pub ports: Vec<String>,
    pub not_ports: Vec<String>,
    pub methods: Vec<String>,
    pub not_methods: Vec<String>,
    pub paths: Vec<String>,
    pub not_paths: Vec<String>,
}

/// One of the `when`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// An attribute, e.g. `request.headers[x-user]` or `request.auth.claims[group]`.
    pub key: String,
    /// Any of them has to match. Empty: only `not_values` counts.
    pub values: Vec<String>,
    /// None of them may match.
    pub not_values: Vec<String>,
}
