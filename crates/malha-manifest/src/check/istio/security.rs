//! Rules of Istio's security policies (`ValidatePeerAuthentication`, `ValidateRequestAuthentication`,
//! `ValidateAuthorizationPolicy`, and `pkg/config/security`).

use serde_json::Value as Json;

use super::common::{at_least_1ms, is_network, policy_selector, targets};
use crate::check::Checker;
use crate::istio::{
    Action, AuthorizationPolicy, Condition, JwtRule, Operation, PeerAuthentication, RequestAuthentication, Rule, Source,
};
use crate::path::FieldPath;

pub(in crate::check) fn peer_authentication(checker: &mut Checker<'_>, policy: &PeerAuthentication) {
    let root = FieldPath::parse("spec");
    policy_selector(checker, &root.field("selector"), policy.selector.as_ref());
    let selects = policy.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty());
    let path = root.field("portLevelMtls");
    if !selects && !policy.port_level_mtls.is_empty() {
        checker
            .error_at_key(&path, "mesh/namespace peer authentication cannot have port level mTLS")
            .help("name the pods in `spec.selector.matchLabels`");
    }
    if policy.port_level_mtls.is_empty() && checker.is_set(&path) {
        checker.error(&path, "port level mTLS, if defined, must have at least one element");
    }
    for port in policy.port_level_mtls.keys() {
        if !port.parse::<u16>().is_ok_and(|number| number > 0) {
            checker.error_at_key(path.field(port), format!("`{port}` is not a port")).help("allowed: 1 to 65535");
        }
    }
}

pub(in crate::check) fn request_authentication(checker: &mut Checker<'_>, policy: &RequestAuthentication) {
    targets(checker, policy.selector.as_ref(), policy.target_ref.as_ref(), &policy.target_refs);
    for (index, rule) in policy.jwt_rules.iter().enumerate() {
        jwt_rule(checker, &FieldPath::parse("spec.jwtRules").item(index), rule);
    }
}

/// `validateJwtRule`
fn jwt_rule(checker: &mut Checker<'_>, path: &FieldPath, rule: &JwtRule) {
    if rule.issuer.is_empty() {
        checker.error(path.field("issuer"), "issuer must be set");
    }
    if rule.jwks.is_some() && rule.jwks_uri.is_some() {
        checker.error(path, "only one of jwks or jwksUri can be set").help("keep one of them");
    }
    if let Some(uri) = rule.jwks_uri.as_ref().filter(|uri| !uri.is_empty()) {
        let host = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.starts_with(['/', ':', '?', '#'])) {
            let written = if checker.is_set(&path.field("jwks_uri")) { "jwks_uri" } else { "jwksUri" };
            let message = format!("`{uri}` is not the URL of keys");
            checker.error(path.field(written), message).help("it begins with `http://` or `https://`, and a host");
        }
    }
    if let Some(Err(why)) = rule.jwks.as_ref().filter(|jwks| !jwks.is_empty()).map(|jwks| key_set(jwks)) {
        checker.error(path.field("jwks"), format!("jwks parse error: {why}"));
    }
    for (index, header) in rule.from_headers.iter().enumerate() {
        checker.required(path.field("fromHeaders").item(index).field("name"), &header.name);
    }
    for (field, texts) in [
        ("audiences", &rule.audiences),
        ("fromParams", &rule.from_params),
        ("fromCookies", &rule.from_cookies),
        ("spaceDelimitedClaims", &rule.space_delimited_claims),
    ] {
        not_empty(checker, &path.field(field), texts);
    }
    for (index, claim) in rule.output_claim_to_headers.iter().enumerate() {
        let path = path.field("outputClaimToHeaders").item(index);
        checker.required(path.field("claim"), &claim.claim);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if checker.required(path.field("header"), &claim.header) && !claim.header.chars().all(plain) {
            let message = format!("header name {} is not a valid header name", claim.header);
            checker.error(path.field("header"), message).help("allowed: letters, digits, `-` and `_`");
        }
    }
    at_least_1ms(checker, &path.field("timeout"), rule.timeout);
}

/// Whether a text is a set of JSON web keys, or a single one (RFC 7517).
fn key_set(text: &str) -> Result<(), String> {
    let json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let key = |key: &Json| match key.get("kty").and_then(Json::as_str) {
        Some("RSA" | "EC" | "oct" | "OKP") => Ok(()),
        Some(kind) => Err(format!("`{kind}` is not a type of key")),
        None => Err("a key has no `kty`".to_owned()),
    };
    match json.get("keys") {
        Some(Json::Array(keys)) => keys.iter().try_for_each(key),
        Some(_) => Err("`keys` is not a list".to_owned()),
        None if json.is_object() => key(&json),
        None => Err("not an object".to_owned()),
    }
}

/// `CheckEmptyValues`
fn not_empty(checker: &mut Checker<'_>, path: &FieldPath, texts: &[String]) {
    for (index, _) in texts.iter().enumerate().filter(|(_, text)| text.is_empty()) {
        checker.error(path.item(index), "empty value not allowed");
    }
}

pub(in crate::check) fn authorization_policy(checker: &mut Checker<'_>, policy: &AuthorizationPolicy) {
    let root = FieldPath::parse("spec");
    targets(checker, policy.selector.as_ref(), policy.target_ref.as_ref(), &policy.target_refs);
    let path = root.field("provider");
    let named = policy.provider.as_ref().is_some_and(|provider| !provider.name.is_empty());
    match policy.action {
        Action::Custom if !named => {
            checker.error(path.field("name"), "`provider.name` must not be empty");
        }
        Action::Custom => {}
        _ if policy.provider.is_some() => {
            checker.error_at_key(&path, "`provider` must not be with non CUSTOM action");
        }
        _ => {}
    }
    if policy.rules.is_empty() && matches!(policy.action, Action::Deny | Action::Custom) {
        checker
            .error(root.field("rules"), "an action without `rules` is meaningless as it will never be triggered")
            .help("add an empty rule `{}` if you want it be triggered for every request");
    }
    for (index, rule) in policy.rules.iter().enumerate() {
        let path = root.field("rules").item(index);
        self::rule(checker, &path, rule);
        if policy.action == Action::Deny && http_only(rule) {
            let message = "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to the \
                           use of only HTTP attributes in a DENY rule";
            checker.warning(&path, message).help("it is recommended to explicitly specify the port");
        }
    }
}

/// Whether a rule has conditions, and none that a connection without HTTP can meet.
fn http_only(rule: &Rule) -> bool {
    let below = rule.from.iter().filter_map(|from| from.source.as_ref()).any(|source| {
        !(source.principals.is_empty()
            && source.not_principals.is_empty()
            && source.namespaces.is_empty()
            && source.not_namespaces.is_empty()
            && source.service_accounts.is_empty()
            && source.not_service_accounts.is_empty()
            && source.trust_domains.is_empty()
            && source.not_trust_domains.is_empty()
            && source.ip_blocks.is_empty()
            && source.not_ip_blocks.is_empty()
            && source.remote_ip_blocks.is_empty()
            && source.not_remote_ip_blocks.is_empty())
    });
    let ports = (rule.to.iter().filter_map(|to| to.operation.as_ref()))
        .any(|operation| !(operation.ports.is_empty() && operation.not_ports.is_empty()));
    (!rule.from.is_empty() && rule.to.is_empty() && !below) || (!rule.to.is_empty() && !ports)
}

fn rule(checker: &mut Checker<'_>, path: &FieldPath, rule: &Rule) {
    for (field, empty) in [("from", rule.from.is_empty()), ("to", rule.to.is_empty())] {
        if empty && checker.is_set(&path.field(field)) {
            checker.error(path.field(field), format!("`{field}` must not be empty")).help("leave it out to mean any");
        }
    }
    for (index, from) in rule.from.iter().enumerate() {
        let path = path.field("from").item(index).field("source");
        match &from.source {
            None => {
                checker.error(&path, "`from.source` must not be nil");
            }
            Some(source) => self::source(checker, &path, source),
        }
    }
    for (index, to) in rule.to.iter().enumerate() {
        let path = path.field("to").item(index).field("operation");
        match &to.operation {
            None => {
                checker.error(&path, "`to.operation` must not be nil");
            }
            Some(operation) => self::operation(checker, &path, operation),
        }
    }
    for (index, condition) in rule.when.iter().enumerate() {
        self::condition(checker, &path.field("when").item(index), condition);
    }
}

fn source(checker: &mut Checker<'_>, path: &FieldPath, source: &Source) {
    if *source == Source::default() {
        checker.error(path, "`from.source` must not be empty");
    }
    for (field, texts) in [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
        ("trustDomains", &source.trust_domains),
        ("notTrustDomains", &source.not_trust_domains),
    ] {
        not_empty(checker, &path.field(field), texts);
    }
    for (field, texts) in [
        ("ipBlocks", &source.ip_blocks),
        ("notIpBlocks", &source.not_ip_blocks),
        ("remoteIpBlocks", &source.remote_ip_blocks),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks),
    ] {
        networks(checker, &path.field(field), texts);
    }
    let accounts = !(source.service_accounts.is_empty() && source.not_service_accounts.is_empty());
    let others = [&source.principals, &source.not_principals, &source.namespaces, &source.not_namespaces];
    if accounts && others.iter().any(|texts| !texts.is_empty()) {
        checker.error(path, "cannot set serviceAccounts with namespaces or principals");
    }
    for (field, accounts) in
        [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)]
    {
        for (index, account) in accounts.iter().enumerate() {
            if account.contains('*') || account.matches('/').count() > 1 {
                let message = format!("`{account}` is not a service account");
                let help = "write `NAMESPACE/NAME`, or `NAME` of the policy's own namespace, without `*`";
                checker.error(path.field(field).item(index), message).help(help);
            }
        }
    }
}

fn operation(checker: &mut Checker<'_>, path: &FieldPath, operation: &Operation) {
    if *operation == Operation::default() {
        checker.error(path, "`to.operation` must not be empty");
    }
    for (field, texts) in [
        ("hosts", &operation.hosts),
        ("notHosts", &operation.not_hosts),
        ("methods", &operation.methods),
        ("notMethods", &operation.not_methods),
        ("paths", &operation.paths),
        ("notPaths", &operation.not_paths),
    ] {
        not_empty(checker, &path.field(field), texts);
    }
    for (field, texts) in [("ports", &operation.ports), ("notPorts", &operation.not_ports)] {
        ports(checker, &path.field(field), texts);
    }
    for (field, texts) in [("paths", &operation.paths), ("notPaths", &operation.not_paths)] {
        for (index, text) in texts.iter().enumerate().filter(|(_, text)| !is_path_template(text)) {
            let message = format!("`{text}`: invalid or unsupported path template");
            checker.error(path.field(field).item(index), message).help(
                "beside `{*}` (one segment) and `{**}` (any number, at the end) there may be no other `{…}` and no `*`",
            );
        }
    }
}

/// Whether a path with `{*}` or `{**}` in it is one that Envoy's URI templates can take (`CheckValidPathTemplate`).
fn is_path_template(path: &str) -> bool {
    if !(path.contains("{*}") || path.contains("{**}")) {
        return true;
    }
    let rest = path.replace("{**}", "").replace("{*}", "");
    !rest.contains(['*', '{', '}'])
}

fn networks(checker: &mut Checker<'_>, path: &FieldPath, texts: &[String]) {
    for (index, text) in texts.iter().enumerate().filter(|(_, text)| !is_network(text)) {
        checker.error(path.item(index), format!("`{text}` is not an address or a network"));
    }
}

fn ports(checker: &mut Checker<'_>, path: &FieldPath, texts: &[String]) {
    for (index, text) in texts.iter().enumerate().filter(|(_, text)| text.parse::<u16>().is_err()) {
        checker.error(path.item(index), format!("bad port ({text})")).help("allowed: 0 to 65535, as a string");
    }
}

/// `ValidateAttribute`
fn condition(checker: &mut Checker<'_>, path: &FieldPath, condition: &Condition) {
    /// Properties that a request has.
    const KEYS: &[&str] = &[
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.principal",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "destination.ip",
        "destination.port",
        "connection.sni",
    ];
    /// Properties that have parts: the part stands in brackets.
    const MAPS: &[&str] = &["request.headers", "request.auth.claims", "experimental.envoy.filters."];
    let key = condition.key.as_str();
    if key.is_empty() {
        checker.error(path.field("key"), "`key` must not be empty");
        return;
    }
    if condition.values.is_empty() && condition.not_values.is_empty() {
        checker.error(path, format!("at least one of `values` or `notValues` must be set for key {key}"));
    }
    let place = path.field("key");
    if MAPS.iter().any(|map| key.starts_with(map)) {
        let inside =
            key.strip_suffix(']').and_then(|key| key.split_once('[')).is_some_and(|(_, name)| !name.is_empty());
        if !inside {
            checker.error(&place, format!("bad key ({key}): should have format a[b]"));
        }
    } else if key == "destination.namespace" {
        checker.error(&place, format!("attribute {key} is replaced by the metadata.namespace"));
    } else if key.starts_with("destination.labels") {
        checker.error(&place, format!("attribute {key} is replaced by the workload selector"));
    } else if !KEYS.contains(&key) {
        checker.error(&place, format!("unknown attribute: {key}")).help(crate::decode::did_you_mean(key, KEYS));
    }
    for (field, texts) in [("values", &condition.values), ("notValues", &condition.not_values)] {
        let place = path.field(field);
        match key {
            "source.ip" | "remote.ip" | "destination.ip" => networks(checker, &place, texts),
            "destination.port" => ports(checker, &place, texts),
            _ => not_empty(checker, &place, texts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_set_or_a_single_one() {
        for text in [r#"{"keys":[]}"#, r#"{"keys":[{"kty":"EC"}]}"#, r#"{"kty":"RSA"}"#] {
            assert_eq!(key_set(text), Ok(()), "{text}");
        }
        for text in ["", "[]", "3", "{}", r#"{"keys":3}"#, r#"{"keys":[{}]}"#, r#"{"keys":[{"kty":"x"}]}"#, "{"] {
            assert!(key_set(text).is_err(), "{text}");
        }
    }

    #[test]
    fn path_templates_have_two_kinds_of_braces() {
        for path in ["/a", "/a*", "*", "/{a}", "/a/{*}/b", "/a/{*}/{**}"] {
            assert!(is_path_template(path), "{path}");
        }
        for path in ["/{*}/{a}", "/{a=*}/{*}", "/{*}/*", "/{**}/**", "/{}/{*}"] {
            assert!(!is_path_template(path), "{path}");
        }
    }
}
