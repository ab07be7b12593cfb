//! Rules of how services are spoken to: limits, balancing, outliers, TLS.

use super::common::{at_least_1ms, is_fqdn, percent};
use crate::check::Checker;
use crate::istio::{
    ClientTls, ClientTlsMode, ConnectionPool, ConsistentHash, H2UpgradePolicy, HashAlgorithm, HashKey, HttpSettings,
    LoadBalancer, LoadBalancerPolicy, LocalityLbSetting, OutlierDetection, RetryBudget, TcpSettings, Tunnel, Warmup,
};
use crate::path::FieldPath;

/// Above this, Envoy has no Maglev table.
const MAGLEV_LIMIT: u64 = 5_000_011;

/// `validateConnectionPool`
pub(super) fn connection_pool(checker: &mut Checker<'_>, path: &FieldPath, pool: Option<&ConnectionPool>) {
    let Some(pool) = pool else { return };
    if pool.tcp.is_none() && pool.http.is_none() {
        checker.error(path, "connection pool must have at least one field").help("`tcp` or `http`");
    }
    if let Some(tcp) = &pool.tcp {
        self::tcp(checker, &path.field("tcp"), tcp);
    }
    if let Some(http) = &pool.http {
        self::http(checker, &path.field("http"), http);
    }
}

fn tcp(checker: &mut Checker<'_>, path: &FieldPath, tcp: &TcpSettings) {
    not_negative(checker, &path.field("maxConnections"), tcp.max_connections);
    at_least_1ms(checker, &path.field("connectTimeout"), tcp.connect_timeout);
    at_least_1ms(checker, &path.field("maxConnectionDuration"), tcp.max_connection_duration);
    // 0 switches it off: the schema has no lower bound here.
    at_least_1ms(checker, &path.field("idleTimeout"), tcp.idle_timeout.filter(|time| !time.is_zero()));
    if let Some(keepalive) = &tcp.tcp_keepalive {
        let path = path.field("tcpKeepalive");
        at_least_1ms(checker, &path.field("time"), keepalive.time);
        at_least_1ms(checker, &path.field("interval"), keepalive.interval);
    }
}

fn http(checker: &mut Checker<'_>, path: &FieldPath, http: &HttpSettings) {
    for (field, number) in [
        ("http1MaxPendingRequests", http.http1_max_pending_requests),
        ("http2MaxRequests", http.http2_max_requests),
        ("maxRequestsPerConnection", http.max_requests_per_connection),
        ("maxRetries", http.max_retries),
        ("maxConcurrentStreams", http.max_concurrent_streams),
    ] {
        not_negative(checker, &path.field(field), number);
    }
    at_least_1ms(checker, &path.field("idleTimeout"), http.idle_timeout);
    if http.h2_upgrade_policy == H2UpgradePolicy::Upgrade && http.use_client_protocol {
        let message = "use client protocol must not be true when H2UpgradePolicy is UPGRADE";
        checker.error(path.field("useClientProtocol"), message);
    }
    if let Some(keep_alive) = &http.http2_keep_alive {
        let path = path.field("http2KeepAlive");
        at_least_1ms(checker, &path.field("interval"), keep_alive.interval);
        at_least_1ms(checker, &path.field("timeout"), keep_alive.timeout);
    }
}

fn not_negative(checker: &mut Checker<'_>, path: &FieldPath, number: i32) {
    if number < 0 {
        checker.error(path, format!("{number} must be non-negative"));
    }
}

/// `validateOutlierDetection`
pub(super) fn outlier_detection(checker: &mut Checker<'_>, path: &FieldPath, outlier: Option<&OutlierDetection>) {
    let Some(outlier) = outlier else { return };
    at_least_1ms(checker, &path.field("baseEjectionTime"), outlier.base_ejection_time);
    at_least_1ms(checker, &path.field("interval"), outlier.interval);
    percent(checker, &path.field("maxEjectionPercent"), outlier.max_ejection_percent);
    percent(checker, &path.field("minHealthPercent"), outlier.min_health_percent);
    if outlier.consecutive_errors != 0 {
        checker
            .warning(
                path.field("consecutiveErrors"),
                "outlier detection consecutive errors is deprecated, and Istio ignores it",
            )
            .help("write `consecutiveGatewayErrors` or `consecutive5xxErrors` instead");
    }
    if !outlier.split_external_local_origin_errors && outlier.consecutive_local_origin_failures.unwrap_or(0) > 0 {
        let message = "outlier detection consecutive local origin failures is specified, but split external local \
                       origin errors is set to false";
        checker
            .error(path.field("consecutiveLocalOriginFailures"), message)
            .help("write `splitExternalLocalOriginErrors: true` beside it");
    }
    for (index, code) in outlier.outlier_detection_http_error_codes.iter().enumerate() {
        if !(100..600).contains(code) {
            let place = path.field("outlierDetectionHttpErrorCodes").item(index);
            checker.error(place, format!("{code} is not a status")).help("allowed: 100 to 599");
        }
    }
}

/// `validateLoadBalancer`
pub(super) fn load_balancer(
    checker: &mut Checker<'_>,
    path: &FieldPath,
    balancer: Option<&LoadBalancer>,
    outlier: Option<&OutlierDetection>,
) {
    let Some(balancer) = balancer else { return };
    if let Some(LoadBalancerPolicy::ConsistentHash(hash)) = &balancer.policy {
        consistent_hash(checker, &path.field("consistentHash"), hash);
    }
    if let Some(setting) = &balancer.locality_lb_setting {
        locality(checker, &path.field("localityLbSetting"), setting, outlier);
    }
    at_least_1ms(checker, &path.field("warmupDurationSecs"), balancer.warmup_duration_secs);
    if let Some(warmup) = &balancer.warmup {
        self::warmup(checker, &path.field("warmup"), warmup);
    }
}

fn consistent_hash(checker: &mut Checker<'_>, path: &FieldPath, hash: &ConsistentHash) {
    match &hash.key {
        Some(HashKey::HttpCookie(cookie)) => {
            let path = path.field("httpCookie");
            checker.required(path.field("name"), &cookie.name);
            for (index, attribute) in cookie.attributes.iter().enumerate() {
                checker.required(path.field("attributes").item(index).field("name"), &attribute.name);
            }
        }
        Some(_) => {}
        None => checker
            .warning(path, "says nothing to hash: requests are spread by no property of theirs")
            .help("one of `httpHeaderName`, `httpCookie`, `useSourceIp`, `httpQueryParameterName`"),
    }
    if hash.minimum_ring_size != 0 {
        let place = path.field("minimumRingSize");
        if hash.algorithm.is_some() {
            checker.error(place, "only one of MinimumRingSize or Maglev/Ringhash can be specified");
        } else {
            checker
                .warning(place, "consistent hash MinimumRingSize is deprecated")
                .help("write `ringHash: {minimumRingSize: …}` instead");
        }
    }
    if let Some(HashAlgorithm::Maglev(maglev)) = &hash.algorithm {
        let place = path.field("maglev").field("tableSize");
        match maglev.table_size.unwrap_or(0) {
            0 => {
                checker.error(place, "tableSize must be set for maglev").help("a prime, such as 65537");
            }
            size if size >= MAGLEV_LIMIT => {
                checker.error(place, "tableSize must be less than 5000011 for maglev");
            }
            size if !is_prime(size) => {
                checker.error(place, "tableSize must be a prime number for maglev");
            }
            _ => {}
        }
    }
}

/// Whether a number below [`MAGLEV_LIMIT`] is prime; 1 counts, as it does for Envoy.
fn is_prime(number: u64) -> bool {
    match number {
        0 => false,
        1..4 => true,
        _ => {
            !number.is_multiple_of(2)
                && (3..).step_by(2).take_while(|n| n * n <= number).all(|n| !number.is_multiple_of(n))
        }
    }
}

/// `ValidateLocalityLbSetting`
fn locality(
    checker: &mut Checker<'_>,
    path: &FieldPath,
    setting: &LocalityLbSetting,
    outlier: Option<&OutlierDetection>,
) {
    if !setting.distribute.is_empty() && !setting.failover.is_empty() {
        checker.error(path, "can not simultaneously specify 'distribute' and 'failover'").help("keep one of them");
    }
    for (index, share) in setting.distribute.iter().enumerate() {
        let place = path.field("distribute").item(index);
        let total: u64 = share.to.values().map(|weight| u64::from(*weight)).sum();
        if total != 100 {
            checker.error(place.field("to"), format!("total locality weight {total} != 100"));
        }
    }
    for (index, failover) in setting.failover.iter().enumerate() {
        let place = path.field("failover").item(index);
        if failover.from == failover.to {
            checker.error(&place, "locality lb failover settings must specify different regions");
        }
        for (field, region) in [("from", &failover.from), ("to", &failover.to)] {
            if region.contains('*') {
                checker.error(place.field(field), "locality lb region should not contain '*'");
            }
        }
    }
    if outlier.is_none() && !(setting.failover.is_empty() && setting.failover_priority.is_empty()) {
        checker.warning(path, "outlier detection policy must be provided for failover");
    }
}

fn warmup(checker: &mut Checker<'_>, path: &FieldPath, warmup: &Warmup) {
    if warmup.duration.is_none() {
        checker.error(path.field("duration"), "required, and not set");
    }
    at_least_1ms(checker, &path.field("duration"), warmup.duration);
    if let Some(share) = warmup.minimum_percent.filter(|share| !(0.0..=100.0).contains(share)) {
        checker.error(path.field("minimumPercent"), format!("{share} is not a percentage")).help("allowed: 0 to 100");
    }
    if let Some(aggression) = warmup.aggression.filter(|aggression| *aggression < 1.0) {
        checker.error(path.field("aggression"), format!("{aggression} is less than 1"));
    }
}

/// `ValidateTLS`
pub(super) fn client_tls(checker: &mut Checker<'_>, path: &FieldPath, tls: Option<&ClientTls>) {
    let Some(tls) = tls else { return };
    let set = |field: &Option<String>| field.as_ref().is_some_and(|text| !text.is_empty());
    let own = matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
    let named = set(&tls.credential_name);
    if tls.insecure_skip_verify == Some(true) && own {
        // With MUTUAL the Secret brings the own certificate too.
        let secret = named && tls.mode == ClientTlsMode::Simple;
        if set(&tls.ca_certificates) || secret || !tls.subject_alt_names.is_empty() {
            let message = "cannot specify CaCertificates or CredentialName or SubjectAltNames when InsecureSkipVerify \
                           is set true";
            checker.error(path.field("insecureSkipVerify"), message);
        }
    }
    if own && named {
        if [&tls.client_certificate, &tls.ca_certificates, &tls.private_key, &tls.ca_crl].into_iter().any(set) {
            let message = "cannot specify client certificates or CA certificate or CA CRL If credentialName is set";
            checker.error(path.field("credentialName"), message);
        }
    } else if tls.mode == ClientTlsMode::Mutual {
        for (field, file) in [("clientCertificate", &tls.client_certificate), ("privateKey", &tls.private_key)] {
            if !set(file) {
                checker.error(path.field(field), "required for mutual tls, and not set");
            }
        }
    }
}

/// `validateTunnelSettings`
pub(super) fn tunnel(checker: &mut Checker<'_>, path: &FieldPath, tunnel: &Tunnel) {
    if let Some(protocol) = tunnel.protocol.as_ref().filter(|protocol| !protocol.is_empty()) {
        checker.word(path.field("protocol"), protocol, &["CONNECT", "POST"]);
    }
    if checker.required(path.field("targetHost"), &tunnel.target_host)
        && !is_fqdn(&tunnel.target_host)
        && tunnel.target_host.parse::<std::net::IpAddr>().is_err()
    {
        checker.error(path.field("targetHost"), "tunnel target host must be valid FQDN or IP address");
    }
    checker.port(path.field("targetPort"), tunnel.target_port.into());
}

/// From the schema: nothing else checks a budget.
pub(super) fn retry_budget(checker: &mut Checker<'_>, path: &FieldPath, budget: &RetryBudget) {
    if let Some(share) = budget.percent.filter(|share| !(0.0..=100.0).contains(share)) {
        checker.error(path.field("percent"), format!("{share} is not a percentage")).help("allowed: 0 to 100");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_known() {
        let primes: Vec<u64> = (0..30).filter(|number| is_prime(*number)).collect();
        assert_eq!(primes, [1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        assert!(is_prime(65537) && !is_prime(65539 * 3) && is_prime(4_999_999) && !is_prime(2237 * 2221));
    }
}
