//! Who may: what the inbound proxy of a workload decides about a request before it reaches the pod. Whether the
//! connection had to be mutual TLS (Istio, `PeerAuthentication`), whether its tokens are good
//! (`RequestAuthentication`), and whether any rule allows or denies it (`AuthorizationPolicy`).
//!
//! Pure functions of a request and the time: no socket, no task, no YAML. Policies are compiled once, when the picture
//! of the mesh is made; a check reads them only.

#![forbid(unsafe_code)]

mod identity;
mod inbound;
pub mod inline;
pub mod jwt;
mod peer;
pub mod rbac;
mod request;

pub use identity::Identity;
pub use inbound::{Allowed, Decision, Denied, InboundPolicy, Told};
pub use peer::{MtlsMode, PeerModes, PeerPolicy, accepts, effective};
pub use request::RequestView;
