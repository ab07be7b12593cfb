//! The `jwtRules` of a `RequestAuthentication` (Istio, `convertToEnvoyJwtConfig` in
//! `pilot/pkg/security/authn/policy_applier.go`).

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use malha_manifest::istio::{self, JwtPresence};
use malha_policy::jwt::{ClaimToHeader, HeaderLocation, Jwks, JwtRule, Keys};
use malha_routing::KeySource;

use super::keys::KeyRing;

/// How long keys may take to come where the rule does not say.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One rule; what it is made of besides the object itself goes into `id`.
pub(super) fn rule(
    written: &istio::JwtRule,
    keys: &mut KeyRing,
    id: &mut String,
    report: &mut impl FnMut(String),
) -> JwtRule {
    if written.presence == JwtPresence::Required {
        report("presence: REQUIRED is not carried out; an AuthorizationPolicy can demand a token".to_owned());
    }
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let keys = match (given(&written.jwks), given(&written.jwks_uri)) {
        (Some(text), _) => match Jwks::parse(&text) {
            Ok(jwks) => {
                for key in jwks.unusable() {
                    report(format!("jwks: keys[{}] is left out: {}", key.index, key.reason));
                }
                Keys::Ready(Arc::new(jwks))
            }
            Err(why) => {
                report(format!("jwks: {why}; tokens of this issuer are refused"));
                Keys::Unusable
            }
        },
        (None, uri) => {
            let source =
                uri.map_or_else(|| KeySource::Issuer(written.issuer.as_str().into()), |uri| KeySource::Uri(uri.into()));
            let (keys, generation) = keys.wanted(source, written.timeout.unwrap_or(TIMEOUT));
            // Writing to a text cannot fail.
            let _ = write!(id, "#{generation}");
            keys
        }
    };
    let mut header = |field: &str, name: &str| {
        let made = HeaderName::from_bytes(name.as_bytes());
        made.map_err(|_| report(format!("{field}: `{name}` is no name of a header; it is left out"))).ok()
    };
    JwtRule {
        issuer: written.issuer.clone(),
        audiences: written.audiences.clone(),
        keys,
        from_headers: written
            .from_headers
            .iter()
            .filter_map(|from| {
                let name = header("fromHeaders", &from.name)?;
                Some(HeaderLocation { name, prefix: from.prefix.clone().unwrap_or_default() })
            })
            .collect(),
        from_params: written.from_params.clone(),
        from_cookies: written.from_cookies.clone(),
        forward_original_token: written.forward_original_token,
        output_payload_to_header: given(&written.output_payload_to_header)
            .and_then(|name| header("outputPayloadToHeader", &name)),
        output_claim_to_headers: written
            .output_claim_to_headers
            .iter()
            .filter_map(|one| {
                Some(ClaimToHeader { header: header("outputClaimToHeaders", &one.header)?, claim: one.claim.clone() })
            })
            .collect(),
        space_delimited_claims: written.space_delimited_claims.clone(),
    }
}
