//! From `wasi:http` to [`Request`].

use std::borrow::Cow;

use spin_sdk::http::{IncomingRequest, Method};

use crate::http::Request;

/// Reads what came, except the body: no service has a use for one.
pub(super) fn read(request: &IncomingRequest) -> Request {
    let mut path = request.path_with_query().unwrap_or_default();
    let query = path.find('?').map(|mark| {
        let query = path.split_off(mark + 1);
        path.truncate(mark);
        query
    });
    if path.is_empty() {
        path.push('/');
    }
    Request { method: method(request.method()), path, query, headers: request.headers().entries() }
}

fn method(method: Method) -> Cow<'static, str> {
    Cow::Borrowed(match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => return Cow::Owned(name),
    })
}
