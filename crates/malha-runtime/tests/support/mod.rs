//! What the tests share: an engine, and the guest that they ask.

use std::path::{Path, PathBuf};
use std::time::Duration;

use malha_runtime::{Engine, EngineOptions, Images, Step, project_manifest};

/// Where a component with an application of its own is.
pub(crate) fn project(component: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../components").join(component)
}

/// An engine, and the image of such a component, built. A guest gets little, so that sins end soon.
pub(crate) fn built(component: &str) -> (Engine, Images) {
    let images = Images::in_folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join(component));
    let options = EngineOptions {
        cache: Some(images.code_cache()),
        cpu_per_request: Duration::from_millis(250),
        memory_per_instance: 32 << 20,
        pod_limits: true,
    };
    let engine = Engine::new(options).unwrap();
    let project = project(component);
    let (manifest, _) = project_manifest(&project).unwrap();
    images.build(&engine, &manifest, &project, None, &mut |_: Step<'_>| ()).unwrap();
    (engine, images)
}
