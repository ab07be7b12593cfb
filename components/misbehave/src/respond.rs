//! Responses of a well-behaved guest.

use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{OutputStream, StreamError};

/// The most that one blocking write may carry.
const BLOCKING_WRITE: usize = 4096;

/// How many chunks `/stream` sends, and the nanoseconds between two.
const CHUNKS: u32 = 5;
const PAUSE: u64 = 20_000_000;

/// Answers with a text.
pub(crate) fn text(out: ResponseOutparam, status: u16, text: &str) {
    with_body(out, status, |stream| write_all(stream, text.as_bytes()));
}

/// Answers with chunks that come one after the other.
pub(crate) fn stream(out: ResponseOutparam) {
    with_body(out, 200, |stream| {
        for number in 1..=CHUNKS {
            if number > 1 {
                pause();
            }
            write_all(stream, format!("chunk {number}\n").as_bytes());
        }
    });
}

/// Waits as long as between two chunks.
pub(crate) fn pause() {
    monotonic_clock::subscribe_duration(PAUSE).block();
}

/// Answers with what it is told, while it is told it.
pub(crate) fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let Ok(body) = request.consume() else { return };
    let Ok(source) = body.stream() else { return };
    with_body(out, 200, |stream| {
        loop {
            match source.blocking_read(BLOCKING_WRITE as u64) {
                Ok(bytes) => write_all(stream, &bytes),
                Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => return,
            }
        }
    });
}

fn with_body(out: ResponseOutparam, status: u16, write: impl FnOnce(&OutputStream)) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        write(&stream);
    }
    let _ = OutgoingBody::finish(body, None);
}

/// Writes and flushes. A client that is gone is no concern of these guests.
pub(crate) fn write_all(stream: &OutputStream, bytes: &[u8]) {
    for chunk in bytes.chunks(BLOCKING_WRITE) {
        if stream.blocking_write_and_flush(chunk).is_err() {
            return;
        }
    }
}
