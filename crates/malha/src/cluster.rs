//! The wiring: manifests → cluster → mesh, with a node that runs the pods and sockets for the entrances.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use malha_cluster::{Applied, Cluster, Error, Finding, PodRow};
use malha_manifest::{Diagnostic, Input, LoadedObject, Location, Object, load};
use malha_mesh::{Entrance, Mesh, Server};
use malha_routing::ListenerKind;
use malha_runtime::{Engine, Images, Pod};
use malha_world::World;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::keeper::KeyKeeper;
use crate::node::LocalNode;

/// Lines on a Gateway for people to try, `$GATEWAY` standing for its URL.
const TRY: &str = "malha/try";

/// What the manifests ask for, known before anything is started.
pub struct Plan {
    objects: Vec<LoadedObject>,
}

/// An entrance that the manifests open, and the object that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Which listener of the mesh it is.
    pub entrance: Entrance,
    /// Name of the Gateway or Service.
    pub name: String,
    /// `http`, or `https` where a Gateway speaks TLS.
    pub scheme: &'static str,
}

impl Plan {
    /// Reads the manifests. Nothing that has an error is in the plan; everything found is said.
    pub fn load(inputs: &[Input]) -> (Self, Vec<Diagnostic>) {
        let loaded = load(inputs);
        (Self { objects: loaded.objects }, loaded.diagnostics)
    }

    /// Images that Deployments name, each with the place that names it first.
    pub fn images(&self) -> BTreeMap<String, Option<Location>> {
        let mut images = BTreeMap::new();
        for loaded in &self.objects {
            let Object::Deployment(deployment) = &loaded.object else { continue };
            let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
            for (index, container) in pod.into_iter().flat_map(|pod| &pod.containers).enumerate() {
                let place = || loaded.at(format!("spec.template.spec.containers[{index}].image").as_str());
                images.entry(container.image.clone().unwrap_or_default()).or_insert_with(place);
            }
        }
        images
    }

    /// The entrances: gateways first, then load balancers, each in the order of the manifests.
    pub fn doors(&self) -> Vec<Door> {
        let mut doors: Vec<Door> = Vec::new();
        for loaded in &self.objects {
            let Object::Gateway(gateway) = &loaded.object else { continue };
            for server in &gateway.servers {
                let Ok(port) = u16::try_from(server.port.number) else { continue };
                let entrance = malha_mesh::gateway(port);
                // Gateways that share a port share its listener.
                if !doors.iter().any(|door| door.entrance == entrance) {
                    let scheme = if server.port.protocol.eq_ignore_ascii_case("HTTPS") { "https" } else { "http" };
                    doors.push(Door { entrance, name: loaded.id.name.clone(), scheme });
                }
            }
        }
        for loaded in &self.objects {
            let Object::Service(service) = &loaded.object else { continue };
            let Some(spec) = service.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("LoadBalancer")) else {
                continue;
            };
            for port in spec.ports.iter().flatten() {
                let Ok(port) = u16::try_from(port.port) else { continue };
                let namespace = loaded.id.namespace.clone().unwrap_or_default();
                let kind = ListenerKind::LoadBalancer { namespace, service: loaded.id.name.clone() };
                let entrance = Entrance { kind, port };
                doors.push(Door { entrance, name: loaded.id.name.clone(), scheme: "http" });
            }
        }
        doors
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
    servers: Vec<(Door, Server)>,
    keys: KeyKeeper,
}

impl Running {
    /// Applies the plan and waits until every pod is ready or says why not. Opens no socket.
    pub async fn start(
        plan: Plan,
        engine: Engine,
        images: Images,
        world: World,
    ) -> (Self, Vec<Result<Applied, Error>>) {
        let mesh = Mesh::new(world.clone());
        let pods = Arc::<Mutex<Vec<Pod>>>::default();
        let node = LocalNode::new(engine, images, world.clone(), mesh.clone(), Arc::clone(&pods));
        let published = mesh.clone();
        let cluster = Cluster::new(node, &world, move |snapshot| published.publish(snapshot));
        let results = cluster.apply(plan.objects.into_iter().map(Into::into));
        cluster.settled().await;
        let keys = KeyKeeper::start(cluster.clone(), mesh.clone()).await;
        (Self { cluster, mesh, node: pods, servers: Vec::new(), keys }, results)
    }

    /// Serves an entrance on a socket.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn open(&mut self, door: Door, socket: TcpListener) -> io::Result<SocketAddr> {
        let server = self.mesh.serve(door.entrance.clone(), socket)?;
        let address = server.address();
        self.servers.push((door, server));
        Ok(address)
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

    /// Takes no new requests, lets those under way end for up to `grace`, and stops the pods. Says whether all ended.
    pub async fn stop(self, grace: Duration) -> bool {
        let mut drains: JoinSet<bool> = self.servers.into_iter().map(|(_, server)| server.drain(grace)).collect();
        let mut all = true;
        while let Some(drained) = drains.join_next().await {
            all &= drained.unwrap_or_default();
        }
        self.keys.stop();
        self.cluster.shutdown().await;
        all
    }
}
