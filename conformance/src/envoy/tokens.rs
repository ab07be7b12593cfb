//! The JWT filter from `RequestAuthentications` (Istio: `security/authn/policy_applier.go`).

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::objects::{Objects, known, list, text};
use crate::tokens::jwks;

/// The filter, if there is a rule for it.
pub(super) fn filter(objects: &Objects<'_>) -> Result<Option<Value>> {
    let mut rules: Vec<&Value> = Vec::new();
    for policy in objects.policies("RequestAuthentication") {
        known(&policy["spec"], "RequestAuthentication", &["selector", "jwtRules"])?;
        rules.extend(list(&policy["spec"]["jwtRules"]));
    }
    if rules.is_empty() {
        return Ok(None);
    }
    rules.sort_by_key(|rule| text(&rule["issuer"]));
    let mut providers = Map::new();
    let (mut each, mut any) = (Vec::new(), Vec::new());
    for (index, rule) in rules.into_iter().enumerate() {
        let name = format!("origins-{index}");
        providers.insert(name.clone(), provider(rule)?);
        let this = json!({"provider_name": name});
        each.push(json!({"requires_any": {"requirements": [this, {"allow_missing": {}}]}}));
        any.push(this);
    }
    let requires = if let [only] = each.as_slice() {
        only.clone()
    } else {
        any.push(json!({"requires_all": {"requirements": each}}));
        json!({"requires_any": {"requirements": any}})
    };
    Ok(Some(json!({"name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": providers,
        "rules": [{"match": {"prefix": "/"}, "requires": requires}],
        "bypass_cors_preflight": true,
    }})))
}

fn keys(rule: &Value) -> Result<Value> {
    if rule.get("jwksUri").is_some() { Ok(jwks()?.into()) } else { Ok(rule["jwks"].clone()) }
}

fn provider(rule: &Value) -> Result<Value> {
    let fields = [
        "issuer",
        "audiences",
        "jwks",
        "jwksUri",
        "fromHeaders",
        "fromParams",
        "fromCookies",
        "forwardOriginalToken",
        "outputPayloadToHeader",
        "outputClaimToHeaders",
    ];
    known(rule, "JWT rule", &fields)?;
    let mut provider = json!({
        "issuer": text(&rule["issuer"]),
        // What istiod has fetched it puts where keys are that it was given (`BuildJwks`).
        "local_jwks": {"inline_string": keys(rule)?},
        "forward": rule["forwardOriginalToken"] == true,
        "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": {"space_delimited_claims": ["permission", "scope"]},
        // At gateways, for rules that match claims.
        "clear_route_cache": true,
    });
    for (field, name) in [
        ("audiences", "audiences"),
        ("fromParams", "from_params"),
        ("fromCookies", "from_cookies"),
        ("outputPayloadToHeader", "forward_payload_header"),
    ] {
        if let Some(value) = rule.get(field) {
            provider[name] = value.clone();
        }
    }
    let headers = list(&rule["fromHeaders"]).iter();
    let headers: Vec<Value> =
        headers.map(|header| json!({"name": header["name"], "value_prefix": text(&header["prefix"])})).collect();
    let claims = list(&rule["outputClaimToHeaders"]).iter();
    let claims: Vec<Value> =
        claims.map(|claim| json!({"header_name": claim["header"], "claim_name": claim["claim"]})).collect();
    provider["from_headers"] = headers.into();
    provider["claim_to_headers"] = claims.into();
    Ok(provider)
}
