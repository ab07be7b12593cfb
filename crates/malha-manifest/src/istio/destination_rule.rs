//! `DestinationRule`: how a service is spoken to once routing has chosen it, and what its subsets are.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::connection_pool::ConnectionPool;
use super::duration;
use super::selector::PolicySelector;
use super::virtual_service::PortSelector;

/// `spec` of a `DestinationRule`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct DestinationRule {
    /// The service; short names are of the object's namespace.
    pub host: String,
    /// How it is spoken to.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named parts of it, by labels of its pods.
    pub subsets: Vec<Subset>,
    /// Namespaces that see this: `.`, `*`, or names.
    pub export_to: Vec<String>,
    /// Calling pods that this is for; all of them when missing.
    pub workload_selector: Option<PolicySelector>,
}

/// A part of a service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Subset {
    /// Name that routes use.
    pub name: String,
    /// Labels that its pods have besides the service's own; none takes all pods.
    pub labels: BTreeMap<String, String>,
    /// What differs from the rule's own policy: each part that is set here takes that part's place.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// How a service is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficPolicy {
    /// Which endpoint.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// Which endpoints are left out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS to the service.
    pub tls: Option<ClientTls>,
    /// The same for single ports; a port named here takes nothing from above.
    pub port_level_settings: Vec<PortTrafficPolicy>,
    /// Wraps TCP in a tunnel.
    pub tunnel: Option<Tunnel>,
    /// Begins connections with the PROXY header of haproxy.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Retries as a share of requests instead of `maxRetries`.
    pub retry_budget: Option<RetryBudget>,
}

/// How one port of a service is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PortTrafficPolicy {
    /// The port.
    pub port: Option<PortSelector>,
    /// Which endpoint.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// Which endpoints are left out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS to the service.
    pub tls: Option<ClientTls>,
}

/// Which endpoint is chosen.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "LoadBalancerWritten")]
#[schemars(with = "LoadBalancerWritten")]
pub struct LoadBalancer {
    /// The way of choosing; `LEAST_REQUEST` when missing.
    pub policy: Option<LoadBalancerPolicy>,
    /// Preference for near endpoints.
    pub locality_lb_setting: Option<LocalityLbSetting>,
    /// Preference for near endpoints in proportion to the callers' zones.
    pub zone_aware_lb_setting: Option<ZoneAwareLbSetting>,
    /// Slow start of new endpoints.
    pub warmup: Option<Warmup>,
    /// Slow start (old).
    pub warmup_duration_secs: Option<Duration>,
}

/// A way of choosing.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadBalancerPolicy {
    /// By no property of the request (`simple`).
    Simple(SimpleLoadBalancer),
    /// By a hash of a property of the request (`consistentHash`).
    ConsistentHash(ConsistentHash),
    /// By the load that endpoints report (`backendUtilization`).
    BackendUtilization(BackendUtilization),
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(default, rename_all = "camelCase")]
struct LoadBalancerWritten {
    /// By no property of the request.
    simple: Option<SimpleLoadBalancer>,
    /// By a hash of a property of the request; not beside `simple`.
    consistent_hash: Option<ConsistentHash>,
    /// By the load that endpoints report; not beside `simple`.
    backend_utilization: Option<BackendUtilization>,
    /// Preference for near endpoints.
    locality_lb_setting: Option<LocalityLbSetting>,
    /// Preference for near endpoints in proportion to the callers' zones.
    zone_aware_lb_setting: Option<ZoneAwareLbSetting>,
    /// Slow start of new endpoints.
    warmup: Option<Warmup>,
    /// Slow start (old).
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    warmup_duration_secs: Option<Duration>,
}

impl TryFrom<LoadBalancerWritten> for LoadBalancer {
    type Error = &'static str;

    fn try_from(written: LoadBalancerWritten) -> Result<Self, Self::Error> {
        let policy = match (written.simple, written.consistent_hash, written.backend_utilization) {
            (None, None, None) => None,
            (Some(simple), None, None) => Some(LoadBalancerPolicy::Simple(simple)),
            (None, Some(hash), None) => Some(LoadBalancerPolicy::ConsistentHash(hash)),
            (None, None, Some(utilization)) => Some(LoadBalancerPolicy::BackendUtilization(utilization)),
            _ => return Err("more than one of `simple`, `consistentHash` and `backendUtilization` is set; keep one"),
        };
        let LoadBalancerWritten { locality_lb_setting, zone_aware_lb_setting, warmup, warmup_duration_secs, .. } =
            written;
        Ok(Self { policy, locality_lb_setting, zone_aware_lb_setting, warmup, warmup_duration_secs })
    }
}

/// Ways of choosing that look at no property of the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SimpleLoadBalancer {
    /// Istio's choice, which is `LEAST_REQUEST`.
    #[default]
    Unspecified,
    /// The old name of `LEAST_REQUEST`.
    LeastConn,
    /// Any.
    Random,
    /// The address that the caller asked for itself.
    Passthrough,
    /// In turn.
    RoundRobin,
    /// The less busy of two drawn at random.
    LeastRequest,
}

/// The same endpoint for the same property of the request, as long as endpoints stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "ConsistentHashWritten")]
#[schemars(with = "ConsistentHashWritten")]
pub struct ConsistentHash {
    /// The property.
    pub key: Option<HashKey>,
    /// How a hash becomes an endpoint; a ring when missing.
    pub algorithm: Option<HashAlgorithm>,
    /// Smallest size of the ring (old); 1024 when 0 and nothing else is said.
    pub minimum_ring_size: u64,
}

/// The property of a request that is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// A header, by its name.
    HttpHeaderName(String),
    /// A cookie.
    HttpCookie(HttpCookie),
    /// The caller's address. `false` hashes nothing.
    UseSourceIp(bool),
    /// A query parameter, by its name.
    HttpQueryParameterName(String),
}

/// How a hash becomes an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// Ketama's ring.
    RingHash(RingHash),
    /// Google's Maglev.
    Maglev(Maglev),
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(default, rename_all = "camelCase")]
struct ConsistentHashWritten {
    /// Hash this header.
    http_header_name: Option<String>,
    /// Hash this cookie.
    http_cookie: Option<HttpCookie>,
    /// Hash the caller's address.
    use_source_ip: Option<bool>,
    /// Hash this query parameter.
    http_query_parameter_name: Option<String>,
    /// Find the endpoint on Ketama's ring.
    ring_hash: Option<RingHash>,
    /// Find the endpoint in Google's Maglev table.
    maglev: Option<Maglev>,
    /// Smallest size of the ring (old); 1024 when 0 and nothing else is said.
    minimum_ring_size: u64,
}

impl TryFrom<ConsistentHashWritten> for ConsistentHash {
    type Error = &'static str;

    fn try_from(written: ConsistentHashWritten) -> Result<Self, Self::Error> {
        let keys = [
            written.http_header_name.map(HashKey::HttpHeaderName),
            written.http_cookie.map(HashKey::HttpCookie),
            written.use_source_ip.map(HashKey::UseSourceIp),
            written.http_query_parameter_name.map(HashKey::HttpQueryParameterName),
        ];
        let mut keys = keys.into_iter().flatten();
        let key = keys.next();
        if keys.next().is_some() {
            return Err(
                "more than one of `httpHeaderName`, `httpCookie`, `useSourceIp` and `httpQueryParameterName` is set; keep one",
            );
        }
        let algorithm = match (written.ring_hash, written.maglev) {
            (None, None) => None,
            (Some(ring), None) => Some(HashAlgorithm::RingHash(ring)),
            (None, Some(maglev)) => Some(HashAlgorithm::Maglev(maglev)),
            _ => return Err("`ringHash` and `maglev` exclude each other; keep one"),
        };
        Ok(Self { key, algorithm, minimum_ring_size: written.minimum_ring_size })
    }
}

/// A cookie that is hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpCookie {
    /// Its name.
    pub name: String,
    /// Its path, where the proxy makes it.
    pub path: Option<String>,
    /// Its life, where the proxy makes it: 0 makes a session cookie. The proxy makes none when this is missing.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub ttl: Option<Duration>,
    /// More attributes, where the proxy makes it.
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CookieAttribute {
    /// Its name: `SameSite`, …
    pub name: String,
    /// Its value.
    pub value: Option<String>,
}

/// Ketama's ring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RingHash {
    /// Smallest size; 1024 when missing.
    pub minimum_ring_size: Option<u64>,
}

/// Google's Maglev.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Maglev {
    /// Size of the table, a prime; 65537 when missing.
    pub table_size: Option<u64>,
}

/// Choice by the load that endpoints report.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct BackendUtilization {
    /// Names of the metrics that stand for load.
    pub metric_names_for_computing_utilization: Vec<String>,
    /// How much errors count as load, in percent.
    pub error_utilization_penalty_percent: Option<u32>,
    /// Time before reports of a new endpoint count.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub weight_stabilization_period: Option<Duration>,
    /// Time after which the last report no longer counts.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub weight_expiration_period: Option<Duration>,
    /// Time between changes of weights.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub weight_update_period: Option<Duration>,
}

/// Preference for near endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LocalityLbSetting {
    /// Shares of localities by the caller's locality.
    pub distribute: Vec<LocalityDistribute>,
    /// Where to when a region has failed.
    pub failover: Vec<LocalityFailover>,
    /// Labels in the order in which they tell near from far.
    pub failover_priority: Vec<String>,
    /// On or off; the mesh's setting when missing.
    pub enabled: Option<bool>,
}

/// Preference for endpoints of the own zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ZoneAwareLbSetting {
    /// On or off.
    pub enabled: Option<bool>,
    /// Fewest endpoints for which zones count.
    pub min_cluster_size: Option<u32>,
    /// Where to when a region has failed.
    pub failover: Vec<LocalityFailover>,
    /// Labels in the order in which they tell near from far.
    pub failover_priority: Vec<String>,
}

/// Shares of localities for callers of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LocalityDistribute {
    /// The callers' locality.
    pub from: String,
    /// Share in percent by locality.
    pub to: BTreeMap<String, u32>,
}

/// Where to when a region has failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LocalityFailover {
    /// The region that failed.
    pub from: String,
    /// The region in its place.
    pub to: String,
}

/// Slow start of new endpoints.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Warmup {
    /// How long it takes.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub duration: Option<Duration>,
    /// Share to begin with, in percent; 10 when missing.
    pub minimum_percent: Option<f64>,
    /// How the share grows; 1 (in proportion to time) when missing.
    pub aggression: Option<f64>,
}

/// Which endpoints are left out for a while, for their failures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct OutlierDetection {
    /// Failures in a row (old): only 502, 503 and 504 count.
    pub consecutive_errors: i32,
    /// Whether failures to reach an endpoint are counted apart from its answers.
    pub split_external_local_origin_errors: bool,
    /// Failures to reach an endpoint in a row, where they are counted apart; 5 when missing.
    pub consecutive_local_origin_failures: Option<u32>,
    /// Answers 502, 503 and 504 in a row; 0 or missing switches it off.
    pub consecutive_gateway_errors: Option<u32>,
    /// Answers 5xx in a row; 5 when missing, off when 0.
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    /// Time between looks at who may come back; 10 s when missing.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub interval: Option<Duration>,
    /// How long the first time lasts; the n-th lasts n times as long. 30 s when missing.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub base_ejection_time: Option<Duration>,
    /// How many endpoints may be left out, in percent; 0 and missing mean 10.
    pub max_ejection_percent: i32,
    /// Share of endpoints, in percent, below which ejections do not count any more; 0 switches that off.
    pub min_health_percent: i32,
    /// Statuses that count as failures, instead of 5xx.
    pub outlier_detection_http_error_codes: Vec<u32>,
}

/// TLS of connections to a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientTls {
    /// Who shows a certificate.
    pub mode: ClientTlsMode,
    /// File with the own certificate.
    pub client_certificate: Option<String>,
    /// File with the own key.
    pub private_key: Option<String>,
    /// File with the authorities that sign the service's certificate.
    pub ca_certificates: Option<String>,
    /// Secret with the own certificate and key and with authorities; for gateways, and for selected pods.
    pub credential_name: Option<String>,
    /// Names that the service's certificate must carry one of.
    pub subject_alt_names: Vec<String>,
    /// Server name to ask for.
    pub sni: Option<String>,
    /// Take any certificate.
    pub insecure_skip_verify: Option<bool>,
    /// File with revoked certificates.
    pub ca_crl: Option<String>,
}

/// Who shows a certificate to whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClientTlsMode {
    /// No TLS.
    #[default]
    Disable,
    /// The service.
    Simple,
    /// Both.
    Mutual,
    /// Both, with the mesh's own certificates.
    IstioMutual,
}

/// A tunnel for TCP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Tunnel {
    /// `CONNECT` or `POST`.
    pub protocol: Option<String>,
    /// Host at its end.
    pub target_host: String,
    /// Port at its end.
    pub target_port: u32,
}

/// The PROXY header of haproxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyProtocol {
    /// Its version.
    pub version: ProxyProtocolVersion,
}

/// Version of the PROXY header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProxyProtocolVersion {
    /// Text.
    #[default]
    V1,
    /// Bytes.
    V2,
}

/// Retries as a share of requests.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RetryBudget {
    /// Share of requests at a time that may be retries, in percent; 20 when missing.
    pub percent: Option<f64>,
    /// Retries that are allowed at any time; 3 when missing.
    pub min_retry_concurrency: Option<u32>,
    /// Time over which requests are counted.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub budget_interval: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Object, parse_manifests};

    fn policy(text: &str) -> TrafficPolicy {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a}}\n\
             spec: {{host: posts-service, trafficPolicy: {text}}}\n"
        );
        let mut loaded = parse_manifests("a.yml", &text);
        assert!(!loaded.has_errors(), "{}", loaded.diagnostics[0]);
        let Object::DestinationRule(rule) = loaded.objects.remove(0).object else { panic!("a DestinationRule") };
        rule.traffic_policy.expect("a policy")
    }

    #[test]
    fn a_balancer_is_one_of_several() {
        for (text, expected) in [
            ("{}", None),
            ("{simple: ROUND_ROBIN}", Some(LoadBalancerPolicy::Simple(SimpleLoadBalancer::RoundRobin))),
            (
                "{consistentHash: {httpHeaderName: x-user}}",
                Some(LoadBalancerPolicy::ConsistentHash(ConsistentHash {
                    key: Some(HashKey::HttpHeaderName("x-user".to_owned())),
                    ..ConsistentHash::default()
                })),
            ),
            (
                "{consistentHash: {useSourceIp: true, maglev: {tableSize: 65537}}}",
                Some(LoadBalancerPolicy::ConsistentHash(ConsistentHash {
                    key: Some(HashKey::UseSourceIp(true)),
                    algorithm: Some(HashAlgorithm::Maglev(Maglev { table_size: Some(65537) })),
                    minimum_ring_size: 0,
                })),
            ),
        ] {
            assert_eq!(policy(&format!("{{loadBalancer: {text}}}")).load_balancer.unwrap().policy, expected, "{text}");
        }
    }

    #[test]
    fn missing_is_told_from_zero_where_istio_tells_them_apart() {
        let outlier = |text: &str| policy(&format!("{{outlierDetection: {text}}}")).outlier_detection.unwrap();
        assert_eq!(outlier("{}").consecutive_5xx_errors, None);
        assert_eq!(outlier("{consecutive5xxErrors: 0}").consecutive_5xx_errors, Some(0));
        assert_eq!(outlier("{}").max_ejection_percent, 0);
        let cookie = |text: &str| {
            let text = format!("{{loadBalancer: {{consistentHash: {{httpCookie: {text}}}}}}}");
            match policy(&text).load_balancer.unwrap().policy {
                Some(LoadBalancerPolicy::ConsistentHash(ConsistentHash {
                    key: Some(HashKey::HttpCookie(cookie)),
                    ..
                })) => cookie,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(cookie("{name: user}").ttl, None);
        assert_eq!(cookie("{name: user, ttl: 0s}").ttl, Some(Duration::ZERO));
    }

    #[test]
    fn durations_and_names_with_digits_are_read() {
        let pool = policy(
            "{connectionPool: {tcp: {connectTimeout: 30ms}, http: {http1MaxPendingRequests: 1, http2MaxRequests: 2, \
             http2KeepAlive: {interval: 1s}, h2UpgradePolicy: UPGRADE}}}",
        )
        .connection_pool
        .unwrap();
        assert_eq!(pool.tcp.unwrap().connect_timeout, Some(Duration::from_millis(30)));
        let http = pool.http.unwrap();
        assert_eq!((http.http1_max_pending_requests, http.http2_max_requests), (1, 2));
        assert_eq!(http.http2_keep_alive.unwrap().interval, Some(Duration::from_secs(1)));
    }
}
