//! What a `RequestAuthentication` says (Istio, `security/v1/request_authentication.proto`).

use http::HeaderName;

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

/// One of the `jwtRules`: whose tokens are taken, from where, and what becomes of them. `K` is where its keys come from.
#[derive(Clone, Debug)]
pub struct JwtRule<K> {
    /// `iss` of its tokens. Empty: any.
    pub issuer: String,
    /// One of them has to be among `aud`. Empty: any.
    pub audiences: Vec<String>,
    /// The keys that sign its tokens.
    pub keys: K,
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
