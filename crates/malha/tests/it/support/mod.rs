//! What the tests say things with.

mod cluster;
mod http;
mod lone_pod;
mod project;
#[cfg(unix)]
mod terminal;
mod tls;
mod tokens;

pub(crate) use cluster::{Cluster, Manifests, build, build_next_version, load_balancer};
pub(crate) use http::{Answer, Call, assert_problem, delete, get, post};
pub(crate) use lone_pod::{LonePod, Reply};
pub(crate) use project::{IMAGE, engine, project, root};
#[cfg(unix)]
pub(crate) use terminal::{Folder, Up};
pub(crate) use tls::{Authority, serve_json};
pub(crate) use tokens::{Issuer, claims, claims_without, hs256, unsigned};

/// The second in which simulated worlds begin: 2026-11-18T11:06:40Z.
pub(crate) const NOW: u64 = 1_795_000_000;
