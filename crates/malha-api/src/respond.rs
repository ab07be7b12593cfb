//! Answers: JSON, text, and what goes on for as long as the client listens.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, WARNING};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use serde_json::Value;

use crate::document::Document;
use crate::status::Failure;

/// The body of a response.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
/// Of an API behind credentials nothing is to be kept (`apiserver/pkg/endpoints/filters/cachecontrol.go`).
const PRIVATE: HeaderValue = HeaderValue::from_static("no-cache, private");
/// As many warnings as one answer carries; `kubectl` shows each on a line of its own.
const WARNINGS: usize = 32;

/// JSON with a status.
pub(crate) fn json(code: StatusCode, value: &Value, pretty: bool) -> Response<Body> {
    let text = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    // Values are JSON by construction.
    bytes(code, JSON, text.unwrap_or_default().into())
}

/// Plain text.
pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    bytes(code, TEXT, text.into())
}

fn bytes(code: StatusCode, kind: HeaderValue, bytes: Bytes) -> Response<Body> {
    headed(code, kind, Full::new(bytes).boxed_unsync())
}

fn headed(code: StatusCode, kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, PRIVATE);
    response
}

/// JSON, one value a line, as they come.
pub(crate) fn lines(stream: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    streamed(JSON, stream)
}

/// Text as it comes.
pub(crate) fn text_stream(stream: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    streamed(TEXT, stream)
}

fn streamed(kind: HeaderValue, stream: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    use futures_util::StreamExt as _;
    headed(StatusCode::OK, kind, StreamBody::new(stream.map(|part| Ok(Frame::data(part)))).boxed_unsync())
}

/// Who knows the hash of a document may keep it (kube-openapi, `pkg/handler3`).
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, immutable");

/// A document, or 304 for who has it.
pub(crate) fn document(document: Document, parts: &Parts, immutable: bool) -> Response<Body> {
    let etag = document.etag();
    let has = parts.headers.get_all(IF_NONE_MATCH).iter().any(|tag| tag.as_bytes() == etag.as_bytes());
    let mut response = if has {
        let mut response = text(StatusCode::NOT_MODIFIED, Bytes::new());
        response.headers_mut().remove(CONTENT_TYPE);
        response
    } else {
        bytes(StatusCode::OK, HeaderValue::from_static(document.content_type), document.body)
    };
    if immutable {
        response.headers_mut().insert(CACHE_CONTROL, IMMUTABLE);
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

/// A failure as a `Status`.
pub(crate) fn failure(failure: &Failure, pretty: bool) -> Response<Body> {
    let mut response = json(failure.code, &failure.status(), pretty);
    if failure.code == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer realm=\"malha\"");
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, scheme);
    }
    if let Some(seconds) = failure.details.get("retryAfterSeconds").and_then(Value::as_u64) {
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}

/// `Warning: 299 - "TEXT"` (RFC 7234 §5.5; apimachinery `util/net`, `NewWarningHeader`), each text once.
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    let mut seen: Vec<&String> = Vec::new();
    for text in warnings {
        if seen.len() == WARNINGS || seen.contains(&text) {
            continue;
        }
        seen.push(text);
        let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append(WARNING, value);
        }
    }
}
