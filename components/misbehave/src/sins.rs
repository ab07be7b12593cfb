//! What a host must survive.

use std::hint::black_box;

use wasip2::http::types::{Fields, OutgoingResponse, ResponseOutparam};

use crate::respond::{pause, write_all};

/// Runs into `unreachable`.
pub(crate) fn trap() -> ! {
    panic!("the request asked for this");
}

/// Never comes back, and never calls the host either.
pub(crate) fn endless_loop() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns).wrapping_add(1);
    }
}

/// Takes memory until there is none, and touches every page so that it is really taken. Then the allocator traps.
pub(crate) fn endless_memory() -> ! {
    const BLOCK: usize = 1 << 20;
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    loop {
        blocks.push(black_box(vec![0xA5; BLOCK]));
    }
}

/// Answers, and answers again. The outparam is gone after the first time, as WASI means it to be, so the guest has to
/// use its handle behind the back of the bindings.
pub(crate) fn twice(out: ResponseOutparam) {
    let handle = out.handle();
    for status in [200, 201] {
        let response = OutgoingResponse::new(Fields::new());
        let _ = response.set_status_code(status);
        ResponseOutparam::set(forged(handle), Ok(response));
    }
    std::mem::forget(out);
}

/// An outparam made from a number. The host finds out whether it owns it.
#[expect(unsafe_code, reason = "forging a handle is the sin")]
fn forged(handle: u32) -> ResponseOutparam {
    // SAFETY: to Rust a handle is a number; that this one is used twice is for the host to notice.
    unsafe { ResponseOutparam::from_handle(handle) }
}

/// Promises a hundred bytes, sends eleven, and traps.
pub(crate) fn cut(out: ResponseOutparam) {
    let headers = Fields::from_list(&[("content-length".to_owned(), b"100".to_vec())]);
    let response = OutgoingResponse::new(headers.unwrap_or_else(|_| Fields::new()));
    if let Ok(body) = response.body() {
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            write_all(&stream, b"eleven byte");
            // Long enough for the eleven to leave the host.
            pause();
        }
        trap();
    }
}
