//! The way between a service and WASI 0.2: one request in, one response and one log line out.

mod exchange;
mod incoming;
mod outgoing;

use std::time::Duration;

use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use wasi::cli::stdout;
use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::random::random;

use crate::host::{FetchError, Fetched, Host, Outgoing};
use crate::http::{Request, Response};
use crate::log::{self, Level};
use crate::time::Timestamp;

/// The most that one blocking write may carry (`wasi:io/streams`, `blocking-write-and-flush`).
const BLOCKING_WRITE: usize = 4096;

/// The host that a component runs in.
#[derive(Clone, Copy, Debug)]
pub struct Wasi;

/// Answers one request: what a component's entry point does, whatever the service.
///
/// The log line is written before the response, so that whoever has the response finds the line.
#[expect(clippy::needless_pass_by_value, reason = "the handle of the request lives until its response is sent")]
pub fn serve(
    service: &str,
    request: IncomingRequest,
    out: ResponseOutparam,
    answer: impl FnOnce(&Request, &Wasi) -> Response,
) {
    let begin = monotonic_clock::now();
    let start = Wasi.now();
    let request = incoming::read(&request);
    let response = answer(&request, &Wasi);
    let duration = Duration::from_nanos(monotonic_clock::now().saturating_sub(begin));
    let least = Level::parse(&Wasi.variable("log_level"));
    if let Some(line) = log::line(service, &request, &response, start, duration, least) {
        print(&line);
    }
    outgoing::send(&response, request.method == "HEAD", out);
}

/// Writes to standard output, where the container's log is. A log that nobody can write is no reason not to answer.
fn print(text: &str) {
    let stdout = stdout::get_stdout();
    for chunk in text.as_bytes().chunks(BLOCKING_WRITE) {
        if stdout.blocking_write_and_flush(chunk).is_err() {
            return;
        }
    }
}

impl Host for Wasi {
    fn now(&self) -> Timestamp {
        let now = wall_clock::now();
        Timestamp(Duration::new(now.seconds, now.nanoseconds))
    }

    fn variable(&self, name: &str) -> String {
        spin_sdk::variables::get(name).unwrap_or_default()
    }

    fn coin(&self) -> bool {
        random::get_random_u64() & 1 == 1
    }

    fn sleep(&self, duration: Duration) {
        monotonic_clock::subscribe_duration(nanoseconds(duration)).block();
    }

    fn fetch(&self, requests: &[Outgoing]) -> Vec<Result<Fetched, FetchError>> {
        exchange::all(requests)
    }
}

/// A duration as WASI counts it; what does not fit is 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
