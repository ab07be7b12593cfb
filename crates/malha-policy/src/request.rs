//! What policies can look at.

use std::net::IpAddr;

use http::{HeaderMap, Method};

use crate::identity::Identity;

/// A request as the inbound proxy of a workload sees it.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query, normalized as the mesh normalizes them before any rule.
    pub path_and_query: &'a str,
    /// `:scheme`: what the realm of a 401 begins with.
    pub scheme: &'a str,
    /// `:authority`, or the `Host` header: with its port where it has one.
    pub authority: &'a str,
    /// The headers, without pseudo-headers.
    pub headers: &'a HeaderMap,
    /// The workload's own address.
    pub destination_ip: IpAddr,
    /// The port of the workload that is called: the target port, not the Service's.
    pub destination_port: u16,
    /// The direct peer (`source.ip`).
    pub source_ip: IpAddr,
    /// The client after `x-forwarded-for` has been considered (`remote.ip`).
    pub remote_ip: IpAddr,
    /// The peer's identity if the connection is mutual TLS; `None` for plaintext.
    pub source: Option<&'a Identity>,
    /// The server name that the TLS handshake asked for.
    pub sni: Option<&'a str>,
}
