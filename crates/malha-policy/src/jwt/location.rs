//! Where tokens are (Envoy, `source/extensions/filters/http/jwt_authn/extractor.cc`).

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName};

use super::query::Query;
use super::rule::JwtRule;
use crate::inline::{self, Side};

/// A place that may hold a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    Header { name: HeaderName, prefix: String },
    Param(String),
    Cookie(String),
}

/// A token, and where it was.
pub(crate) struct Found<'l> {
    pub(crate) token: Vec<u8>,
    pub(crate) location: &'l Location,
}

/// The places that a rule names, or else Envoy's own, in the order in which Envoy looks at them: headers by their names
/// and prefixes, then parameters, then cookies.
pub(crate) fn locations(rule: &JwtRule) -> Vec<Location> {
    let mut headers: Vec<_> =
        rule.from_headers.iter().map(|header| (header.name.clone(), header.prefix.clone())).collect();
    let mut params = rule.from_params.clone();
    let mut cookies = rule.from_cookies.clone();
    if headers.is_empty() && params.is_empty() && cookies.is_empty() {
        headers.push((AUTHORIZATION, "Bearer ".to_owned()));
        params.push("access_token".to_owned());
    }
    headers.sort_by_cached_key(|(name, prefix)| format!("{name}{prefix}"));
    headers.dedup_by_key(|(name, prefix)| format!("{name}{prefix}"));
    params.sort_unstable();
    params.dedup();
    cookies.sort_unstable();
    cookies.dedup();
    let headers = headers.into_iter().map(|(name, prefix)| Location::Header { name, prefix });
    headers.chain(params.into_iter().map(Location::Param)).chain(cookies.into_iter().map(Location::Cookie)).collect()
}

/// The tokens of a request at these places.
pub(crate) fn extract<'l>(locations: &'l [Location], headers: &HeaderMap, path_and_query: &str) -> Vec<Found<'l>> {
    let mut tokens = Vec::new();
    for location in locations {
        match location {
            Location::Header { name, prefix } => {
                for value in inline::values(headers, Side::Request, name) {
                    if let Some(token) = behind(&value, prefix.as_bytes()) {
                        tokens.push(Found { token: token.to_vec(), location });
                    }
                }
            }
            Location::Param(name) => {
                if let Some(token) = Query::of(path_and_query).first(name) {
                    tokens.push(Found { token, location });
                }
            }
            Location::Cookie(name) => {
                if let Some(token) = cookie(headers, name.as_bytes()) {
                    tokens.push(Found { token: token.to_vec(), location });
                }
            }
        }
    }
    tokens
}

/// What stands behind `prefix`, wherever that is, from the first character on that a token may have. If there is none,
/// the whole value.
fn behind<'v>(value: &'v [u8], prefix: &[u8]) -> Option<&'v [u8]> {
    if prefix.is_empty() {
        return Some(value);
    }
    let at = value.windows(prefix.len()).position(|window| window == prefix)? + prefix.len();
    let of_a_token = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    Some(value[at..].iter().position(of_a_token).map_or(value, |start| &value[at + start..]))
}

/// The first cookie of that name. It may be in double quotes (RFC 6265, section 4.1.1).
fn cookie<'h>(headers: &'h HeaderMap, name: &[u8]) -> Option<&'h [u8]> {
    headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).find_map(|pair| {
        let start = pair.iter().position(|byte| *byte != b' ')?;
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let value = &pair[equals + 1..];
        let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        (pair.get(start..equals)? == name).then_some(bare)
    })
}
