//! What decisions look at: the head of a request and where it comes from, borrowed from whoever holds it.

use http::{HeaderMap, Method};

use crate::workload::Labels;

/// The head of a request, as the proxy sees it once host and path have their normal form.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Method.
    pub method: &'a Method,
    /// `http` or `https`: Envoy's `:scheme`.
    pub scheme: &'a str,
    /// As the client wrote it, with its port.
    pub authority: &'a str,
    /// In its [normal form](crate::normalize); empty for `CONNECT`, `*` for `OPTIONS *`.
    pub path_and_query: &'a str,
    /// All headers; `Host` among them does not count.
    pub headers: &'a HeaderMap,
    /// Payload of the token that was checked on the way in (Istio, `@request.auth.claims`).
    pub claims: Option<&'a serde_json::Value>,
    /// Labels of the workload whose proxy decides.
    pub source: &'a Labels,
}
