//! `Sidecar`: what a pod's sidecar listens on, and what it lets its pod reach.

use schemars::JsonSchema;
use serde::Deserialize;

use super::connection_pool::ConnectionPool;
use super::gateway::ServerTls;
use super::selector::WorkloadSelector;
use super::service_entry::ServicePort;
use super::virtual_service::Destination;

/// `spec` of a `Sidecar`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Sidecar {
    /// Pods that this is for; all of the namespace when missing, all of the mesh in the root namespace.
    pub workload_selector: Option<WorkloadSelector>,
    /// What comes in.
    pub ingress: Vec<IngressListener>,
    /// What goes out.
    pub egress: Vec<EgressListener>,
    /// Limits of what comes in.
    pub inbound_connection_pool: Option<ConnectionPool>,
    /// What becomes of calls to hosts that the mesh does not know; the mesh's own setting when missing.
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
}

/// A listener for what comes in.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct IngressListener {
    /// Its port.
    pub port: ServicePort,
    /// Address to listen on.
    pub bind: Option<String>,
    /// How connections come to it.
    pub capture_mode: CaptureMode,
    /// Where its requests go: `127.0.0.1:PORT`, `0.0.0.0:PORT` or a Unix socket.
    pub default_endpoint: Option<String>,
    /// TLS that ends here.
    pub tls: Option<ServerTls>,
    /// Limits.
    pub connection_pool: Option<ConnectionPool>,
}

/// A listener for what goes out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct EgressListener {
    /// Its port; any when missing.
    pub port: Option<ServicePort>,
    /// Address to listen on.
    pub bind: Option<String>,
    /// How connections come to it.
    pub capture_mode: CaptureMode,
    /// Services that can be reached: `namespace/host`; `~/*` means none.
    pub hosts: Vec<String>,
}

/// How connections come to a sidecar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CaptureMode {
    /// As the pod is set up.
    #[default]
    Default,
    /// By the kernel's redirection.
    Iptables,
    /// The pod calls the listener itself.
    None,
}

/// What becomes of calls to hosts that the mesh does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct OutboundTrafficPolicy {
    /// Whether they may leave.
    pub mode: OutboundMode,
    /// A service that takes them.
    pub egress_proxy: Option<Destination>,
}

/// Whether calls to unknown hosts may leave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// They may not. What a policy without a mode means: protobuf's first value.
    #[default]
    RegistryOnly,
    /// They may.
    AllowAny,
}
