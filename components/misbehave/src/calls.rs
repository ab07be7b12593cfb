//! `/call`: a request to the URL in the header `x-call`, and what came of it as text.

use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, FutureIncomingResponse, IncomingRequest, OutgoingRequest, ResponseOutparam, Scheme};
use wasip2::io::poll::poll;

use crate::respond::text;

/// How long the other may take, in nanoseconds.
const LIMIT: u64 = 5_000_000_000;

/// Calls, and answers with the status and the body of what came back, or with the error.
pub(crate) fn answer(request: &IncomingRequest, out: ResponseOutparam) {
    let url = request.headers().get("x-call").into_iter().next();
    match url.and_then(|url| String::from_utf8(url).ok()) {
        None => text(out, 400, "send a URL in the header x-call\n"),
        Some(url) => match call(&url) {
            Ok((status, body)) => text(out, 200, &format!("{status}\n{body}")),
            Err(error) => text(out, 200, &format!("error: {error}\n")),
        },
    }
}

fn call(url: &str) -> Result<(u16, String), String> {
    let (scheme, rest) = url.split_once("://").ok_or("not an absolute URL")?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let request = OutgoingRequest::new(Fields::new());
    request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)))
        .map_err(|()| "not a URL that WASI takes".to_owned())?;
    let response = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    read(&response)
}

/// Reads the response to its end, or gives up when the time is over.
fn read(future: &FutureIncomingResponse) -> Result<(u16, String), String> {
    let deadline = monotonic_clock::subscribe_duration(LIMIT);
    let response = loop {
        match future.get() {
            Some(Ok(Ok(response))) => break response,
            Some(Ok(Err(code))) => return Err(format!("{code:?}")),
            Some(Err(())) => return Err("the response was taken twice".to_owned()),
            None if deadline.ready() => return Err("no response in time".to_owned()),
            None => {
                poll(&[&future.subscribe(), &deadline]);
            }
        }
    };
    let body = response.consume().map_err(|()| "the body was taken twice".to_owned())?;
    let stream = body.stream().map_err(|()| "the body was taken twice".to_owned())?;
    let mut bytes = Vec::new();
    // Closed or failed: either way there is no more.
    while let Ok(more) = stream.read(64 * 1024) {
        if deadline.ready() {
            return Err("no whole response in time".to_owned());
        }
        if more.is_empty() {
            poll(&[&stream.subscribe(), &deadline]);
        }
        bytes.extend_from_slice(&more);
    }
    Ok((response.status(), String::from_utf8_lossy(&bytes).into_owned()))
}
