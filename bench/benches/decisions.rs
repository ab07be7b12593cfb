//! What malha decides before and around a request: reading the manifests, and finding host and route.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use malha_manifest::{Input, check_references, load};
use malha_routing::{Destination, HostPattern, HostTable, PathMatch, Route, RouteMatch, VirtualHost};

fn manifests(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hello/k8s");
    let workshop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s");
    for (name, folder) in [("hello, 4 objects", folder), ("k8s/, the workshop", workshop)] {
        // Keys are not in git; without them the workshop would be measured with an error in it.
        if load(&[Input::Kustomize(folder.clone())]).has_errors() {
            continue;
        }
        criterion.bench_function(&format!("load manifests: {name}"), |bencher| {
            bencher.iter(|| {
                let loaded = load(&[Input::Kustomize(folder.clone())]);
                black_box(check_references(&loaded.objects));
                black_box(loaded.objects.len())
            });
        });
    }
}

/// A mesh of `count` hosts, each with the five routes that the workshop's gateway has; every tenth is a wildcard.
fn table(count: usize) -> HostTable<VirtualHost<()>> {
    let mut table = HostTable::default();
    for number in 0..count {
        let star = if number % 10 == 9 { "*." } else { "" };
        let pattern = format!("{star}service-{number}.shop.example.com");
        let route = |path| Route {
            name: String::new(),
            matches: vec![RouteMatch { path: Some(path) }],
            rewrite: None,
            destinations: vec![Destination { weight: 1, cluster: None }],
        };
        let paths = ["/auth", "/keys", "/posts", "/comments", "/composition"];
        let routes = paths.map(|path| route(PathMatch::Prefix(path.to_owned()))).into();
        table.insert(HostPattern::parse(&pattern), VirtualHost { name: pattern.clone(), routes });
    }
    table
}

fn routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("host and route");
    for count in [10, 1_000] {
        let table = table(count);
        for (kind, authority) in [
            ("exact", format!("service-{}.shop.example.com:80", count - 2)),
            ("wildcard", format!("eu.service-{}.shop.example.com", count - 1)),
        ] {
            let find =
                || table.find(black_box(&authority))?.route(black_box("/composition?x=1")).is_some().then_some(());
            assert!(find().is_some(), "{authority} is in the table");
            group.bench_function(BenchmarkId::new(kind, count), |bencher| bencher.iter(find));
        }
    }
    group.finish();
}

criterion_group!(benches, manifests, routes);
criterion_main!(benches);
