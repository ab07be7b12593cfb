//! The socket: TLS, HTTP/1.1 and HTTP/2, and what clients are granted.
//!
//! It has a thread and a runtime of its own: what the API does never takes time from the data plane's workers, however
//! long a list is.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::api::Api;

/// Connections at a time. Clients of one user need a handful; `kubectl` opens one a command.
const CONNECTIONS: usize = 1_024;
/// Time for a handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Time for the head of a request (Go's `ReadHeaderTimeout` of the API server: 32 s).
const HEAD_TIME: Duration = Duration::from_secs(32);
/// Bytes of a head (Go's `DefaultMaxHeaderBytes` is 1 MiB; no client of Kubernetes comes near this).
const HEAD_BYTES: usize = 64 << 10;
/// Lines of a head.
const HEADERS: usize = 100;
/// Requests at a time on one HTTP/2 connection (apiserver `secure_serving.go`).
const STREAMS: u32 = 100;
/// Bytes of a body, and of all bodies of a connection, under way (the same place).
const STREAM_WINDOW: u32 = 256 << 10;
/// How often an HTTP/2 connection is asked whether it still lives.
const PING: Duration = Duration::from_secs(30);
/// Pause after an error of `accept`: as a rule file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An API that is being served. Dropped, it is cut off; see [`Running::drain`].
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<Duration>,
    ended: oneshot::Receiver<()>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, ends watches and what follows logs, lets other requests end for up to `grace`, and cuts
    /// the rest.
    pub async fn drain(self, grace: Duration) {
        let _ = self.stop.send(grace);
        let _ = self.ended.await;
    }
}

impl Api {
    /// Answers what comes in on a socket, in a thread of its own.
    ///
    /// # Errors
    /// When the socket listens anywhere but on loopback, or there is no thread to have.
    pub fn serve(&self, socket: TcpListener) -> io::Result<Running> {
        let address = socket.local_addr()?;
        if !address.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{address} is no loopback address")));
        }
        // The socket moves to the other runtime.
        let socket = socket.into_std()?;
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let api = self.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("malha-api".to_owned()).spawn(move || {
            runtime.block_on(async {
                if let Ok(socket) = TcpListener::from_std(socket) {
                    accept(socket, api, stopped).await;
                }
            });
            let _ = end.send(());
        })?;
        Ok(Running { address, stop, ended })
    }
}

async fn accept(socket: TcpListener, api: Api, mut stopped: oneshot::Receiver<Duration>) {
    let tls = TlsAcceptor::from(api.0.credentials.tls());
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let (draining, drain) = watch::channel(false);
    let mut connections = JoinSet::new();
    let grace = loop {
        let accepted = tokio::select! {
            accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (socket.accept().await, permit)
            } => accepted,
            Some(_) = connections.join_next() => continue,
            grace = &mut stopped => break grace.unwrap_or_default(),
        };
        match accepted {
            (Ok((stream, _)), Ok(permit)) => {
                connections.spawn(connection(stream, tls.clone(), api.clone(), drain.clone(), permit));
            }
            _ => sleep(ACCEPT_PAUSE).await,
        }
    };
    drop(socket);
    api.0.closing.send_replace(true);
    let _ = draining.send(true);
    let _ = timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
    connections.shutdown().await;
}

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    api: Api,
    mut drain: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    // Events of a watch are small, and somebody waits for each.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIME, tls.accept(stream)).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let api = api.clone();
        async move { Ok::<_, std::convert::Infallible>(api.handle(request).await) }
    });
    // How a connection ends is its client's business: there is nothing to be done about an error.
    if is_http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAM_WINDOW * 4)
            .keep_alive_interval(PING);
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = drain.wait_for(|draining| *draining) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
        // With upgrades: port-forward takes the connection over.
        let mut connection = std::pin::pin!(builder.serve_connection(io, service).with_upgrades());
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = drain.wait_for(|draining| *draining) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}
