//! The mesh's decisions, as pure functions and small state machines: which virtual host, which route, which
//! destination, which endpoint, whether there is another try. Strings and numbers in, a choice out; no socket, no task,
//! no YAML.
//!
//! A [`Snapshot`] is one immutable picture of the mesh. The control side builds a new one for every change and swaps
//! it in whole; a request keeps the one it began with. `P` is whatever answers for a pod on the data plane: this
//! crate only passes it through.

#![forbid(unsafe_code)]

mod balance;
mod cluster;
mod condition;
mod cors;
mod fault;
pub mod grpc;
mod headers;
mod host;
mod limits;
mod outcome;
mod outlier;
mod path;
mod redirect;
mod request;
mod retry;
mod rewrite;
mod route;
mod snapshot;
mod state;
mod table;
mod template;
mod text;
mod traffic;
mod workload;

pub use balance::Hashed;
pub use cluster::{Cluster, Endpoint, Host, Resident, Upstream};
pub use condition::{ClaimMatch, Condition, Field, HeaderMatch, PathMatch, QueryMatch, parameter};
pub use cors::{Cors, CorsDecision};
pub use fault::{Abort, Fault, Injection, Share};
pub use headers::HeaderChanges;
pub use host::{HostPattern, HostTable, strip_port};
pub use limits::{Admission, Moment, Overflow, RetryLimit, Ticket, Waiting};
pub use outcome::Outcome;
pub use path::normalize;
pub use redirect::{Redirect, RedirectPath, RedirectPort, https_location};
pub use request::Head;
pub use retry::{Next, RetryOn, RetryPolicy, Stop, Tries};
pub use rewrite::{InvalidPath, PathRewrite, Rewrite, Substitution};
pub use route::{Action, Answer, Destination, Forward, Mirror, Route, choose_weighted};
pub use snapshot::{
    ClientCertificates, Hosts, KeySource, Listener, ListenerKind, Outbound, RemoteKeys, Sidecars, Snapshot, TlsOptions,
    TlsServer, TlsVersion, Transport, UnknownHosts, VirtualHost,
};
pub use state::{ClusterState, Pick, ProxyState};
pub use table::RouteTable;
pub use template::{Exchange, HeaderValueTemplate, start_time};
pub use text::{Pattern, TextMatch};
pub use traffic::{
    Balancer, Certificate, ClientTls, HashKey, Limits, Outlier, Protocol, RetryBudget, Ring, TlsClient, TrafficPolicy,
};
pub use workload::{Labels, Workload};
