//! The sockets of the cluster's entrances: gateways, load balancers and node ports, opened and closed as their objects
//! come and go.
//!
//! A gateway or load balancer takes the next free port after the first one's, whatever its port is called in the
//! manifest; a node port is that very port. Nothing listens anywhere but on the gateway's address.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, PortStatus, Service, ServiceStatus};
use malha_cluster::{Cluster, Gateway, Kind, Object, Part, Store, Stored};
use malha_mesh::{Entrance, Mesh, Server};
use malha_routing::ListenerKind;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};

use crate::node::LocalNode;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Ports after the gateway's that load balancers may try.
const PORTS_TRIED: u16 = 200;

/// How long requests of a door that closes may take, as Istio's `terminationDrainDuration`.
const GRACE: Duration = Duration::from_secs(5);

/// An entrance that objects open, and the object that opens it. It is the same door whichever object that is: where several
/// Gateways share a port, one that comes or goes leaves the socket as it is.
#[derive(Clone, Debug)]
pub struct Door {
    /// Which listener of the mesh it is.
    pub entrance: Entrance,
    /// Name of the Gateway or Service.
    pub name: String,
    /// `http`, or `https` where a Gateway speaks TLS.
    pub scheme: &'static str,
    /// The port that it has to be, for a node port.
    pub node_port: Option<u16>,
}

impl Door {
    fn identity(&self) -> (&Entrance, &str, Option<u16>) {
        (&self.entrance, self.scheme, self.node_port)
    }
}

impl PartialEq for Door {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Door {}

impl Hash for Door {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// The doors of these objects: gateways first, then load balancers, then node ports, each in the objects' order.
pub(crate) fn doors<'a>(objects: impl Iterator<Item = &'a Object> + Clone) -> Vec<Door> {
    let mut doors: Vec<Door> = Vec::new();
    for gateway in objects.clone().filter_map(Gateway::of) {
        for server in &gateway.spec.servers {
            let Ok(port) = u16::try_from(server.port.number) else { continue };
            let entrance = malha_mesh::gateway(port);
            // Gateways that share a port share its listener.
            if !doors.iter().any(|door| door.entrance == entrance) {
                let scheme = if server.port.protocol.eq_ignore_ascii_case("HTTPS") { "https" } else { "http" };
                let name = gateway.metadata.name.clone().unwrap_or_default();
                doors.push(Door { entrance, name, scheme, node_port: None });
            }
        }
    }
    let services = objects.filter_map(Service::of);
    let mut node_ports = Vec::new();
    for service in services {
        let Some(spec) = &service.spec else { continue };
        for port in spec.ports.iter().flatten() {
            let Ok(number) = u16::try_from(port.port) else { continue };
            let name = service.metadata.name.clone().unwrap_or_default();
            let namespace = service.metadata.namespace.clone().unwrap_or_default();
            let kind = ListenerKind::LoadBalancer { namespace, service: name.clone() };
            let entrance = Entrance { kind, port: number };
            let door = Door { entrance, name, scheme: "http", node_port: None };
            if let Some(node_port) = port.node_port.and_then(|port| u16::try_from(port).ok()) {
                node_ports.push(Door { node_port: Some(node_port), ..door.clone() });
            }
            if spec.type_.as_deref() == Some("LoadBalancer") {
                doors.push(door);
            }
        }
    }
    doors.extend(node_ports);
    doors
}

/// Binds a door: a node port to itself, another to the first free port from `from` on.
///
/// # Errors
/// The address that could not be had, and why.
pub(crate) fn bind(door: &Door, ip: IpAddr, from: u16, tries: u16) -> Result<TcpListener, (SocketAddr, io::Error)> {
    let (mut port, last) = match door.node_port {
        Some(port) => (port, port),
        None => (from, from.saturating_add(tries)),
    };
    loop {
        let address = SocketAddr::new(ip, port);
        match listen(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port < last => port += 1,
            result => return result.map_err(|error| (address, error)),
        }
    }
}

/// A socket that listens. A restarted malha takes its port back at once.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows the option would mean something else.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What happened to a door, for those who watch the screen.
#[derive(Debug)]
pub enum Turn {
    /// It is open at this address.
    Opened(Door, SocketAddr),
    /// It is closed.
    Closed(Door),
    /// It cannot be opened.
    Stuck(Door, SocketAddr, io::Error),
}

/// Keeps the doors as the objects have them.
pub(crate) struct Doors {
    keeper: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Cluster<LocalNode>,
    mesh: Mesh,
    base: SocketAddr,
    open: Mutex<HashMap<Door, Server>>,
    /// Those that could not be opened: said once.
    stuck: Mutex<Vec<Door>>,
    tell: Box<dyn Fn(Turn) + Send + Sync>,
}

impl Doors {
    /// Serves the sockets that are bound already, and from now on whatever the cluster's objects open. `tell` learns what
    /// happens later on.
    ///
    /// # Errors
    /// When a socket has no address.
    pub(crate) fn start(
        cluster: Cluster<LocalNode>,
        mesh: Mesh,
        base: SocketAddr,
        bound: Vec<(Door, TcpListener)>,
        tell: impl Fn(Turn) + Send + Sync + 'static,
    ) -> io::Result<(Self, Vec<(Door, SocketAddr)>)> {
        let shared = Arc::new(Shared {
            cluster,
            mesh,
            base,
            open: Mutex::default(),
            stuck: Mutex::default(),
            tell: Box::new(tell),
        });
        let mut versions = shared.cluster.versions();
        versions.mark_changed();
        let mut addresses = Vec::new();
        for (door, socket) in bound {
            addresses.push((door.clone(), shared.serve(door, socket)?));
        }
        shared.say_addresses();
        let keeper = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let mut seen = 0;
                while versions.changed().await.is_ok() {
                    let (changed, version) = shared.cluster.read(|store| (concerned(store, seen), store.version()));
                    seen = version;
                    if changed {
                        shared.settle();
                    }
                }
            }
        });
        Ok((Self { keeper, shared }, addresses))
    }

    /// Takes no new requests, and lets those under way end for up to `grace`. Says whether all ended.
    pub(crate) async fn close(self, grace: Duration) -> bool {
        self.keeper.abort();
        let servers = std::mem::take(&mut *self.shared.open.lock());
        let drains: JoinSet<bool> = servers.into_values().map(|server| server.drain(grace)).collect();
        drains.join_all().await.into_iter().all(|ended| ended)
    }
}

/// Whether something happened after version `seen` that opens or closes doors.
fn concerned(store: &Store, seen: u64) -> bool {
    store
        .since(seen)
        .map_or(true, |mut changes| changes.any(|change| matches!(change.object.kind(), Kind::Gateway | Kind::Service)))
}

impl Shared {
    fn settle(&self) {
        let wanted = self.cluster.read(|store| {
            let objects: Vec<Object> =
                store.of_kind(Kind::Gateway, None).chain(store.of_kind(Kind::Service, None)).cloned().collect();
            doors(objects.iter())
        });
        self.stuck.lock().retain(|door| wanted.contains(door));
        let gone: Vec<(Door, Server)> = self.open.lock().extract_if(|door, _| !wanted.contains(door)).collect();
        for (door, server) in gone {
            tokio::spawn(server.drain(GRACE));
            (self.tell)(Turn::Closed(door));
        }
        for door in wanted {
            if self.open.lock().contains_key(&door) || self.stuck.lock().contains(&door) {
                continue;
            }
            let from = if self.base.port() == 0 { 0 } else { self.base.port().saturating_add(1) };
            let opened = bind(&door, self.base.ip(), from, PORTS_TRIED).and_then(|socket| {
                let nowhere = SocketAddr::new(self.base.ip(), 0);
                self.serve(door.clone(), socket).map_err(|error| (nowhere, error))
            });
            match opened {
                Ok(address) => (self.tell)(Turn::Opened(door, address)),
                Err((address, error)) => {
                    self.stuck.lock().push(door.clone());
                    (self.tell)(Turn::Stuck(door, address, error));
                }
            }
        }
        self.say_addresses();
    }

    fn serve(&self, door: Door, socket: TcpListener) -> io::Result<SocketAddr> {
        let server = self.mesh.serve(door.entrance.clone(), socket)?;
        let address = server.address();
        self.open.lock().insert(door, server);
        Ok(address)
    }

    /// Writes into each load balancer's status where it is reached: the IP and the ports of this machine.
    fn say_addresses(&self) {
        let open: Vec<(Door, SocketAddr)> =
            self.open.lock().iter().map(|(door, server)| (door.clone(), server.address())).collect();
        self.cluster.write(|registry| {
            let services: Vec<Service> = registry.store().list::<Service>().map(|one| Service::clone(one)).collect();
            for service in services {
                let status = status(&service, &open);
                if service.status.as_ref().and_then(|status| status.load_balancer.as_ref())
                    != status.load_balancer.as_ref()
                {
                    let object = Service { status: Some(status), ..service };
                    // It was deleted meanwhile, or is as it should be.
                    let _ = registry.update(object.into_object(), Part::Status, false);
                }
            }
        });
    }
}

/// What a load balancer says of where it is reached; nothing for another Service.
fn status(service: &Service, open: &[(Door, SocketAddr)]) -> ServiceStatus {
    let spec = service.spec.as_ref();
    let balancer = spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    let ports: Vec<(IpAddr, PortStatus)> = spec
        .into_iter()
        .flat_map(|spec| spec.ports.iter().flatten())
        .filter_map(|port| {
            let here = |(door, _): &&(Door, SocketAddr)| {
                let of_service = matches!(&door.entrance.kind, ListenerKind::LoadBalancer { namespace, service: name }
                    if Some(namespace) == service.metadata.namespace.as_ref()
                        && Some(name) == service.metadata.name.as_ref());
                of_service && door.node_port.is_none() && i32::from(door.entrance.port) == port.port
            };
            let (_, address) = open.iter().find(here)?;
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Some((address.ip(), PortStatus { port: i32::from(address.port()), protocol, error: None }))
        })
        .collect();
    let ingress = ports.first().map(|(ip, _)| LoadBalancerIngress {
        ip: Some(ip.to_string()),
        ip_mode: Some("VIP".to_owned()),
        ports: Some(ports.iter().map(|(_, port)| port.clone()).collect()),
        hostname: None,
    });
    let load_balancer = LoadBalancerStatus { ingress: ingress.filter(|_| balancer).map(|one| vec![one]) };
    ServiceStatus { load_balancer: Some(load_balancer), conditions: None }
}
