//! What a fresh instance costs, without sockets: from [`Pod::answer`] to the end of the body, and the part of it that
//! the pod's own account of CPU time sees.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::BodyExt;
use malha_runtime::{
    Body, CallError, Caller, Engine, EngineOptions, Images, Inbound, Outbound, Pod, PodLimits, PodOptions, StateFolder,
    project_manifest,
};
use malha_world::World;
use tokio::runtime::Builder;

/// Nobody is called.
struct Alone;

impl Outbound for Alone {
    fn call(
        &self,
        _: Caller,
        _: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Body>, CallError>> + Send>> {
        Box::pin(async { Err(CallError::DestinationNotFound) })
    }
}

fn pod(engine: &Engine, images: &Images, project: &str) -> Pod {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(project);
    let (manifest, _) = project_manifest(&folder).expect("the project has a spin.toml");
    let built = images.build(engine, &manifest, &folder, None, &mut |_: malha_runtime::Step<'_>| ());
    let app = images.load(engine, &built.expect("it builds").image.to_string()).expect("it was built just now");
    let (world, outbound) = (World::real(), Arc::new(Alone));
    let limits = PodLimits::default();
    let options = PodOptions {
        name: project,
        namespace: "default",
        environment: &[],
        world,
        outbound,
        limits,
        state: StateFolder::Temporary,
    };
    Pod::start(engine, &app, options).expect("it needs nothing")
}

async fn ask(pod: &Pod, path: &str) -> usize {
    let request = Request::get(path).header("host", "bench").body(Body::empty()).expect("a request");
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let response = pod.answer(Inbound { request, depth: 0, peer }).await.expect("nobody stops it");
    assert!(response.status().is_success(), "{path} answers {}: {:?}", response.status(), pod.logs().lines().last());
    response.into_body().collect().await.expect("a whole body").to_bytes().len()
}

fn instances(criterion: &mut Criterion) {
    let images = Images::in_folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench"));
    let options = EngineOptions { cache: Some(images.code_cache()), ..EngineOptions::default() };
    let engine = Engine::new(options).expect("wasmtime starts");
    // One thread: what is timed is a request, not how many run at once.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("instance");
    for (name, project, path) in
        [("hello (Spin SDK)", "hello", "/"), ("misbehave /ok (plain WASI)", "../components/misbehave", "/ok")]
    {
        let pod = pod(&engine, &images, project);
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(|| async { black_box(ask(&pod, path).await) });
        });
    }
    group.finish();
}

criterion_group!(benches, instances);
criterion_main!(benches);
