//! What goes out: how a proxy reaches a host outside of the process.
//!
//! A [`Client`] is the connections of one proxy, as each Envoy has its own. It does not retry and knows no cluster: it
//! sends one request to one [`Target`], and if there is no answer it says why in Envoy's terms ([`SendError`]). A request
//! goes out on a second connection only when the first did not take a byte of it.

mod body;
mod dial;
mod error;
mod exchange;
mod io;
mod multiplex;
mod pool;
mod prepare;
mod resolve;
mod target;
mod tls;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Body;
use parking_lot::RwLock;
use tokio::time::{Instant, sleep_until};

pub use body::ResponseBody;
pub use error::{Cause, Reason, SendError};
pub use resolve::Lookup;
pub use target::{CONNECT_TIMEOUT, IDLE_TIMEOUT, Protocol, SendOptions, Target};
pub use tls::{ClientTls, Identity, TlsClientConfig, TlsConfigError};

use exchange::{Connection, Watched};
use pool::Pool;
use resolve::Resolver;

/// Between two looks at what is idle, at most.
const SWEEP: Duration = Duration::from_secs(5);

/// What a request's body must be able to do.
pub trait RequestBody: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static {}

impl<B> RequestBody for B where B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{}

/// The connections of one proxy to hosts outside of the process. Clones share them.
pub struct Client<B: RequestBody>(Arc<Inner<B>>);

struct Inner<B: RequestBody> {
    resolver: Resolver,
    pools: RwLock<Pools<B>>,
    idle: Arc<AtomicUsize>,
}

struct Pools<B: RequestBody> {
    of: HashMap<Arc<Target>, Arc<Pool<B>>>,
    /// Whether a task looks after them. It ends when there are none.
    swept: bool,
}

impl<B: RequestBody> Clone for Client<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: RequestBody> Default for Client<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: RequestBody> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("targets", &self.targets()).field("idle", &self.idle()).finish()
    }
}

impl<B: RequestBody> Client<B> {
    /// Without connections. Names are looked up by the system.
    pub fn new() -> Self {
        Self::with_lookup(resolve::system())
    }

    /// The same, with another way to look up names.
    pub fn with_lookup(lookup: Box<Lookup>) -> Self {
        Self(Arc::new(Inner {
            resolver: Resolver::new(lookup),
            pools: RwLock::new(Pools { of: HashMap::new(), swept: false }),
            idle: Arc::default(),
        }))
    }

    /// Sends a request, and waits for the head of its answer as long as it takes. Dropping this future, or the body of the
    /// answer before its end, closes an HTTP/1 connection and resets an HTTP/2 stream.
    ///
    /// `host` and the path are sent as they are in the request; where there is no `host`, the URI's or the target's is.
    /// A request with `upgrade` can be upgraded (`hyper::upgrade::on` the answer), over HTTP/1.
    pub async fn send(
        &self,
        target: &Arc<Target>,
        mut request: Request<B>,
        options: &SendOptions,
    ) -> Result<Response<ResponseBody>, SendError> {
        let pool = self.0.pool(target);
        match target.protocol {
            Protocol::Http1 => {
                prepare::http1(&mut request, target)?;
                self.send_http1(&pool, target, request, options).await
            }
            Protocol::Http2 => {
                prepare::http2(&mut request, target)?;
                let make = || {
                    let (inner, target, options) = (Arc::clone(&self.0), Arc::clone(target), *options);
                    async move {
                        let io = dial::dial(&inner.resolver, &target, options.connect_timeout).await?;
                        multiplex::Connection::new(io, options).await
                    }
                    .boxed()
                };
                pool.multiplexed.send(request, options, make).await
            }
        }
    }

    async fn send_http1(
        &self,
        pool: &Arc<Pool<B>>,
        target: &Target,
        request: Request<B>,
        options: &SendOptions,
    ) -> Result<Response<ResponseBody>, SendError> {
        let mut request = request.map(Watched::new);
        while let Some(connection) = pool.take() {
            match connection.send(request, pool, options).await {
                Ok(response) => return Ok(response),
                Err(unanswered) => match unanswered.request {
                    Some(unsent) => request = unsent,
                    None => return Err(unanswered.error),
                },
            }
        }
        let io = dial::dial(&self.0.resolver, target, options.connect_timeout).await?;
        let connection = Connection::new(io).await?;
        connection.send(request, pool, options).await.map_err(|unanswered| unanswered.error)
    }

    /// Targets that are remembered: those with connections, and those used within the last seconds.
    pub fn targets(&self) -> usize {
        self.0.pools.read().of.len()
    }

    /// Connections of HTTP/1 that are idle, and those of HTTP/2.
    pub fn idle(&self) -> usize {
        self.0.pools.read().of.values().map(|pool| pool.idle() + pool.multiplexed.len()).sum()
    }
}

impl<B: RequestBody> Inner<B> {
    fn pool(self: &Arc<Self>, target: &Arc<Target>) -> Arc<Pool<B>> {
        if let Some(pool) = self.pools.read().of.get(target) {
            return Arc::clone(pool);
        }
        let mut pools = self.pools.write();
        if !pools.swept {
            pools.swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        let pool = pools.of.entry(Arc::clone(target)).or_insert_with(|| Arc::new(Pool::new(Arc::clone(&self.idle))));
        Arc::clone(pool)
    }

    /// Closes what is idle for too long, and forgets targets that are not used. When the next connection may expire.
    fn sweep(&self, now: Instant) -> Option<Instant> {
        let scarce = self.idle.load(Ordering::Relaxed) >= pool::TO_ALL;
        let pools: Vec<_> = self.pools.read().of.values().cloned().collect();
        let next = pools.iter().filter_map(|pool| pool.sweep(now, scarce)).min();
        drop(pools);
        // Whoever has one in hand, for a request or a body, holds it too.
        self.pools.write().of.retain(|_, pool| Arc::strong_count(pool) > 1 || !pool.is_empty());
        next
    }
}

/// Looks after the pools as long as there are any.
async fn sweep<B: RequestBody>(inner: Weak<Inner<B>>) {
    let mut next = Instant::now() + SWEEP;
    loop {
        sleep_until(next).await;
        let Some(inner) = inner.upgrade() else { return };
        let now = Instant::now();
        let latest = now + SWEEP;
        next = inner.sweep(now).map_or(latest, |next| next.min(latest));
        let mut pools = inner.pools.write();
        if pools.of.is_empty() {
            pools.swept = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::combinators::UnsyncBoxBody;

    use super::*;

    #[test]
    fn clients_and_bodies_can_be_shared_though_requests_cannot() {
        type Unshared = UnsyncBoxBody<Bytes, std::io::Error>;
        fn shared<T: Send + Sync>() {}
        fn sent<T: Send>(_: &T) {}
        shared::<Client<Unshared>>();
        shared::<ResponseBody>();
        let _ = |client: &Client<Unshared>, target: &Arc<Target>, request: Request<Unshared>| {
            sent(&client.send(target, request, &SendOptions::default()));
        };
    }
}
