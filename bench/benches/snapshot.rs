//! What it takes the control side to make a new snapshot of a mesh when one rule changes, and how it grows.

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use malha_cluster::{Cluster, Node, Object, Outcome, PodRequest, StartError};
use malha_manifest::parse_manifests;
use malha_world::World;

/// Runs nothing: the mesh has services and no pods.
struct Nowhere;

impl Node for Nowhere {
    type Pod = ();

    async fn start(&self, _: PodRequest) -> Result<(), StartError> {
        Err(StartError::new("RunContainerError", "there is no runtime here"))
    }

    async fn stop(&self, (): ()) {}
}

/// The one object of a document. Each is read by itself: a text of all of them is longer than what malha reads at once.
fn object(text: &str) -> Object {
    let mut objects = parse_manifests("bench", text).objects.into_iter();
    let object = objects.next().expect("the document is an object");
    assert!(objects.next().is_none(), "the document is one object");
    object.into()
}

fn service(number: usize) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: service-{number}, namespace: default}}\nspec:\n  \
         selector: {{app: service-{number}}}\n  ports: [{{name: http, port: 80}}]\n"
    )
}

/// A rule of a host of its own at the gateway, which leads to one of the services.
fn rule(number: usize, services: usize, path: &str) -> String {
    let to = number % services;
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: rule-{number}, namespace: default}}\n\
         spec:\n  hosts: [host-{number}.example.com]\n  gateways: [gateway]\n  http:\n  \
         - match: [{{uri: {{prefix: {path}}}}}]\n    route: [{{destination: {{host: service-{to}}}}}]\n"
    )
}

const GATEWAY: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
    metadata: {name: gateway, namespace: default}\nspec:\n  selector: {istio: ingressgateway}\n  servers:\n  \
    - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}\n";

fn snapshots(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without sockets");
    let _inside = runtime.enter();
    let mut group = criterion.benchmark_group("snapshot after a change");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for (services, rules) in [(10, 10), (1_000, 1_000), (1_000, 10_000), (1_000, 100_000)] {
        let mut all = vec![object(GATEWAY)];
        all.extend((0..services).map(|number| object(&service(number))));
        all.extend((0..rules).map(|number| object(&rule(number, services, "/"))));
        let cluster = Cluster::new(Nowhere, &World::simulated(1_700_000_000, 1), drop);
        let applied = cluster.apply(all);
        let created = applied.iter().filter(|one| one.as_ref().is_ok_and(|one| one.outcome == Outcome::Created));
        assert_eq!(created.count(), 1 + services + rules, "all objects are there");
        assert_eq!(cluster.findings(), [], "all rules are carried out");
        let mut changed = ["/a", "/b"].map(|path| object(&rule(0, services, path))).into_iter().cycle();
        let what = BenchmarkId::new(format!("{services} services"), format!("{rules} rules"));
        group.bench_function(what, |bencher| {
            bencher.iter_batched(
                || changed.next(),
                |object| {
                    let applied = cluster.apply(object);
                    assert!(matches!(&applied[..], [Ok(one)] if one.outcome == Outcome::Configured));
                },
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, snapshots);
criterion_main!(benches);
