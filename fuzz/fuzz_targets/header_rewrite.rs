//! Any changes to headers, any rewriting of paths: what comes out is a header, or a path.
//!
//! A line is a change (`set name value`, `add name value`, `remove name`), a header of the message (`send name value`),
//! what was matched (`prefix /a`, `exact /a`), what replaces it (`to /b`, `regex expression substitution`) or a path to
//! rewrite (`path /a`).
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use malha_routing::{Condition, Exchange, HeaderChanges, PathMatch, PathRewrite, Pattern, Substitution};

fuzz_target!(|input: &str| {
    let (mut set, mut add, mut remove) = (Vec::new(), Vec::new(), Vec::new());
    let (mut headers, mut condition, mut rewrites) = (HeaderMap::new(), Condition::default(), Vec::new());
    let mut paths = Vec::new();
    for line in input.lines() {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        match (word(), word(), word()) {
            ("set", name, value) => set.push((name, value)),
            ("add", name, value) => add.push((name, value)),
            ("remove", name, _) => remove.push(name),
            ("send", name, value) => {
                let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                    continue;
                };
                headers.append(name, value);
            }
            ("prefix", path, _) => condition.path = Some(PathMatch::Prefix(path.to_owned())),
            ("exact", path, _) => condition.path = Some(PathMatch::Exact(path.to_owned())),
            ("to", path, _) => rewrites.push(PathRewrite::Matched(path.to_owned())),
            ("regex", pattern, substitution) => {
                let Ok(pattern) = Pattern::new(pattern) else { continue };
                rewrites.push(PathRewrite::Regex { pattern, substitution: Substitution::new(substitution) });
            }
            ("path", path, _) if path.starts_with('/') => paths.push(path),
            _ => {}
        }
    }
    if let Ok(changes) = HeaderChanges::new(set, add, remove) {
        let request = headers.clone();
        let exchange = Exchange {
            method: "GET",
            scheme: "http",
            authority: "shop.example.com",
            path_and_query: paths.first().copied().unwrap_or("/"),
            request: Some(&request),
            client: "192.0.2.1:4000".parse().ok(),
            status: Some(StatusCode::OK),
            ..Exchange::default()
        };
        changes.apply_to_request(&mut headers.clone(), &exchange);
        changes.apply_to_response(&mut headers, &exchange);
    }
    for path in paths {
        for rewrite in &rewrites {
            if let Ok(Some(new)) = rewrite.apply(&condition, path) {
                assert!(new.as_str().starts_with('/'), "{path} became {new}");
            }
        }
    }
});
