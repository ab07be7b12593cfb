//! Sends the requests of a case through one side.
//!
//! This waits by the wall clock, as nothing else here does: Envoy is another process, and nobody can pause its time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::HeaderMap;
use hyper::body::Frame;
use hyper::http::{HeaderName, HeaderValue};
use malha_world::Clock;
use tokio::time::{Instant, sleep, timeout};

use crate::case::{Request, Sending, Tls, To};
use crate::client::{self, Answer, Connection};
use crate::observe::{Exchange, Observation};
use crate::side::{Prepared, Side};
use crate::tokens;
use crate::upstream::{TAG, Upstreams};

/// No request of a case takes that long.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a mirrored request or a late try may take to be seen.
const LATE: Duration = Duration::from_secs(2);
/// How long an access log may lag behind.
const LOGGED: Duration = Duration::from_millis(300);
/// How long to look for tries that should not be there.
const QUIET: Duration = Duration::from_millis(30);

/// Texts that are too long for a case's file: a large header, one that no proxy takes (Envoy: 60 KiB), and bodies that
/// fit into Envoy's buffer (1 MiB) and do not.
const SIZES: [(&str, usize); 4] =
    [("${large}", 20_000), ("${big}", 70_000), ("${half}", 500_000), ("${huge}", 2_000_000)];

/// How many cases run at a time: enough to wait for many delays at once, few enough to keep times honest.
const AT_ONCE: usize = 12;

/// What the requests of all these cases lead to, in their order.
pub async fn all(side: &(dyn Side + Sync), cases: &[Prepared<'_>]) -> Vec<Result<Observation>> {
    let mut all: Vec<Result<Observation>> =
        stream::iter(cases).map(|prepared| run(side, prepared)).buffered(AT_ONCE).collect().await;
    sleep(LOGGED).await;
    for (prepared, observation) in cases.iter().zip(&mut all) {
        if let Ok(observed) = observation
            && let Err(error) = flag(side, prepared, observed)
        {
            *observation = Err(error);
        }
    }
    all
}

/// What the access log says of each request.
fn flag(side: &(dyn Side + Sync), prepared: &Prepared<'_>, observation: &mut Observation) -> Result<()> {
    let flags = side.flags()?;
    for exchange in observation.iter_mut().flatten() {
        let of = |name: &str| flags.get(&(prepared.case.id.clone(), name.to_owned())).cloned();
        let id = exchange.tries.last().and_then(|seen| seen.header("x-request-id"));
        exchange.flags = id.and_then(of).or_else(|| of(&exchange.tag)).unwrap_or_default();
    }
    Ok(())
}

/// What the requests of a case lead to.
pub async fn run(side: &(dyn Side + Sync), prepared: &Prepared<'_>) -> Result<Observation> {
    let now = i64::try_from(Clock::system().since_epoch().as_secs())?;
    let mut groups = Vec::new();
    for (index, request) in prepared.case.requests.iter().enumerate() {
        let address = side.entrance(&prepared.case.id, request.port);
        let address = address.with_context(|| format!("nothing listens for port {}", request.port))?;
        sleep(request.after).await;
        let messages =
            (0..request.times).map(|number| Message::new(request, format!("{index}.{number}"), prepared, now));
        let messages: Vec<Message> = messages.collect::<Result<_>>()?;
        let mut sending = tokio::spawn(send_all(address, messages.clone(), request.send, request.every));
        let mut sent = None;
        if !request.background {
            sent = Some((&mut sending).await?);
            settle(request, &messages, &prepared.upstreams).await;
        }
        groups.push((messages, sending, sent));
    }
    let mut observation = Vec::new();
    for (messages, sending, sent) in groups {
        let sent = match sent {
            Some(sent) => sent,
            None => sending.await?,
        };
        let exchanges = messages.into_iter().zip(sent).map(|(message, (answer, took))| Exchange {
            tries: prepared.upstreams.tries(&message.tag),
            tag: message.tag,
            flags: String::new(),
            sent: message.headers,
            answer: answer.map_err(|error| format!("{error:#}")),
            took,
        });
        observation.push(exchanges.collect());
    }
    Ok(observation)
}

async fn send_all(address: SocketAddr, messages: Vec<Message>, how: Sending, every: Duration) -> Vec<Sent> {
    if how == Sending::Together {
        let sending = messages.iter().map(|message| async { send(address, message, &mut None).await });
        return join_all(sending).await;
    }
    let mut sent = Vec::new();
    let mut kept = None;
    for message in &messages {
        sent.push(send(address, message, &mut kept).await);
        sleep(every).await;
        if how == Sending::InTurn {
            kept = None;
        }
    }
    sent
}

/// A request, in the bytes that are sent.
#[derive(Clone)]
struct Message {
    tag: String,
    headers: Vec<(String, String)>,
    bytes: Vec<u8>,
    /// The same for HTTP/2, where it may be that.
    http2: Option<Http2>,
    /// Whether the client knows beforehand that HTTP/2 is spoken.
    known: bool,
    tls: Option<Tls>,
    head_only: bool,
}

impl Message {
    fn new(request: &Request, tag: String, prepared: &Prepared<'_>, now: i64) -> Result<Self> {
        let (method, path) = request.line();
        let mut headers = vec![("host".to_owned(), request.host.clone()), (TAG.to_owned(), tag.clone())];
        for (name, values) in &request.headers {
            headers.extend(values.0.iter().map(|value| (name.to_lowercase(), value.clone())));
        }
        if let Some(body) = &request.body {
            headers.push(("content-length".to_owned(), sized(body).len().to_string()));
        }
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in headers.iter().filter(|(name, value)| name != "host" || !value.is_empty()) {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text += "\r\n";
        text += request.body.as_deref().unwrap_or_default();
        if let Some(raw) = &request.raw {
            text = raw.replace("${tag}", &format!("{TAG}: {tag}"));
        }
        text = sized(&text);
        for (name, token) in &prepared.case.tokens {
            let placeholder = format!("${{token.{name}}}");
            if text.contains(&placeholder) {
                text = text.replace(&placeholder, &tokens::sign(token, now)?);
            }
        }
        let multiplexed = request.http2 || request.tls.is_some();
        let http2 = if multiplexed { Some(Http2::new(method, path, &headers, request)?) } else { None };
        let (known, tls, head_only) = (request.http2, request.tls.clone(), method == "HEAD");
        Ok(Self { tag, headers, bytes: text.into_bytes(), http2, known, tls, head_only })
    }
}

fn sized(text: &str) -> String {
    SIZES.iter().fold(text.to_owned(), |text, (placeholder, size)| {
        if text.contains(placeholder) { text.replace(placeholder, &"y".repeat(*size)) } else { text }
    })
}

/// The request as HTTP/2 has it.
#[derive(Clone)]
struct Http2 {
    head: hyper::Request<()>,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Http2 {
    fn new(method: &str, path: &str, headers: &[(String, String)], request: &Request) -> Result<Self> {
        let scheme = if request.tls.is_some() { "https" } else { "http" };
        let mut head = hyper::Request::builder().method(method).uri(format!("{scheme}://{}{path}", request.host));
        for (name, value) in headers.iter().filter(|(name, _)| name != "host") {
            // A length beside trailers is right too, but no client of gRPC gives one.
            if name != "content-length" || request.trailers.is_empty() {
                head = head.header(name, value);
            }
        }
        let body = sized(request.body.as_deref().unwrap_or_default()).into();
        let mut trailers = HeaderMap::new();
        for (name, value) in &request.trailers {
            trailers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        Ok(Self { head: head.body(())?, body, trailers: (!trailers.is_empty()).then_some(trailers) })
    }

    fn request(&self) -> hyper::Request<client::Body> {
        let body = match self.trailers.clone() {
            None => BodyExt::boxed(Full::from(self.body.clone())),
            Some(trailers) => {
                let frames = [Frame::data(self.body.clone()), Frame::trailers(trailers)];
                BodyExt::boxed(StreamBody::new(stream::iter(frames.map(Ok))))
            }
        };
        self.head.clone().map(|()| body)
    }
}

type Sent = (Result<Answer>, Duration);

async fn send(address: SocketAddr, message: &Message, kept: &mut Option<Connection>) -> Sent {
    let begin = Instant::now();
    let exchange = async {
        let mut connection = match (kept.take(), &message.tls) {
            (Some(connection), _) => connection,
            (None, None) => Connection::open(address).await?,
            (None, Some(tls)) => Connection::open_tls(address, tls).await?,
        };
        if let Some(http2) = message.http2.as_ref().filter(|_| message.known || connection.speaks_http2()) {
            return client::over_http2(connection, http2.request()).await;
        }
        let answer = connection.send(&message.bytes, message.head_only).await?;
        *kept = Some(connection);
        Ok(answer)
    };
    let answer =
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {PATIENCE:?}")));
    (answer, begin.elapsed())
}

/// Waits until what the case expects was seen, and then a moment for what it does not.
async fn settle(request: &Request, messages: &[Message], upstreams: &Upstreams) {
    let wanted = request.to.as_ref().map_or(0, To::tries);
    let begin = Instant::now();
    while begin.elapsed() < LATE && messages.iter().any(|message| upstreams.tries(&message.tag).len() < wanted) {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(QUIET).await;
}
