//! What Envoy's codecs answer by themselves, without a route.
//!
//! Measured with Envoy 1.40: such replies have the status's own words as a body, and end the connection.

use http::header::{CONNECTION, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Method, Request, Response, StatusCode};

/// Both ends of the way in carry Istio's name (`pilot/pkg/networking/core/listener_builder.go`, `EnvoyServerName`).
const NAME: HeaderValue = HeaderValue::from_static("istio-envoy");

/// The method under which a refusal takes its turn among a connection's requests. Clients cannot forge it: it is none
/// of the methods that they may use.
const METHOD: &str = "REFUSED";

/// Why a request is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no HTTP, or could be read in two ways.
    Malformed,
    /// Its target has a fragment: the connection manager refuses that, not the codec, and has no words for it.
    Fragment,
    /// It asks a socket without TLS for an `https` target.
    Scheme,
    /// It wants to leave HTTP.
    Upgrade,
    /// Its head did not arrive in time.
    Late,
    /// HTTP/1.0 or older: Istio's `PILOT_HTTP10` is off.
    Version,
    /// Too many bytes or lines of head or trailers.
    TooLarge,
    /// A transfer coding other than `chunked`.
    Coding,
}

/// Each with its status and body.
const REPLIES: [(Refusal, StatusCode, &str); 8] = [
    (Refusal::Malformed, StatusCode::BAD_REQUEST, "Bad Request"),
    (Refusal::Fragment, StatusCode::BAD_REQUEST, ""),
    (Refusal::Scheme, StatusCode::FORBIDDEN, "Forbidden"),
    (Refusal::Upgrade, StatusCode::FORBIDDEN, ""),
    (Refusal::Late, StatusCode::REQUEST_TIMEOUT, "request header timeout"),
    (Refusal::Version, StatusCode::UPGRADE_REQUIRED, "Upgrade Required"),
    (Refusal::TooLarge, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large"),
    (Refusal::Coding, StatusCode::NOT_IMPLEMENTED, "Not Implemented"),
];

impl Refusal {
    /// Its number, for [`Refusal::numbered`].
    pub(super) fn number(self) -> u8 {
        self as u8
    }

    /// The refusal with that number.
    pub(super) fn numbered(number: u8) -> Option<Self> {
        REPLIES.get(usize::from(number)).map(|reply| reply.0)
    }

    /// A request that stands for it, so that it is answered in its turn.
    pub(super) fn request(self) -> String {
        format!("{METHOD} /{} HTTP/1.1\r\n\r\n", self.number())
    }

    /// The refusal for which `request` stands, if it does.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        // What has a name in HTTP is none: this is asked of every request.
        match *request.method() {
            Method::GET | Method::POST | Method::PUT => None,
            ref method if method.as_str() == METHOD => {
                request.uri().path().strip_prefix('/')?.parse().ok().and_then(Self::numbered)
            }
            _ => None,
        }
    }

    /// What the client is told.
    pub(super) fn reply(self) -> Response<&'static str> {
        let (_, status, text) = REPLIES[usize::from(self.number())];
        let mut reply = Response::new(text);
        *reply.status_mut() = status;
        let headers = reply.headers_mut();
        if !text.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        headers.insert(SERVER, NAME);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_found_by_its_number_and_its_request() {
        for (number, (refusal, status, _)) in REPLIES.iter().enumerate() {
            assert_eq!(usize::from(refusal.number()), number);
            assert_eq!(refusal.reply().status(), *status);
            let text = refusal.request();
            let mut words = text.split(' ');
            let request = Request::builder().method(words.next().unwrap()).uri(words.next().unwrap()).body(()).unwrap();
            assert_eq!(Refusal::of(&request), Some(*refusal));
        }
        assert_eq!(Refusal::of(&Request::new(())), None);
    }
}
