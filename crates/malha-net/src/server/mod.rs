//! What comes in: a socket that listens, TLS, and HTTP/1.1 and HTTP/2 on one port.
//!
//! What a listener refuses by itself, and in which words, is Envoy's (1.40, measured); `head.rs` has the table of
//! differences for HTTP/1, [`host`] that for hosts, and [`limits`] says what clients are granted. HTTP/2 is checked by
//! h2: where Envoy ends a connection because of one malformed request, h2 resets that stream, and more than 60 KiB of
//! headers get a 431 for which Envoy resets the stream. A fragment in `:path` is dropped, where Envoy answers 400.
//!
//! Upgrades (WebSocket) are not carried out: they get the 403 of an Envoy that is not configured for them.

mod activity;
mod chunks;
mod connection;
mod gate;
mod head;
pub mod host;
pub mod limits;
mod nominated;
mod refusal;
mod reply;
mod sniff;
pub mod tls;

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

pub use connection::{Connection, Unasked};
use connection::{Streams, Terms, serve};
use limits::{ACCEPT_PAUSE, CONNECTIONS};
pub use tls::{ServerTls, Session};

/// A socket that is being served.
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<Duration>,
    task: JoinHandle<bool>,
}

impl Server {
    /// Answers what comes in on a socket that is bound already.
    ///
    /// `tls` is asked for each connection; `None` is one in the clear. `answer` is asked for each request; `None` cuts
    /// the connection without an answer, as the sidecar of a STRICT workload does with a client in the clear.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn start<T, A, F, B>(socket: TcpListener, tls: T, answer: A) -> io::Result<Self>
    where
        T: Fn() -> Option<Arc<ServerTls>> + Send + 'static,
        A: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + 'static,
        F: Future<Output = Option<Response<B>>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let address = socket.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(socket, tls, answer, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets requests under way end for up to `grace`, and then cuts the rest. Says whether
    /// all ended by themselves.
    pub async fn drain(self, grace: Duration) -> bool {
        let _ = self.stop.send(grace);
        self.task.await.unwrap_or(false)
    }
}

/// Accepts until `stopped` says how long connections may still take; whether that was enough for all of them.
async fn accept<T, A, F, B>(socket: TcpListener, tls: T, answer: A, mut stopped: oneshot::Receiver<Duration>) -> bool
where
    T: Fn() -> Option<Arc<ServerTls>> + Send + 'static,
    A: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + 'static,
    F: Future<Output = Option<Response<B>>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (draining, drain) = watch::channel(false);
    let terms = Terms { answer, drain, streams: Streams::default() };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let grace = loop {
        let accepted = tokio::select! {
            accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (socket.accept().await, permit)
            } => accepted,
            // What is over is taken out, lest the set grow for as long as the server runs.
            Some(_) = connections.join_next() => continue,
            // A server that is dropped, not drained, lets its connections end in their own time.
            grace = &mut stopped => break grace.ok(),
        };
        match accepted {
            (Ok((stream, client)), Ok(permit)) => {
                connections.spawn(serve(stream, client, tls(), terms.clone(), permit));
            }
            _ => sleep(ACCEPT_PAUSE).await,
        }
    };
    drop(socket);
    let all = async { while connections.join_next().await.is_some() {} };
    let Some(grace) = grace else {
        all.await;
        return true;
    };
    let _ = draining.send(true);
    let ended = timeout(grace, all).await.is_ok();
    connections.shutdown().await;
    terms.streams.shutdown().await;
    ended
}
