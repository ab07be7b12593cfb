//! The cluster as its API holds it: whatever runs the pods.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::connect::{Connecting, PodStream};
use crate::log::Log;
use crate::node::Node;
use crate::object::Key;
use crate::registry::Registry;
use crate::requests::RequestRates;
use crate::store::Store;
use crate::usage::PodUsage;

/// What the Kubernetes API needs of a cluster. [`Cluster`] is one for every [`Node`].
pub trait ControlPlane: Send + Sync + 'static {
    /// Looks at the objects. Nothing changes meanwhile: be quick.
    fn read(&self, look: &mut dyn FnMut(&Store));

    /// Writes, and starts what follows from it: controllers run, and the mesh gets its new picture, before this returns.
    fn write(&self, write: &mut dyn FnMut(&mut Registry));

    /// The version of the store, to wait for the next write.
    fn versions(&self) -> watch::Receiver<u64>;

    /// The log of a pod's container as it runs, or of its run before; `None` if there was none.
    fn log(&self, pod: &Key, previous: bool) -> Option<Arc<dyn Log>>;

    /// Connects `stream` to a port of a pod, past its sidecar, until the connection is over.
    fn connect(&self, pod: &Key, port: u16, stream: Box<dyn PodStream>) -> Connecting;

    /// What each pod that runs has used, of those that somebody measures: none, unless the control plane says otherwise.
    fn usage(&self) -> Vec<PodUsage> {
        Vec::new()
    }

    /// How many requests a second reach each pod: unknown, unless the control plane says otherwise.
    fn request_rates(&self) -> RequestRates {
        RequestRates::default()
    }
}

impl<N: Node> ControlPlane for Cluster<N> {
    fn read(&self, look: &mut dyn FnMut(&Store)) {
        Self::read(self, look);
    }

    fn write(&self, write: &mut dyn FnMut(&mut Registry)) {
        Self::write(self, write);
    }

    fn versions(&self) -> watch::Receiver<u64> {
        Self::versions(self)
    }

    fn log(&self, pod: &Key, previous: bool) -> Option<Arc<dyn Log>> {
        Self::log(self, pod, previous)
    }

    fn connect(&self, pod: &Key, port: u16, stream: Box<dyn PodStream>) -> Connecting {
        Self::connect(self, pod, port, stream)
    }

    fn usage(&self) -> Vec<PodUsage> {
        Self::usage(self)
    }

    fn request_rates(&self) -> RequestRates {
        Self::request_rates(self)
    }
}
