//! The control plane: objects and controllers (Deployment → `ReplicaSet` → Pod, Service → endpoints), and what the mesh is told of
//! them. Never knows wasm, nor bytes on a socket.
//!
//! A [`Cluster`] is given objects ([`Cluster::apply`]), keeps them in a [`Store`] and does what follows: controllers make
//! pods, a [`Node`] runs them, and every change that concerns the mesh is published as a new
//! [`Snapshot`](malha_routing::Snapshot).
//!
//! ```text
//! apply ─▶ registry ─▶ store ─▶ controllers (pure) ─▶ store … until nothing is left to do
//!                        │
//!                        ├─▶ kubelet (pure) ─▶ Node: start, probe, stop ─▶ the pod's status, back into the store
//!                        └─▶ pilot (pure) ─▶ Snapshot ─▶ publish
//! ```
//!
//! Nothing polls: a write, a word from the node, or a time that has come (a probe, a back-off, a deadline: `timers`) sets
//! off all that follows from it, and then there is silence. Names, uids and times come from the injected
//! [`World`](malha_world::World): the same seed makes the same cluster.

#![forbid(unsafe_code)]

mod address;
mod autoscaling;
mod cluster;
mod codec;
mod connect;
mod control;
mod controllers;
mod error;
mod events;
#[cfg(test)]
mod fixtures;
mod kubelet;
mod log;
mod names;
mod node;
mod object;
mod pilot;
pub mod quantity;
mod registry;
mod requests;
pub mod resource;
mod scheduler;
mod selector;
mod state;
mod store;
mod timers;
mod usage;
mod view;

pub use cluster::{Applied, Cluster, Outcome};
pub use codec::{DecodeError, Decoded, decode, encode};
pub use connect::{ConnectError, Connecting, PodStream};
pub use control::ControlPlane;
pub use error::{Cause, Error, qualified};
pub use events::EventKind;
pub use log::{Log, LogLine, LogPage, Silence};
pub use node::{Exit, Limits, Machine, Node, Nodes, PodRequest, ProbeRequest, StartError, StateMount, Volume};
pub use object::{
    AuthorizationPolicy, DestinationRule, Gateway, Istio, Key, Kind, Object, PeerAuthentication, RequestAuthentication,
    ServiceEntry, Sidecar, Stored, VirtualService,
};
pub use pilot::Finding;
pub use registry::{Deleted, Deletion, Part, Propagation, Registry};
pub use requests::{Described, REQUESTS_PER_SECOND, RequestRates};
pub use store::{Change, ChangeKind, Expired, Store};
pub use usage::{PodUsage, Usage};
pub use view::{GatewayRow, PodRow, RouteRow, ServiceRow};
