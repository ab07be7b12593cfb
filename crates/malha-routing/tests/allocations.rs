//! A decision about a request allocates nothing: not with one route, not with very many.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::sync::Arc;

use allocation_counter::measure;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use malha_routing::{
    Action, Answer, Condition, Field, Head, HeaderChanges, HeaderMatch, HostPattern, HostTable, Labels, PathMatch,
    Pattern, QueryMatch, Route, RouteTable, TextMatch,
};
use serde_json::json;

/// Routes of each kind, `count` in all; the last one takes everything.
fn routes(count: usize) -> RouteTable<()> {
    let action = Arc::new(Action {
        answer: Answer::Respond { status: StatusCode::OK, body: Bytes::new() },
        fault: None,
        cors: None,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    });
    let condition = |number: usize| match number {
        0 => Condition::path_only(PathMatch::Regex(Pattern::new("/regex/[0-9]+").unwrap())),
        number if number + 1 == count => Condition::default(),
        number if number % 3 == 0 => Condition::path_only(PathMatch::Exact(format!("/exact/{number}"))),
        number if number % 3 == 1 => Condition {
            ignore_path_case: true,
            ..Condition::path_only(PathMatch::Prefix(format!("/Folded/{number}/")))
        },
        number => Condition {
            method: Some(TextMatch::Exact("GET".into())),
            authority: Some(TextMatch::Prefix("posts".into())),
            headers: vec![
                HeaderMatch {
                    name: Field::parse("x-user").unwrap(),
                    value: TextMatch::Regex(Pattern::new("[a-z]+").unwrap()),
                    inverted: false,
                },
                HeaderMatch {
                    name: Field::parse("x-none").unwrap(),
                    value: TextMatch::Exact("v".into()),
                    inverted: true,
                },
            ],
            query: vec![QueryMatch { name: "q".into(), value: TextMatch::Exact("1".into()) }],
            source_labels: vec![("app".into(), "web".into())],
            ..Condition::path_only(PathMatch::Prefix(format!("/prefix/{number}/")))
        },
    };
    let route =
        |number: usize| Route { name: number.to_string(), condition: condition(number), action: Arc::clone(&action) };
    RouteTable::new((0..count).map(route).collect())
}

#[test]
fn finding_host_and_route_allocates_nothing() {
    let source: Labels = [("app".to_owned(), "web".to_owned())].into();
    let mut headers = HeaderMap::new();
    headers.insert("x-user", HeaderValue::from_static("ann"));
    let claims = json!({"scope": "read"});
    let mut hosts = HostTable::default();
    for number in 0..1_000 {
        hosts.insert(HostPattern::parse(&format!("posts-{number}.example.com")), number);
        hosts.insert(HostPattern::parse(&format!("*.eu-{number}.example.com")), number);
    }
    for count in [10, 3_000] {
        let table = routes(count);
        let last = (count - 1).to_string();
        let far = (count - 1) / 3 * 3;
        for (target, want) in [
            ("/regex/17".to_owned(), "0".to_owned()),
            (format!("/exact/{}", far - 3), (far - 3).to_string()),
            (format!("/folded/{}/x?y", far - 2), (far - 2).to_string()),
            (format!("/prefix/{}/x?a=b&q=1", far - 1), (far - 1).to_string()),
            (format!("/prefix/{}/x?q=2", far - 1), last.clone()),
            ("/".to_owned(), last.clone()),
        ] {
            let head = Head {
                method: &Method::GET,
                scheme: "http",
                authority: "posts-9.example.com:80",
                path_and_query: &target,
                headers: &headers,
                claims: Some(&claims),
                source: &source,
            };
            // An expression makes its workspace when it is used first, once for a thread.
            assert_eq!(table.find(&head).map(|route| route.name.clone()), Some(want), "{target} of {count}");
            let counted = measure(|| {
                assert!(hosts.find(head.authority).is_some());
                assert!(hosts.find("a.eu-77.example.com").is_some());
                assert!(table.find(&head).is_some());
            });
            assert_eq!(counted.count_total, 0, "{target} of {count}");
        }
    }
}

#[test]
fn no_changes_and_literal_ones_cost_no_value() {
    let changes = HeaderChanges::new([("x-a", "1"), ("x-b", "2")], [], ["x-c"]).unwrap();
    let mut headers = HeaderMap::with_capacity(8);
    changes.apply_to_request(&mut headers, &malha_routing::Exchange::default());
    let counted = measure(|| {
        HeaderChanges::default().apply_to_request(&mut headers, &malha_routing::Exchange::default());
        changes.apply_to_request(&mut headers, &malha_routing::Exchange::default());
    });
    assert_eq!(counted.count_total, 0);
}
