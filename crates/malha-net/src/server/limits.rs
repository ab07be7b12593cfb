//! What a listener grants its clients, each with its source.
//!
//! Where Istio has no limit by default, the one here is that of its `EDGE` profile (istio,
//! `pilot/pkg/networking/core/connection_settings.go`, after Envoy's `docs/root/configuration/best_practices/edge.rst`):
//! whoever listens to strangers needs one. Istio's default for a stream that stalls half-way is to wait for it
//! (`stream_idle_timeout: 0s`), and so it is here: whoever answers sets the time for that.

use std::time::Duration;

/// Bytes of a request's head, and of its trailers. Envoy, `max_request_headers_kb`: 60 by default.
pub const HEAD_BYTES: usize = 60 << 10;

/// Lines of a request's head, `Host` among them. Envoy, `common_http_protocol_options.max_headers_count`: 100.
pub const HEADERS: usize = 100;

/// Time for the head of a request, from its first byte. Istio's `EDGE` profile, `http_request_headers_timeout`.
pub const HEAD_TIME: Duration = Duration::from_mins(1);

/// How long a connection lives without a request. Envoy, `common_http_protocol_options.idle_timeout`: one hour.
pub const IDLE_TIME: Duration = Duration::from_hours(1);

/// Time for a TLS handshake. Istio, `transport_socket_connect_timeout` of each filter chain.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// How long a client that was refused may still read. Envoy, `delayed_close_timeout`: one second.
pub const LINGER_TIME: Duration = Duration::from_secs(1);

/// Connections of one listener; more wait in the system's queue. Envoy has this as a resource monitor
/// (`envoy.resource_monitors.global_downstream_max_connections`), and no number by default.
pub const CONNECTIONS: usize = 16_384;

/// Pause after an error of `accept`, which as a rule means that file descriptors ran out.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Requests at a time on one HTTP/2 connection. Istio's `EDGE` profile, `http_max_concurrent_streams`.
pub const STREAMS: u32 = 100;

/// Bytes of an HTTP/2 request's body that may be under way. Istio's `EDGE` profile, `http2_initial_stream_window_size`.
pub const STREAM_WINDOW: u32 = 64 << 10;

/// The same for all requests of a connection. Istio's `EDGE` profile, `http2_initial_connection_window_size`.
pub const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes of a response's body that wait for an HTTP/2 client. Istio's `EDGE` profile, 32 KiB for each connection
/// (`listener_per_connection_buffer_limit_bytes`); here it is for each stream.
pub const SEND_BUFFER: usize = 32 << 10;

/// Streams that a client reset before they were looked at; one more, and its connection ends. The number of h2, after
/// CVE-2023-44487.
pub const PENDING_RESETS: usize = 20;

/// Streams that we had to reset, because of what the client did. The number of h2, after CVE-2025-8671.
pub const LOCAL_RESETS: usize = 1024;

/// Bytes of one HTTP/1 body's chunk sizes and extensions. hyper's limit, which for sizes has none.
pub(super) const CHUNK_LINES: usize = 16 << 10;
