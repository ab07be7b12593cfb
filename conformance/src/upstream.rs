//! An upstream of HTTP/1.1 and HTTP/2 that does as its script says, and remembers what it saw.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use hyper::body::Incoming;
use hyper::http::{HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::case::{Case, End, Reply, Script};
use crate::tokens;

/// The header that says to which request of a case a try belongs.
pub const TAG: &str = "x-case-request";

/// The keys, in a body.
const JWKS: &str = "${jwks}";

/// One try, as an upstream saw it.
#[derive(Clone, Debug)]
pub struct Try {
    /// Which upstream.
    pub upstream: String,
    /// What the request was tagged with.
    pub tag: String,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers in their order, the tag left out; then trailers, as `trailer NAME`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// When its head was there.
    pub at: Instant,
}

impl Try {
    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }
}

/// The upstreams of one case. They end when this is dropped.
pub struct Upstreams {
    /// Where each of them is.
    pub addresses: BTreeMap<String, SocketAddr>,
    seen: Arc<Mutex<Vec<Try>>>,
    _tasks: JoinSet<()>,
    /// Bound, but not listening: a connection is refused, and nobody else gets the port.
    _refusing: Vec<TcpSocket>,
}

impl Upstreams {
    /// Starts what the case names, and `a`, `b` and `c`.
    pub async fn start(case: &Case) -> Result<Self> {
        let mut scripts = case.upstreams.clone();
        for name in ["a", "b", "c"] {
            scripts.entry(name.to_owned()).or_default();
        }
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut addresses = BTreeMap::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let mut refusing = Vec::new();
        for (name, script) in scripts {
            let address = match script {
                Script::Refuse => {
                    let socket = TcpSocket::new_v4()?;
                    socket.bind(local)?;
                    let address = socket.local_addr()?;
                    refusing.push(socket);
                    address
                }
                Script::Answers(replies) => {
                    let listener = TcpListener::bind(local).await?;
                    let address = listener.local_addr()?;
                    let upstream =
                        Upstream { name: name.clone(), replies, next: Mutex::new(0), seen: Arc::clone(&seen) };
                    tasks.spawn(serve(listener, Arc::new(upstream)));
                    address
                }
            };
            addresses.insert(name, address);
        }
        Ok(Self { addresses, seen, _tasks: tasks, _refusing: refusing })
    }

    /// What a request led to so far.
    pub fn tries(&self, tag: &str) -> Vec<Try> {
        self.seen.lock().iter().filter(|seen| seen.tag == tag).cloned().collect()
    }
}

struct Upstream {
    name: String,
    replies: Vec<Reply>,
    next: Mutex<usize>,
    seen: Arc<Mutex<Vec<Try>>>,
}

async fn serve(listener: TcpListener, upstream: Arc<Upstream>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Without it an answer in two writes waits 40 ms for an acknowledgement.
        stream.set_nodelay(true).unwrap_or_default();
        let upstream = Arc::clone(&upstream);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&upstream), request));
            // What speaks HTTP/2 without being asked begins with `PRI * HTTP/2.0`.
            let mut first = [0; 3];
            stream.peek(&mut first).await.unwrap_or_default();
            // An error is how a scripted failure looks from here.
            if &first == b"PRI" {
                let http = http2::Builder::new(TokioExecutor::new());
                http.serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
            } else {
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    upstream: Arc<Upstream>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Channel<Bytes, io::Error>>> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let body = body.collect().await.context("the request's body")?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = body.to_bytes();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = head.headers.iter().filter(|(name, _)| *name != TAG);
    let headers = headers.map(|(name, value)| (name.to_string(), text(value.as_bytes())));
    // HTTP/2 has the host elsewhere.
    let over = head.uri.authority().filter(|_| head.version == hyper::Version::HTTP_2);
    let host = over.map(|host| [("host".to_owned(), host.to_string()), ("version".to_owned(), "HTTP/2".to_owned())]);
    let headers = host.into_iter().flatten().chain(headers);
    let trailers = trailers.iter().map(|(name, value)| (format!("trailer {name}"), text(value.as_bytes())));
    let tried = Try {
        upstream: upstream.name.clone(),
        tag: head.headers.get(TAG).map(|tag| text(tag.as_bytes())).unwrap_or_default(),
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: headers.chain(trailers).collect(),
        body: text(&body),
        at,
    };
    upstream.seen.lock().push(tried);
    let reply = {
        let mut next = upstream.next.lock();
        let reply = upstream.replies.get(*next).or_else(|| upstream.replies.last()).cloned().unwrap_or_default();
        *next += 1;
        reply
    };
    sleep(reply.delay).await;
    match reply.end {
        Some(End::Close) => anyhow::bail!("told to close"),
        Some(End::Stall) => std::future::pending().await,
        Some(End::CloseInBody) | None => {}
    }
    // These have no body (RFC 9110, 6.4.1), and hyper would say that they had one.
    let bare = [204, 304].contains(&reply.status);
    let text = reply.body.unwrap_or_else(|| if bare { String::new() } else { upstream.name.clone() });
    let text = if text.contains(JWKS) { text.replace(JWKS, &tokens::jwks()?) } else { text };
    let mut trailers = HeaderMap::new();
    for (name, value) in &reply.trailers {
        trailers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    let trails = !trailers.is_empty();
    let mut response = hyper::Response::builder().status(reply.status).header("x-upstream", &upstream.name);
    if !text.is_empty() && !reply.headers.contains_key("content-type") {
        response = response.header("content-type", "text/plain");
    }
    for (name, values) in &reply.headers {
        for value in &values.0 {
            response = response.header(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
    }
    let broken = reply.end == Some(End::CloseInBody);
    let promised = if broken { text.len() + 100 } else { text.len() };
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        // Fails where nobody reads any more.
        if !text.is_empty() && sender.send_data(Bytes::from(text)).await.is_err() {
            return;
        }
        if broken {
            sleep(Duration::from_millis(20)).await;
            sender.abort(io::Error::other("told to close"));
        } else if trails {
            sender.send_trailers(trailers).await.unwrap_or_default();
        }
    });
    if !bare && !trails {
        response = response.header("content-length", promised);
    }
    Ok(response.body(body)?)
}
