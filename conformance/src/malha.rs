//! malha, in this process: for each case a cluster without pods, and its mesh.
//!
//! The objects are loaded as a user's are, from text, with all that malha has to say about them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use malha_cluster::{Cluster, Log, LogPage, Node, PodRequest, StartError};
use malha_manifest::{Severity, parse_manifests};
use malha_mesh::{Connection, Entrance, Mesh, Outcome, Server, Sidecar};
use malha_net::server::host::settle_host;
use malha_routing::{ListenerKind, Workload};
use malha_runtime::{Body, Caller, Outbound as _, Pod};
use malha_world::World;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::case::{Case, Vantage};
use crate::side::{Prepared, Side};
use crate::upstream::TAG;

/// Response flags, by case and by what names a request: its tag, or its request id.
type Flags = Arc<Mutex<BTreeMap<(String, String), String>>>;

/// A mesh for each case.
pub struct Malha {
    meshes: BTreeMap<String, Running>,
    flags: Flags,
}

struct Running {
    _cluster: Cluster<NoPods>,
    _servers: Vec<Server>,
    entrances: BTreeMap<u16, SocketAddr>,
    /// What malha says of the objects that it does not carry out.
    said: Vec<String>,
}

impl Side for Malha {
    fn entrance(&self, case: &str, port: u16) -> Option<SocketAddr> {
        self.meshes.get(case)?.entrances.get(&port).copied()
    }

    fn flags(&self) -> Result<BTreeMap<(String, String), String>> {
        Ok(self.flags.lock().clone())
    }
}

impl Malha {
    /// Starts one for each of these cases.
    pub async fn start(cases: &[Prepared<'_>]) -> Result<Self> {
        let flags = Flags::default();
        let mut meshes = BTreeMap::new();
        for prepared in cases {
            let running = Running::start(prepared, &flags).await;
            meshes.insert(prepared.case.id.clone(), running.with_context(|| prepared.case.id.clone())?);
        }
        Ok(Self { meshes, flags })
    }

    /// What malha says of the objects of a case that it does not carry out.
    pub fn said(&self, case: &Case) -> &[String] {
        self.meshes.get(&case.id).map_or(&[], |running| &running.said)
    }
}

impl Running {
    async fn start(prepared: &Prepared<'_>, flags: &Flags) -> Result<Self> {
        let case = prepared.case;
        let loaded = parse_manifests(&case.id, &text(prepared));
        let mut said: Vec<String> = loaded
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity > Severity::Note)
            .map(ToString::to_string)
            .collect();
        let world = World::real();
        let mesh = Mesh::new(world.clone());
        let (id, log) = (case.id.clone(), Arc::clone(flags));
        mesh.log_access(move |_, line| {
            log.lock().extend(logged(line).map(|(request, flags)| ((id.clone(), request), flags)));
        });
        let published = mesh.clone();
        let cluster = Cluster::new(NoPods, &world, move |snapshot| published.publish(snapshot));
        for result in cluster.apply(loaded.objects.into_iter().map(Into::into)) {
            said.extend(result.err().map(|error| error.to_string()));
        }
        for wanted in &mesh.snapshot().remote_keys {
            let learned = match mesh.fetch_keys(wanted).await {
                Ok(text) => cluster.learn_keys(&wanted.source, &text),
                Err(why) => Err(why),
            };
            said.extend(learned.err());
        }
        said.extend(cluster.findings().iter().map(|finding| format!("{:?}: {}", finding.object, finding.message)));
        said.extend(mesh.problems());
        let servers = match case.vantage {
            Vantage::Gateway => gateway(&mesh, case, flags).await?,
            Vantage::Sidecar => sidecar(&mesh, case, flags).await?,
        };
        let entrances = servers.iter().map(|(port, server)| (*port, server.address())).collect();
        let servers = servers.into_iter().map(|(_, server)| server).collect();
        Ok(Self { _cluster: cluster, _servers: servers, entrances, said })
    }
}

/// The objects as a file: each document is JSON, which is YAML.
fn text(prepared: &Prepared<'_>) -> String {
    let mut objects = prepared.objects.clone();
    let mut mesh = "accessLogFile: /dev/stdout\n".to_owned();
    if let Some(mode) = &prepared.case.outbound_traffic_policy {
        mesh.extend(["outboundTrafficPolicy:\n  mode: ", mode, "\n"]);
    }
    objects.push(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": mesh},
    }));
    if prepared.case.vantage == Vantage::Sidecar {
        objects.push(caller(prepared.case));
    }
    let named = objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str());
    let namespaces: BTreeSet<&str> = named.filter(|name| !BUILT_IN.contains(name)).collect();
    let namespaces: Vec<Value> = namespaces.into_iter().map(namespace).collect();
    objects.splice(0..0, namespaces);
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    documents.join("\n---\n")
}

/// What every cluster with Istio has.
const BUILT_IN: [&str; 2] = ["default", "istio-system"];

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// Whoever asks is a pod of the cluster: the mesh's control side makes what its sidecar knows.
fn caller(case: &Case) -> Value {
    let mut labels = case.pod.labels.clone();
    labels.insert("conformance".to_owned(), "client".to_owned());
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "client", "namespace": case.pod.namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"runtimeClassName": "wasmtime-spin-v2", "containers": [{"name": "client", "image": "client:1"}]},
            },
        },
    })
}

/// A socket for each port of the Gateways.
async fn gateway(mesh: &Mesh, case: &Case, flags: &Flags) -> Result<Vec<(u16, Server)>> {
    let mut servers = Vec::new();
    for listener in &mesh.snapshot().listeners {
        if listener.kind != ListenerKind::Gateway {
            continue;
        }
        let entrance = Entrance { kind: listener.kind.clone(), port: listener.port };
        let (door, asked) = (entrance.clone(), mesh.clone());
        let (mesh, id, flags) = (mesh.clone(), case.id.clone(), Arc::clone(flags));
        let tls = move || asked.tls(&door);
        let answer = move |request: Request<Incoming>, connection: Arc<Connection>| {
            let (mesh, entrance, flags) = (mesh.clone(), entrance.clone(), Arc::clone(&flags));
            let key = key(&id, &request);
            async move {
                let response = mesh.receive(&entrance, request, &connection).await?;
                log(&flags, key, &response);
                Some(response)
            }
        };
        servers.push((listener.port, Server::start(socket().await?, tls, answer)?));
    }
    Ok(servers)
}

/// A socket for each port of the services, behind which a pod's sidecar is.
async fn sidecar(mesh: &Mesh, case: &Case, flags: &Flags) -> Result<Vec<(u16, Server)>> {
    let workload = Workload {
        namespace: case.pod.namespace.as_str().into(),
        service_account: "default".into(),
        name: "client".into(),
        labels: case.pod.labels.clone(),
    };
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let snapshot = mesh.snapshot();
    let Some(known) = snapshot.sidecars.get(&workload.namespace).map(|sidecars| sidecars.of(&workload.labels)) else {
        bail!("no sidecar of namespace {}", workload.namespace)
    };
    let sidecar = mesh.sidecar(Arc::new(workload), address);
    let mut servers = Vec::new();
    for port in known.ports.keys().copied() {
        let (sidecar, namespace) = (sidecar.clone(), Arc::<str>::from(case.pod.namespace.as_str()));
        let (id, flags) = (case.id.clone(), Arc::clone(flags));
        let answer = move |request: Request<Incoming>, _: Arc<Connection>| {
            let (sidecar, namespace, flags) = (sidecar.clone(), Arc::clone(&namespace), Arc::clone(&flags));
            let key = key(&id, &request);
            async move {
                let response = call(&sidecar, &namespace, request, port).await?;
                log(&flags, key, &response);
                Some(response)
            }
        };
        servers.push((port, Server::start(socket().await?, || None, answer)?));
    }
    Ok(servers)
}

/// The request as a pod makes it: with a URL. `None` where it would see its connection fail.
async fn call(
    sidecar: &Sidecar,
    namespace: &Arc<str>,
    request: Request<Incoming>,
    port: u16,
) -> Option<Response<Body>> {
    let mut request = request.map(Body::from);
    settle_host(&mut request)?;
    let host = request.headers().get("host")?.to_str().ok()?;
    let port = if port == 80 || host.contains(':') { String::new() } else { format!(":{port}") };
    let uri: Uri = format!("http://{host}{port}{}", request.uri()).parse().ok()?;
    *request.uri_mut() = uri;
    let caller = Caller { pod: "client".into(), namespace: namespace.clone(), depth: 1 };
    sidecar.call(caller, request).await.ok()
}

async fn socket() -> Result<TcpListener> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?)
}

/// Of which request of which case it is.
fn key(case: &str, request: &Request<Incoming>) -> Option<(String, String)> {
    Some((case.to_owned(), request.headers().get(TAG)?.to_str().ok()?.to_owned()))
}

/// The request id and the flags of a line of the access log, if something was raised.
fn logged(line: &str) -> Option<(String, String)> {
    // There is no space in a path, so the first one behind a protocol is behind the request line.
    let (_, rest) = line.split_once(" HTTP/")?;
    let flags = rest.split(' ').nth(2)?;
    let id = rest.split("\" \"").nth(2)?;
    (flags != "-").then(|| (id.to_owned(), flags.to_owned()))
}

fn log(flags: &Flags, key: Option<(String, String)>, response: &Response<Body>) {
    let raised = response.extensions().get::<Outcome>().map_or("-".to_owned(), |outcome| outcome.flags.to_string());
    flags.lock().extend(key.map(|key| (key, raised)));
}

/// A node that runs nothing: the endpoints of a case are all outside.
struct NoPods;

impl Node for NoPods {
    type Pod = Pod;

    async fn start(&self, _: PodRequest) -> Result<Pod, StartError> {
        Err(StartError::new("ErrImageNeverPull", "there are no pods in this suite"))
    }

    async fn stop(&self, _: Pod) {}

    fn log(&self, _: &Pod) -> Arc<dyn Log> {
        Arc::new(Silence)
    }
}

/// What the pods print that do not run.
struct Silence;

impl Log for Silence {
    fn read(&self, _: u64) -> LogPage {
        LogPage { ended: true, ..LogPage::default() }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}
