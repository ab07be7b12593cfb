//! Limits of connections and requests, shared by `DestinationRule` and `Sidecar`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration;

/// Limits for a destination (or for what a sidecar lets in).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectionPool {
    /// For connections of every kind.
    pub tcp: Option<TcpSettings>,
    /// For HTTP.
    pub http: Option<HttpSettings>,
}

/// Limits of connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpSettings {
    /// Connections at a time; 0 and missing mean 2^32-1.
    pub max_connections: i32,
    /// Time to connect in; 10 s when missing.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub connect_timeout: Option<Duration>,
    /// Keepalive of the sockets.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How long a connection lives at most; for ever when missing.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub max_connection_duration: Option<Duration>,
    /// How long a connection without bytes stays open; 1 h when missing, for ever when 0.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub idle_timeout: Option<Duration>,
}

/// Keepalive of sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpKeepalive {
    /// Probes without an answer before the connection counts as dead; the system's when 0.
    pub probes: u32,
    /// Idle time before the first probe.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub time: Option<Duration>,
    /// Time between probes.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub interval: Option<Duration>,
}

/// Limits of HTTP requests. A number that is 0 or missing sets no limit but Envoy's largest (2^32-1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpSettings {
    /// Requests that wait for a connection.
    pub http1_max_pending_requests: i32,
    /// Requests at a time.
    pub http2_max_requests: i32,
    /// Requests before a connection is closed; 1 switches keep-alive off.
    pub max_requests_per_connection: i32,
    /// Retries at a time.
    pub max_retries: i32,
    /// How long a connection without requests stays open; 1 h when missing.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub idle_timeout: Option<Duration>,
    /// Whether HTTP/1.1 becomes HTTP/2 on the way to the destination.
    pub h2_upgrade_policy: H2UpgradePolicy,
    /// Whether the destination is spoken to with the client's version of HTTP.
    pub use_client_protocol: bool,
    /// Streams at a time on an HTTP/2 connection.
    pub max_concurrent_streams: i32,
    /// Pings on HTTP/2 connections.
    #[serde(rename = "http2KeepAlive")]
    pub http2_keep_alive: Option<Http2KeepAlive>,
}

/// Whether HTTP/1.1 becomes HTTP/2 on the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum H2UpgradePolicy {
    /// As the mesh's configuration says, which is no.
    #[default]
    Default,
    /// No.
    DoNotUpgrade,
    /// Yes.
    Upgrade,
}

/// Pings on HTTP/2 connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Http2KeepAlive {
    /// Time between pings.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub interval: Option<Duration>,
    /// Time for the answer.
    #[serde(deserialize_with = "duration::optional")]
    #[schemars(with = "Option<duration::Written>")]
    pub timeout: Option<Duration>,
}
