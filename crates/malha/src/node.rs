//! The node: starts the cluster's pods on malha's runtime.

use std::collections::HashMap;
use std::sync::Arc;

use malha_cluster::{Node, PodRequest, StartError};
use malha_mesh::Mesh;
use malha_runtime::{App, Engine, ImageError, Images, Pod, PodOptions};
use malha_world::World;
use parking_lot::Mutex;

/// Runs pods in this process.
pub struct LocalNode {
    engine: Engine,
    images: Images,
    world: World,
    mesh: Mesh,
    /// Applications by image; pods of one image share its code.
    apps: Mutex<HashMap<String, Arc<App>>>,
    /// The pods that run, for whoever wants their logs.
    running: Arc<Mutex<Vec<Pod>>>,
}

impl LocalNode {
    /// A node with the images of a project.
    pub fn new(engine: Engine, images: Images, world: World, mesh: Mesh, running: Arc<Mutex<Vec<Pod>>>) -> Self {
        Self { engine, images, world, mesh, apps: Mutex::default(), running }
    }

    /// The application of an image, loaded once.
    ///
    /// # Errors
    /// When there is no such image, or it cannot run.
    pub fn app(&self, image: &str) -> Result<Arc<App>, ImageError> {
        let mut apps = self.apps.lock();
        if let Some(app) = apps.get(image) {
            return Ok(Arc::clone(app));
        }
        let app = Arc::new(self.images.load(&self.engine, image)?);
        apps.insert(image.to_owned(), Arc::clone(&app));
        Ok(app)
    }
}

impl Node for LocalNode {
    type Pod = Pod;

    async fn start(&self, request: PodRequest) -> Result<Pod, StartError> {
        let app = self.app(&request.image).map_err(|error| {
            let reason = match error {
                ImageError::NotFound(..) => "ErrImageNeverPull",
                ImageError::Damaged(..) | ImageError::App(..) => "RunContainerError",
            };
            StartError::new(reason, error.to_string())
        })?;
        let options = PodOptions {
            name: &request.name,
            namespace: &request.namespace,
            environment: &request.env,
            world: self.world.clone(),
            outbound: Arc::new(self.mesh.clone()),
        };
        let pod = Pod::start(&self.engine, &app, options)
            .map_err(|error| StartError::new("RunContainerError", error.to_string()))?;
        self.running.lock().push(pod.clone());
        Ok(pod)
    }

    /// Nothing runs for a pod but its requests; those under way end by themselves.
    async fn stop(&self, pod: Pod) {
        self.running.lock().retain(|other| other.name() != pod.name());
    }
}
