//! The data plane: the gateway and every pod's sidecar, in one process.
//!
//! A request has one road (`road`) and two entrances: the [edge](edge), as traffic enters a cluster through its gateway or
//! a load balancer, and a pod's own call ([`sidecar`]). What each decides comes from an immutable [`Snapshot`];
//! [`Mesh::publish`] swaps it, and requests under way keep the one they began with.

#![forbid(unsafe_code)]

mod access_log;
mod attempt;
mod dialer;
mod edge;
mod flags;
mod forget;
mod forward;
mod head;
mod inbound;
mod keys;
mod mirror;
mod proxy;
mod replay;
mod replies;
mod response;
mod road;
mod server;
mod sidecar;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use http::Request;
use malha_net::client::TlsConfigError;
use malha_net::server::ServerTls;
use malha_routing::{Listener, Snapshot};
use malha_runtime::{Body, Pod};
use malha_world::World;
use tokio::sync::{Semaphore, watch};

pub use edge::{Entrance, gateway};
pub use flags::{Flag, Flags};
pub use malha_net::server::{Connection, Server};
pub use replies::Outcome;
pub use sidecar::Sidecar;

use access_log::{Ends, Record};
use dialer::Dialer;
use forget::Proxies;
use proxy::Proxy;

/// Copies for mirrors that may be under way at the same time.
const MIRRORS: usize = 1_024;

/// The data plane of one cluster. A handle: clones are the same mesh.
#[derive(Clone)]
pub struct Mesh {
    shared: Arc<Shared>,
}

struct Shared {
    world: World,
    view: ArcSwap<View>,
    gateway: Arc<Proxy>,
    proxies: Proxies,
    dialer: Dialer,
    mirrors: Arc<Semaphore>,
    /// Shakes hands with nobody.
    no_tls: Arc<ServerTls>,
    /// Takes the lines of access logs.
    access_log: Arc<OnceLock<access_log::Sink>>,
    /// The version that is published.
    version: watch::Sender<u64>,
}

/// A snapshot, with what a request looks up first at hand.
struct View {
    snapshot: Arc<Snapshot<Pod>>,
    listeners: HashMap<Entrance, usize>,
    tls: tls::Servers,
}

impl View {
    fn new(snapshot: Arc<Snapshot<Pod>>, before: Option<&Self>) -> Self {
        let listeners = snapshot.listeners.iter().enumerate();
        let listeners = listeners.map(|(index, listener)| (Entrance::of(listener), index)).collect();
        let tls = tls::servers(&snapshot, before.map(|before| &before.tls));
        Self { snapshot, listeners, tls }
    }

    fn listener(&self, entrance: &Entrance) -> Option<&Listener<Pod>> {
        self.listeners.get(entrance).map(|index| &self.snapshot.listeners[*index])
    }
}

impl Mesh {
    /// A mesh without hosts.
    pub fn new(world: World) -> Self {
        let view = ArcSwap::from_pointee(View::new(Arc::default(), None));
        let dialer = Dialer::new(world.clock);
        let gateway = Arc::new(Proxy::gateway());
        let proxies = Proxies::default();
        proxies.add(&gateway);
        let mirrors = Arc::new(Semaphore::new(MIRRORS));
        let no_tls = Arc::new(ServerTls::new(Vec::new()).expect("of no server at all nothing can be wrong"));
        Self {
            shared: Arc::new(Shared {
                world,
                view,
                gateway,
                proxies,
                dialer,
                mirrors,
                no_tls,
                access_log: Arc::default(),
                version: watch::Sender::new(0),
            }),
        }
    }

    /// Trusts the authorities of a PEM file in place of the web's when a pod, or a proxy whose `DestinationRule` names none,
    /// speaks TLS with somebody outside. For the time before the first request; only the first call counts.
    ///
    /// # Errors
    /// When there is no certificate in it, or one that is not to be used.
    pub fn trust(&self, authorities: Vec<u8>) -> Result<(), TlsConfigError> {
        self.shared.dialer.trust(authorities)
    }

    /// Takes effect for every request that begins from now on.
    pub fn publish(&self, snapshot: Arc<Snapshot<Pod>>) {
        let before = self.shared.view.load();
        let version = snapshot.version;
        let view = Arc::new(View::new(snapshot, Some(&before)));
        self.shared.view.store(Arc::clone(&view));
        self.shared.proxies.forget(&view.snapshot);
        self.shared.version.send_replace(version);
    }

    /// Who takes the lines of the proxies' access logs, where `meshConfig.accessLogFile` asks for them: it is given the name
    /// of the proxy's workload and a line. Only the first one counts.
    pub fn log_access(&self, sink: impl Fn(&str, &str) + Send + Sync + 'static) {
        let _ = self.shared.access_log.set(Box::new(sink));
    }

    fn record(&self, proxy: &Arc<Proxy>, ends: &Ends<'_>, request: &mut Request<Body>) -> Arc<Record> {
        Record::begin(&self.shared.access_log, proxy, self.shared.world.clock.now(), ends, request)
    }

    /// Tells of each snapshot that is published.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// What is published.
    pub fn snapshot(&self) -> Arc<Snapshot<Pod>> {
        Arc::clone(&self.shared.view.load().snapshot)
    }
}
