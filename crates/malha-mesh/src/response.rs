//! Bodies of responses that something depends on: a connection that is free when they end, a time in which they must.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use malha_routing::Ticket;
use malha_runtime::{Body, BodyError};
use malha_world::Clock;
use tokio::time::{Instant, Sleep, sleep_until};

/// A body whose end frees the connection that it came over; cut short, it takes that along.
pub(crate) struct Ending {
    body: Body,
    ticket: Option<Ticket>,
    clock: Clock,
}

impl Ending {
    pub(crate) fn wrap(body: Body, ticket: Ticket, clock: Clock) -> Body {
        if body.is_end_stream() {
            ticket.finish(clock.elapsed());
            return body;
        }
        Body::boxed(Self { body, ticket: Some(ticket), clock })
    }
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        if (frame.is_none() || this.body.is_end_stream())
            && let Some(ticket) = this.ticket.take()
        {
            ticket.finish(this.clock.elapsed());
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

/// A body that ends with an error at `deadline`: Envoy resets the stream when the route's time is up.
pub(crate) fn until(body: Body, deadline: Instant) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::boxed(Until { body, sleep: Box::pin(sleep_until(deadline)) })
}

struct Until {
    body: Body,
    sleep: Pin<Box<Sleep>>,
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        this.sleep.as_mut().poll(context).map(|()| Some(Err(BodyError::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
