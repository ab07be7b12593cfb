//! What a consistent hash is taken of (Envoy, `source/common/http/hash_policy.cc`).

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderMap;
use http::header::COOKIE;
use twox_hash::XxHash64;

use crate::traffic::HashKey;

/// What became of looking for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashed {
    /// `None`: the request has no key, and goes anywhere.
    pub hash: Option<u64>,
    /// A value for `set-cookie`, to be added to the response: the proxy made the key.
    pub set_cookie: Option<String>,
}

impl HashKey {
    /// The key's hash in a request. `connection`, the client's and the own address, is what a cookie is made of where
    /// there is none.
    pub fn hash(
        &self,
        headers: &HeaderMap,
        path_and_query: &str,
        connection: Option<(SocketAddr, SocketAddr)>,
    ) -> Hashed {
        let mut set_cookie = None;
        let hash = match self {
            Self::Header(name) => {
                let mut values: Vec<&[u8]> = headers.get_all(name).iter().map(AsRef::as_ref).collect();
                // The order in which they were sent does not matter.
                values.sort_unstable();
                // Each value's hash is the seed of the next one's.
                values.iter().fold(None, |seed, value| Some(XxHash64::oneshot(seed.unwrap_or(0), value)))
            }
            Self::Cookie { name, path, ttl, attributes } => {
                match (cookie(headers, name).filter(|value| !value.is_empty()), ttl, connection) {
                    (Some(value), ..) => Some(xx(value)),
                    (None, Some(ttl), Some((client, own))) => {
                        let value = format!("{:016x}", xx(format!("{client}{own}").as_bytes()));
                        let hash = xx(value.as_bytes());
                        set_cookie = Some(written(name, &value, *ttl, path.as_deref(), attributes));
                        Some(hash)
                    }
                    (None, ..) => None,
                }
            }
            Self::SourceIp => connection.map(|(client, _)| xx(client.ip().to_string().as_bytes())),
            Self::QueryParameter(name) => parameter(path_and_query, name).map(|value| xx(value.as_bytes())),
        };
        Hashed { hash, set_cookie }
    }
}

fn xx(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// `Utility::parseCookieValue`: the first of that name, without the quotes that it may be in.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| pair.trim_ascii_start().split_at_checked(name.len())).find_map(|(key, rest)| {
        let value = rest.strip_prefix(b"=").filter(|_| key == name.as_bytes())?;
        Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
    })
}

/// `Utility::makeSetCookieValue`
fn written(name: &str, value: &str, ttl: Duration, path: Option<&str>, attributes: &[(String, String)]) -> String {
    let mut text = format!("{name}=\"{value}\"");
    // Writing to a string does not fail.
    if ttl.as_secs() > 0 {
        let _ = write!(text, "; Max-Age={}", ttl.as_secs());
    }
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        let _ = write!(text, "; Path={path}");
    }
    for (name, value) in attributes {
        let _ = if value.is_empty() { write!(text, "; {name}") } else { write!(text, "; {name}={value}") };
    }
    text.push_str("; HttpOnly");
    text
}

/// The first of that name, as it is written (`QueryParamsMulti::parseQueryString`).
fn parameter<'a>(path_and_query: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = path_and_query.split_once('?')?;
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| *key == name)
        .map(|(_, v)| v)
}

#[cfg(test)]
mod tests;
