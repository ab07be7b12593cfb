//! The Kubernetes API of a [`malha_cluster`]: what kubectl and other clients talk to. Never knows wasm or the mesh.
//!
//! ```text
//! socket (TLS, loopback) ─▶ access ─▶ the path: discovery, openapi, or a resource and a verb
//!                                           │
//!                    patch, apply ─▶ Registry (admission, store) ─▶ object ─▶ JSON, Table or a watch's events
//! ```

#![forbid(unsafe_code)]

mod access;
mod api;
mod cluster;
mod custom_metrics;
mod document;
mod field_error;
mod forward;
mod health;
mod list;
mod logs;
mod metrics;
mod protobuf;
mod request;
mod respond;
mod select;
mod server;
mod status;
mod time;
mod verbs;
mod view;
mod watch;

pub mod discovery;
pub mod openapi;
pub mod patch;
pub mod schema;
pub mod table;

pub use access::{Credentials, CredentialsError};
pub use api::Api;
pub use document::Document;
pub use respond::Body;
pub use server::Running;
