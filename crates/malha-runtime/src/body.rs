//! The body of a message, wherever it comes from.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::Error as WasiError;

use crate::guest::GuestBody;

/// A body that passes through malha without being copied or boxed anew at each step.
#[derive(Default)]
pub struct Body {
    kind: Kind,
    /// Kept until the body is read or dropped.
    held: Option<Box<dyn Send>>,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    Guest(GuestBody),
    Wasi(UnsyncBoxBody<Bytes, WasiError>),
    Boxed(UnsyncBoxBody<Bytes, BodyError>),
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection failed, or its framing was wrong.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// The guest that wrote it failed or gave up.
    #[error("the body's writer ended early: {0}")]
    Guest(String),
    /// No data in time.
    #[error("the body stalled")]
    Stalled,
    /// More than its reader takes.
    #[error("the body is too long")]
    TooLong,
}

impl From<BodyError> for WasiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Http(error) => Self::Hyper(error),
            BodyError::Guest(_) => Self::ConnectionTerminated,
            BodyError::Stalled => Self::ConnectionReadTimeout,
            BodyError::TooLong => Self::HttpResponseBodySize(None),
        }
    }
}

impl From<WasiError> for BodyError {
    fn from(error: WasiError) -> Self {
        match error {
            WasiError::Hyper(error) => Self::Http(error),
            other => Self::Guest(other.to_string()),
        }
    }
}

impl Body {
    const fn new(kind: Kind) -> Self {
        Self { kind, held: None }
    }

    /// Drops `guard` together with the body: what a request holds until its last byte.
    pub fn hold(&mut self, guard: impl Send + 'static) {
        let previous = self.held.take();
        self.held = Some(Box::new((guard, previous)));
    }

    /// No body at all.
    pub const fn empty() -> Self {
        Self::new(Kind::Empty)
    }

    /// A body of another kind.
    pub fn boxed(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self::new(Kind::Boxed(UnsyncBoxBody::new(body)))
    }

    pub(crate) fn guest(body: GuestBody) -> Self {
        Self::new(Kind::Guest(body))
    }

    pub(crate) fn wasi(body: UnsyncBoxBody<Bytes, WasiError>) -> Self {
        Self::new(Kind::Wasi(body))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self::new(Kind::Full(bytes)) }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Self::new(Kind::Incoming(incoming))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let kind = &mut self.get_mut().kind;
        match kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Incoming(body) => Pin::new(body).poll_frame(context).map_err(BodyError::from),
            Kind::Guest(body) => body.poll_frame(context),
            Kind::Wasi(body) => Pin::new(body).poll_frame(context).map_err(BodyError::from),
            Kind::Boxed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) | Kind::Guest(_) => false,
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Wasi(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Guest(_) => SizeHint::default(),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Wasi(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self.kind {
            Kind::Empty => "Body::Empty",
            Kind::Full(_) => "Body::Full",
            Kind::Incoming(_) => "Body::Incoming",
            Kind::Guest(_) => "Body::Guest",
            Kind::Wasi(_) => "Body::Wasi",
            Kind::Boxed(_) => "Body::Boxed",
        })
    }
}

/// A body that fails when its next frame is late.
pub(crate) struct Watched {
    body: Body,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(crate) fn new(body: Body, limit: Duration) -> Self {
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
