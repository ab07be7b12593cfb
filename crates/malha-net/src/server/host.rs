//! Decides whom a request is for, once for all who ask.
//!
//! Measured with Envoy 1.40, and RFC 9112 §3.2, RFC 9113 §8.3.1:
//!
//! | request | Envoy | here |
//! | --- | --- | --- |
//! | HTTP/1.1, one `Host` | it | it |
//! | none | 400 without words | `None` |
//! | an empty one | the host is empty | so |
//! | two | one host, `a,b` | so |
//! | `Host` with a byte that no authority has (space, `/`, `?`, `#`, `\`, `"`, …) | 400 | `None` |
//! | `http://user@b/x` | `b`, without regard to `Host` | so |
//! | HTTP/2, `:authority` | it, without regard to `host` | so |
//! | `host` alone | it | it |
//! | neither, an empty one, two, userinfo, or a byte as above | ends the connection | `None` |
//!
//! What HTTP/2 gets for `None` is a 400 for that stream, not the end of its connection.

use http::header::HOST;
use http::{HeaderValue, Request, Uri, Version};

/// Leaves the host in `Host` alone, and of the target no more than path and query; `None` asks for a 400.
pub fn settle_host<B>(request: &mut Request<B>) -> Option<()> {
    let is_http2 = request.version() == Version::HTTP_2;
    let host = if let Some(authority) = request.uri().authority() {
        let host = match authority.as_str().rsplit_once('@') {
            Some(_) if is_http2 => return None,
            Some((_, host)) => host,
            None => authority.as_str(),
        };
        HeaderValue::from_str(host).ok().filter(|host| !host.is_empty() && is_host(host))?
    } else {
        let mut hosts = request.headers().get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) if is_host(host) && !(is_http2 && host.is_empty()) => return Some(()),
            (Some(_), Some(_)) if !is_http2 => joined(request)?,
            _ => return None,
        }
    };
    request.headers_mut().insert(HOST, host);
    if let (Some(_), Some(path)) = (request.uri().authority(), request.uri().path_and_query()) {
        *request.uri_mut() = Uri::from(path.clone());
    }
    Some(())
}

/// Several `Host` lines as the one that Envoy takes them for.
fn joined<B>(request: &Request<B>) -> Option<HeaderValue> {
    let lines: Vec<_> = request.headers().get_all(HOST).iter().map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&lines.join(&b',')).ok().filter(is_host)
}

fn is_host(value: &HeaderValue) -> bool {
    value.as_bytes().iter().copied().all(is_host_byte)
}

/// Whether an authority may have this byte. Envoy goes by this table alone (oghttp2, `IsValidAuthority`; RFC 3986
/// §3.2), and lets a port be anything: `a:x` is the host `a:x`.
pub(super) fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_decides_and_an_authority_wins() {
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        for (version, target, hosts, want) in [
            (one, "/x", &["a:80"][..], Some(("a:80", "/x"))),
            (one, "/x", &["[::1]:80"], Some(("[::1]:80", "/x"))),
            (one, "/x", &["A.b"], Some(("A.b", "/x"))),
            (one, "/x", &["u@a"], Some(("u@a", "/x"))),
            (one, "/x", &["a:x"], Some(("a:x", "/x"))),
            (one, "/x", &[":80"], Some((":80", "/x"))),
            (one, "/x", &[""], Some(("", "/x"))),
            (one, "/x", &[], None),
            (one, "/x", &["a", "a"], Some(("a,a", "/x"))),
            (one, "/x", &["a", "b"], Some(("a,b", "/x"))),
            (one, "/x", &["a b"], None),
            (one, "/x", &["a/b"], None),
            (one, "/x", &["a?b"], None),
            (one, "/x", &["a#b"], None),
            (one, "/x", &["a\\b"], None),
            (one, "/x", &["\"a\""], None),
            (one, "http://b/x?q", &["a"], Some(("b", "/x?q"))),
            (one, "http://b", &["a"], Some(("b", "/"))),
            (one, "http://u@b:8080/x", &["a"], Some(("b:8080", "/x"))),
            (one, "http://b/x", &[], Some(("b", "/x"))),
            (one, "http://b/x", &["a", "c"], Some(("b", "/x"))),
            (one, "http://b/x", &["a/c"], Some(("b", "/x"))),
            (one, "*", &["a"], Some(("a", "*"))),
            // An authority alone is the target of `CONNECT`.
            (one, "b:80", &["a"], Some(("b:80", "b:80"))),
            (two, "http://b/x", &[], Some(("b", "/x"))),
            (two, "http://b/x", &["a"], Some(("b", "/x"))),
            (two, "http://:80/x", &[], Some((":80", "/x"))),
            (two, "http://u@b/x", &[], None),
            (two, "/x", &["a"], Some(("a", "/x"))),
            (two, "/x", &[], None),
            (two, "/x", &[""], None),
            (two, "/x", &["a", "b"], None),
            (two, "/x", &["a/b"], None),
        ] {
            let Ok(uri) = Uri::try_from(target) else { panic!("{target} is no target") };
            let mut request = Request::builder().version(version).uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let mut request = request.body(()).unwrap();
            let settled = settle_host(&mut request);
            let got = settled.map(|()| (request.headers()[HOST].to_str().unwrap(), request.uri().to_string()));
            assert_eq!(got, want.map(|(host, target)| (host, target.to_owned())), "{version:?} {target} {hosts:?}");
        }
    }
}
