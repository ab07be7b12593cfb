//! Any text as manifests: read, explained, applied to a cluster, and made into what the mesh is told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use malha_cluster::{Cluster, Node, PodRequest, StartError};
use malha_manifest::parse_manifests;
use malha_world::World;

struct Nowhere;

impl Node for Nowhere {
    type Pod = ();

    async fn start(&self, _: PodRequest) -> Result<(), StartError> {
        Ok(())
    }

    async fn stop(&self, (): ()) {}
}

fuzz_target!(|text: &str| {
    let loaded = parse_manifests("fuzz", text);
    for diagnostic in &loaded.diagnostics {
        let _ = diagnostic.to_string();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without sockets");
    runtime.block_on(async {
        let world = World::simulated(1_700_000_000, 1);
        let cluster = Cluster::new(Nowhere, &world, drop);
        let _ = cluster.apply(loaded.objects.into_iter().map(Into::into));
    });
});
