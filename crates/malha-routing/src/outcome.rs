//! How one try of a request ended: what retries and outlier detection ask about.

use http::{HeaderMap, StatusCode};

/// How one try ended, in the cases that Envoy's router tells apart.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// The host answered.
    Response {
        /// Status.
        status: StatusCode,
        /// Headers of the answer.
        headers: &'a HeaderMap,
    },
    /// No connection came about, or not in time.
    ConnectFailure,
    /// The host refused the stream before it looked at it (HTTP/2, `REFUSED_STREAM`).
    Refused,
    /// The connection or the stream ended before the head of an answer.
    Reset {
        /// Whether anything of the request had been sent.
        sent: bool,
    },
    /// No head of an answer in time: the try's own time, or the whole request's.
    Timeout {
        /// Whether anything of the request had been sent.
        sent: bool,
    },
    /// The proxy's own limits forbade the try.
    Overflow,
}
