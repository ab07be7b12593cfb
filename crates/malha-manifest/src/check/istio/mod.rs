//! Rules of Istio's kinds.
//!
//! Source: `pkg/config/validation` of istio/istio, and the schemas that it ships (durations of at least 1 ms).

mod common;
mod destination_rule;
mod routing;
mod security;
mod service_entry;
mod sidecar;
mod traffic;

pub(super) use common::dry_run;
pub(super) use destination_rule::destination_rule;
pub(super) use routing::{gateway, retries, virtual_service};
pub(super) use security::{authorization_policy, peer_authentication, request_authentication};
pub(super) use service_entry::service_entry;
pub(super) use sidecar::sidecar;
