//! What a decision about a request costs, and how it grows: virtual hosts by name, and routes by path.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use malha_routing::{
    Action, Answer, Condition, Field, Head, HeaderChanges, HeaderMatch, HostPattern, HostTable, Labels, PathMatch,
    Route, RouteTable, TextMatch,
};

const COUNTS: [usize; 3] = [10, 1_000, 100_000];

fn action() -> Arc<Action<()>> {
    Arc::new(Action {
        answer: Answer::Respond { status: StatusCode::OK, body: Bytes::new() },
        fault: None,
        cors: None,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    })
}

fn table(conditions: impl Iterator<Item = Condition>) -> RouteTable<()> {
    let action = action();
    let route = |condition| Route { name: String::new(), condition, action: Arc::clone(&action) };
    RouteTable::new(conditions.map(route).collect())
}

/// A mesh of `count` hosts, each with the five routes that the workshop's gateway has; every tenth is a wildcard.
fn hosts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("host and route");
    let (headers, source) = (HeaderMap::new(), Labels::new());
    for count in COUNTS {
        let mut hosts = HostTable::default();
        for number in 0..count {
            let star = if number % 10 == 9 { "*." } else { "" };
            let paths = ["/auth", "/keys", "/posts", "/comments", "/composition"];
            let conditions = paths.map(|path| Condition::path_only(PathMatch::Prefix(path.to_owned())));
            let pattern = HostPattern::parse(&format!("{star}service-{number}.shop.example.com"));
            hosts.insert(pattern, table(conditions.into_iter()));
        }
        for (kind, authority) in [
            ("exact", format!("service-{}.shop.example.com:80", count - 2)),
            ("wildcard", format!("eu.service-{}.shop.example.com", count - 1)),
        ] {
            let head = Head {
                method: &Method::GET,
                scheme: "http",
                authority: &authority,
                path_and_query: "/composition?x=1",
                headers: &headers,
                claims: None,
                source: &source,
            };
            let find = || hosts.find(black_box(&authority))?.find(black_box(&head)).is_some().then_some(());
            assert!(find().is_some(), "{authority} is in the table");
            group.bench_function(BenchmarkId::new(kind, count), |bencher| bencher.iter(find));
        }
    }
    group.finish();
}

/// One virtual host with `count` rules; the one that is looked for is the last.
fn rules(criterion: &mut Criterion) {
    type Make = fn(usize) -> Condition;
    let kinds: [(&str, Make); 3] = [
        ("exact", |number| Condition::path_only(PathMatch::Exact(format!("/shop/api/v1/item-{number}")))),
        ("prefix", |number| Condition::path_only(PathMatch::Prefix(format!("/shop/api/v1/item-{number}/")))),
        ("prefix, header", |number| Condition {
            headers: vec![HeaderMatch {
                name: Field::Header(http::HeaderName::from_static("x-user")),
                value: TextMatch::Exact("ann".into()),
                inverted: false,
            }],
            ..Condition::path_only(PathMatch::Prefix(format!("/shop/api/v1/item-{number}/")))
        }),
    ];
    let mut group = criterion.benchmark_group("rule");
    let (mut headers, source) = (HeaderMap::new(), Labels::new());
    headers.insert("x-user", HeaderValue::from_static("ann"));
    for (kind, make) in kinds {
        for count in COUNTS {
            let table = table((0..count).map(make));
            let ending = if kind == "exact" { "?x=1" } else { "/more?x=1" };
            let target = format!("/shop/api/v1/item-{}{ending}", count - 1);
            let head = Head {
                method: &Method::GET,
                scheme: "http",
                authority: "shop",
                path_and_query: &target,
                headers: &headers,
                claims: None,
                source: &source,
            };
            let find = || table.find(black_box(&head)).is_some();
            assert!(find(), "{target} is in the table");
            group.bench_function(BenchmarkId::new(kind, count), |bencher| bencher.iter(find));
        }
    }
    group.finish();
}

criterion_group!(benches, hosts, rules);
criterion_main!(benches);
