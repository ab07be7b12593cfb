//! `PeerAuthentication`: whether pods take plaintext.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::selector::PolicySelector;

/// `spec` of a `PeerAuthentication`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PeerAuthentication {
    /// Pods that this is for; all of the namespace when missing, all of the mesh in the root namespace.
    pub selector: Option<PolicySelector>,
    /// What they take.
    pub mtls: Option<MutualTls>,
    /// What single ports of the pods take, by number; only with a selector.
    pub port_level_mtls: BTreeMap<String, MutualTls>,
}

/// What a pod takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct MutualTls {
    /// Plaintext, mutual TLS, or both.
    pub mode: MtlsMode,
}

/// Plaintext, mutual TLS, or both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MtlsMode {
    /// What the next wider policy says; `PERMISSIVE` where there is none.
    #[default]
    Unset,
    /// Plaintext.
    Disable,
    /// Both.
    Permissive,
    /// Mutual TLS.
    Strict,
}
