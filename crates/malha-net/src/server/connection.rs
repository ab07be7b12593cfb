//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::activity::Activity;
use super::gate::{Gate, Progress};
use super::limits;
use super::nominated;
use super::refusal::Refusal;
use super::reply::Reply;
use super::sniff::{Protocol, sniff};
use super::tls::{ServerTls, Session};

/// Who is at the other end of a connection, and how it came here.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The client's address.
    pub client: SocketAddr,
    /// The address that it called.
    pub local: SocketAddr,
    /// What TLS found out, if the connection has it.
    pub tls: Option<Session>,
}

/// An extension of answers that whoever was asked gave without regard to the request's body: Envoy gives one that it has
/// at once before it looks at the body, and then ends an HTTP/1 connection if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Unasked;

/// What all connections of a server share.
#[derive(Clone)]
pub(super) struct Terms<A> {
    pub(super) answer: A,
    pub(super) drain: watch::Receiver<bool>,
    pub(super) streams: Streams,
}

/// The requests of HTTP/2 connections, each a task, so that they do not outlive the server.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<JoinSet<()>>>);

impl Streams {
    /// Ends all of them.
    pub(super) async fn shutdown(&self) {
        let mut streams = std::mem::take(&mut *self.0.lock());
        streams.shutdown().await;
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut streams = self.0.lock();
        // What is over is taken out, lest the set grow for as long as the server runs.
        while streams.try_join_next().is_some() {}
        streams.spawn(stream);
    }
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("cut")
    }
}

impl StdError for Cut {}

/// Serves `stream` until it ends, for whatever reason: a client that breaks TLS, HTTP or its connection concerns nobody
/// else.
pub(super) async fn serve<A, F, B>(
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<Arc<ServerTls>>,
    terms: Terms<A>,
    _room: OwnedSemaphorePermit,
) where
    A: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + 'static,
    F: Future<Output = Option<Response<B>>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    // Nothing is lost if it cannot be set.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let mut drain = terms.drain.clone();
    // Until a request is there, a drain costs nobody anything. A server that is dropped drains nothing.
    let drained = async move {
        if drain.wait_for(|drains| *drains).await.is_err() {
            std::future::pending::<Infallible>().await;
        }
    };
    match tls {
        None => {
            let begun = tokio::select! {
                begun = sniff(stream, None) => begun,
                () = drained => None,
            };
            let Some((io, protocol)) = begun else { return };
            // Boxed, since until then there is nothing that needs the space.
            Box::pin(drive(io, protocol, Connection { client, local, tls: None }, terms)).await;
        }
        Some(tls) => Box::pin(serve_tls(stream, client, local, tls, drained, terms)).await,
    }
}

async fn serve_tls<A, F, B>(
    stream: TcpStream,
    client: SocketAddr,
    local: SocketAddr,
    tls: Arc<ServerTls>,
    drained: impl Future<Output = ()>,
    terms: Terms<A>,
) where
    A: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + 'static,
    F: Future<Output = Option<Response<B>>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let begun = async {
        let (stream, session) = timeout(limits::HANDSHAKE_TIME, tls.accept(stream)).await.ok()??;
        let negotiated = match session.alpn.as_deref() {
            Some(b"h2") => Some(Protocol::Http2),
            Some(b"http/1.1" | b"http/1.0") => Some(Protocol::Http1),
            _ => None,
        };
        Some((sniff(stream, negotiated).await?, session))
    };
    let begun = tokio::select! {
        begun = begun => begun,
        () = drained => None,
    };
    let Some(((io, protocol), session)) = begun else { return };
    Box::pin(drive(io, protocol, Connection { client, local, tls: Some(session) }, terms)).await;
}

async fn drive<S, A, F, B>(io: S, protocol: Protocol, connection: Connection, mut terms: Terms<A>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + 'static,
    F: Future<Output = Option<Response<B>>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let secure = connection.tls.is_some();
    let connection = Arc::new(connection);
    let (activity, progress, cut) = (Activity::new(), Arc::new(Progress::default()), Arc::new(Notify::new()));
    let answer = terms.answer.clone();
    let number = AtomicU64::new(0);
    let service = {
        let (activity, progress, cut) = (Arc::clone(&activity), Arc::clone(&progress), Arc::clone(&cut));
        service_fn(move |mut request: Request<Incoming>| {
            let number = number.fetch_add(1, Ordering::Relaxed) + 1;
            let busy = activity.begin();
            let checked = check(&mut request);
            let bodiless = request.body().is_end_stream() && *request.method() != Method::CONNECT;
            let multiplexed = request.version() == Version::HTTP_2;
            let answered = checked.map(|()| answer(request, Arc::clone(&connection)));
            let (progress, cut) = (Arc::clone(&progress), Arc::clone(&cut));
            async move {
                let answered = match answered {
                    Ok(answered) => answered,
                    Err(Some(refusal)) => return Ok(refuse(refusal)),
                    Err(None) => return Err(Cut),
                };
                let mut answered = pin!(answered);
                let mut at_once = true;
                // Both sides are polled by the same task: whenever the body broke, this is polled next.
                let outcome = poll_fn(|context| {
                    if let Some(how) = progress.broken(number) {
                        return Poll::Ready(Err(how));
                    }
                    let answered = answered.as_mut().poll(context).map(Ok);
                    at_once &= answered.is_ready();
                    answered
                });
                match outcome.await {
                    Ok(Some(mut response)) => {
                        // Nobody waits for the rest of a request that is answered (Envoy, `ActiveStream::encodeHeaders`).
                        let unread = at_once && response.extensions().get::<Unasked>().is_some();
                        if !multiplexed && !bodiless && (unread || !progress.is_whole(number)) {
                            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                        }
                        Ok(response.map(|body| Reply::Answer { body, busy }))
                    }
                    Err(Some(refusal)) => Ok(refuse(refusal)),
                    Ok(None) | Err(None) => {
                        cut.notify_one();
                        Err(Cut)
                    }
                }
            }
        })
    };
    match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(Gate::new(io, secure, progress));
            supervise(http1().serve_connection(io, service), &mut terms.drain, &activity, &cut).await;
        }
        Protocol::Http2 => {
            let mut http = http2::Builder::new(terms.streams.clone());
            http.timer(TokioTimer::new())
                .max_concurrent_streams(limits::STREAMS)
                .initial_stream_window_size(limits::STREAM_WINDOW)
                .initial_connection_window_size(limits::CONNECTION_WINDOW)
                .max_header_list_size(u32::try_from(limits::HEAD_BYTES).unwrap_or(u32::MAX))
                .max_send_buf_size(limits::SEND_BUFFER)
                .max_pending_accept_reset_streams(limits::PENDING_RESETS)
                .max_local_error_reset_streams(limits::LOCAL_RESETS);
            supervise(http.serve_connection(TokioIo::new(io), service), &mut terms.drain, &activity, &cut).await;
        }
    }
}

/// hyper's HTTP/1 behind a [`Gate`], which is stricter than both limits, and has timers of its own.
pub(super) fn http1() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(None);
    http.max_header_size(limits::HEAD_BYTES + 1).max_buf_size(limits::HEAD_BYTES + (4 << 10));
    http.allow_multiple_spaces_in_request_line_delimiters(true);
    http
}

/// Lets `connection` run until it ends, is cut, or is idle for too long.
async fn supervise(
    connection: impl GracefulConnection,
    drain: &mut watch::Receiver<bool>,
    activity: &Activity,
    cut: &Notify,
) {
    let mut connection = pin!(connection);
    let mut idle = pin!(sleep_until(activity.idle_at()));
    let mut ends = false;
    loop {
        let gracefully = tokio::select! {
            _ = connection.as_mut() => return,
            () = cut.notified() => return,
            Ok(_) = drain.wait_for(|drains| *drains), if !ends => true,
            () = idle.as_mut(), if !ends => {
                let at = activity.idle_at();
                idle.as_mut().reset(at);
                at <= Instant::now()
            }
        };
        if gracefully {
            ends = true;
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// What is refused before anybody is asked: `None` ends the request, or its connection, without an answer.
fn check(request: &mut Request<Incoming>) -> Result<(), Option<Refusal>> {
    let is_http2 = request.version() == Version::HTTP_2;
    if is_http2 {
        // Envoy counts method, scheme, path and authority as headers, and resets a stream that has too many.
        let uri = request.uri();
        let pseudo = 2 + usize::from(uri.scheme().is_some()) + usize::from(uri.authority().is_some());
        if request.headers().len() + pseudo > limits::HEADERS {
            return Err(None);
        }
    } else if let Some(refusal) = Refusal::of(request) {
        return Err(Some(refusal));
    }
    let headers = request.headers_mut();
    // hyper sends the 100 itself, once the body is asked for; Envoy does it at once. Neither passes the wish on.
    if headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        headers.remove(EXPECT);
    }
    // HTTP/2 has no such headers (RFC 9113, 8.2.2), and h2 refuses them.
    if is_http2 {
        return Ok(());
    }
    let upgrades = wants_upgrade(headers);
    // Envoy ignores the offer of HTTP/2, and refuses those that it is not configured for.
    if upgrades && headers.get_all(UPGRADE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c")) {
        return Err(Some(Refusal::Upgrade));
    }
    nominated::remove(headers).map_err(Some)?;
    if upgrades {
        for name in [UPGRADE, CONNECTION, HeaderName::from_static("http2-settings")] {
            headers.remove(name);
        }
    }
    Ok(())
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
        && headers.get_all(CONNECTION).iter().any(|value| {
            let mut tokens = value.as_bytes().split(|byte| *byte == b',');
            tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
}

fn refuse<B>(refusal: Refusal) -> Response<Reply<B>> {
    refusal.reply().map(|words| Reply::Words { words })
}
