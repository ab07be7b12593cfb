//! The stand-ins: `components/hello`, which says something else in each Deployment.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use malha_cluster::{Node, PodRequest, StartError};
use malha_mesh::Mesh;
use malha_routing::Workload;
use malha_runtime::{
    App, Engine, EngineOptions, Images, Pod, PodLimits, PodOptions, StateFolder, Step, project_manifest,
};
use malha_world::World;

/// The smallest project of the repository.
const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/hello");

/// What it answers: a text in its data, for which another of the same length can stand.
const HELLO: &[u8] = b"Hello, world!\n";

struct Shared {
    engine: Engine,
    folder: PathBuf,
    hello: Vec<u8>,
}

/// One engine and one build for all tests of this process.
static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("samples");
    let images = Images::in_folder(folder.clone());
    let engine = Engine::new(EngineOptions { cache: Some(images.code_cache()), ..EngineOptions::default() }).unwrap();
    let (manifest, _) = project_manifest(Path::new(PROJECT)).unwrap();
    images.build(&engine, &manifest, Path::new(PROJECT), None, &mut |_: Step<'_>| ()).unwrap();
    let hello = fs::read(folder.join("images/hello/0.0.1/hello.wasm")).unwrap();
    Shared { engine, folder, hello }
});

/// A pod answers `text`, filled up with blanks.
fn stand_in(text: &str) -> App {
    assert!(text.len() < HELLO.len() + 1, "{text} is too long");
    let at = SHARED.hello.windows(HELLO.len()).position(|bytes| bytes == HELLO).unwrap();
    let mut code = SHARED.hello.clone();
    code[at..at + HELLO.len()].copy_from_slice(format!("{text:<0$}", HELLO.len()).as_bytes());
    let file = SHARED.folder.join(format!("{text}.wasm"));
    // Written under another name first: tests run side by side.
    let draft = tempfile::NamedTempFile::new_in(&SHARED.folder).unwrap();
    fs::write(draft.path(), code).unwrap();
    draft.persist(&file).unwrap();
    let (manifest, _) = project_manifest(Path::new(PROJECT)).unwrap();
    App::load(&SHARED.engine, manifest, |_| file.clone()).unwrap()
}

/// Runs a stand-in for every pod.
pub(crate) struct StandIns {
    pub(crate) mesh: Mesh,
    pub(crate) world: World,
}

impl Node for StandIns {
    type Pod = Pod;

    async fn start(&self, request: PodRequest) -> Result<Pod, StartError> {
        let app = stand_in(&request.workload);
        let workload = Workload {
            namespace: request.namespace.as_str().into(),
            service_account: request.service_account.into(),
            name: request.workload.into(),
            labels: request.labels,
        };
        let options = PodOptions {
            name: &request.name,
            namespace: &request.namespace,
            environment: &[],
            world: self.world.clone(),
            outbound: Arc::new(self.mesh.sidecar(Arc::new(workload), request.ip.into())),
            limits: PodLimits::default(),
            state: StateFolder::Temporary,
        };
        Pod::start(&SHARED.engine, &app, options)
            .map_err(|error| StartError::new("RunContainerError", error.to_string()))
    }

    async fn stop(&self, _: Pod) {}
}
