//! The node: starts the cluster's pods on malha's runtime.

use std::collections::HashMap;
use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::{ACCEPT, CONNECTION, USER_AGENT};
use http::{HeaderName, HeaderValue, Request};
use malha_cluster::{
    ConnectError, Connecting, Exit, Log, LogLine, LogPage, Machine, Node, Nodes, PodRequest, PodStream, ProbeRequest,
    StartError, Usage, Volume,
};
use malha_mesh::Mesh;
use malha_routing::Workload;
use malha_runtime::{App, Body, Ended, Engine, ImageError, Inbound, Logs, Pod, PodLimits, PodOptions, Stopped};
use malha_world::World;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, watch};
use tokio::task::spawn_blocking;

use crate::listener;
use crate::source::{Loaded, Source, SourceError};
use crate::volumes::Volumes;

/// As the kubelet names itself when it probes.
const PROBER: &str = "kube-probe/1.34";

/// From where it does.
const KUBELET: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs pods in this process.
pub struct LocalNode {
    engine: Engine,
    source: Source,
    world: World,
    mesh: Mesh,
    /// Applications by image; pods of one image share its code until it is built again.
    apps: Mutex<HashMap<String, Arc<OnceCell<Loaded>>>>,
    /// The pods that run, for whoever wants their logs.
    running: Arc<Mutex<Vec<Pod>>>,
    volumes: Volumes,
    /// The nodes of a cluster that it plays.
    nodes: Nodes,
}

impl LocalNode {
    /// A node whose pods have the images of `source`.
    pub fn new(engine: Engine, source: Source, world: World, mesh: Mesh, running: Arc<Mutex<Vec<Pod>>>) -> Self {
        Self {
            engine,
            source,
            world,
            mesh,
            apps: Mutex::default(),
            running,
            nodes: Nodes::default(),
            volumes: Volumes::default(),
        }
    }

    /// As these nodes of the cluster.
    #[must_use]
    pub fn as_nodes(self, nodes: Nodes) -> Self {
        Self { nodes, ..self }
    }

    /// With the volumes of pods in a certain place.
    #[must_use]
    pub fn keeping(self, volumes: Volumes) -> Self {
        Self { volumes, ..self }
    }

    /// The application of an image, loaded once a build, where blocking is allowed: what is not in the cache is compiled.
    async fn app(&self, image: &str, may_pull: bool) -> Result<Arc<App>, SourceError> {
        let stamp = self.source.stamp(image);
        let cell = {
            let mut apps = self.apps.lock();
            let cell = apps.entry(image.to_owned()).or_default();
            if cell.get().is_some_and(|loaded| loaded.stamp != stamp) {
                *cell = Arc::default();
            }
            Arc::clone(cell)
        };
        let load = async || {
            let (source, engine, image) = (self.source.clone(), self.engine.clone(), image.to_owned());
            let loaded = spawn_blocking(move || source.load(&engine, &image, may_pull)).await;
            loaded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        };
        cell.get_or_try_init(load).await.map(|loaded| Arc::clone(&loaded.app))
    }
}

impl Node for LocalNode {
    type Pod = Pod;

    async fn start(&self, request: PodRequest) -> Result<Pod, StartError> {
        let app = self.app(&request.image, request.may_pull).await.map_err(|error| match error {
            SourceError::Image(ImageError::Damaged(..) | ImageError::App(..)) => {
                StartError::new("RunContainerError", error.to_string())
            }
            SourceError::Image(ImageError::NotFound(..)) | SourceError::Build(_) => {
                StartError::image(error.to_string())
            }
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
            limits: PodLimits { cpu: request.limits.cpu, memory: request.limits.memory },
            state: self.volumes.folder(&request.state),
        };
        let pod = Pod::start(&self.engine, &app, options)
            .map_err(|error| StartError::new("RunContainerError", error.to_string()))?;
        self.running.lock().push(pod.clone());
        Ok(pod)
    }

    async fn ended(&self, pod: &Pod) -> Option<Exit> {
        match pod.ended().await {
            Ended::Stopped => None,
            // The kernel kills the shim; its reason is not `OOMKilled`, as it would be of a Linux container.
            Ended::OutOfMemory => Some(Exit::killed()),
        }
    }

    fn log(&self, pod: &Pod) -> Arc<dyn Log> {
        Arc::new(PodLog(Arc::clone(pod.logs())))
    }

    fn usage(&self, pod: &Pod) -> Option<Usage> {
        Some(Usage { cpu_time: pod.cpu_time(), memory: pod.memory(), requests: pod.requests() })
    }

    /// Past the sidecar, as a connection from within a pod's own network goes past Istio's.
    fn connect(&self, pod: &Pod, port: u16, stream: Box<dyn PodStream>) -> Connecting {
        if pod.port() != port {
            return Box::pin(ready(Err(ConnectError::Refused)));
        }
        let pod = pod.clone();
        Box::pin(async move {
            listener::serve(&pod, stream).await;
            Ok(())
        })
    }

    /// Nothing runs for a pod but its requests: they are cut.
    async fn stop(&self, pod: Pod) {
        self.running.lock().retain(|other| !other.same(&pod));
        pod.stop();
    }

    fn discard(&self, volume: &Volume) {
        self.volumes.discard(volume);
    }

    async fn probe(&self, pod: &Pod, request: ProbeRequest) -> Result<u16, String> {
        let ProbeRequest { url, host, path, headers } = request;
        let said = |why: String| format!("Get \"{url}\": {why}");
        let mut inbound = Request::builder().uri(path).body(Body::empty()).map_err(|error| said(error.to_string()))?;
        let own = inbound.headers_mut();
        own.insert(USER_AGENT, HeaderValue::from_static(PROBER));
        own.insert(ACCEPT, HeaderValue::from_static("*/*"));
        own.insert(CONNECTION, HeaderValue::from_static("close"));
        for (name, value) in [("host".to_owned(), host.clone())].into_iter().chain(headers) {
            let name = HeaderName::try_from(name).map_err(|error| said(error.to_string()))?;
            let value = HeaderValue::try_from(value).map_err(|error| said(error.to_string()))?;
            own.insert(name, value);
        }
        // Past the mesh, as Istio has the kubelet's probes go past the sidecar.
        match pod.answer(Inbound { request: inbound, depth: 0, peer: KUBELET }).await {
            Ok(response) => Ok(response.status().as_u16()),
            Err(Stopped) => Err(said(format!("dial tcp {host}: connect: connection refused"))),
        }
    }

    fn machine(&self) -> Machine {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let system = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        Machine {
            nodes: self.nodes,
            architecture: architecture.to_owned(),
            operating_system: system.to_owned(),
            runtime: concat!("malha://", env!("CARGO_PKG_VERSION")).to_owned(),
        }
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
