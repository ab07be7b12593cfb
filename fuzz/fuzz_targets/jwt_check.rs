//! Any keys, and any token for a key that nobody here has: it never lets anyone in.
//!
//! The first line is a set of keys, the second a path, all others are headers (`name: value`).
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use malha_policy::RequestView;
use malha_policy::jwt::{Jwks, JwtRule, JwtRules, Keys};

/// RFC 7517, appendix A.1: its private key is not known to whoever makes the tokens here.
const KEYS: &str = r#"{"keys":[
    {"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
     "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}]}"#;

static STRANGER: LazyLock<Arc<Jwks>> = LazyLock::new(|| Arc::new(Jwks::parse(KEYS).expect("a set of keys")));

fn rules(keys: Arc<Jwks>) -> JwtRules {
    JwtRules::new([JwtRule {
        issuer: String::new(),
        audiences: vec!["workshop".into()],
        keys: Keys::Ready(keys),
        from_headers: Vec::new(),
        from_params: Vec::new(),
        from_cookies: Vec::new(),
        forward_original_token: false,
        output_payload_to_header: Some(HeaderName::from_static("x-payload")),
        output_claim_to_headers: Vec::new(),
        space_delimited_claims: Vec::new(),
    }])
}

fuzz_target!(|input: &str| {
    let mut lines = input.lines();
    let (keys, path) = (lines.next().unwrap_or_default(), lines.next().unwrap_or("/"));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { continue };
        headers.append(name, value);
    }
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = RequestView {
        method: &Method::GET,
        path_and_query: path,
        scheme: "http",
        authority: "shop",
        headers: &headers,
        destination_ip: address,
        destination_port: 80,
        source_ip: address,
        remote_ip: address,
        source: None,
        sni: None,
    };
    if let Ok(keys) = Jwks::parse(keys) {
        let _ = rules(Arc::new(keys)).verify(&request, 1_700_000_000);
    }
    if let Ok(verified) = rules(Arc::clone(&STRANGER)).verify(&request, 1_700_000_000) {
        assert!(verified.payload.is_none(), "nobody can have signed this");
    }
});
