//! malha's gateway without pods, on one thread: what `bench/src/proxy.rs` measures beside an Envoy with one worker.
//!
//! `gateway ADDRESS MANIFESTS [SWAPS]` serves the Gateway of the manifests. With SWAPS another thread changes a
//! `VirtualService` so many times a second, and each change is a new snapshot under whatever is being answered.
#![expect(clippy::disallowed_methods, reason = "a benchmark runs in real time")]

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use malha_cluster::{Cluster, Node, Object, PodRequest, StartError};
use malha_manifest::parse_manifests;
use malha_mesh::{Mesh, gateway};
use malha_runtime::Pod;
use malha_world::World;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// Runs nothing: there are no pods here.
struct Nowhere;

impl Node for Nowhere {
    type Pod = Pod;

    async fn start(&self, _: PodRequest) -> Result<Pod, StartError> {
        Err(StartError::new("RunContainerError", "there is no runtime here"))
    }

    async fn stop(&self, _: Pod) {}
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().context("gateway ADDRESS MANIFESTS [SWAPS]")?;
    let manifests = fs::read_to_string(arguments.next().context("which manifests?")?)?;
    let swaps: u32 = arguments.next().map_or(Ok(0), |swaps| swaps.parse())?;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mesh = Mesh::new(World::real());
        let published = mesh.clone();
        let cluster = Cluster::new(Nowhere, &World::real(), move |snapshot| published.publish(snapshot));
        for applied in cluster.apply(objects(&manifests)?) {
            applied?;
        }
        ensure!(cluster.findings().is_empty(), "{:?}", cluster.findings());
        let _server = mesh.serve(gateway(80), TcpListener::bind(address).await?)?;
        if let Some(pause) = Duration::from_secs(1).checked_div(swaps) {
            thread::spawn(move || change(&cluster, &manifests, pause));
        }
        std::future::pending().await
    })
}

fn objects(manifests: &str) -> Result<Vec<Object>> {
    let loaded = parse_manifests("manifests", manifests);
    ensure!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    Ok(loaded.objects.into_iter().map(Into::into).collect())
}

/// Applies the manifests again and again; how often, the direct response tells in the place of `world`.
fn change(cluster: &Cluster<Nowhere>, manifests: &str, pause: Duration) -> Result<()> {
    for turn in 1_u32.. {
        let changed = objects(&manifests.replace("world", &format!("{turn:05}")))?;
        cluster.apply(changed).into_iter().collect::<Result<Vec<_>, _>>()?;
        // A thread of its own, in real time: what is measured is a proxy whose rules change that often.
        thread::sleep(pause);
    }
    Ok(())
}
