//! From [`Response`] to `wasi:http`.

use spin_sdk::http::{Headers, OutgoingBody, OutgoingResponse, ResponseOutparam};

use crate::http::Response;

/// Sends a response. `wasi:http` takes the headers first and then the body in as many pieces as the host asks for: one,
/// as a rule, and then the bytes go to the host from where they lie.
pub(super) fn send(response: &Response, is_head: bool, out: ResponseOutparam) {
    let mut headers: Vec<(String, Vec<u8>)> =
        response.headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    // A length saves the chunked coding. To a HEAD it would promise a body that the host then misses.
    if !is_head {
        headers.push(("content-length".to_owned(), response.body.len().to_string().into_bytes()));
    }
    // Neither can fail: names and values are ours, and so are the statuses.
    let message = OutgoingResponse::new(Headers::from_list(&headers).unwrap_or_else(|_| Headers::new()));
    let _ = message.set_status_code(response.status);
    let body = message.body();
    out.set(message);
    let Ok(body) = body else { return };
    if !is_head && write(&body, &response.body).is_none() {
        // The client is gone. Without `finish` the host sees the body end early, as it did.
        return;
    }
    let _ = OutgoingBody::finish(body, None);
}

/// Writes all bytes, or nothing comes back because the stream was closed.
fn write(body: &OutgoingBody, mut bytes: &[u8]) -> Option<()> {
    let stream = body.write().ok()?;
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write().ok()?).unwrap_or(usize::MAX);
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now).ok()?;
        bytes = later;
    }
    Some(())
}
