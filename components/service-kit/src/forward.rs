//! What of a request goes on to the services that are called for it.
//!
//! A sidecar sees calls come and go but cannot know which belong together; only the service can, by passing on the
//! headers that a trace is put together from.

use crate::http::Request;

/// Request id, W3C trace context, and B3 in one header or in several.
const TRACE: [&str; 9] = [
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
];

/// The headers of the trace and `others`, which are named in lower case, as they came and in their order.
pub fn passed_on(request: &Request, others: &[&str]) -> Vec<(String, Vec<u8>)> {
    let is_passed_on = |name: &str| TRACE.iter().chain(others).any(|passed| name.eq_ignore_ascii_case(passed));
    request.headers.iter().filter(|(name, _)| is_passed_on(name)).cloned().collect()
}
