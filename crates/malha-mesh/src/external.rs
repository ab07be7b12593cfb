//! Calls that leave the mesh: HTTP/1.1 with pooled connections, TLS where the URL says https.

use std::error::Error;
use std::io;
use std::iter::successors;
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
fn explain(error: &(dyn Error + 'static)) -> CallError {
    let causes = || successors(Some(error), |&error| error.source());
    // `getaddrinfo` has error kinds of its own, of which `std` keeps the text only; hyper-util says where it came from.
    if causes().any(|cause| cause.to_string() == "dns error") {
        return CallError::DestinationNotFound;
    }
    if let Some(io) = causes().find_map(|cause| cause.downcast_ref::<io::Error>()) {
        let io = innermost(io);
        return match io.kind() {
            io::ErrorKind::ConnectionRefused => CallError::ConnectionRefused,
            io::ErrorKind::TimedOut => CallError::ConnectionTimeout,
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                CallError::ConnectionTerminated
            }
            // tokio-rustls gives each error of rustls this kind; nothing else below HTTP finds fault with data.
            io::ErrorKind::InvalidData => CallError::Tls(io.to_string()),
            _ => CallError::Protocol(io.to_string()),
        };
    }
    if causes().any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_incomplete_message)) {
        return CallError::ConnectionTerminated;
    }
    CallError::Protocol(causes().last().unwrap_or(error).to_string())
}

/// hyper-rustls wraps an error of the handshake into another `io::Error`, whose kind says nothing.
fn innermost(error: &io::Error) -> &io::Error {
    let mut innermost = error;
    while let Some(inner) = innermost.get_ref().and_then(|inner| inner.downcast_ref()) {
        innermost = inner;
    }
    innermost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Wrapped(&'static str, #[source] io::Error);

    #[test]
    fn the_cause_decides_what_a_failed_call_is_called() {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, InvalidData, Other, TimedOut, UnexpectedEof};
        let tls = |kind| io::Error::other(io::Error::new(kind, "text"));
        for (error, want) in [
            (Wrapped("dns error", io::Error::other("text")), CallError::DestinationNotFound),
            (Wrapped("dns error", TimedOut.into()), CallError::DestinationNotFound),
            (Wrapped("tcp connect error", ConnectionRefused.into()), CallError::ConnectionRefused),
            (Wrapped("tcp connect error", TimedOut.into()), CallError::ConnectionTimeout),
            (Wrapped("tcp connect error", Other.into()), CallError::Protocol("other error".into())),
            (Wrapped("connect", tls(InvalidData)), CallError::Tls("text".into())),
            (Wrapped("connect", tls(UnexpectedEof)), CallError::ConnectionTerminated),
            (Wrapped("connect", tls(ConnectionReset)), CallError::ConnectionTerminated),
            (Wrapped("connect", io::Error::other("text")), CallError::Protocol("text".into())),
        ] {
            assert_eq!(explain(&error), want, "{error:?}");
        }
    }
}
