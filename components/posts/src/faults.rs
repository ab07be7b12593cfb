//! Faults on request: what retries, timeouts and outlier detection of a mesh are tried out on.
//!
//! They come before anything else, so that they need no token and any path will do.

use std::time::Duration;

use service_kit::host::Host;
use service_kit::http::{Request, Response};
use service_kit::problem::problem;

/// How long `X-Sleep-Fail` sleeps: longer than a route's usual timeout.
pub(crate) const SLEEP: Duration = Duration::from_secs(5);

/// The fault that a request asks for, if it does. What the header says does not matter.
pub(crate) fn answer(request: &Request, host: &impl Host) -> Option<Response> {
    let asks = |name: &str| request.header_values(name).next().is_some();
    if asks("x-sleep-fail") {
        host.sleep(SLEEP);
        return Some(problem(504, "The request asked for this with X-Sleep-Fail."));
    }
    (asks("x-fail") && host.coin()).then(|| problem(503, "The request asked for this with X-Fail."))
}
