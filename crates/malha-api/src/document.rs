//! What is served as it is: bytes that never change while the process runs.

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha512};

/// A document with its type and its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// `content-type`.
    pub content_type: &'static str,
    /// The text or bytes.
    pub body: Bytes,
    /// SHA-512 of the body in upper-case hexadecimal, as the API server tags its documents. In `etag` it stands in quotes.
    pub hash: String,
}

impl Document {
    /// Bytes of a type.
    pub(crate) fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let mut hash = String::with_capacity(128);
        for byte in Sha512::digest(&body) {
            for digit in [byte >> 4, byte & 15] {
                hash.extend(char::from_digit(u32::from(digit), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
        Self { content_type, body, hash }
    }

    /// JSON as `application/json`.
    pub(crate) fn json(value: &Value) -> Self {
        Self::typed_json("application/json", value)
    }

    /// JSON of a more particular type.
    pub(crate) fn typed_json(content_type: &'static str, value: &Value) -> Self {
        Self::new(content_type, value.to_string())
    }

    /// The header `etag`.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.hash)
    }
}

/// A media type in `accept`, with its parameters, the preferred ones first as clients write them. `q` is not looked at: no
/// client of Kubernetes sends it.
pub(crate) fn accepted(accept: &str) -> impl Iterator<Item = (&str, Vec<(&str, &str)>)> {
    accept.split(',').filter_map(|one| {
        let mut parts = one.split(';').map(str::trim);
        let kind = parts.next().filter(|kind| !kind.is_empty())?;
        Some((kind, parts.filter_map(|parameter| parameter.split_once('=')).collect()))
    })
}

/// Whether `accept` takes JSON. Without the header anything is taken.
pub(crate) fn takes_json(accept: &str) -> bool {
    accept.trim().is_empty()
        || accepted(accept).any(|(kind, _)| matches!(kind, "application/json" | "application/*" | "*/*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_read_with_its_parameters() {
        let read: Vec<_> = accepted("application/json;g=a;v=v2, text/plain").collect();
        assert_eq!(read, [("application/json", vec![("g", "a"), ("v", "v2")]), ("text/plain", vec![])]);
        for (accept, json) in [("", true), ("*/*", true), ("application/json; as=Table", true), ("text/html", false)] {
            assert_eq!(takes_json(accept), json, "{accept}");
        }
    }

    #[test]
    fn the_same_bytes_have_the_same_tag() {
        let one = Document::json(&serde_json::json!({"a": 1}));
        assert_eq!(one, Document::json(&serde_json::json!({"a": 1})));
        assert_ne!(one.hash, Document::json(&serde_json::json!({"a": 2})).hash);
        assert_eq!(one.hash.len(), 128);
    }
}
