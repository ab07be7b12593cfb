//! Where a request goes, and how a connection to there is used.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::client::tls::ClientTls;

/// Envoy's default (`common_http_protocol_options.idle_timeout`).
pub const IDLE_TIMEOUT: Duration = Duration::from_hours(1);

/// Istio's default (`meshConfig.connectTimeout`).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2: that the other side speaks it is known beforehand, as with Envoy. With TLS the offer
    /// (`TlsClientConfig::alpn`) should say so too.
    Http2,
}

/// A host and how it is spoken to. Equal targets share connections; TLS is equal if it is the same value.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name or IP address.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// TLS, if any.
    pub tls: Option<Arc<ClientTls>>,
    /// What is spoken.
    pub protocol: Protocol,
}

impl Target {
    fn tls_identity(&self) -> Option<*const ClientTls> {
        self.tls.as_ref().map(Arc::as_ptr)
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.host == other.host
            && self.port == other.port
            && self.protocol == other.protocol
            && self.tls_identity() == other.tls_identity()
    }
}

impl Eq for Target {}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.host.hash(state);
        self.port.hash(state);
        self.protocol.hash(state);
        self.tls_identity().hash(state);
    }
}

/// How connections are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendOptions {
    /// Time for a connection to come about, TLS included.
    pub connect_timeout: Duration,
    /// Time after which an idle connection is not used any more; it is closed within seconds of it.
    pub idle_timeout: Duration,
    /// Requests after which a connection is closed; 0: none.
    pub requests_per_connection: u32,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { connect_timeout: CONNECT_TIMEOUT, idle_timeout: IDLE_TIMEOUT, requests_per_connection: 0 }
    }
}
