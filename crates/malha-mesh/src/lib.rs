//! The data plane: the gateway and every pod's sidecar, in one process.
//!
//! A request has one road (`road`) and two entrances: a [`Listener`](listener), as traffic enters a cluster through
//! its gateway or a load balancer, and a pod's own call (`sidecar`). What each decides comes from an immutable
//! [`Snapshot`]; [`Mesh::publish`] swaps it, and requests under way keep the one they began with.

#![forbid(unsafe_code)]

mod external;
mod listener;
mod replies;
mod road;
mod sidecar;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use malha_routing::{Listener, ListenerKind, Snapshot};
use malha_runtime::Pod;
use malha_world::World;

pub use listener::{Entrance, Server};

use external::External;

/// The data plane of one cluster. A handle: clones are the same mesh.
#[derive(Clone)]
pub struct Mesh {
    shared: Arc<Shared>,
}

struct Shared {
    world: World,
    view: ArcSwap<View>,
    external: External,
}

/// A snapshot, with what a request looks up first at hand.
struct View {
    snapshot: Arc<Snapshot<Pod>>,
    listeners: HashMap<Entrance, usize>,
}

impl View {
    fn new(snapshot: Arc<Snapshot<Pod>>) -> Self {
        let key = |listener: &Listener<Pod>| Entrance { kind: listener.kind.clone(), port: listener.port };
        let listeners = snapshot.listeners.iter().enumerate().map(|(index, listener)| (key(listener), index)).collect();
        Self { snapshot, listeners }
    }

    fn listener(&self, entrance: &Entrance) -> Option<&Listener<Pod>> {
        self.listeners.get(entrance).map(|index| &self.snapshot.listeners[*index])
    }
}

impl Mesh {
    /// A mesh without hosts.
    pub fn new(world: World) -> Self {
        let view = ArcSwap::from_pointee(View::new(Arc::default()));
        Self { shared: Arc::new(Shared { world, view, external: External::default() }) }
    }

    /// Takes effect for every request that begins from now on.
    pub fn publish(&self, snapshot: Arc<Snapshot<Pod>>) {
        self.shared.view.store(Arc::new(View::new(snapshot)));
    }

    /// What is published.
    pub fn snapshot(&self) -> Arc<Snapshot<Pod>> {
        Arc::clone(&self.shared.view.load().snapshot)
    }
}

/// The entrance that a Gateway's port is.
pub fn gateway(port: u16) -> Entrance {
    Entrance { kind: ListenerKind::Gateway, port }
}
