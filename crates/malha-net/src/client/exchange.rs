//! HTTP/1: one exchange at a time on a connection.
//!
//! There is no task for a connection. Whoever waits for an answer, or reads its body, drives the connection from its own
//! task; so no answer has to pass from task to task. Only where the answer begins before the request has ended does
//! the connection get a task: there, reading must not hold up sending. And so does one that is to become something
//! else than HTTP.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use http::header::UPGRADE;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::client::RequestBody;
use crate::client::body::{Lease, ResponseBody, Task};
use crate::client::error::SendError;
use crate::client::io::{Io, Traffic};
use crate::client::pool::Pool;
use crate::client::target::SendOptions;

/// Envoy's limit for the head of an answer (`max_response_headers_kb`, by default 60).
const HEAD: usize = 60 * 1024;

/// A request that was not answered, and the request itself if nothing of it was used up.
pub(super) struct Unanswered<B> {
    pub(super) error: SendError,
    pub(super) request: Option<Request<Watched<B>>>,
}

/// What a response body knows of the connection that it comes from.
pub(super) trait Exchange: Send {
    /// Reads and writes what can be.
    fn drive(&mut self, cx: &mut Context<'_>);

    /// Gives the connection back if all has passed over it that should, and closes it otherwise.
    fn finish(self: Box<Self>);
}

/// A connection.
pub(super) struct Connection<B: RequestBody> {
    sender: http1::SendRequest<Watched<B>>,
    /// `None` once it has ended.
    driver: Option<http1::Connection<TokioIo<Io>, Watched<B>>>,
    traffic: Arc<Traffic>,
    /// Whether the request has gone out as far as it ever will.
    request_ended: Arc<AtomicBool>,
    served: u32,
    /// Not to be used any more from then on; of meaning while idle.
    pub(super) expires: Instant,
    /// Where it belongs and how it is used; there while it is in use.
    home: Option<(Arc<Pool<B>>, SendOptions)>,
}

impl<B: RequestBody> Connection<B> {
    /// Over a fresh connection.
    pub(super) async fn new(io: Io) -> Result<Box<Self>, SendError> {
        let traffic = io.traffic();
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(HEAD)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| SendError::exchange(&error, false, false))?;
        Ok(Box::new(Self {
            sender,
            driver: Some(driver),
            traffic,
            request_ended: Arc::default(),
            served: 0,
            expires: Instant::now(),
            home: None,
        }))
    }

    /// Whether it can take a request: not if the other side has closed it meanwhile.
    pub(super) fn usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.at_rest()
    }

    /// Whether all has passed over it that should.
    fn at_rest(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        mut self: Box<Self>,
        mut request: Request<Watched<B>>,
        pool: &Arc<Pool<B>>,
        options: &SendOptions,
    ) -> Result<Response<ResponseBody>, Box<Unanswered<B>>> {
        self.traffic.reset();
        self.served += 1;
        let bodiless = request.body().is_end_stream();
        self.request_ended.store(bodiless, Ordering::Relaxed);
        request.body_mut().ended = (!bodiless).then(|| Ended(Arc::clone(&self.request_ended)));

        let to_upgrade = request.headers().contains_key(UPGRADE) || request.method() == Method::CONNECT;
        let mut task = to_upgrade.then(|| self.detach(true)).flatten();
        let mut sending = pin!(self.sender.try_send_request(request));
        let answer = poll_fn(|cx| {
            if let Some(driver) = &mut self.driver
                && Pin::new(driver).poll(cx).is_ready()
            {
                // Whatever it ended with, whoever waits for the answer is told too.
                self.driver = None;
            }
            sending.as_mut().poll(cx)
        })
        .await;
        let (head, incoming): (_, Incoming) = match answer {
            Ok(response) => response.into_parts(),
            Err(failed) => return Err(Box::new(self.unanswered(failed))),
        };
        let lease = if let Some(task) = task.take() {
            Lease::Task(task)
        } else if self.at_rest() {
            pool.give_back(self, options);
            Lease::None
        } else if self.request_ended.load(Ordering::Relaxed) {
            self.home = Some((Arc::clone(pool), *options));
            Lease::Driven(Mutex::new(self))
        } else {
            self.detach(false).map_or(Lease::None, Lease::Task)
        };
        Ok(Response::from_parts(head, ResponseBody::new(incoming, lease)))
    }

    fn unanswered(&self, mut failed: TrySendError<Request<Watched<B>>>) -> Unanswered<B> {
        let request = failed.take_message();
        let sent = request.is_none() && self.traffic.written();
        Unanswered { error: SendError::exchange(failed.error(), sent, self.traffic.read()), request }
    }

    /// Lets a task drive the connection.
    fn detach(&mut self, to_upgrade: bool) -> Option<Task> {
        let driver = self.driver.take()?;
        let task = if to_upgrade {
            tokio::spawn(async move { drop(driver.with_upgrades().await) })
        } else {
            tokio::spawn(async move { drop(driver.await) })
        };
        Some(Task(task.abort_handle()))
    }

    /// How many requests it has taken.
    pub(super) fn served(&self) -> u32 {
        self.served
    }
}

impl<B: RequestBody> Exchange for Connection<B> {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && Pin::new(driver).poll(cx).is_ready()
        {
            self.driver = None;
        }
    }

    fn finish(mut self: Box<Self>) {
        let Some((pool, options)) = self.home.take() else { return };
        if self.at_rest() || self.usable() {
            pool.give_back(self, &options);
        }
    }
}

/// The body of a request, which tells when hyper is through with it.
pub(super) struct Watched<B> {
    body: B,
    ended: Option<Ended>,
}

/// Says so when it goes.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<B> Watched<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, ended: None }
    }
}

impl<B: RequestBody> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
