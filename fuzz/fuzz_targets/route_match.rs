//! Any rules and any request: the index of a table finds what going through the rules one by one finds.
//!
//! A line is a request (`ask GET host /path`), a rule's beginning (`route`), what it matches (`prefix /a`, `exact`,
//! `regex`, `method`, `authority`, `header name value`, `without name value`, `query name value`, `case`), a host
//! (`host *.a`) or a header of the requests (`send name value`).
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use libfuzzer_sys::fuzz_target;
use malha_routing::{
    Action, Answer, Condition, Field, Head, HeaderChanges, HeaderMatch, HostPattern, HostTable, Labels, PathMatch,
    Pattern, QueryMatch, Route, RouteTable, TextMatch, normalize,
};

/// So few rules are tried one after the other (`malha-routing/src/table.rs`).
const FEW: usize = 16;

/// `^a` is a prefix, `~a` an expression, `*` any, all else exact.
fn text(text: &str) -> TextMatch {
    match text.split_at_checked(1) {
        Some(("^", rest)) => TextMatch::Prefix(rest.to_owned()),
        Some(("~", rest)) => Pattern::new(rest).map_or(TextMatch::Present, TextMatch::Regex),
        Some(("*", "")) => TextMatch::Present,
        _ => TextMatch::Exact(text.to_owned()),
    }
}

fuzz_target!(|input: &str| {
    let mut conditions: Vec<Condition> = Vec::new();
    let mut hosts = HostTable::default();
    let mut headers = HeaderMap::new();
    let mut asked = Vec::new();
    for line in input.lines() {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (what, one, two, three) = (word(), word(), word(), word());
        if what == "route" || conditions.is_empty() {
            conditions.push(Condition::default());
        }
        let last = conditions.len() - 1;
        let condition = &mut conditions[last];
        match what {
            "ask" => asked.push((one, two, three)),
            "host" => drop(hosts.insert(HostPattern::parse(one), one)),
            "prefix" => condition.path = Some(PathMatch::Prefix(one.to_owned())),
            "exact" => condition.path = Some(PathMatch::Exact(one.to_owned())),
            "regex" => condition.path = Pattern::new(one).ok().map(PathMatch::Regex),
            "case" => condition.ignore_path_case = true,
            "method" => condition.method = Some(text(one)),
            "authority" => condition.authority = Some(text(one)),
            "query" => condition.query.push(QueryMatch { name: one.to_owned(), value: text(two) }),
            "header" | "without" => {
                let Some(name) = Field::parse(one) else { continue };
                condition.headers.push(HeaderMatch { name, value: text(two), inverted: what == "without" });
            }
            "send" => {
                let (Ok(name), Ok(value)) = (HeaderName::try_from(one), HeaderValue::try_from(two)) else { continue };
                headers.append(name, value);
            }
            _ => {}
        }
    }
    // A table of few rules has no index; the same ones again change nothing.
    while (1..=FEW).contains(&conditions.len()) {
        conditions.extend_from_within(..);
    }
    let action = Arc::new(Action::<()> {
        answer: Answer::Respond { status: StatusCode::OK, body: Bytes::new() },
        fault: None,
        cors: None,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    });
    let named = conditions.into_iter().enumerate();
    let routes = named.map(|(at, condition)| Route { name: at.to_string(), condition, action: Arc::clone(&action) });
    let table = RouteTable::new(routes.collect());
    let source = Labels::new();
    for (method, authority, path) in asked {
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { continue };
        let Some(path) = normalize(path) else { continue };
        assert_eq!(normalize(&path).as_deref(), Some(&*path), "a normal form is its own");
        let _ = hosts.find(authority);
        let head = Head {
            method: &method,
            scheme: "http",
            authority,
            path_and_query: &path,
            headers: &headers,
            claims: None,
            source: &source,
        };
        let found = table.find(&head).map(|route| &route.name);
        let first = table.routes().iter().find(|route| route.condition.matches(&head)).map(|route| &route.name);
        assert_eq!(found, first, "{path}");
    }
});
