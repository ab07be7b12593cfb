//! HTTP/2: many exchanges at a time on a connection, and a second connection when the first is full (Envoy,
//! `source/common/conn_pool/conn_pool_base.cc`). Whoever comes while a connection is being made waits for it, and shares
//! its fate.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use http::{Request, Response};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::client::RequestBody;
use crate::client::body::{Lease, ResponseBody};
use crate::client::error::SendError;
use crate::client::io::Io;
use crate::client::target::SendOptions;

/// Envoy's limit for streams of a connection (`max_concurrent_streams`); the other side may set a lower one.
const STREAMS: usize = 1024;

/// Envoy's limit for the head of an answer (`max_response_headers_kb`, by default 60).
const HEAD: u32 = 60 * 1024;

type Driver<B> = http2::Connection<TokioIo<Io>, B, TokioExecutor>;
type Made<B> = Result<Arc<Connection<B>>, SendError>;
type Making<B> = BoxFuture<'static, Made<B>>;

/// Connections of HTTP/2 to one target.
pub(super) struct Multiplexed<B: RequestBody>(Mutex<Connections<B>>);

struct Connections<B: RequestBody> {
    open: Vec<Arc<Connection<B>>>,
    /// Weak, so that a connection that nobody waits for any more does not come about later, with its time used up.
    making: Option<WeakShared<Making<B>>>,
}

/// A connection. Open as long as it has senders.
pub(super) struct Connection<B: RequestBody> {
    sender: http2::SendRequest<B>,
    /// What reads and writes; here it is asked how many streams the other side allows. `None` once it has ended: only
    /// then do senders see that.
    driver: Arc<Mutex<Option<Driver<B>>>>,
    streams: AtomicUsize,
    served: AtomicU32,
    /// Not to be used any more from then on; of meaning while there are no streams.
    expires: Mutex<Instant>,
}

impl<B: RequestBody> Connection<B> {
    /// Over a fresh connection.
    pub(super) async fn new(io: Io, options: SendOptions) -> Made<B> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(HEAD)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| SendError::exchange(&error, false, false))?;
        let driver = Arc::new(Mutex::new(Some(driver)));
        let shared = Arc::clone(&driver);
        tokio::spawn(poll_fn(move |cx| {
            let mut driver = shared.lock();
            let ended = driver.as_mut().map_or(Poll::Ready(()), |driver| Pin::new(driver).poll(cx).map(drop));
            if ended.is_ready() {
                // Why it ended is told to each stream.
                *driver = None;
            }
            ended
        }));
        Ok(Arc::new(Self {
            sender,
            driver,
            streams: AtomicUsize::new(0),
            served: AtomicU32::new(0),
            expires: Mutex::new(Instant::now() + options.idle_timeout),
        }))
    }

    fn has_room(&self) -> bool {
        let allowed = self.driver.lock().as_ref().map_or(0, Driver::current_max_send_streams).min(STREAMS);
        self.streams.load(Ordering::Relaxed) < allowed
    }

    fn idle_since(&self, now: Instant) -> bool {
        self.streams.load(Ordering::Relaxed) == 0 && now >= *self.expires.lock()
    }
}

/// A stream's place in a connection.
pub(super) struct Stream {
    connection: Arc<dyn Leave>,
    options: SendOptions,
}

/// What a stream does at its end.
trait Leave: Send + Sync {
    fn leave(&self, options: &SendOptions);
}

impl<B: RequestBody> Leave for Connection<B> {
    fn leave(&self, options: &SendOptions) {
        // Before the count, so that it is never seen idle with an old date.
        *self.expires.lock() = Instant::now() + options.idle_timeout;
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.leave(&self.options);
    }
}

/// A place, or what to wait for.
enum Place<B: RequestBody> {
    In(Arc<Connection<B>>, Stream),
    Wait(Shared<Making<B>>),
}

impl<B: RequestBody> Default for Multiplexed<B> {
    fn default() -> Self {
        Self(Mutex::new(Connections { open: Vec::new(), making: None }))
    }
}

impl<B: RequestBody> Multiplexed<B> {
    /// Sends a request and waits for the head of its answer. `make` makes a connection.
    pub(super) async fn send(
        &self,
        mut request: Request<B>,
        options: &SendOptions,
        make: impl Fn() -> Making<B>,
    ) -> Result<Response<ResponseBody>, SendError> {
        // Whether the connection was made just now: if that one does not take the request, another will not either.
        let mut fresh = false;
        loop {
            let (connection, stream) = match self.place(options, &make) {
                Place::In(connection, stream) => (connection, stream),
                Place::Wait(making) => {
                    self.add(making.await?);
                    fresh = true;
                    continue;
                }
            };
            let mut sender = connection.sender.clone();
            match sender.try_send_request(request).await {
                Ok(response) => {
                    return Ok(response.map(|incoming| ResponseBody::new(incoming, Lease::Stream(stream))));
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if !fresh => {
                        self.0.lock().open.retain(|open| !Arc::ptr_eq(open, &connection));
                        request = unsent;
                    }
                    unsent => return Err(SendError::exchange(failed.error(), unsent.is_none(), false)),
                },
            }
        }
    }

    /// A place in a connection that has one, or the connection that is being made.
    fn place(&self, options: &SendOptions, make: impl Fn() -> Making<B>) -> Place<B> {
        let now = Instant::now();
        let mut connections = self.0.lock();
        connections.open.retain(|connection| !connection.sender.is_closed() && !connection.idle_since(now));
        if let Some(at) = connections.open.iter().position(|connection| connection.has_room()) {
            let connection = Arc::clone(&connections.open[at]);
            connection.streams.fetch_add(1, Ordering::Relaxed);
            let served = connection.served.fetch_add(1, Ordering::Relaxed) + 1;
            if options.requests_per_connection != 0 && served >= options.requests_per_connection {
                // Its streams keep it open until they end.
                connections.open.swap_remove(at);
            }
            let leave: Arc<dyn Leave> = Arc::<Connection<B>>::clone(&connection);
            return Place::In(connection, Stream { connection: leave, options: *options });
        }
        let under_way = connections.making.as_ref().and_then(WeakShared::upgrade);
        if let Some(making) = under_way.filter(|making| making.peek().is_none()) {
            return Place::Wait(making);
        }
        let making = make().shared();
        connections.making = making.downgrade();
        Place::Wait(making)
    }

    /// Each of those that waited comes by.
    fn add(&self, connection: Arc<Connection<B>>) {
        let mut connections = self.0.lock();
        // One that has served was added before, and may be gone again for a reason.
        let known = connection.served.load(Ordering::Relaxed) > 0
            || connections.open.iter().any(|open| Arc::ptr_eq(open, &connection));
        if !known {
            connections.open.push(connection);
        }
    }

    /// Closes what has expired. When the next one may.
    pub(super) fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut connections = self.0.lock();
        connections.open.retain(|connection| !connection.sender.is_closed() && !connection.idle_since(now));
        let idle = connections.open.iter().filter(|connection| connection.streams.load(Ordering::Relaxed) == 0);
        idle.map(|connection| *connection.expires.lock()).min()
    }

    /// Open connections.
    pub(super) fn len(&self) -> usize {
        self.0.lock().open.iter().filter(|connection| !connection.sender.is_closed()).count()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
