//! What a service asks of the world around it.
//!
//! Time, chance, configuration and other services come through this one door, so that a test, or a host that replays a
//! scenario, decides all of them.

use std::time::Duration;

use crate::time::Timestamp;

/// The world around a service. Inside a component it is WASI; in tests it is `testing`.
pub trait Host {
    /// Wall time.
    fn now(&self) -> Timestamp;

    /// A Spin variable by its lower-case name. One that is not defined reads as empty, as the default of all of them.
    fn variable(&self, name: &str) -> String;

    /// One fair draw.
    fn coin(&self) -> bool;

    /// Waits.
    fn sleep(&self, duration: Duration);

    /// Sends all requests at the same time, and returns when each has its whole response or has failed. The results are
    /// in the order of the requests.
    ///
    /// The first request is the one that matters: without a `200` to it nobody waits for the others any longer.
    fn fetch(&self, requests: &[Outgoing]) -> Vec<Result<Fetched, FetchError>>;
}

/// A `GET` to another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// An absolute `http` or `https` URL.
    pub url: String,
    /// Headers to send. `Host` follows from the URL.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The largest body that is worth reading, in bytes.
    pub max_body: usize,
    /// How long it may take, from the start of the request to the end of the response.
    pub limit: Duration,
}

/// A response of another service, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The status code.
    pub status: u16,
    /// Lower-case names, values as on the wire.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body, no larger than asked for.
    pub body: Vec<u8>,
}

impl Fetched {
    /// The first value of a header, named in lower case, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(candidate, _)| candidate == name)
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not a URL that can be called.
    #[error("not an http or https URL")]
    BadUrl,
    /// The limit passed, or the host gave up waiting.
    #[error("no whole response in time")]
    Timeout,
    /// The request that mattered failed before this one ended.
    #[error("given up, since another request failed")]
    GivenUp,
    /// The body is larger than [`Outgoing::max_body`].
    #[error("the response is larger than {0} bytes")]
    TooLarge(usize),
    /// Anything else, as the host tells it: refused, reset, denied by the manifest.
    #[error("{0}")]
    Failed(String),
}
