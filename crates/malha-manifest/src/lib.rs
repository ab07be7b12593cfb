//! Knows Spin, Kubernetes and Istio objects: reads them from YAML, TOML and JSON, checks them, and explains what is wrong
//! at the line where it is wrong. Never knows HTTP, tasks or time.
//!
//! The way in is [`load`] for Kubernetes and Istio manifests and [`spin::load_spin`] for `spin.toml`. Both never stop at the first
//! problem: they give what could be read and every [`Diagnostic`].
//!
//! ```
//! use malha_manifest::{Object, parse_manifests};
//!
//! let loaded = parse_manifests("gateway.yml", "
//! apiVersion: networking.istio.io/v1
//! kind: VirtualService
//! metadata: {name: route}
//! spec:
//!   hosts: ['*']
//!   http:
//!   - route: [{destination: {host: posts-service}}]
//!     timeout: 2 sec
//! ");
//! assert!(loaded.has_errors());
//! assert_eq!(
//!     loaded.diagnostics[0].to_string(),
//!     "\
//! error: spec.http[0].timeout of VirtualService route: `2 sec` is not a duration; write a number and a unit, such as `2s`, `500ms` or `1m30s`
//!  --> gateway.yml:9:14
//!   |
//! 9 |     timeout: 2 sec
//!   |              ^^^^^
//! "
//! );
//! ```
//!
//! Inside: text → [`node`] (one tree with places for all notations) → `decode` (serde types, with all findings) → `check`
//! (rules of Kubernetes and Istio) → [`support`] (what malha acts on now).

#![forbid(unsafe_code)]

mod check;
mod decode;
mod diagnostic;
mod kind;
mod load;
mod names;
mod object;
mod path;
mod source;

pub mod istio;
pub mod node;
pub mod spin;
pub mod support;

pub use check::check_references;
pub use diagnostic::{Diagnostic, Severity};
pub use load::{Disk, Files, Input, Loaded, Overlay, load, load_with, missing_resources, parse_manifests};
pub use object::{LoadedObject, Object, ObjectId};
pub use path::{FieldPath, Step};
pub use source::{Location, SourceFile, Span};

/// The Kubernetes types that [`Object`] holds, so that every crate uses the same ones.
pub use k8s_openapi;
