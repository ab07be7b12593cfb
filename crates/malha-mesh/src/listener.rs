//! The entrance from outside: connections to the gateway and to load balancers.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, SERVER};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use malha_routing::ListenerKind;
use malha_runtime::Body;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::Mesh;
use crate::replies::{BAD_REQUEST, NO_ROUTE};
use crate::road::{self, Trip, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_REQUEST_ID};

/// Time for a client to send the head of a request; also how long a connection may be idle.
const HEAD: Duration = Duration::from_mins(1);

/// Bytes of a request's head, Envoy's `max_request_headers_kb`.
const HEAD_BYTES: usize = 60 << 10;

/// Connections of one listener; more wait in the system's queue.
const CONNECTIONS: usize = 16_384;

/// Pause after an error of `accept`, which as a rule means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Which listener of the snapshot a socket plays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entrance {
    /// What opened it.
    pub kind: ListenerKind,
    /// The port in the manifest.
    pub port: u16,
}

/// A socket that serves an entrance.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `entrance` on a socket that is bound already.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn start(mesh: Mesh, entrance: Entrance, socket: TcpListener) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(mesh, Arc::new(entrance), socket, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets requests under way end for up to `grace`, and then cuts the rest. Says whether
    /// all ended by themselves.
    pub async fn drain(self, grace: Duration) -> bool {
        let _ = self.stop.send(true);
        let abort = self.task.abort_handle();
        let ended = timeout(grace, self.task).await.is_ok();
        abort.abort();
        ended
    }
}

async fn accept(mesh: Mesh, entrance: Arc<Entrance>, socket: TcpListener, mut stopped: watch::Receiver<bool>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (socket.accept().await, permit)
            } => accepted,
            _ = stopped.changed() => break,
        };
        match accepted {
            (Ok((stream, client)), Ok(permit)) => {
                // Nothing is lost if it cannot be set.
                let _ = stream.set_nodelay(true);
                let (mesh, entrance) = (mesh.clone(), Arc::clone(&entrance));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (mesh, entrance) = (mesh.clone(), Arc::clone(&entrance));
                    async move { Ok::<_, Infallible>(mesh.enter(&entrance, request.map(Body::from), client).await) }
                });
                let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
                tokio::spawn(async move {
                    // A client that breaks HTTP or its connection concerns nobody else.
                    let _ = connection.await;
                    drop(permit);
                });
            }
            _ => sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(socket);
    graceful.shutdown().await;
}

impl Mesh {
    /// A request from outside, at the gateway or at a load balancer.
    pub async fn enter(&self, entrance: &Entrance, mut request: Request<Body>, client: SocketAddr) -> Response<Body> {
        let view = self.shared.view.load_full();
        let mut chance = self.shared.world.chance.stream();
        if let Err(reply) = road::normalize_path(&mut request) {
            return signed(reply.into());
        }
        let Some(authority) = authority(&request) else { return signed(BAD_REQUEST.into()) };
        let Some(host) = view.listener(entrance).and_then(|listener| listener.hosts.find(authority)) else {
            return signed(NO_ROUTE.into());
        };
        let headers = request.headers_mut();
        let is_gateway = entrance.kind == ListenerKind::Gateway;
        if is_gateway || !headers.contains_key(X_REQUEST_ID) {
            headers.insert(X_REQUEST_ID, road::request_id(&mut chance));
        }
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
        if is_gateway {
            append_forwarded_for(headers, client);
        }
        signed(road::travel(host, request, Trip { chance, depth: 0 }).await)
    }
}

/// Whom the request is for: the authority of an absolute URL, else `Host`, which HTTP/1.1 demands (RFC 9112 §3.2).
fn authority(request: &Request<Body>) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

/// Both ends of the way in carry Istio's name: gateways and the inbound side of sidecars.
fn signed(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(SERVER, HeaderValue::from_static("istio-envoy"));
    response
}

/// Adds the client to `x-forwarded-for`, after what a proxy before us may have written.
fn append_forwarded_for(headers: &mut http::HeaderMap, client: SocketAddr) {
    let address = client.ip().to_string();
    let value = match headers.get(X_FORWARDED_FOR).and_then(|value| value.to_str().ok()) {
        Some(before) => HeaderValue::try_from(format!("{before},{address}")),
        None => HeaderValue::try_from(address),
    };
    if let Ok(value) = value {
        headers.insert(X_FORWARDED_FOR, value);
    }
}
