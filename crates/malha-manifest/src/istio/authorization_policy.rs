//! `AuthorizationPolicy`: who may do what.

use schemars::JsonSchema;
use serde::Deserialize;

use super::selector::{PolicySelector, TargetRef};

/// `spec` of an `AuthorizationPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AuthorizationPolicy {
    /// Pods that this is for; all of the namespace when missing, all of the mesh in the root namespace.
    pub selector: Option<PolicySelector>,
    /// An object that this is for.
    pub target_ref: Option<TargetRef>,
    /// Objects that this is for.
    pub target_refs: Vec<TargetRef>,
    /// Rules, any of which is enough. None at all never matches: `ALLOW` then lets nothing pass.
    pub rules: Vec<Rule>,
    /// What becomes of requests that match.
    pub action: Action,
    /// Who decides, with `CUSTOM`.
    pub provider: Option<Provider>,
}

/// What becomes of requests that match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// They pass, and others do not.
    #[default]
    Allow,
    /// They do not pass, whatever else allows them.
    Deny,
    /// They are logged.
    Audit,
    /// A provider decides.
    Custom,
}

/// A provider that the mesh's configuration names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Provider {
    /// Its name.
    pub name: String,
}

/// Conditions that must all hold; a list that is missing holds for everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    /// Who asks: any of them.
    pub from: Vec<From>,
    /// What is asked for: any of them.
    pub to: Vec<To>,
    /// Other properties of the request: all of them.
    pub when: Vec<Condition>,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct From {
    /// The caller.
    pub source: Option<Source>,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct To {
    /// The operation.
    pub operation: Option<Operation>,
}

/// A caller: all fields that are set must hold. Texts may have a `*` at one end; `*` alone means "is there".
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Source {
    /// Identities out of mutual TLS: `cluster.local/ns/NAMESPACE/sa/ACCOUNT`.
    pub principals: Vec<String>,
    /// None of these.
    pub not_principals: Vec<String>,
    /// Identities out of tokens: `ISSUER/SUBJECT`.
    pub request_principals: Vec<String>,
    /// None of these.
    pub not_request_principals: Vec<String>,
    /// Namespaces out of mutual TLS.
    pub namespaces: Vec<String>,
    /// None of these.
    pub not_namespaces: Vec<String>,
    /// Service accounts out of mutual TLS: `NAMESPACE/ACCOUNT`, or `ACCOUNT` of the own namespace.
    pub service_accounts: Vec<String>,
    /// None of these.
    pub not_service_accounts: Vec<String>,
    /// Trust domains out of mutual TLS.
    pub trust_domains: Vec<String>,
    /// None of these.
    pub not_trust_domains: Vec<String>,
    /// Networks of the connection's other end.
    pub ip_blocks: Vec<String>,
    /// None of these.
    pub not_ip_blocks: Vec<String>,
    /// Networks of the first caller, by `x-forwarded-for`.
    pub remote_ip_blocks: Vec<String>,
    /// None of these.
    pub not_remote_ip_blocks: Vec<String>,
}

/// An operation: all fields that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Operation {
    /// Hosts, without regard to case.
    pub hosts: Vec<String>,
    /// None of these.
    pub not_hosts: Vec<String>,
    /// Ports of the pod.
    pub ports: Vec<String>,
    /// None of these.
    pub not_ports: Vec<String>,
    /// Methods.
    pub methods: Vec<String>,
    /// None of these.
    pub not_methods: Vec<String>,
    /// Paths: with a `*` at one end, or a template with `{*}` and `{**}`.
    pub paths: Vec<String>,
    /// None of these.
    pub not_paths: Vec<String>,
}

/// Another property of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    /// Its name: `request.headers[x]`, `request.auth.claims[a][b]`, …
    pub key: String,
    /// What it may be.
    pub values: Vec<String>,
    /// What it must not be.
    pub not_values: Vec<String>,
}
