//! RBAC filters from `AuthorizationPolicies` (Istio: `security/authz/model`, `security/authz/matcher`).

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use super::objects::{Objects, known, list, text};

/// First what denies, then what allows. AUDIT changes no answer.
pub(super) fn filters(objects: &Objects<'_>) -> Result<Vec<Value>> {
    let mut filters = Vec::new();
    for action in ["DENY", "ALLOW"] {
        let mut policies = Map::new();
        for policy in objects.policies("AuthorizationPolicy") {
            let spec = &policy["spec"];
            known(spec, "AuthorizationPolicy", &["selector", "action", "rules"])?;
            if spec.get("action").map_or("ALLOW", text) != action {
                continue;
            }
            let name = text(&policy["metadata"]["name"]);
            if list(&spec["rules"]).is_empty() {
                policies.insert(name.to_owned(), never());
            }
            for (index, rule) in list(&spec["rules"]).iter().enumerate() {
                policies.insert(format!("{name}-{index}"), self::rule(rule)?);
            }
        }
        if !policies.is_empty() {
            filters.push(json!({"name": "envoy.filters.http.rbac", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
                "rules": {"action": action, "policies": policies},
            }}));
        }
    }
    Ok(filters)
}

/// A policy without rules: an ALLOW that allows nothing.
fn never() -> Value {
    json!({"permissions": [{"not_rule": {"any": true}}], "principals": [{"not_id": {"any": true}}]})
}

/// `New` and `Generate`: any of `from`, and any of `to`, and all of `when`.
fn rule(rule: &Value) -> Result<Value> {
    known(rule, "rule", &["from", "to", "when"])?;
    let (mut permissions, mut principals) = (Vec::new(), Vec::new());
    for condition in list(&rule["when"]) {
        known(condition, "condition", &["key", "values", "notValues"])?;
        let key = text(&condition["key"]);
        if key == "destination.port" {
            permissions.append(&mut both(condition, ["values", "notValues"], Kind::Permission, &|value| {
                Ok(json!({"destination_port": number(value)?}))
            })?);
        } else {
            principals.append(&mut both(condition, ["values", "notValues"], Kind::Principal, &|value| {
                attribute(key, value)
            })?);
        }
    }
    let froms = match list(&rule["from"]) {
        [] => vec![all(Kind::Principal, principals)],
        several => several.iter().map(|from| source(&from["source"], &principals)).collect::<Result<_>>()?,
    };
    let tos = match list(&rule["to"]) {
        [] => vec![all(Kind::Permission, permissions)],
        several => several.iter().map(|to| operation(&to["operation"], &permissions)).collect::<Result<_>>()?,
    };
    Ok(json!({"permissions": tos, "principals": froms}))
}

/// Envoy has the same words twice.
#[derive(Clone, Copy)]
enum Kind {
    Permission,
    Principal,
}

fn all(kind: Kind, mut parts: Vec<Value>) -> Value {
    if parts.is_empty() {
        parts.push(json!({"any": true}));
    }
    match kind {
        Kind::Permission => json!({"and_rules": {"rules": parts}}),
        Kind::Principal => json!({"and_ids": {"ids": parts}}),
    }
}

/// One of the values, and none of the values not wanted.
fn both(
    map: &Value,
    [wanted, unwanted]: [&str; 2],
    kind: Kind,
    one: &dyn Fn(&str) -> Result<Value>,
) -> Result<Vec<Value>> {
    let mut parts = Vec::new();
    for (field, not) in [(wanted, false), (unwanted, true)] {
        let values = list(&map[field]).iter().map(|value| one(text(value))).collect::<Result<Vec<_>>>()?;
        if values.is_empty() {
            continue;
        }
        let any = match kind {
            Kind::Permission => json!({"or_rules": {"rules": values}}),
            Kind::Principal => json!({"or_ids": {"ids": values}}),
        };
        parts.push(match (kind, not) {
            (_, false) => any,
            (Kind::Permission, true) => json!({"not_rule": any}),
            (Kind::Principal, true) => json!({"not_id": any}),
        });
    }
    Ok(parts)
}

fn operation(operation: &Value, when: &[Value]) -> Result<Value> {
    let fields = ["hosts", "notHosts", "methods", "notMethods", "paths", "notPaths", "ports", "notPorts"];
    known(operation, "operation", &fields)?;
    let mut parts = both(operation, ["hosts", "notHosts"], Kind::Permission, &|value| {
        Ok(json!({"header": header(":authority", value, true)}))
    })?;
    parts.append(&mut both(operation, ["methods", "notMethods"], Kind::Permission, &|value| {
        Ok(json!({"header": header(":method", value, false)}))
    })?);
    parts.append(&mut both(operation, ["paths", "notPaths"], Kind::Permission, &|value| Ok(path(value)))?);
    parts.append(&mut both(operation, ["ports", "notPorts"], Kind::Permission, &|value| {
        Ok(json!({"destination_port": number(value)?}))
    })?);
    parts.extend(when.iter().cloned());
    Ok(all(Kind::Permission, parts))
}

fn source(source: &Value, when: &[Value]) -> Result<Value> {
    let fields =
        ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks", "requestPrincipals", "notRequestPrincipals"];
    known(source, "source", &fields)?;
    let mut parts = Vec::new();
    for (fields, key) in [
        (["requestPrincipals", "notRequestPrincipals"], "request.auth.principal"),
        (["remoteIpBlocks", "notRemoteIpBlocks"], "remote.ip"),
        (["ipBlocks", "notIpBlocks"], "source.ip"),
    ] {
        parts.append(&mut both(source, fields, Kind::Principal, &|value| attribute(key, value))?);
    }
    parts.extend(when.iter().cloned());
    Ok(all(Kind::Principal, parts))
}

/// What a key of `when` asks of the caller.
fn attribute(key: &str, value: &str) -> Result<Value> {
    Ok(match key {
        "source.ip" => json!({"direct_remote_ip": block(value)?}),
        "remote.ip" => json!({"remote_ip": block(value)?}),
        "request.auth.principal" => request_principal(value),
        "request.auth.audiences" => claim(&["aud"], value),
        "request.auth.presenter" => claim(&["azp"], value),
        _ => {
            if let Some(name) = key.strip_prefix("request.headers[").and_then(|rest| rest.strip_suffix(']')) {
                json!({"header": header(name, value, false)})
            } else if let Some(path) = key.strip_prefix("request.auth.claims[").and_then(|rest| rest.strip_suffix(']'))
            {
                claim(&path.split("][").collect::<Vec<_>>(), value)
            } else {
                bail!("the translation for Envoy does not know the attribute {key}")
            }
        }
    })
}

/// `MetadataListValueMatcherForJWTClaims`: the claim, or one of a list.
fn claim(path: &[&str], value: &str) -> Value {
    let string = json!({"string_match": string(value)});
    let any = json!({"or_match": {"value_matchers": [string, {"list_match": {"one_of": string}}]}});
    metadata(path, &any)
}

fn metadata(path: &[&str], value: &Value) -> Value {
    let path: Vec<Value> = std::iter::once(&"payload").chain(path).map(|key| json!({"key": key})).collect();
    json!({"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": path, "value": value}})
}

/// `requestPrincipalGenerator`: issuer and subject, which the last slash parts.
fn request_principal(value: &str) -> Value {
    let any = json!({"safe_regex": {"regex": ".+"}});
    let parts = value.rsplit_once('/');
    let [issuer, subject] = if value == "*" {
        [any.clone(), any]
    } else if let Some(rest) = value.strip_prefix('*') {
        match parts {
            Some(("*", subject)) => [any, json!({"exact": subject})],
            Some((issuer, subject)) => [json!({"suffix": issuer.trim_start_matches('*')}), json!({"exact": subject})],
            None => [any, json!({"suffix": rest})],
        }
    } else if let Some(rest) = value.strip_suffix('*') {
        match parts {
            Some((issuer, "*")) => [json!({"exact": issuer}), any],
            Some((issuer, subject)) => [json!({"exact": issuer}), json!({"prefix": subject.trim_end_matches('*')})],
            None => [json!({"prefix": rest}), any],
        }
    } else {
        let (issuer, subject) = parts.unwrap_or((value, ""));
        [json!({"exact": issuer}), json!({"exact": subject})]
    };
    let ids =
        [("iss", issuer), ("sub", subject)].map(|(name, matcher)| metadata(&[name], &json!({"string_match": matcher})));
    json!({"and_ids": {"ids": ids}})
}

/// `*` is anything that is there; a star at an end leaves the rest as suffix or prefix.
fn string(value: &str) -> Value {
    if value == "*" {
        json!({"safe_regex": {"regex": ".+"}})
    } else if let Some(suffix) = value.strip_prefix('*') {
        json!({"suffix": suffix})
    } else if let Some(prefix) = value.strip_suffix('*') {
        json!({"prefix": prefix})
    } else {
        json!({"exact": value})
    }
}

fn header(name: &str, value: &str, ignore_case: bool) -> Value {
    if value == "*" {
        return json!({"name": name, "present_match": true});
    }
    let mut matcher = string(value);
    if ignore_case {
        matcher["ignore_case"] = true.into();
    }
    json!({"name": name, "string_match": matcher})
}

/// A path, or a template with `{*}` and `{**}`.
fn path(value: &str) -> Value {
    if !value.contains("{*}") && !value.contains("{**}") {
        return json!({"url_path": {"path": string(value)}});
    }
    let template = value.replace("{*}", "*").replace("{**}", "**");
    json!({"uri_template": {"name": "uri-template", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
        "path_template": template,
    }}})
}

fn block(value: &str) -> Result<Value> {
    let (address, length) = value.split_once('/').unwrap_or((value, if value.contains(':') { "128" } else { "32" }));
    Ok(json!({"address_prefix": address, "prefix_len": number(length)?}))
}

fn number(value: &str) -> Result<u32> {
    value.parse().with_context(|| format!("no number: {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_anything_that_is_there() {
        assert_eq!(string("*"), json!({"safe_regex": {"regex": ".+"}}));
        assert_eq!(string("*/x"), json!({"suffix": "/x"}));
        assert_eq!(string("/x*"), json!({"prefix": "/x"}));
    }
}
