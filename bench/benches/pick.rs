//! What the upstream side of a try costs: finding a proxy's account of a cluster, choosing a host, beginning and ending a
//! request, telling outlier detection.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, StatusCode};
use malha_routing::{
    Admission, Balancer, Cluster, Endpoint, HashKey, Host, Limits, Outcome, Outlier, ProxyState, Ring, TrafficPolicy,
    Upstream,
};
use malha_world::Chance;

fn cluster(hosts: u32, policy: TrafficPolicy) -> Arc<Cluster<()>> {
    let host = |number| {
        let address = format!("10.244.{}.{}:80", number / 256, number % 256);
        Host {
            endpoint: Arc::new(Endpoint { address, port: 80, upstream: Upstream::Pod(()) }),
            weight: 1,
            resident: None,
        }
    };
    Arc::new(Cluster {
        name: "outbound|80||posts-service.default.svc.cluster.local".into(),
        service: "posts-service.default.svc.cluster.local".into(),
        port: 80,
        hosts: (0..hosts).map(host).collect(),
        policy: Arc::new(policy),
    })
}

fn picks(criterion: &mut Criterion) {
    let hash = |ring| Balancer::ConsistentHash { key: HashKey::Header(HeaderName::from_static("x-user")), ring };
    let mut group = criterion.benchmark_group("pick");
    for (name, balancer) in [
        ("least request", Balancer::LeastRequest),
        ("round robin", Balancer::RoundRobin),
        ("ring hash", hash(Ring::Ketama { minimum_size: 1024 })),
        ("maglev", hash(Ring::Maglev { table_size: 65_537 })),
    ] {
        for hosts in [3, 1000] {
            let cluster = cluster(hosts, TrafficPolicy { balancer: balancer.clone(), ..TrafficPolicy::default() });
            let proxy = ProxyState::default();
            let mut chance = Chance::seeded(1).stream();
            let mut hash = 0_u64;
            group.bench_function(BenchmarkId::new(name, hosts), |bencher| {
                bencher.iter(|| {
                    hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let state = proxy.cluster(black_box(&cluster), Duration::ZERO);
                    black_box(state.pick(Some(hash), &[], Duration::ZERO, &mut chance).is_some())
                });
            });
        }
    }
    group.finish();
}

fn tries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("whole try");
    let limited = Limits { connections: 1024, pending: 1024, requests: 1024, ..Limits::default() };
    for (name, limits, outlier) in [
        ("no limits", Limits::default(), None),
        ("outlier detection", Limits::default(), Some(Outlier::default())),
        ("limits and outlier detection", limited, Some(Outlier::default())),
    ] {
        let cluster = cluster(3, TrafficPolicy { limits, outlier, ..TrafficPolicy::default() });
        let proxy = ProxyState::default();
        let (mut chance, headers) = (Chance::seeded(1).stream(), HeaderMap::new());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let now = Duration::ZERO;
                let pick = proxy.cluster(&cluster, now).pick(None, &[], now, &mut chance)?;
                let Admission::Go(ticket) = pick.admit(now) else { return None };
                pick.report(&Outcome::Response { status: StatusCode::OK, headers: &headers }, now);
                ticket.finish(now);
                Some(())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, picks, tries);
criterion_main!(benches);
