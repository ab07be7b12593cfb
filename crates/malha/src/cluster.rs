//! The wiring: manifests → cluster → mesh, with a node that runs the pods and sockets for the entrances.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use malha_api::schema::crds::istio_crds;
use malha_api::{Api, Credentials};
use malha_cluster::{Applied, Cluster, Error, Finding, Nodes, Object, PodRow, Stored};
use malha_manifest::{Diagnostic, Input, LoadedObject, Location, Object as Manifest, load};
use malha_mesh::Mesh;
use malha_runtime::{Engine, Pod};
use malha_world::World;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::applied;
use crate::doors::{self, Door, Doors, Turn};
use crate::keeper::KeyKeeper;
use crate::node::LocalNode;
use crate::source::Source;
use crate::volumes::Volumes;

/// Lines on a Gateway for people to try, `$GATEWAY` standing for its URL.
const TRY: &str = "malha/try";

/// What the manifests ask for, known before anything is started.
pub struct Plan {
    objects: Vec<LoadedObject>,
    nodes: Nodes,
    volumes: Volumes,
}

impl Plan {
    /// Reads the manifests. Nothing that has an error is in the plan; everything found is said.
    pub fn load(inputs: &[Input]) -> (Self, Vec<Diagnostic>) {
        let loaded = load(inputs);
        (Self { objects: loaded.objects, nodes: Nodes::default(), volumes: Volumes::default() }, loaded.diagnostics)
    }

    /// For a cluster of these nodes.
    #[must_use]
    pub fn on_nodes(self, nodes: Nodes) -> Self {
        Self { nodes, ..self }
    }

    /// With the volumes of its pods in a certain place.
    #[must_use]
    pub fn keeping(self, volumes: Volumes) -> Self {
        Self { volumes, ..self }
    }

    /// Images that Deployments of Spin applications name, each with the place that names it first. Pods of another runtime
    /// stay Pending whatever their images are.
    pub fn images(&self) -> BTreeMap<String, Option<Location>> {
        let mut images = BTreeMap::new();
        for loaded in &self.objects {
            let Manifest::Deployment(deployment) = &loaded.object else { continue };
            let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
            let pod = pod.filter(|pod| pod.runtime_class_name.is_some());
            for (index, container) in pod.into_iter().flat_map(|pod| &pod.containers).enumerate() {
                let place = || loaded.at(format!("spec.template.spec.containers[{index}].image").as_str());
                images.entry(container.image.clone().unwrap_or_default()).or_insert_with(place);
            }
        }
        images
    }

    /// The entrances that the manifests open: gateways first, then load balancers, each in the order of the manifests.
    pub fn doors(&self) -> Vec<Door> {
        let objects: Vec<Object> = self.objects.iter().cloned().map(Object::from).collect();
        doors::doors(objects.iter())
    }

    /// What the manifests suggest to try, with the gateway's URL filled in.
    pub fn suggestions(&self, gateway: &str) -> Vec<String> {
        let texts = self.objects.iter().filter_map(|loaded| loaded.annotation(TRY));
        texts.flat_map(|text| text.lines().map(|line| line.replace("$GATEWAY", gateway))).collect()
    }
}

/// A cluster that runs.
pub struct Running {
    cluster: Cluster<LocalNode>,
    mesh: Mesh,
    node: Arc<Mutex<Vec<Pod>>>,
    doors: Option<Doors>,
    api: Option<malha_api::Running>,
    world: World,
    keys: KeyKeeper,
}

impl Running {
    /// Applies the plan and waits until every pod is ready or says why not. Opens no socket.
    pub async fn start(
        plan: Plan,
        engine: Engine,
        images: impl Into<Source>,
        world: World,
    ) -> (Self, Vec<Result<Applied, Error>>) {
        Self::start_on(Mesh::new(world.clone()), plan, engine, images, world).await
    }

    /// The same on a mesh of this world that has no hosts yet.
    pub async fn start_on(
        mesh: Mesh,
        plan: Plan,
        engine: Engine,
        images: impl Into<Source>,
        world: World,
    ) -> (Self, Vec<Result<Applied, Error>>) {
        let pods = Arc::<Mutex<Vec<Pod>>>::default();
        let node = LocalNode::new(engine, images.into(), world.clone(), mesh.clone(), Arc::clone(&pods));
        let node = node.as_nodes(plan.nodes).keeping(plan.volumes);
        let published = mesh.clone();
        let cluster = Cluster::new(node, &world, move |snapshot| published.publish(snapshot));
        cluster.write(|registry| {
            for definition in istio_crds() {
                // Of a new cluster nobody can ask too much.
                let _ = registry.create(definition.into_object(), false);
            }
        });
        let results = cluster.apply(plan.objects.into_iter().map(applied::as_kubectl_does));
        cluster.settled().await;
        let keys = KeyKeeper::start(cluster.clone(), mesh.clone()).await;
        (Self { cluster, mesh, node: pods, doors: None, api: None, world, keys }, results)
    }

    /// Serves the sockets that are bound for doors of the plan, and opens and closes others from now on as objects come
    /// and go; `tell` learns of those.
    ///
    /// # Errors
    /// When a socket has no address.
    pub fn open(
        &mut self,
        base: SocketAddr,
        bound: Vec<(Door, TcpListener)>,
        tell: impl Fn(Turn) + Send + Sync + 'static,
    ) -> io::Result<Vec<(Door, SocketAddr)>> {
        let (doors, addresses) = Doors::start(self.cluster.clone(), self.mesh.clone(), base, bound, tell)?;
        self.doors = Some(doors);
        Ok(addresses)
    }

    /// Serves the Kubernetes API on a socket of this machine's own. What clients need to find it and to be let in is the
    /// kubeconfig that comes back: for its owner's eyes alone.
    ///
    /// # Errors
    /// When there is no entropy for credentials, or the socket is not on loopback.
    pub fn serve_api(&mut self, socket: TcpListener) -> anyhow::Result<String> {
        let credentials = Credentials::make(&self.world)?;
        let api = Api::new(Arc::new(self.cluster.clone()), credentials.clone(), &self.world).serve(socket)?;
        let kubeconfig = credentials.kubeconfig(api.address());
        self.api = Some(api);
        Ok(kubeconfig)
    }

    /// The cluster itself.
    pub fn cluster(&self) -> &Cluster<LocalNode> {
        &self.cluster
    }

    /// The mesh, for requests that need no socket.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The pods, as the cluster sees them.
    pub fn pods(&self) -> Vec<PodRow> {
        self.cluster.pods()
    }

    /// What is asked of the mesh and not carried out.
    pub fn findings(&self) -> Vec<Finding> {
        self.cluster.findings()
    }

    /// What cannot be had at the moment: keys of issuers, certificates of gateways.
    pub fn problems(&self) -> Vec<String> {
        self.keys.problems().into_iter().chain(self.mesh.problems()).collect()
    }

    /// The pods that run, by name.
    pub fn running(&self) -> HashMap<String, Pod> {
        self.node.lock().iter().map(|pod| (pod.name().to_owned(), pod.clone())).collect()
    }

    /// The pods that run, as they come and go.
    pub(crate) fn pods_running(&self) -> Arc<Mutex<Vec<Pod>>> {
        Arc::clone(&self.node)
    }

    /// Takes no new requests, lets those under way end for up to `grace`, and stops the pods. Says whether all ended.
    pub async fn stop(self, grace: Duration) -> bool {
        if let Some(api) = self.api {
            api.drain(grace).await;
        }
        let all = match self.doors {
            Some(doors) => doors.close(grace).await,
            None => true,
        };
        self.keys.stop();
        self.cluster.shutdown().await;
        all
    }
}
