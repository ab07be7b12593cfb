//! What a `RequestAuthentication` says (Istio, `security/v1/request_authentication.proto`).

use std::sync::Arc;

use http::HeaderName;

use super::jwks::Jwks;

/// A header that may hold a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderLocation {
    /// Its name.
    pub name: HeaderName,
    /// What stands before the token, with its blank: `Bearer `. Empty: the whole value is the token.
    pub prefix: String,
}

/// A claim that the pod is told in a header (`outputClaimToHeaders`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimToHeader {
    /// The header that is set.
    pub header: HeaderName,
    /// The claim; dots lead into nested objects.
    pub claim: String,
}

/// The keys of an issuer. Who fetches them from a `jwksUri` makes new rules when they change.
#[derive(Clone, Debug)]
pub enum Keys {
    /// They are there.
    Ready(Arc<Jwks>),
    /// They could not be fetched, or what was fetched is no JWKS. Istio then takes a key that nobody can sign with, which
    /// fits any token (`pilot/pkg/model/jwks_resolver.go`, `PublicOnlyJwks`): `Jwt verification fails`.
    Missing,
    /// What `jwks` says is of no use: `Jwks doesn't have any valid public key`. Envoy refuses the whole configuration,
    /// so that Istio would go on with the one before; here the tokens of this issuer are refused.
    Unusable,
}

/// One of the `jwtRules`: whose tokens are taken, from where, and what becomes of them.
#[derive(Clone, Debug)]
pub struct JwtRule {
    /// `iss` of its tokens. Empty: any.
    pub issuer: String,
    /// One of them has to be among `aud`. Empty: any.
    pub audiences: Vec<String>,
    /// The keys that sign its tokens.
    pub keys: Keys,
    /// Headers that may hold a token. With no location at all: `Authorization: Bearer` and the parameter `access_token`.
    pub from_headers: Vec<HeaderLocation>,
    /// Query parameters that may hold a token.
    pub from_params: Vec<String>,
    /// Cookies that may hold a token.
    pub from_cookies: Vec<String>,
    /// Whether the pod sees the token. If not, it is taken away where it was found.
    pub forward_original_token: bool,
    /// The header in which the pod is told the payload, in base64url as it was sent.
    pub output_payload_to_header: Option<HeaderName>,
    /// Claims that the pod is told in headers.
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    /// Claims, beside `scope` and `permission`, whose text is a list divided by blanks.
    pub space_delimited_claims: Vec<String>,
}
