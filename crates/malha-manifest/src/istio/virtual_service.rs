//! `VirtualService`: where requests for a host go, and what happens to them on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration;
use super::string_match::StringMatch;

/// `spec` of a `VirtualService`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct VirtualService {
    /// Hosts that this is for: names, `*.name`, or `*`; short names are of the object's namespace.
    pub hosts: Vec<String>,
    /// Gateways that this is for: `name` or `namespace/name`; `mesh` means the sidecars, and is what none at all means.
    pub gateways: Vec<String>,
    /// Rules for HTTP, the first that matches wins.
    pub http: Vec<HttpRoute>,
    /// Rules for TLS that is passed through.
    pub tls: Vec<TlsRoute>,
    /// Rules for other TCP.
    pub tcp: Vec<TcpRoute>,
    /// Namespaces that see this: `.`, `*`, or names.
    pub export_to: Vec<String>,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRoute {
    /// Name, for logs.
    pub name: Option<String>,
    /// Conditions, any of which is enough; none at all takes everything.
    pub r#match: Vec<HttpMatch>,
    /// Where matching requests go.
    pub route: Vec<RouteDestination>,
    /// Answer with a redirect instead.
    pub redirect: Option<HttpRedirect>,
    /// Answer with this instead.
    pub direct_response: Option<DirectResponse>,
    /// Let another virtual service decide.
    pub delegate: Option<Delegate>,
    /// Change the URI or the authority on the way.
    pub rewrite: Option<HttpRewrite>,
    /// Time for the whole request with all tries; off when missing.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub timeout: Option<Duration>,
    /// Tries after a failure.
    pub retries: Option<Retries>,
    /// Faults to inject.
    pub fault: Option<Fault>,
    /// Where a copy of each request goes.
    pub mirror: Option<Destination>,
    /// Several places for copies.
    pub mirrors: Vec<Mirror>,
    /// Share of requests copied to `mirror`, in whole percent (old).
    #[serde(alias = "mirror_percent")]
    pub mirror_percent: Option<u32>,
    /// Share of requests copied to `mirror`.
    pub mirror_percentage: Option<Percent>,
    /// Cross-origin rules.
    pub cors_policy: Option<CorsPolicy>,
    /// Headers to change.
    pub headers: Option<Headers>,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpMatch {
    /// Name, appended to the rule's in logs.
    pub name: Option<String>,
    /// The path.
    pub uri: Option<StringMatch>,
    /// `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// The method.
    pub method: Option<StringMatch>,
    /// Host and port asked for.
    pub authority: Option<StringMatch>,
    /// Headers that must match.
    pub headers: BTreeMap<String, StringMatch>,
    /// Headers that must not match.
    pub without_headers: BTreeMap<String, StringMatch>,
    /// Query parameters that must match.
    pub query_params: BTreeMap<String, StringMatch>,
    /// Whether `uri` exact and prefix ignore case.
    pub ignore_uri_case: bool,
    /// Port asked for.
    pub port: Option<u32>,
    /// Labels of the calling pod.
    pub source_labels: BTreeMap<String, String>,
    /// Namespace of the calling pod.
    pub source_namespace: Option<String>,
    /// Gateways that this condition is for, instead of the virtual service's own.
    pub gateways: Vec<String>,
    /// Prefix for statistics.
    pub stat_prefix: Option<String>,
}

/// One destination of a rule, with its share.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteDestination {
    /// Where to.
    pub destination: Destination,
    /// Share among the rule's destinations. Alone, a destination takes everything.
    pub weight: Option<i32>,
    /// Headers to change.
    pub headers: Option<Headers>,
}

/// A service, or a subset of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Destination {
    /// The service's name; short names are of the virtual service's namespace.
    pub host: String,
    /// A subset that a `DestinationRule` names.
    pub subset: Option<String>,
    /// Port of the service; may be missing when it has only one.
    pub port: Option<PortSelector>,
}

/// A port by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PortSelector {
    /// The number.
    pub number: u32,
}

/// Redirect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "RedirectWritten")]
#[schemars(with = "RedirectWritten")]
pub struct HttpRedirect {
    /// New path; replaces the whole.
    pub uri: Option<String>,
    /// New path prefix; replaces what matched.
    pub prefix_rewrite: Option<String>,
    /// New authority.
    pub authority: Option<String>,
    /// New port.
    pub port: Option<RedirectPort>,
    /// New scheme.
    pub scheme: Option<String>,
    /// Status; 301 when missing.
    pub redirect_code: Option<u32>,
}

/// Port of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectPort {
    /// This one (`port`).
    Number(u32),
    /// The scheme's own (`derivePort: FROM_PROTOCOL_DEFAULT`).
    FromProtocolDefault,
    /// That of the request (`derivePort: FROM_REQUEST_PORT`).
    FromRequestPort,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(default, rename_all = "camelCase")]
struct RedirectWritten {
    /// New path; replaces the whole.
    uri: Option<String>,
    /// New path prefix; replaces what matched.
    prefix_rewrite: Option<String>,
    /// New authority.
    authority: Option<String>,
    /// New port.
    port: Option<u32>,
    /// New port, out of the request or the scheme; not beside `port`.
    derive_port: Option<DerivePort>,
    /// New scheme.
    scheme: Option<String>,
    /// Status; 301 when missing.
    redirect_code: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum DerivePort {
    /// The scheme's own.
    FromProtocolDefault,
    /// That of the request.
    FromRequestPort,
}

impl TryFrom<RedirectWritten> for HttpRedirect {
    type Error = &'static str;

    fn try_from(written: RedirectWritten) -> Result<Self, Self::Error> {
        let port = match (written.port, written.derive_port) {
            (Some(_), Some(_)) => return Err("`port` and `derivePort` exclude each other; keep one"),
            (Some(number), None) => Some(RedirectPort::Number(number)),
            (None, Some(DerivePort::FromProtocolDefault)) => Some(RedirectPort::FromProtocolDefault),
            (None, Some(DerivePort::FromRequestPort)) => Some(RedirectPort::FromRequestPort),
            (None, None) => None,
        };
        let RedirectWritten { uri, prefix_rewrite, authority, scheme, redirect_code, .. } = written;
        Ok(Self { uri, prefix_rewrite, authority, port, scheme, redirect_code })
    }
}

/// An answer without any service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct DirectResponse {
    /// Status.
    pub status: u32,
    /// Body.
    pub body: Option<Body>,
}

/// Body of a [`DirectResponse`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "BodyWritten")]
#[schemars(with = "BodyWritten")]
pub enum Body {
    /// A text.
    String(String),
    /// Bytes, written in base64.
    Bytes(Vec<u8>),
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(default)]
struct BodyWritten {
    /// A text.
    string: Option<String>,
    /// Bytes, in base64.
    #[schemars(with = "Option<String>")]
    bytes: Option<k8s_openapi::ByteString>,
}

impl TryFrom<BodyWritten> for Body {
    type Error = &'static str;

    fn try_from(written: BodyWritten) -> Result<Self, Self::Error> {
        match (written.string, written.bytes) {
            (Some(_), Some(_)) => Err("`string` and `bytes` exclude each other; keep one"),
            (None, Some(bytes)) => Ok(Self::Bytes(bytes.0)),
            (text, None) => Ok(Self::String(text.unwrap_or_default())),
        }
    }
}

/// Another virtual service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Delegate {
    /// Its name.
    pub name: String,
    /// Its namespace; the own one when missing.
    pub namespace: Option<String>,
}

/// Rewrite.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRewrite {
    /// New path: replaces the matched prefix, or the whole path of an exact or regex match.
    pub uri: Option<String>,
    /// New authority.
    pub authority: Option<String>,
    /// New path by regular expression.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// A regular expression and what replaces its matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RegexRewrite {
    /// RE2 expression.
    pub r#match: String,
    /// Replacement; `\1` stands for the first group.
    pub rewrite: String,
}

/// Tries after a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Retries {
    /// Tries after the first; 0 switches retries off.
    pub attempts: i32,
    /// Time for each try.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub per_try_timeout: Option<Duration>,
    /// Comma-separated conditions, in Envoy's and gRPC's words, and status codes.
    pub retry_on: Option<String>,
    /// Whether a try may leave the locality.
    pub retry_remote_localities: Option<bool>,
    /// Whether a try avoids hosts that were tried; yes when missing.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// Base of the waiting time between tries; 25 ms when missing.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub backoff: Option<Duration>,
}

/// Faults to inject.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Fault {
    /// Wait first.
    pub delay: Option<FaultDelay>,
    /// Answer with an error instead of asking the service.
    pub abort: Option<FaultAbort>,
}

/// Delay.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct FaultDelay {
    /// How long.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub fixed_delay: Option<Duration>,
    /// Declared by Istio, never carried out by it.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub exponential_delay: Option<Duration>,
    /// Share of requests; missing means none.
    pub percentage: Option<Percent>,
    /// Share in whole percent (old).
    pub percent: Option<i32>,
}

/// Abort.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct FaultAbort {
    /// Status to answer.
    pub http_status: Option<i32>,
    /// gRPC status to answer, by name or number.
    pub grpc_status: Option<String>,
    /// Declared by Istio, never carried out by it.
    pub http2_error: Option<String>,
    /// Share of requests; missing means none.
    pub percentage: Option<Percent>,
}

/// A share, 0 to 100 with a fraction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Percent {
    /// Percent.
    pub value: f64,
}

/// A place for copies of requests.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Mirror {
    /// Where to.
    pub destination: Destination,
    /// Share of requests; missing means all.
    pub percentage: Option<Percent>,
}

/// Cross-origin rules.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CorsPolicy {
    /// Origins, exact (old).
    pub allow_origin: Vec<String>,
    /// Origins.
    pub allow_origins: Vec<StringMatch>,
    /// Methods.
    pub allow_methods: Vec<String>,
    /// Request headers.
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<String>,
    /// How long a browser may keep the answer to a preflight.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub max_age: Option<Duration>,
    /// Whether credentials may be sent.
    pub allow_credentials: Option<bool>,
    /// What becomes of preflights from other origins; forwarded when missing.
    pub unmatched_preflights: Option<UnmatchedPreflights>,
}

/// What becomes of a preflight from an origin that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnmatchedPreflights {
    /// The default: forward.
    Unspecified,
    /// The service answers it.
    Forward,
    /// The proxy answers it, without cross-origin headers.
    Ignore,
}

/// Headers to change, both ways.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Headers {
    /// On the way to the service.
    pub request: Option<HeaderOperations>,
    /// On the way back.
    pub response: Option<HeaderOperations>,
}

/// Changes to headers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HeaderOperations {
    /// Replace.
    pub set: BTreeMap<String, String>,
    /// Append.
    pub add: BTreeMap<String, String>,
    /// Take away.
    pub remove: Vec<String>,
}

/// A rule for TLS that is passed through.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsRoute {
    /// Conditions, any of which is enough.
    pub r#match: Vec<TlsMatch>,
    /// Where to.
    pub route: Vec<WeightedDestination>,
}

/// Conditions on a TLS connection.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsMatch {
    /// Server names.
    pub sni_hosts: Vec<String>,
    /// Networks of the destination.
    pub destination_subnets: Vec<String>,
    /// Port.
    pub port: Option<u32>,
    /// Labels of the calling pod.
    pub source_labels: BTreeMap<String, String>,
    /// Gateways that this is for.
    pub gateways: Vec<String>,
    /// Namespace of the calling pod.
    pub source_namespace: Option<String>,
}

/// A rule for TCP.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpRoute {
    /// Conditions, any of which is enough.
    pub r#match: Vec<TcpMatch>,
    /// Where to.
    pub route: Vec<WeightedDestination>,
}

/// Conditions on a TCP connection.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpMatch {
    /// Networks of the destination.
    pub destination_subnets: Vec<String>,
    /// Port.
    pub port: Option<u32>,
    /// Network of the caller.
    pub source_subnet: Option<String>,
    /// Labels of the calling pod.
    pub source_labels: BTreeMap<String, String>,
    /// Gateways that this is for.
    pub gateways: Vec<String>,
    /// Namespace of the calling pod.
    pub source_namespace: Option<String>,
}

/// A destination of a connection, with its share.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct WeightedDestination {
    /// Where to.
    pub destination: Destination,
    /// Share.
    pub weight: Option<i32>,
}
