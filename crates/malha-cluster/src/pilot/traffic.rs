//! A `DestinationRule`'s traffic policy in Envoy's terms (Istio, `pilot/pkg/networking/core/cluster_traffic_policy.go` and
//! `cluster_tls.go`).
//!
//! Not carried out, and reported: locality and zone settings, slow start, backend utilization, tunnels, the PROXY protocol,
//! the interval of retry budgets, the client's own protocol, limits of a connection's age and streams, keepalives, certificates in
//! files (a pod's, which malha's have not). What has no such field works as if it were missing.

use std::sync::Arc;

use http::HeaderName;
use malha_manifest::istio::{
    ClientTls as WrittenTls, ClientTlsMode, ConnectionPool, ConsistentHash, H2UpgradePolicy, HashAlgorithm,
    HashKey as Key, LoadBalancer, LoadBalancerPolicy, OutlierDetection, RetryBudget as WrittenBudget,
    SimpleLoadBalancer,
};
use malha_routing::{
    Balancer, ClientTls, HashKey, Limits, Outlier, Protocol, RetryBudget, Ring, TlsClient, TrafficPolicy,
};

use super::secrets::Secrets;

/// Smallest ring (Envoy's default).
const RING: u64 = 1024;

/// Size of Maglev's table (Envoy's default).
const MAGLEV: u64 = 65_537;

/// What holds for a port once everything is put together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effective<'a> {
    pub(super) load_balancer: Option<&'a LoadBalancer>,
    pub(super) pool: Option<&'a ConnectionPool>,
    pub(super) outlier: Option<&'a OutlierDetection>,
    pub(super) tls: Option<&'a WrittenTls>,
    pub(super) tunnel: bool,
    pub(super) proxy_protocol: bool,
    pub(super) retry_budget: Option<&'a WrittenBudget>,
}

/// What it is for.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// Whether the port itself is HTTP/2.
    pub(super) http2: bool,
    /// Whether the destination is outside of the mesh.
    pub(super) external: bool,
    /// `ServiceEntry.subjectAltNames`.
    pub(super) subject_alt_names: &'a [String],
    /// Secrets that the proxy may read: a gateway's.
    pub(super) secrets: Option<&'a Secrets<'a>>,
}

/// The policy; `notes` says what of it is not carried out.
///
/// # Errors
/// Why it cannot be used at all: nothing may be sent on other terms than asked for.
pub(super) fn policy(
    written: &Effective<'_>,
    target: &Target<'_>,
    notes: &mut Vec<String>,
) -> Result<TrafficPolicy, String> {
    for (field, set) in [("tunnel", written.tunnel), ("proxyProtocol", written.proxy_protocol)] {
        if set {
            notes.push(format!("trafficPolicy.{field}: not carried out"));
        }
    }
    let mut limits = written.pool.map_or_else(Limits::default, |pool| limits(pool, notes));
    limits.retry_budget = written.retry_budget.map(|budget| retry_budget(budget, notes));
    Ok(TrafficPolicy {
        balancer: written.load_balancer.map_or(Ok(Balancer::default()), |balancer| self::balancer(balancer, notes))?,
        limits,
        outlier: written.outlier.map(|outlier| self::outlier(outlier, notes)),
        tls: written.tls.map_or(Ok(ClientTls::Mesh), |tls| self::tls(tls, target, notes))?,
        protocol: if target.http2 || upgrades(written.pool) { Protocol::Http2 } else { Protocol::Http1 },
    })
}

fn balancer(written: &LoadBalancer, notes: &mut Vec<String>) -> Result<Balancer, String> {
    for (field, set) in [
        ("localityLbSetting", written.locality_lb_setting.is_some()),
        ("zoneAwareLbSetting", written.zone_aware_lb_setting.is_some()),
        ("warmup", written.warmup.is_some()),
        ("warmupDurationSecs", written.warmup_duration_secs.is_some()),
    ] {
        if set {
            notes.push(format!("trafficPolicy.loadBalancer.{field}: not carried out"));
        }
    }
    Ok(match &written.policy {
        None => Balancer::default(),
        Some(LoadBalancerPolicy::BackendUtilization(_)) => {
            notes.push(
                "trafficPolicy.loadBalancer.backendUtilization: not carried out; LEAST_REQUEST in its place".to_owned(),
            );
            Balancer::default()
        }
        Some(LoadBalancerPolicy::Simple(simple)) => match simple {
            SimpleLoadBalancer::Unspecified | SimpleLoadBalancer::LeastConn | SimpleLoadBalancer::LeastRequest => {
                Balancer::LeastRequest
            }
            SimpleLoadBalancer::Random => Balancer::Random,
            SimpleLoadBalancer::RoundRobin => Balancer::RoundRobin,
            SimpleLoadBalancer::Passthrough => Balancer::OriginalDestination,
        },
        Some(LoadBalancerPolicy::ConsistentHash(hash)) => consistent_hash(hash)?,
    })
}

fn consistent_hash(written: &ConsistentHash) -> Result<Balancer, String> {
    let nonzero = |size: u64, default: u64| if size == 0 { default } else { size };
    let ring = match written.algorithm {
        Some(HashAlgorithm::Maglev(maglev)) => {
            Ring::Maglev { table_size: nonzero(maglev.table_size.unwrap_or_default(), MAGLEV) }
        }
        Some(HashAlgorithm::RingHash(ring)) => {
            Ring::Ketama { minimum_size: nonzero(ring.minimum_ring_size.unwrap_or_default(), RING) }
        }
        None => Ring::Ketama { minimum_size: nonzero(written.minimum_ring_size, RING) },
    };
    let key = match &written.key {
        // Nothing is hashed, and so any host is as good.
        None | Some(Key::UseSourceIp(false)) => return Ok(Balancer::Random),
        Some(Key::UseSourceIp(true)) => HashKey::SourceIp,
        Some(Key::HttpHeaderName(name)) => HashKey::Header(HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            format!("trafficPolicy.loadBalancer.consistentHash.httpHeaderName: `{name}` is no name of a header")
        })?),
        Some(Key::HttpQueryParameterName(name)) => HashKey::QueryParameter(name.clone()),
        Some(Key::HttpCookie(cookie)) => HashKey::Cookie {
            name: cookie.name.clone(),
            path: cookie.path.clone().filter(|path| !path.is_empty()),
            ttl: cookie.ttl,
            attributes: cookie
                .attributes
                .iter()
                .map(|attribute| (attribute.name.clone(), attribute.value.clone().unwrap_or_default()))
                .collect(),
        },
    };
    Ok(Balancer::ConsistentHash { key, ring })
}

fn limits(pool: &ConnectionPool, notes: &mut Vec<String>) -> Limits {
    let positive = |number: i32| u32::try_from(number).ok().filter(|number| *number > 0);
    let limit = |number: i32| positive(number).unwrap_or(u32::MAX);
    let mut limits = Limits::default();
    if let Some(http) = &pool.http {
        limits.pending = limit(http.http1_max_pending_requests);
        limits.requests = limit(http.http2_max_requests);
        limits.retries = limit(http.max_retries);
        limits.requests_per_connection = positive(http.max_requests_per_connection).unwrap_or(0);
        limits.idle_timeout = http.idle_timeout;
        for (field, set) in [
            ("useClientProtocol", http.use_client_protocol),
            ("maxConcurrentStreams", http.max_concurrent_streams > 0),
            ("http2KeepAlive", http.http2_keep_alive.is_some()),
        ] {
            if set {
                notes.push(format!("trafficPolicy.connectionPool.http.{field}: not carried out"));
            }
        }
    }
    if let Some(tcp) = &pool.tcp {
        limits.connections = limit(tcp.max_connections);
        if let Some(timeout) = tcp.connect_timeout {
            limits.connect_timeout = timeout;
        }
        limits.idle_timeout = limits.idle_timeout.or(tcp.idle_timeout);
        for (field, set) in [
            ("maxConnectionDuration", tcp.max_connection_duration.is_some()),
            ("tcpKeepalive", tcp.tcp_keepalive.is_some()),
        ] {
            if set {
                notes.push(format!("trafficPolicy.connectionPool.tcp.{field}: not carried out"));
            }
        }
    }
    limits
}

fn retry_budget(written: &WrittenBudget, notes: &mut Vec<String>) -> RetryBudget {
    if written.budget_interval.is_some() {
        notes.push("trafficPolicy.retryBudget.budgetInterval: not carried out".to_owned());
    }
    let default = RetryBudget::default();
    RetryBudget {
        percent: written.percent.unwrap_or(default.percent),
        minimum: written.min_retry_concurrency.filter(|count| *count > 0).unwrap_or(default.minimum),
    }
}

fn upgrades(pool: Option<&ConnectionPool>) -> bool {
    let http = pool.and_then(|pool| pool.http.as_ref());
    http.is_some_and(|http| !http.use_client_protocol && http.h2_upgrade_policy == H2UpgradePolicy::Upgrade)
}

fn outlier(written: &OutlierDetection, notes: &mut Vec<String>) -> Outlier {
    if written.consecutive_errors != 0 {
        notes.push("trafficPolicy.outlierDetection.consecutiveErrors: without effect in Istio too; write consecutive5xxErrors or consecutiveGatewayErrors".to_owned());
    }
    let default = Outlier::default();
    let percent = |number: i32| u32::try_from(number).ok();
    Outlier {
        consecutive_5xx: written.consecutive_5xx_errors.unwrap_or(default.consecutive_5xx),
        consecutive_gateway: written.consecutive_gateway_errors.unwrap_or(default.consecutive_gateway),
        // Envoy's default is 5, and Istio passes no zero on.
        consecutive_local: written
            .split_external_local_origin_errors
            .then(|| written.consecutive_local_origin_failures.filter(|count| *count > 0).unwrap_or(5)),
        error_codes: written
            .outlier_detection_http_error_codes
            .iter()
            .filter_map(|code| u16::try_from(*code).ok())
            .collect(),
        interval: written.interval.unwrap_or(default.interval),
        base_ejection: written.base_ejection_time.unwrap_or(default.base_ejection),
        max_ejection_percent: percent(written.max_ejection_percent)
            .filter(|percent| *percent > 0)
            .unwrap_or(default.max_ejection_percent),
        // Envoy's own default, which Istio leaves in force for a negative number.
        min_health_percent: percent(written.min_health_percent).unwrap_or(50),
    }
}

fn tls(written: &WrittenTls, target: &Target<'_>, notes: &mut Vec<String>) -> Result<ClientTls, String> {
    let mutual = match written.mode {
        ClientTlsMode::Disable => return Ok(ClientTls::Disable),
        ClientTlsMode::IstioMutual if target.external => {
            notes.push("trafficPolicy.tls.mode: ISTIO_MUTUAL needs the mesh's certificates on the other side too, and this host is outside of the mesh".to_owned());
            return Ok(ClientTls::Mesh);
        }
        ClientTlsMode::IstioMutual => return Ok(ClientTls::Mesh),
        ClientTlsMode::Simple => false,
        ClientTlsMode::Mutual => true,
    };
    if written.ca_crl.is_some() {
        notes.push("trafficPolicy.tls.caCrl: not carried out".to_owned());
    }
    let mut client = TlsClient {
        server_name: written.sni.clone().filter(|name| !name.is_empty()),
        subject_alt_names: if written.subject_alt_names.is_empty() {
            target.subject_alt_names.to_vec()
        } else {
            written.subject_alt_names.clone()
        },
        insecure: written.insecure_skip_verify == Some(true),
        ..TlsClient::default()
    };
    let given = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    if let Some(credential) = given(&written.credential_name) {
        let Some(secrets) = target.secrets else {
            // Istio: a Secret is not handed to every sidecar of a namespace, and the connection is plaintext.
            notes.push("trafficPolicy.tls.credentialName: for gateways, and for sidecars that the rule selects with workloadSelector; all others send plaintext".to_owned());
            return Ok(ClientTls::Disable);
        };
        let path = |why: String| format!("trafficPolicy.tls.credentialName: {why}");
        client.identity = if mutual { Some(secrets.certificate(&credential).map_err(path)?) } else { None };
        client.authorities = Some(secrets.authorities(&credential).map_err(path)?);
        return Ok(ClientTls::Originate(Arc::new(client)));
    }
    if mutual {
        return Err(
            "trafficPolicy.tls.clientCertificate: files of a pod are not carried out; give credentialName".to_owned()
        );
    }
    if let Some(file) = given(&written.ca_certificates).filter(|file| file != "system" && !client.insecure) {
        return Err(format!(
            "trafficPolicy.tls.caCertificates: {file} is a file of a pod, which is not carried out; give credentialName"
        ));
    }
    Ok(ClientTls::Originate(Arc::new(client)))
}
