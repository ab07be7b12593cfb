//! How a cluster is used: what a `DestinationRule` says, in Envoy's terms (Istio,
//! `pilot/pkg/networking/core/cluster_traffic_policy.go`).

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

/// Everything that a proxy respects when it sends to a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficPolicy {
    /// Who gets the next request.
    pub balancer: Balancer,
    /// What is too much.
    pub limits: Limits,
    /// When a host is left out for a while.
    pub outlier: Option<Outlier>,
    /// How the connection is secured.
    pub tls: ClientTls,
    /// The protocol spoken to hosts outside of the process.
    pub protocol: Protocol,
}

/// Envoy's load-balancing policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balancer {
    /// Of two drawn at random the one with fewer requests in flight; Istio's default.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The same one for the same key.
    ConsistentHash {
        /// Where the key is found. A request that has none goes anywhere.
        key: HashKey,
        /// How keys are spread over the hosts.
        ring: Ring,
    },
    /// Where the client wanted to go (`PASSTHROUGH`, or a `ServiceEntry` without resolution).
    OriginalDestination,
}

/// What a consistent hash is taken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// A request header.
    Header(HeaderName),
    /// A cookie; with a lifetime, the proxy sets one where there is none.
    Cookie {
        /// Its name.
        name: String,
        /// Its path.
        path: Option<String>,
        /// Its lifetime; zero is a session's. `None`: never set by the proxy.
        ttl: Option<Duration>,
        /// Further attributes, as they are to be written.
        attributes: Vec<(String, String)>,
    },
    /// The client's address.
    SourceIp,
    /// A query parameter.
    QueryParameter(String),
}

/// Envoy's two hash tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// `RING_HASH`.
    Ketama {
        /// Points on the ring, at least.
        minimum_size: u64,
    },
    /// `MAGLEV`.
    Maglev {
        /// Entries of the table; a prime.
        table_size: u64,
    },
}

/// Connection pools and circuit breakers. Istio's default is no limit at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections to all hosts of the cluster (`max_connections`).
    pub connections: u32,
    /// Requests that wait for a connection (`max_pending_requests`).
    pub pending: u32,
    /// Requests in flight (`max_requests`).
    pub requests: u32,
    /// Retries in flight (`max_retries`).
    pub retries: u32,
    /// Retries in flight as a share of all that is: takes the place of `retries` (Istio, `retryBudget`).
    pub retry_budget: Option<RetryBudget>,
    /// Requests after which a connection is closed; 0: none.
    pub requests_per_connection: u32,
    /// Time for a connection to come about.
    pub connect_timeout: Duration,
    /// Time after which an idle connection is closed; `None` is Envoy's hour, zero is never.
    pub idle_timeout: Option<Duration>,
}

/// Envoy's `RetryBudget`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Of the requests in flight and waiting, in percent.
    pub percent: f64,
    /// So many are always allowed.
    pub minimum: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 20.0, minimum: 3 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: u32::MAX,
            pending: u32::MAX,
            requests: u32::MAX,
            retries: u32::MAX,
            retry_budget: None,
            requests_per_connection: 0,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: None,
        }
    }
}

/// Envoy's outlier detection, with Istio's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlier {
    /// 5xx answers in a row after which a host is ejected; 0: never.
    pub consecutive_5xx: u32,
    /// 502, 503, 504 and failures in a row after which a host is ejected; 0: never.
    pub consecutive_gateway: u32,
    /// Failures of the connection and timeouts in a row after which a host is ejected (0: never), told apart from answers
    /// (`split_external_local_origin_errors`). `None`: they count as answers, 503 and 504. With the split and no number,
    /// Envoy's number is 5.
    pub consecutive_local: Option<u32>,
    /// Statuses that count as errors, and no other does (Istio, `outlierDetectionHttpErrorCodes`); none: 5xx.
    pub error_codes: Vec<u16>,
    /// Time between two looks at who may come back.
    pub interval: Duration,
    /// An ejection lasts as many times this as the host was ejected.
    pub base_ejection: Duration,
    /// Share of the hosts that may be ejected, in percent. Strict: of nine hosts, 10 % is none.
    pub max_ejection_percent: u32,
    /// Below this share of healthy hosts, in percent, ejections are disregarded (`healthy_panic_threshold`).
    pub min_health_percent: u32,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive_5xx: 5,
            consecutive_gateway: 0,
            consecutive_local: None,
            error_codes: Vec::new(),
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection_percent: 10,
            min_health_percent: 0,
        }
    }
}

/// How a proxy secures what it sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientTls {
    /// Mesh identities where the other side has a sidecar, plain text elsewhere (Istio's auto mTLS), or always
    /// (`ISTIO_MUTUAL`): within the process there is no difference.
    #[default]
    Mesh,
    /// Plain text, also to those that have a sidecar (`DISABLE`).
    Disable,
    /// TLS of the proxy's own making (`SIMPLE`, and with a certificate `MUTUAL`).
    Originate(Arc<TlsClient>),
}

/// How the other side's certificate is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsClient {
    /// Server name to ask for; the host's name where there is none.
    pub server_name: Option<String>,
    /// Names one of which the certificate must have; none: not checked beyond the server name.
    pub subject_alt_names: Vec<String>,
    /// Authorities to trust, in PEM; `None`: the usual ones of the web.
    pub authorities: Option<Vec<u8>>,
    /// Trust anybody (`insecureSkipVerify`).
    pub insecure: bool,
    /// Own certificate.
    pub identity: Option<Certificate>,
}

/// A certificate with its key, in PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// Chain, the own certificate first.
    pub chain: Vec<u8>,
    /// Private key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Certificate {
    /// Nothing of the key: debug output ends in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// What is spoken to hosts outside of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2, with prior knowledge where there is no TLS.
    Http2,
}
