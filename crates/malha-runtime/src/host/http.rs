//! `wasi:http`: what goes out passes the component's list of allowed hosts and then the mesh.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::timeout;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

use crate::app::Component;
use crate::body::{Body, Watched};
use crate::outbound::{CallError, Caller};
use crate::pod::Shared;

/// For the first byte and between bytes, where the guest sets no limit of its own: wasmtime's. A connection within the
/// mesh takes no time; one that leaves it has the limit of the mesh.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// Calls that one guest may have under way; each costs the host memory that the guest's own limit does not see.
const CALLS: usize = 256;

pub(super) struct Hooks {
    pod: Arc<Shared>,
    component: Arc<Component>,
    depth: usize,
    calls: Arc<AtomicUsize>,
}

/// One of a guest's calls, for as long as it is under way.
struct Call(Arc<AtomicUsize>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hooks {
    pub(super) fn new(pod: Arc<Shared>, component: Arc<Component>, depth: usize) -> Self {
        Self { pod, component, depth, calls: Arc::default() }
    }
}

static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> =
    LazyLock::new(|| Arc::new(|name: &HeaderName| DEFAULT_FORBIDDEN_HEADERS.contains(name)));

/// The transfer itself is part of the body here; nothing is left to drive beside it.
type Transfer = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Transfer), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::clone(&FORBIDDEN)
    }

    /// So that most responses are written whole without waiting for their reader; at most 2 MiB lie in between.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        32
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 << 10
    }

    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTP)
    }

    fn send_request(&mut self, request: Request<WasiBody>, options: Option<RequestOptions>, _: Transfer) -> Sending {
        let Some(request) = without_userinfo(request) else {
            return Box::new(async { Err(Error::HttpRequestUriInvalid) });
        };
        if !self.component.allowed_hosts.allow(request.uri()) {
            self.pod.complain(&format!(
                "component `{}` may not call {}: add its host to allowed_outbound_hosts in spin.toml",
                self.component.name,
                Origin(request.uri()),
            ));
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let under_way = self.calls.fetch_add(1, Ordering::Relaxed);
        let guard = Call(Arc::clone(&self.calls));
        if under_way >= CALLS {
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        }
        let caller = Caller {
            pod: Arc::clone(&self.pod.name),
            namespace: Arc::clone(&self.pod.namespace),
            depth: self.depth + 1,
        };
        let options = options.unwrap_or_default();
        let call = self.pod.outbound.call(caller, request.map(Body::wasi));
        Box::new(async move {
            let limit = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
            let response = timeout(limit, call).await.map_err(|_| Error::HttpResponseTimeout)??;
            let between = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
            let body = |mut body: Body| {
                body.hold(guard);
                UnsyncBoxBody::new(Watched::new(body, between).map_err(Error::from))
            };
            Ok((response.map(body), Box::new(async { Ok(()) }) as Transfer))
        })
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::DestinationNotFound => Self::DestinationNotFound,
            CallError::ConnectionRefused => Self::ConnectionRefused,
            CallError::ConnectionTerminated => Self::ConnectionTerminated,
            CallError::ConnectionTimeout => Self::ConnectionTimeout,
            CallError::ResponseTimeout(_) => Self::HttpResponseTimeout,
            CallError::Tls(_) => Self::TlsProtocolError,
            CallError::Protocol(_) => Self::HttpProtocolError,
        }
    }
}

/// A URL's user and password are for whoever writes the URL; they go neither to the other side nor into a log.
fn without_userinfo(mut request: Request<WasiBody>) -> Option<Request<WasiBody>> {
    let authority = request.uri().authority()?.as_str();
    let Some((_, host)) = authority.rsplit_once('@') else { return Some(request) };
    let value = HeaderValue::from_str(host).ok()?;
    let mut parts = request.uri().clone().into_parts();
    parts.authority = Some(host.parse().ok()?);
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    request.headers_mut().insert(HOST, value);
    Some(request)
}

/// `scheme://host:port`, without what a path may hold.
struct Origin<'a>(&'a Uri);

impl std::fmt::Display for Origin<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.0.authority().map_or("", |authority| authority.as_str());
        write!(formatter, "{}://{host}", self.0.scheme_str().unwrap_or("http"))
    }
}
