//! `RequestAuthentication`: whose tokens a pod believes.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration;
use super::selector::{PolicySelector, TargetRef};

/// `spec` of a `RequestAuthentication`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RequestAuthentication {
    /// Pods that this is for; all of the namespace when missing, all of the mesh in the root namespace.
    pub selector: Option<PolicySelector>,
    /// An object that this is for.
    pub target_ref: Option<TargetRef>,
    /// Objects that this is for.
    pub target_refs: Vec<TargetRef>,
    /// Issuers. A request without a token passes; one with a token that no rule believes does not.
    pub jwt_rules: Vec<JwtRule>,
}

/// Whose tokens are believed, and where they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct JwtRule {
    /// The claim `iss` of the tokens.
    pub issuer: String,
    /// What the claim `aud` must have one of; anything when empty.
    pub audiences: Vec<String>,
    /// URL of the issuer's keys.
    #[serde(alias = "jwks_uri")]
    pub jwks_uri: Option<String>,
    /// The issuer's keys themselves.
    pub jwks: Option<String>,
    /// Headers that may hold the token; with no place given, `authorization: Bearer` and the parameter `access_token`.
    pub from_headers: Vec<JwtHeader>,
    /// Query parameters that may hold the token.
    pub from_params: Vec<String>,
    /// Cookies that may hold the token.
    pub from_cookies: Vec<String>,
    /// Header that hands the token's payload to the pod, in base64url.
    pub output_payload_to_header: Option<String>,
    /// Headers that hand single claims to the pod.
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    /// Whether the pod gets the token itself.
    pub forward_original_token: bool,
    /// Time to fetch the keys in; 5 s when missing.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub timeout: Option<Duration>,
    /// Claims besides `scope` and `permission` that hold several words as one text.
    pub space_delimited_claims: Vec<String>,
    /// Whether a request without a token passes.
    pub presence: JwtPresence,
}

/// Whether a request must have a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JwtPresence {
    /// It need not.
    #[default]
    Optional,
    /// It must.
    Required,
}

/// A header that may hold a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct JwtHeader {
    /// Its name.
    pub name: String,
    /// What stands before the token; `Bearer ` has a space at its end.
    pub prefix: Option<String>,
}

/// A header that hands a claim to the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ClaimToHeader {
    /// Its name.
    pub header: String,
    /// The claim; `a.b` means `b` inside of `a`.
    pub claim: String,
}
