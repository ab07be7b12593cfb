//! The entrance from outside: connections to the gateway and to load balancers.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, SERVER};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use malha_routing::{ListenerKind, strip_port};
use malha_runtime::Body;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
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
    stop: oneshot::Sender<Duration>,
    task: JoinHandle<bool>,
}

impl Server {
    /// Serves `entrance` on a socket that is bound already.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn start(mesh: Mesh, entrance: Entrance, socket: TcpListener) -> io::Result<Self> {
        let entrance = Arc::new(entrance);
        Self::answer(socket, move |request, client| {
            let (mesh, entrance) = (mesh.clone(), Arc::clone(&entrance));
            async move { mesh.enter(&entrance, request.map(Body::from), client).await }
        })
    }

    /// Serves whatever `answer` says.
    fn answer<A, F>(socket: TcpListener, answer: A) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let address = socket.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(socket, answer, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets requests under way end for up to `grace`, and then cuts the rest. Says whether
    /// all ended by themselves.
    pub async fn drain(self, grace: Duration) -> bool {
        let _ = self.stop.send(grace);
        self.task.await.unwrap_or(false)
    }
}

/// Accepts until `stopped` says how long connections may still take; whether that was enough for all of them.
async fn accept<A, F>(socket: TcpListener, answer: A, mut stopped: oneshot::Receiver<Duration>) -> bool
where
    A: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let grace = loop {
        let accepted = tokio::select! {
            accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (socket.accept().await, permit)
            } => accepted,
            // What is over is taken out, lest the set grow for as long as the server runs.
            Some(_) = connections.join_next() => continue,
            // A server that is dropped, not drained, lets its connections end in their own time.
            grace = &mut stopped => break grace.unwrap_or(Duration::MAX),
        };
        match accepted {
            (Ok((stream, client)), Ok(permit)) => {
                // Nothing is lost if it cannot be set.
                let _ = stream.set_nodelay(true);
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answer = answer(request, client);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
                connections.spawn(async move {
                    // A client that breaks HTTP or its connection concerns nobody else.
                    let _ = connection.await;
                    drop(permit);
                });
            }
            _ => sleep(ACCEPT_PAUSE).await,
        }
    };
    drop(socket);
    let ended = timeout(grace, graceful.shutdown()).await.is_ok();
    connections.shutdown().await;
    ended
}

impl Mesh {
    /// A request from outside, at the gateway or at a load balancer.
    pub async fn enter(&self, entrance: &Entrance, mut request: Request<Body>, client: SocketAddr) -> Response<Body> {
        let view = self.shared.view.load_full();
        let mut chance = self.shared.world.chance.stream();
        if settle_host(&mut request).is_none() {
            return signed(BAD_REQUEST.into());
        }
        if let Err(reply) = road::normalize_path(&mut request) {
            return signed(reply.into());
        }
        let authority = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let Some(host) = view.listener(entrance).and_then(|listener| listener.hosts.find(authority)) else {
            return signed(NO_ROUTE.into());
        };
        let headers = request.headers_mut();
        let is_gateway = entrance.kind == ListenerKind::Gateway;
        if is_gateway || !headers.contains_key(X_REQUEST_ID) {
            headers.insert(X_REQUEST_ID, road::request_id(&mut chance));
        }
        if is_gateway {
            headers.insert(X_FORWARDED_PROTO, road::HTTP);
            append_forwarded_for(headers, client);
        } else {
            headers.entry(X_FORWARDED_PROTO).or_insert(road::HTTP);
        }
        signed(road::travel(host, request, Trip { chance, depth: 0 }).await)
    }
}

/// Decides whom the request is for, and leaves that in `Host` alone; `None` asks for a 400 (RFC 9112 §3.2).
///
/// HTTP/1.1 demands one `Host`, even next to a target that names the host itself. Such a target wins, and what goes on
/// is its path with `Host` replaced (§3.2.2), as Envoy does it.
fn settle_host(request: &mut Request<Body>) -> Option<()> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => {}
        (None, None) if request.version() < Version::HTTP_11 => {}
        _ => return None,
    }
    if let Some(authority) = request.uri().authority() {
        // RFC 9110 §4.2.4: userinfo is no part of the host, and mostly there to deceive.
        let host = authority.as_str().rsplit('@').next()?;
        let host = HeaderValue::from_str(host).ok().filter(is_host)?;
        request.headers_mut().insert(HOST, host);
    }
    if let (Some(_), Some(path)) = (request.uri().authority(), request.uri().path_and_query()) {
        *request.uri_mut() = Uri::from(path.clone());
    }
    request.headers().contains_key(HOST).then_some(())
}

/// Whether it is `uri-host [":" port]` (RFC 9110 §7.2), as far as it takes not to be mistaken for another host.
fn is_host(value: &HeaderValue) -> bool {
    let delimits = |byte: &u8| b"@/?#\\,".contains(byte) || !byte.is_ascii_graphic();
    !value.as_bytes().iter().any(delimits) && value.to_str().is_ok_and(|host| !strip_port(host).is_empty())
}

/// Both ends of the way in carry Istio's name: gateways and the inbound side of sidecars.
fn signed(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(SERVER, HeaderValue::from_static("istio-envoy"));
    response
}

/// Adds the client to `x-forwarded-for`, after what proxies before us have written, be it on several lines (RFC 9110
/// §5.3). Envoy separates them by a comma alone.
fn append_forwarded_for(headers: &mut http::HeaderMap, client: SocketAddr) {
    let address = client.ip().to_string();
    let before = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let hops: Vec<_> = before.filter(|line| !line.is_empty()).chain([address.as_bytes()]).collect();
    if let Ok(value) = HeaderValue::from_bytes(&hops.join(&b',')) {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;

    use super::*;

    #[test]
    fn the_client_comes_after_every_proxy_that_named_itself() {
        for (lines, want) in [
            (&[][..], "192.0.2.1"),
            (&["10.0.0.1"], "10.0.0.1,192.0.2.1"),
            (&["10.0.0.1, 10.0.0.2", "10.0.0.3"], "10.0.0.1, 10.0.0.2,10.0.0.3,192.0.2.1"),
            (&["", "é"], "é,192.0.2.1"),
        ] {
            let mut headers = http::HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
            }
            append_forwarded_for(&mut headers, "192.0.2.1:4711".parse().unwrap());
            let got: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
            assert_eq!(got, [want.as_bytes()], "{lines:?}");
        }
    }

    #[test]
    fn one_host_decides_and_an_absolute_target_wins() {
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        for (version, target, hosts, want) in [
            (new, "/x", &["a:80"][..], Some(("a:80", "/x"))),
            (new, "/x", &["[::1]:80"], Some(("[::1]:80", "/x"))),
            (new, "/x", &[], None),
            (new, "/x", &[""], None),
            (new, "/x", &[":80"], None),
            (new, "/x", &["a", "a"], None),
            (new, "/x", &["a@b"], None),
            (new, "/x", &["a b"], None),
            (new, "/x", &["a/b"], None),
            (new, "http://b/x?q", &["a"], Some(("b", "/x?q"))),
            (new, "http://b", &["a"], Some(("b", "/"))),
            (new, "http://a@b:8080/x", &["a"], Some(("b:8080", "/x"))),
            (new, "http://b/x", &[], None),
            (new, "http://b/x", &[""], None),
            (new, "http://b/x", &["a", "b"], None),
            (old, "/x", &[], None),
            (old, "/x", &["a"], Some(("a", "/x"))),
            (old, "http://b/x", &[], Some(("b", "/x"))),
            (old, "http://b/x", &["a", "b"], None),
            (new, "*", &["a"], Some(("a", "*"))),
            // An authority alone is the target of `CONNECT`.
            (new, "b:80", &["a"], Some(("b:80", "b:80"))),
        ] {
            let mut request = Request::builder().version(version).uri(target);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let mut request = request.body(Body::empty()).unwrap();
            let settled = settle_host(&mut request);
            let got = settled.map(|()| (request.headers()[HOST].to_str().unwrap(), request.uri().to_string()));
            assert_eq!(got, want.map(|(host, target)| (host, target.to_owned())), "{version:?} {target} {hosts:?}");
        }
    }

    const GRACE: Duration = Duration::from_secs(30);

    /// A server whose only request is under way, and what lets that one end.
    async fn busy() -> (Server, TcpStream, Arc<Notify>) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, ends) = (Arc::clone(&begun), Arc::clone(&end));
        let server = Server::answer(socket, move |_, _| {
            let (begins, ends) = (Arc::clone(&begins), Arc::clone(&ends));
            async move {
                begins.notify_one();
                ends.notified().await;
                Response::new(Body::empty())
            }
        });
        let server = server.unwrap();
        let mut client = TcpStream::connect(server.address()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        begun.notified().await;
        (server, client, end)
    }

    async fn read(mut client: TcpStream) -> String {
        let mut text = String::new();
        // A connection that is cut may be reset.
        let _ = client.read_to_string(&mut text).await;
        text
    }

    #[tokio::test]
    async fn a_request_that_outlives_the_grace_is_cut() {
        let (server, client, end) = busy().await;
        tokio::time::pause();
        assert!(!server.drain(GRACE).await);
        assert_eq!(Arc::strong_count(&end), 1, "nobody serves it any more");
        assert_eq!(read(client).await, "");
    }

    #[tokio::test]
    async fn a_request_that_ends_within_the_grace_is_answered() {
        let (server, client, end) = busy().await;
        let (drained, ()) = tokio::join!(server.drain(GRACE), async { end.notify_one() });
        assert!(drained);
        assert!(read(client).await.starts_with("HTTP/1.1 200"));
    }
}
