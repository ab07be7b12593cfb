use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

fn connection() -> (SocketAddr, SocketAddr) {
    (([127, 0, 0, 1], 42602).into(), ([127, 0, 0, 1], 18100).into())
}

fn sid(path: Option<&str>, ttl: Option<Duration>, attributes: &[(&str, &str)]) -> HashKey {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HashKey::Cookie { name: "sid".to_owned(), path: path.map(str::to_owned), ttl, attributes }
}

#[test]
fn a_missing_cookie_is_made_of_the_connection_as_envoy_words_it() {
    // Values and texts of a real Envoy 1.40 for this very connection.
    let minute = Duration::from_mins(1);
    for (key, text) in [
        (sid(Some("/p"), Some(minute), &[]), "; Max-Age=60; Path=/p; HttpOnly"),
        (sid(None, Some(Duration::ZERO), &[]), "; HttpOnly"),
        (sid(Some(""), Some(Duration::ZERO), &[]), "; HttpOnly"),
        (
            sid(Some("/"), Some(Duration::from_millis(1500)), &[("SameSite", "Strict"), ("Secure", "")]),
            "; Max-Age=1; Path=/; SameSite=Strict; Secure; HttpOnly",
        ),
    ] {
        for cookies in [&[][..], &[("cookie", "other=1")], &[("cookie", "sid=")], &[("cookie", "sid=\"\"; sid=x")]] {
            let hashed = key.hash(&headers(cookies), "/", Some(connection()));
            assert_eq!(hashed.set_cookie.as_deref(), Some(&*format!("sid=\"dc6161f095a0d252\"{text}")), "{cookies:?}");
            assert_eq!(hashed.hash, Some(xx(b"dc6161f095a0d252")));
        }
    }
    assert_eq!(sid(None, None, &[]).hash(&headers(&[]), "/", Some(connection())), Hashed::default());
}

#[test]
fn the_first_cookie_of_the_name_is_taken() {
    let key = sid(None, Some(Duration::ZERO), &[]);
    for cookies in [
        &[("cookie", "sid=v")][..],
        &[("cookie", "a=b; sid=v; sid=w")],
        &[("cookie", "sid; siddy=1; xsid=2;sid=\"v\"")],
        &[("cookie", "a=b"), ("cookie", "  sid=v")],
    ] {
        assert_eq!(
            key.hash(&headers(cookies), "/", Some(connection())),
            Hashed { hash: Some(xx(b"v")), set_cookie: None },
            "{cookies:?}"
        );
    }
}

#[test]
fn headers_parameters_and_addresses_are_keys() {
    let none = headers(&[]);
    let header = HashKey::Header(HeaderName::from_static("x-key"));
    let hash = |key: &HashKey, headers: &HeaderMap, path| key.hash(headers, path, Some(connection())).hash;
    assert_eq!(hash(&header, &headers(&[("x-key", "v")]), "/"), Some(xx(b"v")));
    assert_eq!(hash(&header, &headers(&[("x-key", "")]), "/"), Some(xx(b"")));
    assert_eq!(hash(&header, &none, "/"), None);
    let pair = |a, b| hash(&header, &headers(&[("x-key", a), ("x-key", b)]), "/");
    assert_eq!(pair("a", "b"), pair("b", "a"));
    assert_ne!(pair("a", "b"), pair("a", "c"));

    let parameter = HashKey::QueryParameter("k".to_owned());
    for (path, value) in [
        ("/?k=v", Some("v")),
        ("/?a=1&k=v&k=w", Some("v")),
        ("/?k=a%20b", Some("a%20b")),
        ("/?k", Some("")),
        ("/?kk=v", None),
        ("/k=v", None),
    ] {
        assert_eq!(hash(&parameter, &none, path), value.map(|value| xx(value.as_bytes())), "{path}");
    }
    assert_eq!(hash(&HashKey::SourceIp, &none, "/"), Some(xx(b"127.0.0.1")));
    assert_eq!(HashKey::SourceIp.hash(&none, "/", None), Hashed::default());
}

proptest! {
    #[test]
    fn any_cookie_header_is_read_without_a_panic(value in "[ -~]{0,32}", name in "[a-z]{0,3}") {
        let key = HashKey::Cookie { name, path: None, ttl: Some(Duration::ZERO), attributes: Vec::new() };
        prop_assert!(key.hash(&headers(&[("cookie", &value)]), "/", Some(connection())).hash.is_some());
    }
}
