//! Calls that leave the mesh: HTTP/1.1 with pooled connections, TLS where the URL says https.

use std::error::Error as _;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use http::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use malha_runtime::{Body, CallError};
use tokio::time::timeout;

/// Envoy's connect timeout, as Istio sets it.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a call may take to its first byte where nobody says less.
const FIRST_BYTE: Duration = Duration::from_mins(10);

/// Idle connections kept to one host.
const IDLE: usize = 32;

/// Built on first use: most meshes never call out, and the root certificates take memory.
#[derive(Default)]
pub(crate) struct External(OnceLock<Client<HttpsConnector<HttpConnector>, Body>>);

impl External {
    pub(crate) async fn call(&self, request: Request<Body>) -> Result<Response<Body>, CallError> {
        let sending = self.0.get_or_init(client).request(request);
        match timeout(FIRST_BYTE, sending).await {
            Ok(Ok(response)) => Ok(response.map(Body::from)),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => Err(CallError::ResponseTimeout(FIRST_BYTE)),
        }
    }
}

fn client() -> Client<HttpsConnector<HttpConnector>, Body> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE)
        .build(connector)
}

/// The nearest thing that WASI HTTP has a word for.
fn explain(error: &hyper_util::client::legacy::Error) -> CallError {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::ConnectionRefused => CallError::ConnectionRefused,
                io::ErrorKind::TimedOut => CallError::ConnectionTimeout,
                io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                    CallError::ConnectionTerminated
                }
                // `getaddrinfo` has no kind of its own.
                _ if error.is_connect() && io.raw_os_error().is_none() => CallError::DestinationNotFound,
                _ => CallError::Protocol(io.to_string()),
            };
        }
        if current.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return CallError::ConnectionTerminated;
        }
        cause = current.source();
    }
    CallError::Protocol(error.to_string())
}
