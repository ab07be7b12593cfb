//! The mesh's decisions, as pure functions and small state machines: which virtual host, which route, which
//! destination, which endpoint. Strings and numbers in, a choice out; no socket, no task, no YAML.
//!
//! A [`Snapshot`] is one immutable picture of the mesh. The control side builds a new one for every change and swaps
//! it in whole; a request keeps the one it began with. `P` is whatever answers for a pod on the data plane: this
//! crate only passes it through.

#![forbid(unsafe_code)]

mod balance;
mod cluster;
mod host;
mod path;
mod route;
mod snapshot;

pub use balance::least_request;
pub use cluster::{Cluster, Endpoint, InFlight};
pub use host::{HostPattern, HostTable, strip_port};
pub use path::normalize;
pub use route::{Destination, PathMatch, Rewrite, Route, RouteMatch, choose_weighted};
pub use snapshot::{Listener, ListenerKind, Snapshot, VirtualHost};
