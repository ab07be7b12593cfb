//! The repository as a malha project: its image is built once, by whichever test comes first.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use malha::Project;
use malha_runtime::{Engine, EngineOptions, Step};

/// The image that the manifests in `k8s/` name.
pub(crate) const IMAGE: &str = "workshop:0.0.1";

struct Shared {
    project: Project,
    engine: Engine,
}

/// One engine for all tests: each reserves terabytes of address space.
static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let project = Project::open(&root()).unwrap();
    let engine = project.engine(EngineOptions::default()).unwrap();
    // Other test processes may be building too: the store's lock makes them wait for each other.
    project.build(&engine, project.current(), None, &mut |_: Step<'_>| {}).unwrap();
    Shared { project, engine }
});

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The project, with its image built.
pub(crate) fn project() -> &'static Project {
    &SHARED.project
}

/// The engine of all tests.
pub(crate) fn engine() -> &'static Engine {
    &SHARED.engine
}
