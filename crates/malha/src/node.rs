//! The node: starts the cluster's pods on malha's runtime.

use std::collections::HashMap;
use std::sync::Arc;

use malha_cluster::{Log, LogLine, LogPage, Node, PodRequest, StartError};
use malha_mesh::Mesh;
use malha_routing::Workload;
use malha_runtime::{App, Engine, ImageError, Images, Logs, Pod, PodOptions};
use malha_world::World;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, watch};
use tokio::task::spawn_blocking;

/// Runs pods in this process.
pub struct LocalNode {
    engine: Engine,
    images: Images,
    world: World,
    mesh: Mesh,
    /// Applications by image; pods of one image share its code.
    apps: Mutex<HashMap<String, Arc<OnceCell<Arc<App>>>>>,
    /// The pods that run, for whoever wants their logs.
    running: Arc<Mutex<Vec<Pod>>>,
}

impl LocalNode {
    /// A node with the images of a project.
    pub fn new(engine: Engine, images: Images, world: World, mesh: Mesh, running: Arc<Mutex<Vec<Pod>>>) -> Self {
        Self { engine, images, world, mesh, apps: Mutex::default(), running }
    }

    /// The application of an image, loaded once, where blocking is allowed: what is not in the cache is compiled.
    async fn app(&self, image: &str) -> Result<Arc<App>, ImageError> {
        let cell = Arc::clone(self.apps.lock().entry(image.to_owned()).or_default());
        let load = async || {
            let (images, engine, image) = (self.images.clone(), self.engine.clone(), image.to_owned());
            let loaded = spawn_blocking(move || images.load(&engine, &image)).await;
            loaded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())).map(Arc::new)
        };
        cell.get_or_try_init(load).await.map(Arc::clone)
    }
}

impl Node for LocalNode {
    type Pod = Pod;

    async fn start(&self, request: PodRequest) -> Result<Pod, StartError> {
        let app = self.app(&request.image).await.map_err(|error| {
            let reason = match error {
                ImageError::NotFound(..) => "ErrImageNeverPull",
                ImageError::Damaged(..) | ImageError::App(..) => "RunContainerError",
            };
            StartError::new(reason, error.to_string())
        })?;
        let workload = Workload {
            namespace: request.namespace.as_str().into(),
            service_account: request.service_account.into(),
            name: request.workload.into(),
            labels: request.labels,
        };
        let options = PodOptions {
            name: &request.name,
            namespace: &request.namespace,
            environment: &request.env,
            world: self.world.clone(),
            outbound: Arc::new(self.mesh.sidecar(Arc::new(workload), request.ip.into())),
        };
        let pod = Pod::start(&self.engine, &app, options)
            .map_err(|error| StartError::new("RunContainerError", error.to_string()))?;
        self.running.lock().push(pod.clone());
        Ok(pod)
    }

    fn log(&self, pod: &Pod) -> Arc<dyn Log> {
        Arc::new(PodLog(Arc::clone(pod.logs())))
    }

    /// Nothing runs for a pod but its requests; those under way end by themselves.
    async fn stop(&self, pod: Pod) {
        self.running.lock().retain(|other| other.name() != pod.name());
        pod.end_logs();
    }
}

/// A pod's log, for those who know no runtime.
struct PodLog(Arc<Logs>);

impl Log for PodLog {
    fn read(&self, from: u64) -> LogPage {
        let page = self.0.read(from);
        let lines = page.lines.into_iter().map(|line| LogLine { time: line.time, text: line.text });
        LogPage { lines: lines.collect(), next: page.next, ended: page.ended }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes()
    }
}
