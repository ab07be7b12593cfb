//! Access logs of proxies: one line for each request, in Istio's default format (`EnvoyTextLogFormat` in
//! `pilot/pkg/model/telemetry_logging.go`).
//!
//! Where nobody asked for them (`meshConfig.accessLogFile`), nothing of this happens.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use malha_routing::{Cluster, Endpoint};
use malha_runtime::{Body, BodyError, Pod};
use tokio::time::Instant;

use crate::flags::{Flag, Flags};
use crate::head::{self, X_ENVOY_UPSTREAM_SERVICE_TIME, X_FORWARDED_FOR, X_REQUEST_ID};
use crate::proxy::Proxy;
use crate::replies::{Answered, broken_body};

/// Takes lines: the name of the proxy's workload, and the line.
pub(crate) type Sink = Box<dyn Fn(&str, &str) + Send + Sync>;

/// What is to be said of one request.
pub(crate) struct Record {
    sink: Arc<OnceLock<Sink>>,
    proxy: Arc<Proxy>,
    began: SystemTime,
    start: Instant,
    head: String,
    request_id: String,
    forwarded_for: String,
    user_agent: String,
    authority: String,
    received: AtomicU64,
    local: SocketAddr,
    client: SocketAddr,
    server_name: Option<String>,
    way: OnceLock<Way>,
}

/// Which way a request took.
struct Way {
    route: String,
    cluster: Option<Arc<Cluster<Pod>>>,
    endpoint: Option<Arc<Endpoint<Pod>>>,
}

/// Between whom a request came.
pub(crate) struct Ends<'a> {
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) server_name: Option<&'a str>,
}

impl Record {
    /// A request begins; its body is counted from now on.
    pub(crate) fn begin(
        sink: &Arc<OnceLock<Sink>>,
        proxy: &Arc<Proxy>,
        now: SystemTime,
        ends: &Ends<'_>,
        request: &mut Request<Body>,
    ) -> Arc<Self> {
        let protocol = if request.version() == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" };
        let headers = request.headers();
        let record = Arc::new(Self {
            sink: Arc::clone(sink),
            proxy: Arc::clone(proxy),
            began: now,
            start: Instant::now(),
            head: format!("{} {} {protocol}", request.method(), head::path(request.method(), request.uri())),
            request_id: text(headers, &X_REQUEST_ID).into_owned(),
            forwarded_for: text(headers, &X_FORWARDED_FOR).into_owned(),
            user_agent: text(headers, &USER_AGENT).into_owned(),
            authority: head::authority(headers).to_owned(),
            received: AtomicU64::new(0),
            local: ends.local,
            client: ends.client,
            server_name: ends.server_name.map(str::to_owned),
            way: OnceLock::new(),
        });
        let body = std::mem::take(request.body_mut());
        if !body.is_end_stream() {
            let record = Arc::clone(&record);
            *request.body_mut() = Body::boxed(Watched { body, watch: move |seen: Seen<'_>| record.receive(seen) });
        }
        record
    }

    /// The way that the request took.
    pub(crate) fn took(&self, route: &str, cluster: Option<&Arc<Cluster<Pod>>>, endpoint: Option<&Arc<Endpoint<Pod>>>) {
        let way = Way { route: route.to_owned(), cluster: cluster.cloned(), endpoint: endpoint.cloned() };
        // A request takes one way.
        let _ = self.way.set(way);
    }

    /// The answer; the line is written when its last byte is gone, or its client is.
    pub(crate) fn end(self: Arc<Self>, answered: Answered) -> Response<Body> {
        let answer = Answer {
            status: answered.response.status(),
            flags: answered.flags,
            broken: OnceLock::new(),
            details: answered.details.clone(),
            service_time: text(answered.response.headers(), &X_ENVOY_UPSTREAM_SERVICE_TIME).into_owned(),
            sent: AtomicU64::new(0),
            record: self,
        };
        let mut response = answered.into_response();
        let body = std::mem::take(response.body_mut());
        let answer = Arc::new(answer);
        *response.body_mut() = if body.is_end_stream() {
            let mut body = body;
            body.hold(Written(answer));
            body
        } else {
            let count = Arc::clone(&answer);
            let mut body = Body::boxed(Watched { body, watch: move |seen: Seen<'_>| count.see(seen) });
            body.hold(Written(answer));
            body
        };
        response
    }

    fn receive(&self, seen: Seen<'_>) {
        if let Seen::Bytes(bytes) = seen {
            self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

/// What a record says of the answer.
struct Answer {
    record: Arc<Record>,
    status: StatusCode,
    flags: Flags,
    /// Why its body broke off, if it did.
    broken: OnceLock<Flag>,
    details: Cow<'static, str>,
    service_time: String,
    sent: AtomicU64,
}

impl Answer {
    fn see(&self, seen: Seen<'_>) {
        match seen {
            Seen::Bytes(bytes) => {
                self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            // It breaks off once.
            Seen::Break(error) => drop(self.broken.set(broken_body(error))),
        }
    }

    fn line(&self) -> String {
        let record = &*self.record;
        let way = record.way.get();
        let cluster = way.and_then(|way| way.cluster.as_ref()).map_or("-", |cluster| &*cluster.name);
        let endpoint = way.and_then(|way| way.endpoint.as_ref()).map_or("-", |endpoint| endpoint.address.as_str());
        let route = way.map_or("-", |way| way.route.as_str());
        let mut flags = self.flags;
        if let Some(broken) = self.broken.get() {
            flags.raise(*broken);
        }
        let mut line = String::with_capacity(320);
        // Writing to a string does not fail.
        let _ = write!(
            line,
            "[{}] \"{}\" {} {} {} - \"-\" {} {} {} {} \"{}\" \"{}\" \"{}\" \"{}\" \"{endpoint}\" {cluster} - {} {} {} {}",
            malha_routing::start_time(record.began).unwrap_or_default(),
            record.head,
            self.status.as_u16(),
            flags,
            self.details.replace(' ', "_"),
            record.received.load(Ordering::Relaxed),
            self.sent.load(Ordering::Relaxed),
            record.start.elapsed().as_millis(),
            dash(&self.service_time),
            dash(&record.forwarded_for),
            dash(&record.user_agent),
            dash(&record.request_id),
            dash(&record.authority),
            record.local,
            record.client,
            record.server_name.as_deref().unwrap_or("-"),
            dash(route),
        );
        line
    }
}

/// Writes the line when it is dropped.
struct Written(Arc<Answer>);

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(sink) = self.0.record.sink.get() {
            sink(&self.0.record.proxy.workload.name, &self.0.line());
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    headers.get(name).map_or(Cow::Borrowed(""), |value| String::from_utf8_lossy(value.as_bytes()))
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// What passes of a body.
#[derive(Clone, Copy)]
enum Seen<'a> {
    /// So many bytes.
    Bytes(usize),
    /// Nothing more, though it has not ended.
    Break(&'a BodyError),
}

/// A body that somebody watches.
struct Watched<F> {
    body: Body,
    watch: F,
}

impl<F: Fn(Seen<'_>) + Send + Unpin> HttpBody for Watched<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    (this.watch)(Seen::Bytes(data.len()));
                }
            }
            Some(Err(error)) => (this.watch)(Seen::Break(error)),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use parking_lot::Mutex;

    use super::*;
    use crate::flags::Flag;

    fn ends() -> Ends<'static> {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Ends { client: address(50_000), local: address(8080), server_name: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_has_everything_in_istios_order() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::new(OnceLock::<Sink>::new());
        let seen = Arc::clone(&lines);
        assert!(sink.set(Box::new(move |proxy, line| seen.lock().push(format!("{proxy}: {line}")))).is_ok());
        let proxy = Arc::new(Proxy::gateway());
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_795_276_544_897);
        let mut request = Request::post("/posts?x=1")
            .header("host", "shop.test")
            .header("x-request-id", "id")
            .header("user-agent", "curl/8")
            .body(Body::from("four"))
            .unwrap();
        let record = Record::begin(&sink, &proxy, now, &ends(), &mut request);
        request.into_body().collect().await.unwrap();
        tokio::time::advance(std::time::Duration::from_millis(30)).await;
        record.took("app", None, None);
        let mut flags = Flags::of(Flag::RetriesExhausted);
        flags.raise(Flag::ConnectionFailure);
        let response = Response::builder().status(503).body(Body::from("seven b")).unwrap();
        let details = "upstream_reset_before_response_started{remote connection failure}";
        let response = record.end(Answered { response, flags, details: details.into() });
        assert_eq!(*lines.lock(), [] as [String; 0], "nothing is said before the end");
        response.into_body().collect().await.unwrap();
        assert_eq!(
            *lines.lock(),
            ["istio-ingressgateway: [2026-11-21T15:55:44.897Z] \"POST /posts?x=1 HTTP/1.1\" 503 URX,UF \
             upstream_reset_before_response_started{remote_connection_failure} - \"-\" 4 7 30 - \"-\" \"curl/8\" \"id\" \
             \"shop.test\" \"-\" - - 127.0.0.1:8080 127.0.0.1:50000 - app"]
        );
    }
}
