//! Sockets, TLS and HTTP codecs, in both directions: what comes in to a proxy ([`server`]) and what goes out of one
//! ([`client`]). Knows no mesh and no wasm; limits and replies are Envoy's, with the settings that Istio gives it.
#![forbid(unsafe_code)]

pub mod client;
pub mod server;
