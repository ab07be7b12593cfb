//! Requests and responses as plain values.
//!
//! `wasi:http` types are handles that only exist inside a host. Services see these instead, and can be tested anywhere.

use std::borrow::Cow;

/// One request, as far as the services look at it: none of them reads a body.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method as on the wire: `GET`.
    pub method: Cow<'static, str>,
    /// The path without the query: `/posts/7`.
    pub path: String,
    /// What follows the first `?`, if there was one.
    pub query: Option<String>,
    /// Names in any case, values as on the wire, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Request {
    /// The first value of a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of a header.
    pub fn header_values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }
}

/// One response, and what the log should say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Lower-case names, in the order they are sent.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Embedded data is served as it lies in the component, hence the `Cow`.
    pub body: Cow<'static, [u8]>,
    /// What the operator should read in the log and the client should not: the reason of a 502, a missing key.
    pub log_message: Option<String>,
}

impl Response {
    /// A response with a content type and a body.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            status,
            headers: vec![("content-type", Cow::Borrowed(content_type))],
            body: body.into(),
            log_message: None,
        }
    }

    /// `200 OK` with a JSON text.
    pub fn json(body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self::new(200, "application/json", body)
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with a message for the log.
    #[must_use]
    pub fn with_log_message(mut self, message: impl Into<String>) -> Self {
        self.log_message = Some(message.into());
        self
    }

    /// The first value of a header, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value.as_ref())
    }
}

/// Whether a request asks to read: RFC 9110 section 9.3.2 has a server answer `HEAD` wherever it answers `GET`, and
/// the way to the wire drops the body.
pub fn is_read(request: &Request) -> bool {
    matches!(request.method.as_ref(), "GET" | "HEAD")
}
