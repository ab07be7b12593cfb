//! What rules do (Istio, `TranslateRoute` and what it calls in `pilot/pkg/networking/core/route/route.go`), as far as it is the
//! same for whoever looks: destinations are still names.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use malha_manifest::istio::{
    self, Body, CorsPolicy, HeaderOperations, Headers, HttpRedirect, HttpRoute, RedirectPort as WrittenPort, Retries,
    UnmatchedPreflights,
};
use malha_routing::{
    Abort, Cors, Fault, HeaderChanges, PathRewrite, Pattern, Redirect, RedirectPath, RedirectPort, RetryOn,
    RetryPolicy, Rewrite, Share, Substitution,
};

use super::matching::text;
use super::registry::full_name;

/// Statuses of gRPC, by name (Istio, `pkg/util/grpc/codes.go`).
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

/// What a rule does.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) answer: Answer,
    pub(super) fault: Option<Fault>,
    pub(super) cors: Option<Cors>,
    pub(super) request_headers: HeaderChanges,
    pub(super) response_headers: HeaderChanges,
}

/// Who answers.
#[derive(Debug)]
pub(super) enum Answer {
    Forward(Forward),
    /// The port waits for the entrance: see [`Redirects`].
    Redirect(Redirects),
    Respond {
        status: StatusCode,
        body: Bytes,
    },
}

/// How a request is sent on.
#[derive(Debug)]
pub(super) struct Forward {
    /// Never empty.
    pub(super) destinations: Vec<Destination>,
    pub(super) rewrite: Rewrite,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<RetryPolicy>,
    /// Whether the manifest says that hosts that were tried are passed over, or not.
    pub(super) explicit_previous_hosts: bool,
    pub(super) mirrors: Vec<(Share, Target)>,
}

/// One of the places a rule sends to.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) weight: u32,
    pub(super) target: Target,
    pub(super) request_headers: HeaderChanges,
    pub(super) response_headers: HeaderChanges,
}

/// A service by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// In full.
    pub(super) host: String,
    /// As written.
    pub(super) written: String,
    pub(super) subset: String,
    pub(super) port: Option<u32>,
}

/// A redirect before it is known where requests come in.
#[derive(Debug)]
pub(super) struct Redirects {
    redirect: Redirect,
    port: Option<WrittenPort>,
}

impl Redirects {
    /// The redirect for requests that come in on `port`. A port that is the scheme's own is not written.
    pub(super) fn at(&self, port: u16, tls: bool) -> Redirect {
        let number = match self.port {
            Some(WrittenPort::Number(number)) => u16::try_from(number).ok(),
            Some(WrittenPort::FromRequestPort) => Some(port),
            // Envoy's own way.
            None | Some(WrittenPort::FromProtocolDefault) => None,
        };
        let scheme = self.redirect.scheme.as_deref().unwrap_or(if tls { "https" } else { "http" });
        let number = number.filter(|number| !matches!((number, scheme), (0, _) | (80, "http") | (443, "https")));
        Redirect { port: number.map_or(RedirectPort::Unchanged, RedirectPort::Number), ..self.redirect.clone() }
    }
}

/// The plan of a rule whose short names are those of `namespace`; `retries` are the mesh's own where the rule has none.
/// `notes` says what is not carried out without harm to the rest.
///
/// # Errors
/// The field, and why the rule cannot be carried out.
pub(super) fn plan(
    rule: &HttpRoute,
    namespace: &str,
    retries: Option<&Retries>,
    notes: &mut Vec<String>,
) -> Result<Plan, String> {
    let mut changes = changes(rule.headers.as_ref(), "headers")?;
    let answer = if let Some(redirect) = &rule.redirect {
        Answer::Redirect(self::redirect(redirect)?)
    } else if let Some(response) = &rule.direct_response {
        let status = u16::try_from(response.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        Answer::Respond {
            status: status
                .filter(|status| status.as_u16() >= 200 && status.as_u16() < 600)
                .ok_or_else(|| format!("directResponse.status: {} is no status", response.status))?,
            body: match response.body.clone() {
                None => Bytes::new(),
                Some(Body::String(text)) => text.into(),
                Some(Body::Bytes(bytes)) => bytes.into(),
            },
        }
    } else {
        Answer::Forward(forward(rule, namespace, retries, &mut changes, notes)?)
    };
    Ok(Plan {
        answer,
        fault: rule.fault.as_ref().map(|fault| self::fault(fault, notes)).transpose()?.flatten(),
        cors: rule.cors_policy.as_ref().map(cors).transpose()?,
        request_headers: changes.request,
        response_headers: changes.response,
    })
}

fn forward(
    rule: &HttpRoute,
    namespace: &str,
    retries: Option<&Retries>,
    changes: &mut Changes,
    notes: &mut Vec<String>,
) -> Result<Forward, String> {
    let mut rewrite = rewrite(rule)?;
    let mut destinations = Vec::new();
    let single = rule.route.len() == 1;
    for (index, route) in rule.route.iter().enumerate() {
        let weight = route.weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(0);
        // Alone, a destination takes everything; of several, those without weight or with weight zero get nothing.
        if !single && weight == 0 {
            continue;
        }
        let mut own = self::changes(route.headers.as_ref(), &format!("route[{index}].headers"))?;
        if single {
            // Envoy then knows one list: the rule's first.
            changes.request = std::mem::take(&mut changes.request).and(std::mem::take(&mut own.request));
            changes.response = std::mem::take(&mut changes.response).and(std::mem::take(&mut own.response));
        }
        destinations.push(Destination {
            weight: if single { 1 } else { weight },
            target: target(&route.destination, namespace),
            request_headers: own.request,
            response_headers: own.response,
        });
    }
    rewrite.authority = rewrite.authority.or_else(|| changes.request.authority.clone());
    if destinations.is_empty() {
        let why = if rule.route.is_empty() { "no destination" } else { "total destination weight = 0" };
        return Err(format!("route: {why}"));
    }
    let written = rule.retries.as_ref();
    Ok(Forward {
        destinations,
        rewrite,
        timeout: rule.timeout.filter(|timeout| !timeout.is_zero()),
        retry: retry(written.or(retries), notes),
        explicit_previous_hosts: written
            .or(retries)
            .is_some_and(|retries| retries.retry_ignore_previous_hosts.is_some()),
        mirrors: mirrors(rule, namespace),
    })
}

fn target(written: &istio::Destination, namespace: &str) -> Target {
    Target {
        host: full_name(&written.host, namespace),
        written: written.host.clone(),
        subset: written.subset.clone().unwrap_or_default(),
        port: written.port.map(|port| port.number),
    }
}

fn rewrite(rule: &HttpRoute) -> Result<Rewrite, String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let Some(written) = &rule.rewrite else { return Ok(Rewrite::default()) };
    let path = match (&written.uri_regex_rewrite, given(&written.uri)) {
        (Some(regex), _) => Some(PathRewrite::Regex {
            pattern: Pattern::new(&regex.r#match).map_err(|why| format!("rewrite.uriRegexRewrite.match: {why}"))?,
            substitution: Substitution::new(&regex.rewrite),
        }),
        (None, uri) => uri.map(PathRewrite::Matched),
    };
    Ok(Rewrite { path, authority: given(&written.authority) })
}

fn mirrors(rule: &HttpRoute, namespace: &str) -> Vec<(Share, Target)> {
    let percent = rule.mirror_percentage.map(|percent| percent.value).or(rule.mirror_percent.map(f64::from));
    let first = rule.mirror.as_ref().map(|mirror| (percent, mirror));
    let others =
        rule.mirrors.iter().map(|mirror| (mirror.percentage.map(|percent| percent.value), &mirror.destination));
    let share = |percent: Option<f64>| percent.map_or(Share::ALL, Share::percent);
    let all = first.into_iter().chain(others).map(|(percent, mirror)| (share(percent), target(mirror, namespace)));
    all.filter(|(share, _)| *share > Share::percent(0.0)).collect()
}

/// The retries of a rule (Istio, `ConvertPolicy`).
pub(super) fn retry(written: Option<&Retries>, notes: &mut Vec<String>) -> Option<RetryPolicy> {
    let mut policy = RetryPolicy::istio_default();
    let Some(written) = written else { return Some(policy) };
    policy.attempts = u32::try_from(written.attempts).ok().filter(|attempts| *attempts > 0)?;
    if let Some(on) = written.retry_on.as_deref().filter(|on| !on.is_empty()) {
        let (on, unknown) = RetryOn::parse(on);
        if !unknown.is_empty() {
            notes.push(format!(
                "retries.retryOn: nobody knows {}; Istio refuses the VirtualService",
                unknown.join(", ")
            ));
        }
        policy.on = on;
    }
    policy.per_try_timeout = written.per_try_timeout.filter(|timeout| !timeout.is_zero());
    if let Some(backoff) = written.backoff {
        policy.backoff = backoff;
    }
    if let Some(avoid) = written.retry_ignore_previous_hosts {
        policy.avoid_previous_hosts = avoid;
    }
    if written.retry_remote_localities == Some(true) {
        notes.push("retries.retryRemoteLocalities: not carried out; there is one locality".to_owned());
    }
    Some(policy)
}

fn redirect(written: &HttpRedirect) -> Result<Redirects, String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let code = written.redirect_code.unwrap_or(0);
    let status = Redirect::status(code)
        .ok_or_else(|| format!("redirect.redirectCode: {code} is none of 301, 302, 303, 307 and 308"))?;
    let prefix = given(&written.prefix_rewrite).map(RedirectPath::Prefix);
    let redirect = Redirect {
        status,
        scheme: given(&written.scheme),
        authority: given(&written.authority),
        port: RedirectPort::Unchanged,
        path: prefix.or_else(|| given(&written.uri).map(RedirectPath::Whole)),
    };
    Ok(Redirects { redirect, port: written.port })
}

fn fault(written: &istio::Fault, notes: &mut Vec<String>) -> Result<Option<Fault>, String> {
    let mut fault = Fault { delay: None, abort: None };
    if let Some(delay) = &written.delay {
        let share = match (delay.percentage, delay.percent) {
            (Some(percent), _) => Share::percent(percent.value),
            (None, percent) => Share::percent(f64::from(percent.unwrap_or(0))),
        };
        match delay.fixed_delay {
            Some(time) => fault.delay = Some((share, time)),
            None => notes.push("fault.delay: only fixedDelay is carried out, as in Istio".to_owned()),
        }
    }
    if let Some(abort) = &written.abort {
        let share = abort.percentage.map_or(Share::default(), |percent| Share::percent(percent.value));
        let kind = match (abort.http_status, abort.grpc_status.as_deref()) {
            (Some(status), _) => Some(Abort::Http(
                u16::try_from(status)
                    .ok()
                    .filter(|status| (200..600).contains(status))
                    .ok_or_else(|| format!("fault.abort.httpStatus: {status} is no status"))?,
            )),
            (None, Some(name)) => Some(Abort::Grpc(
                grpc_status(name).ok_or_else(|| format!("fault.abort.grpcStatus: {name} is no status of gRPC"))?,
            )),
            (None, None) => {
                notes.push("fault.abort: only httpStatus and grpcStatus are carried out, as in Istio".to_owned());
                None
            }
        };
        fault.abort = kind.map(|kind| (share, kind));
    }
    Ok((fault.delay.is_some() || fault.abort.is_some()).then_some(fault))
}

fn grpc_status(name: &str) -> Option<u32> {
    let known = GRPC.iter().position(|known| *known == name).and_then(|code| u32::try_from(code).ok());
    known.or_else(|| name.parse().ok().filter(|code| *code <= 16))
}

fn cors(written: &CorsPolicy) -> Result<Cors, String> {
    let value = |field: &str, text: String| {
        let made = (!text.is_empty()).then(|| HeaderValue::try_from(text));
        made.transpose().map_err(|_| format!("corsPolicy.{field}: is no value of a header"))
    };
    let origins = if written.allow_origins.is_empty() {
        written.allow_origin.iter().map(|origin| Ok(malha_routing::TextMatch::Exact(origin.clone()))).collect()
    } else {
        written.allow_origins.iter().map(text).collect::<Result<Vec<_>, _>>()
    };
    Ok(Cors {
        origins: origins.map_err(|why| format!("corsPolicy.allowOrigins: {why}"))?,
        methods: value("allowMethods", written.allow_methods.join(","))?,
        headers: value("allowHeaders", written.allow_headers.join(","))?,
        exposed: value("exposeHeaders", written.expose_headers.join(","))?,
        max_age: written.max_age.map(|age| HeaderValue::from(age.as_secs())),
        credentials: written.allow_credentials == Some(true),
        forward_unmatched: written.unmatched_preflights != Some(UnmatchedPreflights::Ignore),
    })
}

/// Changes of both ways.
#[derive(Debug, Default)]
struct Changes {
    request: HeaderChanges,
    response: HeaderChanges,
}

fn changes(written: Option<&Headers>, field: &str) -> Result<Changes, String> {
    let side = |operations: Option<&HeaderOperations>, side: &str| {
        let Some(operations) = operations else { return Ok(HeaderChanges::default()) };
        let set = operations.set.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let add = operations.add.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let remove = operations.remove.iter().map(String::as_str);
        HeaderChanges::new(set, add, remove).map_err(|why| format!("{field}.{side}: {why}"))
    };
    Ok(Changes {
        request: side(written.and_then(|written| written.request.as_ref()), "request")?,
        response: side(written.and_then(|written| written.response.as_ref()), "response")?,
    })
}
