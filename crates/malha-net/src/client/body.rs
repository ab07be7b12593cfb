//! The body of an answer, which gives its connection back when it has ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;

use crate::client::exchange::Exchange;
use crate::client::multiplex::Stream;

/// What an answer holds of its connection.
pub(super) enum Lease {
    /// Nothing (any more).
    None,
    /// All of it: HTTP/1, driven by whoever reads the body. Never locked: this way bodies may be shared although requests'
    /// bodies may not.
    Driven(Mutex<Box<dyn Exchange>>),
    /// All of it, driven by a task of its own, which ends with this.
    Task(#[expect(dead_code, reason = "its end is what counts")] Task),
    /// One of its streams: HTTP/2.
    Stream(#[expect(dead_code, reason = "its end is what counts")] Stream),
}

/// A task that ends with whoever holds this.
pub(super) struct Task(pub(super) tokio::task::AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The body of an answer. Dropping it before its end closes an HTTP/1 connection and resets an HTTP/2 stream, as Envoy
/// does when its client goes away.
pub struct ResponseBody {
    incoming: Incoming,
    lease: Lease,
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, lease: Lease) -> Self {
        Self { incoming, lease }
    }

    /// There is no more to come.
    fn finish(&mut self) {
        if let Lease::Driven(exchange) = std::mem::replace(&mut self.lease, Lease::None) {
            exchange.into_inner().finish();
        }
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ResponseBody").field(&self.incoming).finish()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        // First what is there already; asking also tells the connection that more is wanted.
        let mut polled = Pin::new(&mut this.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Lease::Driven(exchange) = &mut this.lease
        {
            exchange.get_mut().drive(cx);
            polled = Pin::new(&mut this.incoming).poll_frame(cx);
        }
        let ended = match &polled {
            Poll::Pending => false,
            Poll::Ready(Some(Ok(_))) => this.incoming.is_end_stream(),
            Poll::Ready(_) => true,
        };
        if ended {
            this.finish();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for ResponseBody {
    /// Who knows the length of a body does not ask for its end; all may have come.
    fn drop(&mut self) {
        self.finish();
    }
}
