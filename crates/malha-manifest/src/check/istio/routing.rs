//! Rules of `Gateway` and `VirtualService` (`ValidateGateway`, `ValidateVirtualService`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::common::{PROTOCOLS, at_least_1ms, export_to};
use crate::check::Checker;
use crate::decode::did_you_mean;
use crate::istio::{
    CorsPolicy, Destination, Fault, Gateway, Headers, HttpMatch, HttpRedirect, HttpRoute, Percent, RedirectPort,
    Retries, RouteDestination, Server, StringMatch, TlsMode, VirtualService,
};
use crate::names;
use crate::path::FieldPath;

/// Conditions of a retry: Envoy's, then gRPC's (`supportedRetryOnPolicies`).
const RETRY_ON: &[&str] = &[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// Statuses that have a name in Go's `net/http`: others are not retried on.
const KNOWN_STATUSES: &[RangeInclusive<u16>] = &[
    100..=103,
    200..=208,
    226..=226,
    300..=305,
    307..=308,
    400..=418,
    421..=426,
    428..=429,
    431..=431,
    451..=451,
    500..=508,
    510..=511,
];

/// Statuses of gRPC (`doc/statuscodes.md` of grpc/grpc).
const GRPC_STATUSES: &[&str] = &[
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

pub(in crate::check) fn gateway(checker: &mut Checker<'_>, gateway: &Gateway) {
    checker.labels(&FieldPath::parse("spec.selector"), Some(&gateway.selector));
    if gateway.servers.is_empty() {
        checker.error("spec.servers", "a gateway needs at least one server");
    }
    let at = |index: usize| FieldPath::parse("spec.servers").item(index);
    for (index, one) in gateway.servers.iter().enumerate() {
        server(checker, &at(index), one);
    }
    checker.unique(
        "port name",
        gateway
            .servers
            .iter()
            .enumerate()
            .map(|(index, one)| (at(index).field("port").field("name"), one.port.name.as_str())),
    );
}

fn server(checker: &mut Checker<'_>, path: &FieldPath, server: &Server) {
    let port = path.field("port");
    checker.port(port.field("number"), server.port.number.into());
    checker.required(port.field("name"), &server.port.name);
    if server.port.target_port.is_some_and(|port| port > 0) {
        checker.error(port.field("targetPort"), "targetPort has no impact on Gateways").help("leave it out");
    }
    if checker.required(port.field("protocol"), &server.port.protocol) {
        checker.word(port.field("protocol"), &server.port.protocol.to_uppercase(), PROTOCOLS);
    }
    if server.hosts.is_empty() {
        checker.error(path.field("hosts"), "a server needs at least one host").help("`\"*\"` stands for any");
    }
    for (index, host) in server.hosts.iter().enumerate() {
        let place = path.field("hosts").item(index);
        if host.contains("://") {
            checker.error(&place, format!("`{host}` is a URL, not a host")).help("write the name alone");
            continue;
        }
        let (namespace, name) =
            host.split_once('/').map_or((None, host.as_str()), |(namespace, name)| (Some(namespace), name));
        if let Some(namespace) = namespace.filter(|namespace| !matches!(*namespace, "*" | ".")) {
            checker.name(&place, namespace, names::LABEL);
        }
        checker.name(&place, name, names::HOST);
    }
    let secure = matches!(server.port.protocol.to_uppercase().as_str(), "HTTPS" | "TLS");
    match &server.tls {
        None if secure => {
            let message = format!("server must have TLS settings for {} protocol", server.port.protocol);
            checker.error(path.field("tls"), message);
        }
        Some(tls) => {
            let path = path.field("tls");
            if !secure && tls.mode.is_some() && server.port.protocol.to_uppercase() != "TCP" {
                let message = format!(
                    "server cannot have TLS settings for non HTTPS/TLS ports (protocol {})",
                    server.port.protocol
                );
                checker.error(&path, message).help("`httpsRedirect` alone is allowed");
            }
            if tls.https_redirect && server.port.protocol.to_uppercase() != "HTTP" {
                checker.error(path.field("httpsRedirect"), "belongs to a port of protocol HTTP");
            }
            let named =
                tls.credential_name.is_some() || !tls.credential_names.is_empty() || !tls.tls_certificates.is_empty();
            let own = matches!(tls.mode, Some(TlsMode::Simple | TlsMode::Mutual | TlsMode::OptionalMutual));
            if secure && own && !named && (tls.server_certificate.is_none() || tls.private_key.is_none()) {
                checker
                    .error(&path, "a certificate is needed")
                    .help("`credentialName` names a Secret of type kubernetes.io/tls");
            }
        }
        None => {}
    }
}

pub(in crate::check) fn virtual_service(checker: &mut Checker<'_>, service: &VirtualService) {
    let root = FieldPath::parse("spec");
    // Without hosts it is a part of another one, which delegates to it.
    let delegate = service.hosts.is_empty();
    if delegate && service.http.is_empty() {
        checker.error("spec.hosts", "required, and not set").help("`\"*\"` with a gateway stands for any host");
    }
    let mesh = service.gateways.is_empty() || service.gateways.iter().any(|gateway| gateway == "mesh");
    for (index, host) in service.hosts.iter().enumerate() {
        let place = root.field("hosts").item(index);
        checker.name(&place, host, names::HOST);
        if host == "*" && mesh {
            checker
                .error(&place, "wildcard host * is not allowed for virtual services bound to the mesh gateway")
                .help("name the gateway in `spec.gateways`");
        }
    }
    for (index, host) in service.hosts.iter().enumerate() {
        if let Some(other) = service.hosts[..index].iter().find(|other| overlap(other, host)) {
            let message = format!("duplicate hosts in virtual service: {other} & {host}");
            checker.error(root.field("hosts").item(index), message).help("keep the wider one of them");
        }
    }
    gateways(checker, &root.field("gateways"), &service.gateways);
    if delegate {
        for (field, set) in [
            ("gateways", !service.gateways.is_empty()),
            ("tls", !service.tls.is_empty()),
            ("tcp", !service.tcp.is_empty()),
        ] {
            if set {
                checker.error_at_key(
                    root.field(field),
                    format!("delegate virtual service must have no {field} specified"),
                );
            }
        }
    }
    export_to(checker, &service.export_to, false);
    if service.http.is_empty() && service.tls.is_empty() && service.tcp.is_empty() {
        checker.error("spec", "http, tcp or tls must be provided in virtual service");
    }
    for (index, route) in service.http.iter().enumerate() {
        http_route(checker, &root.field("http").item(index), route, delegate);
    }
    let connections = (service.tls.iter().enumerate().map(|(index, rule)| ("tls", index, &rule.route)))
        .chain(service.tcp.iter().enumerate().map(|(index, rule)| ("tcp", index, &rule.route)));
    for (field, index, destinations) in connections {
        let path = root.field(field).item(index).field("route");
        let weights: Vec<_> = destinations.iter().map(|one| one.weight).collect();
        self::weights(checker, &path, &weights);
        for (index, one) in destinations.iter().enumerate() {
            destination(checker, &path.item(index).field("destination"), &one.destination);
        }
    }
}

/// Whether some host is meant by both: the same name, or one inside the other's wildcard (`host.Name.Matches`).
fn overlap(one: &str, other: &str) -> bool {
    let covers = |wide: &str, narrow: &str| wide.strip_prefix('*').is_some_and(|end| narrow.ends_with(end));
    one == other || covers(one, other) || covers(other, one)
}

/// `name`, `namespace/name`, or the word `mesh`.
fn gateways(checker: &mut Checker<'_>, path: &FieldPath, gateways: &[String]) {
    for (index, gateway) in gateways.iter().enumerate() {
        let place = path.item(index);
        let (namespace, name) =
            gateway.split_once('/').map_or((None, gateway.as_str()), |(namespace, name)| (Some(namespace), name));
        if let Some(namespace) = namespace.filter(|namespace| *namespace != ".") {
            checker.name(&place, namespace, names::LABEL);
        }
        checker.name(&place, name, names::SUBDOMAIN);
    }
}

fn http_route(checker: &mut Checker<'_>, path: &FieldPath, route: &HttpRoute, delegate: bool) {
    one_action(checker, path, route, delegate);
    for (index, condition) in route.r#match.iter().enumerate() {
        http_match(checker, &path.field("match").item(index), condition);
    }
    let weights: Vec<_> = route.route.iter().map(|one| one.weight).collect();
    self::weights(checker, &path.field("route"), &weights);
    for (index, one) in route.route.iter().enumerate() {
        route_destination(checker, &path.field("route").item(index), one);
    }
    if let Some(redirect) = &route.redirect {
        self::redirect(checker, &path.field("redirect"), redirect);
    }
    if let Some(response) = &route.direct_response
        && !(200..600).contains(&response.status)
    {
        let place = path.field("directResponse").field("status");
        checker
            .error(&place, format!("{} is not a status to answer with", response.status))
            .help("allowed: 200 to 599");
    }
    if let Some(rewrite) = &route.rewrite {
        let place = path.field("rewrite");
        if rewrite.uri.is_some() && rewrite.uri_regex_rewrite.is_some() {
            checker.error(&place, "rewrite may only contain one of URI or UriRegexRewrite");
        }
        if let Some(regex) = &rewrite.uri_regex_rewrite {
            let place = place.field("uriRegexRewrite");
            checker.required(place.field("match"), &regex.r#match);
            checker.required(place.field("rewrite"), &regex.rewrite);
            if regex.r#match.len() > 1024 {
                checker.error(place.field("match"), "regex is too large, max length allowed is 1024");
            }
        }
        if rewrite.uri.is_none() && rewrite.uri_regex_rewrite.is_none() && rewrite.authority.is_none() {
            checker.error(&place, "rewrite must specify at least one of URI, UriRegexRewrite, or authority");
        }
    }
    at_least_1ms(checker, &path.field("timeout"), route.timeout);
    if let Some(retries) = &route.retries {
        self::retries(checker, &path.field("retries"), retries);
    }
    if let Some(fault) = &route.fault {
        self::fault(checker, &path.field("fault"), fault);
    }
    if let Some(mirror) = &route.mirror {
        destination(checker, &path.field("mirror"), mirror);
    }
    percent(checker, &path.field("mirrorPercentage"), route.mirror_percentage);
    if let Some(share) = route.mirror_percent.filter(|share| *share > 100) {
        checker.error(path.field("mirrorPercent"), format!("{share} is more than 100 percent"));
    }
    for (index, mirror) in route.mirrors.iter().enumerate() {
        let place = path.field("mirrors").item(index);
        destination(checker, &place.field("destination"), &mirror.destination);
        percent(checker, &place.field("percentage"), mirror.percentage);
    }
    if let Some(policy) = &route.cors_policy {
        cors(checker, &path.field("corsPolicy"), policy);
    }
    headers(checker, &path.field("headers"), route.headers.as_ref());
}

/// A rule does one thing with a request (`validateHTTPRouteConflict`).
fn one_action(checker: &mut Checker<'_>, path: &FieldPath, route: &HttpRoute, delegate: bool) {
    let actions: Vec<_> = [
        ("route", !route.route.is_empty()),
        ("redirect", route.redirect.is_some()),
        ("directResponse", route.direct_response.is_some()),
        ("delegate", route.delegate.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect();
    match actions.as_slice() {
        [] => checker
            .error(path, "HTTP route, redirect or direct_response is required")
            .help("write under `route` where requests go"),
        [_] => {}
        [first, .., last] => {
            checker.error_at_key(path.field(*last), format!("HTTP route cannot contain both {first} and {last}"));
        }
    }
    let answered = [("redirect", route.redirect.is_some()), ("direct_response", route.direct_response.is_some())];
    for (name, _) in answered.into_iter().filter(|(_, there)| *there) {
        if route.fault.is_some() {
            checker.error_at_key(path.field("fault"), format!("HTTP route cannot contain both fault and {name}"));
        }
        if route.rewrite.is_some() {
            checker
                .error_at_key(path.field("rewrite"), format!("HTTP route rule cannot contain both rewrite and {name}"));
        }
    }
    if delegate && route.delegate.is_some() {
        checker.error_at_key(path.field("delegate"), "delegate HTTP route cannot contain delegate");
    }
}

fn http_match(checker: &mut Checker<'_>, path: &FieldPath, condition: &HttpMatch) {
    let texts = [
        ("uri", &condition.uri),
        ("scheme", &condition.scheme),
        ("method", &condition.method),
        ("authority", &condition.authority),
    ];
    for (field, text) in texts {
        if *text == Some(StringMatch::Present) {
            checker.error(path.field(field), "says nothing to compare with").help("one of `exact`, `prefix`, `regex`");
        } else if let Some(text) = text {
            string_match(checker, &path.field(field), text);
        }
    }
    for (field, map) in [
        ("headers", &condition.headers),
        ("withoutHeaders", &condition.without_headers),
        ("queryParams", &condition.query_params),
    ] {
        for (name, text) in map {
            let place = path.field(field).field(name);
            if field != "queryParams" {
                header_name(checker, &place, name, true);
            }
            string_match(checker, &place, text);
        }
    }
    if let Some(port) = condition.port {
        checker.port(path.field("port"), port.into());
    }
    checker.labels(&path.field("sourceLabels"), Some(&condition.source_labels));
    if let Some(namespace) = &condition.source_namespace {
        checker.name(path.field("sourceNamespace"), namespace, names::LABEL);
    }
    gateways(checker, &path.field("gateways"), &condition.gateways);
}

/// `validateStringMatch` and `validateStringMatchRegexp`. An empty exact text can be meant: a header without value.
fn string_match(checker: &mut Checker<'_>, path: &FieldPath, text: &StringMatch) {
    match text {
        StringMatch::Prefix(prefix) if prefix.is_empty() => checker
            .error(path.field("prefix"), "prefix string match should not be empty")
            .help("leave the condition out to match everything"),
        StringMatch::Regex(regex) if regex.is_empty() => {
            checker.error(path.field("regex"), "regex string match should not be empty");
        }
        StringMatch::Regex(regex) if regex.len() > 1024 => {
            checker.error(path.field("regex"), "regex is too large, max length allowed is 1024");
        }
        _ => {}
    }
}

fn route_destination(checker: &mut Checker<'_>, path: &FieldPath, one: &RouteDestination) {
    destination(checker, &path.field("destination"), &one.destination);
    headers(checker, &path.field("headers"), one.headers.as_ref());
}

fn destination(checker: &mut Checker<'_>, path: &FieldPath, destination: &Destination) {
    let host = &destination.host;
    if host.is_empty() {
        checker.error(path.field("host"), "required, and not set").help("the name of a Service");
    } else if host == "*" {
        checker.error(path.field("host"), format!("invalid destination host {host}"));
    } else {
        checker.name(path.field("host"), host, names::HOST);
    }
    if let Some(subset) = &destination.subset {
        checker.name(path.field("subset"), subset, names::MESH_LABEL);
    }
    if let Some(port) = destination.port {
        checker.port(path.field("port").field("number"), port.number.into());
    }
}

/// Shares among destinations: none negative, and not all zero.
fn weights(checker: &mut Checker<'_>, path: &FieldPath, weights: &[Option<i32>]) {
    for (index, weight) in weights.iter().enumerate() {
        if let Some(weight) = weight.filter(|weight| *weight < 0) {
            checker.error(path.item(index).field("weight"), format!("weight {weight} < 0"));
        }
    }
    if weights.len() > 1 && weights.iter().all(|weight| weight.unwrap_or(0) == 0) {
        checker.error(path, "total destination weight = 0").help("give each destination a `weight`");
    }
}

fn redirect(checker: &mut Checker<'_>, path: &FieldPath, redirect: &HttpRedirect) {
    if redirect == &HttpRedirect::default() {
        checker.error(path, "redirect must specify URI, authority, scheme, or response code");
    }
    if let Some(code) = redirect.redirect_code.filter(|code| ![0, 301, 302, 303, 307, 308].contains(code)) {
        let message = format!("{code} is not a status of a redirect");
        checker.error(path.field("redirectCode"), message).help("allowed: 301, 302, 303, 307, 308");
    }
    if let Some(scheme) = &redirect.scheme {
        checker.word(path.field("scheme"), scheme, &["http", "https"]);
    }
    if let Some(RedirectPort::Number(port)) = redirect.port {
        checker.port(path.field("port"), port.into());
    }
    if redirect.uri.is_some() && redirect.prefix_rewrite.is_some() {
        checker.error(path.field("prefixRewrite"), "may not be set beside `uri`").help("keep one of them");
    }
}

/// `validateHTTPRetry`
pub(in crate::check) fn retries(checker: &mut Checker<'_>, path: &FieldPath, retries: &Retries) {
    if retries.attempts < 0 {
        checker.error(path.field("attempts"), "attempts cannot be negative");
    }
    if retries.attempts == 0
        && (retries.per_try_timeout.is_some()
            || retries.retry_on.is_some()
            || retries.retry_remote_localities.is_some())
    {
        checker
            .error(path, "http retry policy configured when attempts are set to 0 (disabled)")
            .help("write `attempts`, or leave the rest out");
    }
    for condition in retries.retry_on.iter().filter(|text| !text.is_empty()).flat_map(|text| text.split(',')) {
        let status =
            condition.parse::<u16>().is_ok_and(|status| KNOWN_STATUSES.iter().any(|known| known.contains(&status)));
        if !status && !RETRY_ON.contains(&condition) {
            checker.error(path.field("retryOn"), format!("\"{condition}\" is not a valid retryOn policy")).help(
                "conditions and statuses stand between commas without spaces; the conditions are Envoy's and gRPC's",
            );
        }
    }
    at_least_1ms(checker, &path.field("perTryTimeout"), retries.per_try_timeout);
    at_least_1ms(checker, &path.field("backoff"), retries.backoff);
}

fn fault(checker: &mut Checker<'_>, path: &FieldPath, fault: &Fault) {
    if fault.abort.is_none() && fault.delay.is_none() {
        checker.error(path, "HTTP fault injection must have an abort and/or a delay");
    }
    if let Some(abort) = &fault.abort {
        let path = path.field("abort");
        let kinds = [abort.http_status.is_some(), abort.grpc_status.is_some(), abort.http2_error.is_some()];
        if kinds.iter().filter(|there| **there).count() != 1 {
            checker.error(&path, "must say one status").help("one of `httpStatus`, `grpcStatus`");
        }
        if let Some(status) = abort.grpc_status.as_ref().filter(|status| !GRPC_STATUSES.contains(&status.as_str())) {
            checker
                .error(path.field("grpcStatus"), format!("gRPC status \"{status}\" is not supported"))
                .help(did_you_mean(status, GRPC_STATUSES));
        }
        if let Some(status) = abort.http_status.filter(|status| !(200..=600).contains(status)) {
            checker
                .error(path.field("httpStatus"), format!("invalid abort http status {status}"))
                .help("allowed: 200 to 600");
        }
        if abort.http2_error.is_some() {
            checker.error(path.field("http2Error"), "Istio does not carry this out");
        }
        percent(checker, &path.field("percentage"), abort.percentage);
    }
    if let Some(delay) = &fault.delay {
        let path = path.field("delay");
        if delay.exponential_delay.is_some() {
            checker.error(path.field("exponentialDelay"), "Istio does not carry this out").help("write `fixedDelay`");
        } else if delay.fixed_delay.is_none() {
            checker.error(path.field("fixedDelay"), "required, and not set");
        }
        at_least_1ms(checker, &path.field("fixedDelay"), delay.fixed_delay);
        percent(checker, &path.field("percentage"), delay.percentage);
        if let Some(share) = delay.percent.filter(|share| !(0..=100).contains(share)) {
            checker.error(path.field("percent"), format!("percentage {share} is not in range 0..100"));
        }
    }
}

fn cors(checker: &mut Checker<'_>, path: &FieldPath, policy: &CorsPolicy) {
    for (index, origin) in policy.allow_origins.iter().enumerate() {
        string_match(checker, &path.field("allowOrigins").item(index), origin);
    }
    for (index, method) in policy.allow_methods.iter().enumerate() {
        const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"];
        checker.word(path.field("allowMethods").item(index), method, METHODS);
    }
    for (field, names) in [("allowHeaders", &policy.allow_headers), ("exposeHeaders", &policy.expose_headers)] {
        for (index, name) in names.iter().enumerate().filter(|(_, name)| *name != "*") {
            header_name(checker, &path.field(field).item(index), name, false);
        }
    }
    at_least_1ms(checker, &path.field("maxAge"), policy.max_age);
}

fn headers(checker: &mut Checker<'_>, path: &FieldPath, headers: Option<&Headers>) {
    let Some(headers) = headers else { return };
    for (way, operations) in [("request", &headers.request), ("response", &headers.response)] {
        let Some(operations) = operations else { continue };
        let path = path.field(way);
        let maps: [(&str, &BTreeMap<String, String>); 2] = [("set", &operations.set), ("add", &operations.add)];
        for (field, map) in maps {
            for name in map.keys() {
                // A request's authority may be set, under either of its names.
                let authority =
                    way == "request" && (name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority"));
                if !authority {
                    header_name(checker, &path.field(field).field(name), name, false);
                }
            }
        }
        for (index, name) in operations.remove.iter().enumerate() {
            header_name(checker, &path.field("remove").item(index), name, false);
        }
    }
}

/// A header's name (RFC 9110, 5.1: a token); where `pseudo`, also `:method` and the like and Istio's `@request.auth.…`.
fn header_name(checker: &mut Checker<'_>, path: &FieldPath, name: &str, pseudo: bool) {
    let plain = if pseudo { name.strip_prefix([':', '@']).unwrap_or(name) } else { name };
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c) || (pseudo && "[]/:".contains(c));
    if plain.is_empty() || !plain.chars().all(token) {
        checker.error_at_key(path, format!("`{name}` is not the name of a header"));
    } else if !pseudo && name.eq_ignore_ascii_case("host") {
        checker
            .error_at_key(path, "`host` cannot be changed here")
            .help("`rewrite.authority` changes the host of a request");
    }
}

fn percent(checker: &mut Checker<'_>, path: &FieldPath, percent: Option<Percent>) {
    if let Some(Percent { value }) = percent
        && !(0.0..=100.0).contains(&value)
    {
        checker.error(path.field("value"), format!("{value} is not a percentage")).help("allowed: 0 to 100");
    }
}
