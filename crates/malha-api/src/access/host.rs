//! Keeps browsers out. A page from anywhere can send requests to 127.0.0.1, under a name of its own that resolves there, too;
//! what gives it away is the name it used, and where it came from.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;

use crate::status::Failure;

/// 403 for a request that a browser sent, or that was meant for another name.
pub(crate) fn check(parts: &Parts) -> Result<(), Failure> {
    if parts.headers.contains_key(ORIGIN) {
        return Err(Failure::refused("requests of web pages are not answered: this one has an Origin header"));
    }
    // HTTP/2 says it in the target, HTTP/1 in a header; both may be there, and both have to be right.
    let target = parts.uri.authority().map(|authority| local(authority.as_str()));
    let headers = parts.headers.get_all(HOST).iter().map(|host| host.to_str().is_ok_and(local));
    let mut all = target.into_iter().chain(headers).peekable();
    if all.peek().is_some() && all.all(|local| local) {
        return Ok(());
    }
    Err(Failure::refused("this API is for 127.0.0.1, [::1] and localhost; the request's Host is another or missing"))
}

/// Whether it is a name of this machine for itself.
fn local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn only_names_of_this_machine_and_no_web_pages() {
        for (target, headers, open) in [
            ("/", &[("host", "127.0.0.1:6443")][..], true),
            ("/", &[("host", "localhost:6443")], true),
            ("/", &[("host", "LOCALHOST")], true),
            ("/", &[("host", "[::1]:6443")], true),
            ("https://127.0.0.1:6443/", &[], true),
            ("/", &[], false),
            ("/", &[("host", "")], false),
            ("/", &[("host", "malha.example:6443")], false),
            ("/", &[("host", "127.0.0.1.example")], false),
            ("/", &[("host", "localhost.example")], false),
            ("/", &[("host", "user@localhost")], false),
            ("/", &[("host", "192.168.1.1:6443")], false),
            ("/", &[("host", "localhost"), ("host", "malha.example")], false),
            ("https://malha.example/", &[("host", "localhost")], false),
            ("/", &[("host", "localhost"), ("origin", "https://malha.example")], false),
            ("/", &[("host", "localhost"), ("origin", "null")], false),
        ] {
            let mut request = Request::builder().uri(target);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(check(&parts).is_ok(), open, "{target} {headers:?}");
        }
    }
}
