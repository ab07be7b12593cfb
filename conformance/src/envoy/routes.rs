//! Routes from the rules of a `VirtualService` (Istio: `core/route/route.go`, `core/route/retry/retry.go`).

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use super::clusters;
use super::objects::{Objects, cluster_name, duration, entries, known, list, qualified, text};

const DEFAULT_RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

/// The routes of a `VirtualService` at a port of a gateway, whose name is `mesh` for sidecars.
pub(super) fn routes(objects: &Objects<'_>, service: &Value, port: u16, gateway: &str) -> Result<Vec<Value>> {
    let home = text(&service["metadata"]["namespace"]);
    known(&service["spec"], "VirtualService", &["hosts", "gateways", "http", "exportTo"])?;
    let mut routes: Vec<Value> = Vec::new();
    for rule in &rules(objects, service)? {
        let matches = list(&rule["match"]);
        if matches.is_empty() {
            routes.push(route(objects, rule, &Value::Null, port)?);
            break;
        }
        for wanted in matches {
            let gateways = list(&wanted["gateways"]);
            let at_gateway = gateways.iter().any(|name| name == gateway || qualified(text(name), home) == gateway);
            let elsewhere = if gateways.is_empty() { !objects.is_source(wanted) } else { !at_gateway };
            if elsewhere || wanted["port"].as_u64().is_some_and(|wanted| wanted != u64::from(port)) {
                continue;
            }
            routes.push(route(objects, rule, wanted, port)?);
        }
        if routes.last().is_some_and(is_catch_all) {
            break;
        }
    }
    Ok(routes)
}

/// The rules of a `VirtualService`, those of its delegates in their place (`pilot/pkg/model/virtualservice.go`,
/// `mergeHTTPRoutes`).
fn rules(objects: &Objects<'_>, service: &Value) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for rule in list(&service["spec"]["http"]) {
        let Some(delegate) = rule.get("delegate") else {
            all.push(rule.clone());
            continue;
        };
        known(delegate, "delegate", &["name", "namespace"])?;
        let namespace = delegate.get("namespace").unwrap_or(&service["metadata"]["namespace"]);
        let is_it = |other: &&Value| {
            let metadata = &other["metadata"];
            metadata["name"] == delegate["name"] && metadata["namespace"] == *namespace
        };
        for own in objects.of_kind("VirtualService").filter(is_it).flat_map(|other| list(&other["spec"]["http"])) {
            all.extend(delegated(rule, own)?);
        }
    }
    Ok(all)
}

/// `mergeHTTPRoute`: what the delegate's rule says, and of the root's what it does not.
fn delegated(root: &Value, own: &Value) -> Result<Option<Value>> {
    known(root, "rule with a delegate", &["name", "match", "delegate", "timeout", "retries", "rewrite", "fault"])?;
    let mut merged = own.clone();
    for field in ["timeout", "retries", "rewrite", "fault"] {
        if let (None, Some(value)) = (own.get(field), root.get(field)) {
            merged[field] = value.clone();
        }
    }
    let [roots, owns] = [list(&root["match"]), list(&own["match"])];
    let both: Vec<Value> = match (roots, owns) {
        (wanted, []) | ([], wanted) => wanted.to_vec(),
        _ => roots.iter().flat_map(|root| owns.iter().filter_map(move |own| both(root, own))).collect(),
    };
    if both.is_empty() && !(roots.is_empty() && owns.is_empty()) {
        return Ok(None);
    }
    merged["match"] = both.into();
    Ok(Some(merged))
}

/// A match that is both, unless the delegate's path is none of the root's.
fn both(root: &Value, own: &Value) -> Option<Value> {
    let mut merged = own.clone();
    if let (Some(wide), Some(narrow)) = (root.get("uri"), own.get("uri")) {
        let path = narrow.get("prefix").or_else(|| narrow.get("exact"))?;
        if !text(path).starts_with(text(wide.get("prefix")?)) {
            return None;
        }
    }
    for (name, value) in entries(root).filter(|(name, _)| own.get(*name).is_none()) {
        merged[name] = value.clone();
    }
    for (name, value) in entries(&root["headers"]) {
        merged["headers"][name] = value.clone();
    }
    Some(merged)
}

/// `SortVHostRoutes`: where several `VirtualServices` share a host, routes that take everything come last.
pub(super) fn catch_all_last(routes: Vec<Value>) -> Vec<Value> {
    let (last, mut sorted): (Vec<_>, Vec<_>) = routes.into_iter().partition(is_catch_all);
    sorted.extend(last);
    sorted
}

fn is_catch_all(route: &Value) -> bool {
    let wanted = &route["match"];
    let anything = wanted["prefix"] == "/" || wanted["safe_regex"]["regex"] == ".*";
    anything && ["headers", "query_parameters", "dynamic_metadata"].iter().all(|field| list(&wanted[*field]).is_empty())
}

/// A service without a `VirtualService`, as sidecars know it.
pub(super) fn plain(objects: &Objects<'_>, host: &str, port: u16) -> Value {
    let cluster = cluster_name(objects.id(), port.into(), "", host);
    let action =
        json!({"cluster": cluster, "timeout": "0s", "max_grpc_timeout": "0s", "retry_policy": default_retries(false)});
    json!({"match": {"prefix": "/"}, "route": action})
}

fn route(objects: &Objects<'_>, rule: &Value, wanted: &Value, port: u16) -> Result<Value> {
    let fields = [
        "name",
        "match",
        "route",
        "redirect",
        "directResponse",
        "rewrite",
        "timeout",
        "retries",
        "fault",
        "mirror",
        "mirrorPercentage",
        "mirrorPercent",
        "mirrors",
        "corsPolicy",
        "headers",
    ];
    known(rule, "rule", &fields)?;
    let mut route = json!({"match": matcher(wanted)?});
    let operations = Operations::of(&rule["headers"])?;
    operations.put(&mut route);
    if let Some(redirect) = rule.get("redirect") {
        route["redirect"] = redirection(redirect, port)?;
    } else if let Some(answer) = rule.get("directResponse") {
        known(answer, "directResponse", &["status", "body"])?;
        route["direct_response"] = json!({"status": answer["status"]});
        if let Some(body) = answer["body"].get("string") {
            route["direct_response"]["body"] = json!({"inline_string": body});
        } else if let Some(body) = answer["body"].get("bytes") {
            route["direct_response"]["body"] = json!({"inline_bytes": body});
        }
    } else {
        destination(objects, rule, &mut route, operations.authority, port)?;
    }
    if let Some(fault) = rule.get("fault") {
        route["typed_per_filter_config"]["envoy.filters.http.fault"] = injection(fault)?;
    }
    if let Some(cors) = rule.get("corsPolicy") {
        route["typed_per_filter_config"]["envoy.filters.http.cors"] = cors_policy(cors)?;
    }
    Ok(route)
}

/// `TranslateRouteMatch`.
fn matcher(wanted: &Value) -> Result<Value> {
    let fields = [
        "name",
        "uri",
        "ignoreUriCase",
        "headers",
        "withoutHeaders",
        "queryParams",
        "method",
        "authority",
        "scheme",
        "port",
        "gateways",
        "sourceLabels",
        "sourceNamespace",
    ];
    known(wanted, "match", &fields)?;
    let uri = &wanted["uri"];
    let mut out = if let Some(path) = uri.get("exact") {
        json!({"path": path})
    } else if let Some(regex) = uri.get("regex") {
        json!({"safe_regex": {"regex": regex}})
    } else {
        json!({"prefix": uri.get("prefix").cloned().unwrap_or("/".into())})
    };
    if !wanted.is_null() {
        out["case_sensitive"] = (wanted["ignoreUriCase"] != true).into();
    }
    let (mut headers, mut claims) = (Vec::new(), Vec::new());
    for (name, value) in entries(&wanted["headers"]) {
        match claim(name) {
            Some(path) => claims.push(metadata(&path, value)?),
            None => headers.push(named(name, value)?),
        }
    }
    for (name, value) in entries(&wanted["withoutHeaders"]) {
        let mut header = named(name, value)?;
        header["invert_match"] = true.into();
        if header.get("present_match").is_none() {
            header["treat_missing_header_as_empty"] = true.into();
        }
        headers.push(header);
    }
    for (field, name) in [("method", ":method"), ("authority", ":authority"), ("scheme", ":scheme")] {
        if let Some(value) = wanted.get(field) {
            headers.push(named(name, value)?);
        }
    }
    let parameters =
        entries(&wanted["queryParams"]).map(|(name, value)| named(name, value)).collect::<Result<Vec<_>>>()?;
    for (field, list) in [("headers", headers), ("query_parameters", parameters), ("dynamic_metadata", claims)] {
        if !list.is_empty() {
            out[field] = list.into();
        }
    }
    Ok(out)
}

/// A name with a string match; `{}` and the regex `*` mean that it is there.
fn named(name: &str, value: &Value) -> Result<Value> {
    if entries(value).next().is_none() || value["regex"] == "*" {
        return Ok(json!({"name": name, "present_match": true}));
    }
    Ok(json!({"name": name, "string_match": string_match(value)?}))
}

/// `exact`, `prefix` or `regex`.
pub(super) fn string_match(value: &Value) -> Result<Value> {
    known(value, "string match", &["exact", "prefix", "regex"])?;
    let (kind, text) = entries(value).next().context("a string match says how")?;
    Ok(if kind == "regex" { json!({"safe_regex": {"regex": text}}) } else { json!({kind: text}) })
}

/// The path to a claim in `@request.auth.claims.a.b` or `@request.auth.claims[a][b]`.
fn claim(name: &str) -> Option<Vec<&str>> {
    let rest = name.strip_prefix("@request.auth.claims")?;
    match rest.strip_prefix('.') {
        Some(path) => Some(path.split('.').collect()),
        None => Some(rest.trim_start_matches('[').trim_end_matches(']').split("][").collect()),
    }
}

/// `MetadataMatcherForJWTClaims`.
fn metadata(path: &[&str], value: &Value) -> Result<Value> {
    let path: Vec<Value> = std::iter::once(&"payload").chain(path).map(|key| json!({"key": key})).collect();
    let value = string_match(value)?;
    let any = json!({"or_match": {"value_matchers": [
        {"string_match": value}, {"list_match": {"one_of": {"string_match": value}}},
    ]}});
    Ok(json!({"filter": "envoy.filters.http.jwt_authn", "path": path, "value": any}))
}

fn redirection(redirect: &Value, port: u16) -> Result<Value> {
    known(redirect, "redirect", &["uri", "authority", "scheme", "port", "derivePort", "redirectCode"])?;
    let mut out = json!({"host_redirect": text(&redirect["authority"]), "path_redirect": text(&redirect["uri"])});
    let scheme = text(&redirect["scheme"]);
    if !scheme.is_empty() {
        out["scheme_redirect"] = scheme.into();
    }
    let wanted = match (redirect["port"].as_u64(), text(&redirect["derivePort"])) {
        (Some(port), _) => Some(port),
        (None, "FROM_REQUEST_PORT") => Some(port.into()),
        _ => None,
    };
    let standard = if scheme == "https" { 443 } else { 80 };
    if let Some(port) = wanted.filter(|port| *port != standard) {
        out["port_redirect"] = port.into();
    }
    out["response_code"] = match redirect["redirectCode"].as_u64().unwrap_or(301) {
        301 => "MOVED_PERMANENTLY",
        302 => "FOUND",
        303 => "SEE_OTHER",
        307 => "TEMPORARY_REDIRECT",
        308 => "PERMANENT_REDIRECT",
        other => bail!("no redirect has the status {other}"),
    }
    .into();
    Ok(out)
}

/// `applyHTTPRouteDestination`.
fn destination(
    objects: &Objects<'_>,
    rule: &Value,
    route: &mut Value,
    authority: Option<&Value>,
    port: u16,
) -> Result<()> {
    let timeout = rule.get("timeout").map(duration).transpose()?.unwrap_or_else(|| "0s".to_owned());
    let mut action = json!({"timeout": timeout, "max_grpc_timeout": timeout});
    let rewrite = &rule["rewrite"];
    known(rewrite, "rewrite", &["uri", "authority", "uriRegexRewrite"])?;
    if let Some(regex) = rewrite.get("uriRegexRewrite") {
        action["regex_rewrite"] = json!({"pattern": {"regex": regex["match"]}, "substitution": regex["rewrite"]});
    } else if let Some(uri) = rewrite.get("uri") {
        action["prefix_rewrite"] = uri.clone();
    }
    if let Some(host) = rewrite.get("authority").or(authority) {
        action["host_rewrite_literal"] = host.clone();
    }
    let mirrors = mirrors(objects, rule, port)?;
    if !mirrors.is_empty() {
        action["request_mirror_policies"] = mirrors.into();
    }
    let mut consistent = false;
    match list(&rule["route"]) {
        [] => bail!("a rule leads somewhere"),
        [only] => {
            known(only, "destination", &["destination", "weight", "headers"])?;
            action["cluster"] = cluster(objects, &only["destination"], port)?.into();
            let operations = Operations::of(&only["headers"])?;
            operations.put(route);
            if let Some(host) = operations.authority.filter(|_| action.get("host_rewrite_literal").is_none()) {
                action["host_rewrite_literal"] = host.clone();
            }
            if let Some(policy) = hash_policy(objects, &only["destination"])? {
                consistent = true;
                action["hash_policy"] = json!([policy]);
            }
        }
        several => {
            let (mut weighted, mut policies) = (Vec::new(), Vec::new());
            for one in several.iter().filter(|one| one["weight"].as_u64().unwrap_or(0) > 0) {
                known(one, "destination", &["destination", "weight", "headers"])?;
                let mut out = json!({"name": cluster(objects, &one["destination"], port)?, "weight": one["weight"]});
                let operations = Operations::of(&one["headers"])?;
                operations.put(&mut out);
                if let Some(host) = operations.authority {
                    out["host_rewrite_literal"] = host.clone();
                }
                weighted.push(out);
                policies.extend(hash_policy(objects, &one["destination"])?);
            }
            action["weighted_clusters"] = json!({"clusters": weighted});
            if !policies.is_empty() {
                action["hash_policy"] = policies.into();
            }
        }
    }
    if let Some(policy) = retries(rule.get("retries"), consistent)? {
        action["retry_policy"] = policy;
    }
    route["route"] = action;
    Ok(())
}

/// `GetDestinationCluster`: without a port, the only one of the service, or else the listener's.
fn cluster(objects: &Objects<'_>, destination: &Value, port: u16) -> Result<String> {
    known(destination, "destination", &["host", "subset", "port"])?;
    let host = text(&destination["host"]);
    let only = objects.service(host).map(|entry| list(&entry["spec"]["ports"])).and_then(|ports| match ports {
        [only] => only["number"].as_u64(),
        _ => None,
    });
    let port = destination["port"]["number"].as_u64().or(only).unwrap_or(port.into());
    Ok(cluster_name(objects.id(), port, text(&destination["subset"]), host))
}

fn mirrors(objects: &Objects<'_>, rule: &Value, port: u16) -> Result<Vec<Value>> {
    let mut out = Vec::new();
    let mut add = |destination: &Value, percent: Value| -> Result<()> {
        if percent["numerator"] != 0 {
            out.push(json!({
                "cluster": cluster(objects, destination, port)?,
                "runtime_fraction": {"default_value": percent},
                "trace_sampled": false,
                "disable_shadow_host_suffix_append": true,
            }));
        }
        Ok(())
    };
    if let Some(mirror) = rule.get("mirror") {
        let percent = match (rule.get("mirrorPercentage"), rule.get("mirrorPercent")) {
            (Some(percent), _) => fraction(percent),
            (None, Some(percent)) => json!({"numerator": percent, "denominator": "HUNDRED"}),
            (None, None) => json!({"numerator": 100, "denominator": "HUNDRED"}),
        };
        add(mirror, percent)?;
    }
    for mirror in list(&rule["mirrors"]) {
        known(mirror, "mirror", &["destination", "percentage"])?;
        let whole = json!({"numerator": 100, "denominator": "HUNDRED"});
        add(&mirror["destination"], mirror.get("percentage").map_or(whole, fraction))?;
    }
    Ok(out)
}

/// `ConsistentHashToHashPolicy` of the destination's rule.
fn hash_policy(objects: &Objects<'_>, destination: &Value) -> Result<Option<Value>> {
    let rule = clusters::rule(objects, text(&destination["host"]))?;
    let port = destination["port"]["number"].as_u64();
    let of = |policy: &Value| {
        let of_port =
            list(&policy["portLevelSettings"]).iter().find(|settings| settings["port"]["number"].as_u64() == port);
        let of_port =
            of_port.filter(|_| port.is_some()).map(|settings| settings["loadBalancer"]["consistentHash"].clone());
        [of_port.unwrap_or_default(), policy["loadBalancer"]["consistentHash"].clone()]
    };
    let [wide_port, wide] = of(rule.policy.unwrap_or(&Value::Null));
    let subset = rule.subsets.iter().find(|subset| subset["name"] == destination["subset"]);
    let [narrow_port, narrow] = of(subset.map_or(&Value::Null, |subset| &subset["trafficPolicy"]));
    let Some(hash) = [narrow_port, narrow, wide_port, wide].into_iter().find(|hash| !hash.is_null()) else {
        return Ok(None);
    };
    let fields = [
        "httpHeaderName",
        "httpCookie",
        "useSourceIp",
        "httpQueryParameterName",
        "minimumRingSize",
        "ringHash",
        "maglev",
    ];
    known(&hash, "consistent hash", &fields)?;
    Ok(if let Some(name) = hash.get("httpHeaderName") {
        Some(json!({"header": {"header_name": name}}))
    } else if let Some(cookie) = hash.get("httpCookie") {
        known(cookie, "cookie", &["name", "path", "ttl"])?;
        let mut policy = json!({"name": cookie["name"], "path": text(&cookie["path"])});
        if let Some(ttl) = cookie.get("ttl") {
            policy["ttl"] = duration(ttl)?.into();
        }
        Some(json!({"cookie": policy}))
    } else if let Some(name) = hash.get("httpQueryParameterName") {
        Some(json!({"query_parameter": {"name": name}}))
    } else {
        Some(json!({"connection_properties": {"source_ip": hash["useSourceIp"] == true}}))
    })
}

fn default_retries(consistent: bool) -> Value {
    let mut policy = json!({"num_retries": 2, "retry_on": DEFAULT_RETRY_ON, "host_selection_retry_max_attempts": 5});
    if !consistent {
        policy["retry_host_predicate"] = previous_hosts();
    }
    policy
}

fn previous_hosts() -> Value {
    let config =
        json!({"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"});
    json!([{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": config}])
}

/// `ConvertPolicy`.
fn retries(policy: Option<&Value>, consistent: bool) -> Result<Option<Value>> {
    let mut out = default_retries(consistent);
    let Some(policy) = policy else { return Ok(Some(out)) };
    let fields = ["attempts", "perTryTimeout", "retryOn", "retryIgnorePreviousHosts", "backoff"];
    known(policy, "retries", &fields)?;
    let attempts = policy["attempts"].as_u64().unwrap_or(0);
    if attempts == 0 {
        return Ok(None);
    }
    out["num_retries"] = attempts.into();
    let words = text(&policy["retryOn"]).split(',').map(str::trim).filter(|word| !word.is_empty());
    let (codes, mut words): (Vec<&str>, Vec<&str>) = words.partition(|word| word.parse::<u16>().is_ok());
    if !codes.is_empty() || !words.is_empty() {
        if !codes.is_empty() && !words.contains(&"retriable-status-codes") {
            words.push("retriable-status-codes");
        }
        out["retry_on"] = words.join(",").into();
        let codes: Vec<u16> = codes.iter().filter_map(|code| code.parse().ok()).collect();
        out["retriable_status_codes"] = codes.into();
    }
    if let Some(timeout) = policy.get("perTryTimeout") {
        out["per_try_timeout"] = duration(timeout)?.into();
    }
    if let Some(ignore) = policy.get("retryIgnorePreviousHosts") {
        out["retry_host_predicate"] = if ignore == true { previous_hosts() } else { json!([]) };
    }
    if let Some(backoff) = policy.get("backoff") {
        out["retry_back_off"] = json!({"base_interval": duration(backoff)?});
    }
    Ok(Some(out))
}

/// An Istio `Percent`.
fn fraction(percent: &Value) -> Value {
    let millionths = (percent["value"].as_f64().unwrap_or(0.0) * 10_000.0).round();
    // Through text, since what is left of the float is whole.
    json!({"numerator": format!("{millionths}").parse::<u32>().unwrap_or(0), "denominator": "MILLION"})
}

/// `TranslateFault`.
fn injection(fault: &Value) -> Result<Value> {
    known(fault, "fault", &["delay", "abort"])?;
    let mut out = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"});
    if let Some(delay) = fault.get("delay") {
        known(delay, "delay", &["percentage", "percent", "fixedDelay"])?;
        let percent = match delay.get("percentage") {
            Some(percent) => fraction(percent),
            None => json!({"numerator": delay["percent"].as_u64().unwrap_or(0), "denominator": "HUNDRED"}),
        };
        out["delay"] = json!({"fixed_delay": duration(&delay["fixedDelay"])?, "percentage": percent});
    }
    if let Some(abort) = fault.get("abort") {
        known(abort, "abort", &["percentage", "httpStatus", "grpcStatus"])?;
        out["abort"] = match abort.get("httpStatus") {
            Some(status) => json!({"http_status": status}),
            None => json!({"grpc_status": grpc_status(text(&abort["grpcStatus"]))?}),
        };
        if let Some(percent) = abort.get("percentage") {
            out["abort"]["percentage"] = fraction(percent);
        }
    }
    Ok(out)
}

/// gRPC's statuses by their number.
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn grpc_status(name: &str) -> Result<usize> {
    GRPC.iter().position(|known| *known == name).with_context(|| format!("no gRPC status: {name}"))
}

/// `TranslateCORSPolicy`.
fn cors_policy(cors: &Value) -> Result<Value> {
    let fields = [
        "allowOrigins",
        "allowOrigin",
        "allowMethods",
        "allowHeaders",
        "exposeHeaders",
        "maxAge",
        "allowCredentials",
        "unmatchedPreflights",
    ];
    known(cors, "corsPolicy", &fields)?;
    let join = |field: &str| list(&cors[field]).iter().map(text).collect::<Vec<_>>().join(",");
    let mut origins = list(&cors["allowOrigins"]).iter().map(string_match).collect::<Result<Vec<_>>>()?;
    if cors.get("allowOrigins").is_none() {
        origins.extend(list(&cors["allowOrigin"]).iter().map(|origin| json!({"exact": origin})));
    }
    let mut out = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": origins,
        "forward_not_matching_preflights": cors["unmatchedPreflights"] != "IGNORE",
        "filter_enabled": {"default_value": {"numerator": 100}},
        "allow_methods": join("allowMethods"),
        "allow_headers": join("allowHeaders"),
        "expose_headers": join("exposeHeaders"),
    });
    if let Some(allowed) = cors.get("allowCredentials") {
        out["allow_credentials"] = allowed.clone();
    }
    if let Some(age) = cors.get("maxAge") {
        let written = duration(age)?;
        out["max_age"] = written.trim_end_matches('s').split('.').next().unwrap_or_default().into();
    }
    Ok(out)
}

/// `TranslateHeadersOperations`.
struct Operations<'a> {
    fields: Map<String, Value>,
    /// What `Host` is set to.
    authority: Option<&'a Value>,
}

impl<'a> Operations<'a> {
    fn of(headers: &'a Value) -> Result<Self> {
        known(headers, "headers", &["request", "response"])?;
        let internal = |name: &str| name.starts_with(':') || name.eq_ignore_ascii_case("host");
        let is_authority = |name: &str| name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host");
        let mut fields = Map::new();
        for side in ["request", "response"] {
            let operations = &headers[side];
            known(operations, "headers", &["set", "add", "remove"])?;
            let mut added = Vec::new();
            for (field, action) in [("set", "OVERWRITE_IF_EXISTS_OR_ADD"), ("add", "APPEND_IF_EXISTS_OR_ADD")] {
                for (name, value) in entries(&operations[field]).filter(|(name, _)| !internal(name)) {
                    added.push(json!({"header": {"key": name, "value": value}, "append_action": action}));
                }
            }
            let removed: Vec<&Value> =
                list(&operations["remove"]).iter().filter(|name| !internal(text(name))).collect();
            fields.insert(format!("{side}_headers_to_add"), added.into());
            fields.insert(format!("{side}_headers_to_remove"), json!(removed));
        }
        let request = &headers["request"];
        // Of both, the one that is set.
        let authority = ["set", "add"].into_iter().find_map(|field| {
            let map = request.get(field)?.as_object()?;
            map.iter().find(|(name, _)| is_authority(name)).map(|(_, value)| value)
        });
        Ok(Self { fields, authority })
    }

    /// Appends to what is there already.
    fn put(&self, to: &mut Value) {
        for (name, added) in &self.fields {
            let mut all = list(&to[name.as_str()]).to_vec();
            all.extend(list(added).iter().cloned());
            if !all.is_empty() {
                to[name.as_str()] = all.into();
            }
        }
    }
}
