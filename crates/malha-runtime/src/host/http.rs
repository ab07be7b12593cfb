//! `wasi:http`: what goes out passes the component's list of allowed hosts and then the mesh.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderName, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

use crate::app::Component;
use crate::body::{Body, BodyError};
use crate::outbound::{CallError, Caller};
use crate::pod::Shared;

/// Where the guest sets no limit of its own: wasmtime's and Spin's.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

pub(super) struct Hooks {
    pod: Arc<Shared>,
    component: Arc<Component>,
    depth: usize,
}

impl Hooks {
    pub(super) fn new(pod: Arc<Shared>, component: Arc<Component>, depth: usize) -> Self {
        Self { pod, component, depth }
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

    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTP)
    }

    fn send_request(&mut self, request: Request<WasiBody>, options: Option<RequestOptions>, _: Transfer) -> Sending {
        if !self.component.allowed_hosts.allow(request.uri()) {
            self.pod.complain(&format!(
                "component `{}` may not call {}: add its host to allowed_outbound_hosts in spin.toml",
                self.component.name,
                Origin(request.uri()),
            ));
            return Box::new(async { Err(Error::HttpRequestDenied) });
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
            let between = options.between_bytes_timeout;
            let body = |body: Body| match between {
                None => UnsyncBoxBody::new(body.map_err(Error::from)),
                Some(limit) => UnsyncBoxBody::new(Watched::new(body, limit).map_err(Error::from)),
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
            CallError::Protocol(_) => Self::HttpProtocolError,
        }
    }
}

/// `scheme://host:port`, without what a path may hold.
struct Origin<'a>(&'a http::Uri);

impl std::fmt::Display for Origin<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.0.authority().map_or("", |authority| authority.as_str());
        write!(formatter, "{}://{host}", self.0.scheme_str().unwrap_or("http"))
    }
}

/// A body that fails when its next frame is late.
struct Watched {
    body: Body,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn new(body: Body, limit: Duration) -> Self {
        Self { body, limit, waiting: None }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waiting = None;
            return Poll::Ready(frame);
        }
        let limit = this.limit;
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        waiting.as_mut().poll(context).map(|()| Some(Err(BodyError::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
