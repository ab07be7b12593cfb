//! A node that keeps account of what it was told, and a cluster on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, Method};
use malha_cluster::{
    Applied, Cluster, Error, Exit, Key, Kind, Log, LogLine, LogPage, Machine, Node, Nodes, PodRequest, ProbeRequest,
    StartError, Usage, Volume,
};
use malha_manifest::parse_manifests;
use malha_routing::{Answer, Cluster as Target, Destination, Forward, Head, Hosts, Labels, Route, Snapshot, Upstream};
use malha_world::World;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// A pod that runs: what was asked for.
pub(crate) type Pod = Arc<PodRequest>;

/// What happened on the node.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// How many nodes it plays, if not one.
    pub(crate) nodes: u16,
    /// By uid.
    pub(crate) running: BTreeMap<String, Pod>,
    /// Every start, in order.
    pub(crate) starts: usize,
    /// What went wrong.
    pub(crate) faults: Vec<String>,
    /// What pods answer to probes of a path: a status, or 0 for no answer at all. Paths that are not here are fine.
    pub(crate) health: BTreeMap<String, u16>,
    /// Every probe: when, and its path.
    pub(crate) probes: Vec<(Instant, String)>,
    /// Processor time that all pods together use in a second, since when.
    pub(crate) load: (Duration, Option<Instant>),
    /// Processor time that each has used, by uid.
    pub(crate) used: BTreeMap<String, Duration>,
    /// Requests that reach all pods together in a second, since when.
    pub(crate) calls: (f64, Option<Instant>),
    /// Requests that have reached each, by uid.
    pub(crate) called: BTreeMap<String, f64>,
    /// What nobody can ask for any more.
    pub(crate) discarded: Vec<Volume>,
    /// How often somebody asked what pods use.
    pub(crate) measured: usize,
    /// The runs that are over, those that ended by themselves with how they did.
    over: watch::Sender<Vec<(Pod, Option<Exit>)>>,
}

impl Account {
    /// Counts what pods have used until now: each its share of the load.
    fn count(&mut self) {
        let now = Instant::now();
        let since = self.load.1.replace(now).unwrap_or(now);
        let pods = u32::try_from(self.running.len()).unwrap().max(1);
        let each = self.load.0.mul_f64((now - since).as_secs_f64()) / pods;
        for uid in self.running.keys() {
            *self.used.entry(uid.clone()).or_default() += each;
        }
        let since = self.calls.1.replace(now).unwrap_or(now);
        let each = self.calls.0 * (now - since).as_secs_f64() / f64::from(pods);
        for uid in self.running.keys() {
            *self.called.entry(uid.clone()).or_default() += each;
        }
    }
}

impl FakeNode {
    /// Has every container that runs killed, as one that has used up its memory.
    pub(crate) fn kill(&self) {
        let account = self.0.lock();
        let killed = account.running.values().map(|pod| (Arc::clone(pod), Some(Exit::killed())));
        account.over.send_modify(|over| over.extend(killed));
    }

    /// Sets how much processor time all pods together use in a second from now on.
    pub(crate) fn load(&self, each_second: Duration) {
        let mut account = self.0.lock();
        account.count();
        account.load.0 = each_second;
    }

    /// Sets how many requests reach all pods together in a second from now on.
    pub(crate) fn call(&self, each_second: f64) {
        let mut account = self.0.lock();
        account.count();
        account.calls.0 = each_second;
    }
}

/// The image says how a start goes: `missing:…`, `panic:…`, `slow:…` (5 s), `never:…`, anything else is fine.
#[derive(Clone, Default)]
pub(crate) struct FakeNode(pub(crate) Arc<Mutex<Account>>);

impl Node for FakeNode {
    type Pod = Pod;

    async fn start(&self, request: PodRequest) -> Result<Pod, StartError> {
        self.0.lock().starts += 1;
        match request.image.split(':').next().unwrap_or_default() {
            "missing" => {
                return Err(StartError::image(format!("no image {}; run malha build", request.image)));
            }
            "panic" => panic!("the node is unwell"),
            "slow" => tokio::time::sleep(Duration::from_secs(5)).await,
            "never" => std::future::pending().await,
            _ => {}
        }
        let pod = Arc::new(request);
        let mut account = self.0.lock();
        account.count();
        if account.running.values().any(|other| other.ip == pod.ip) {
            account.faults.push(format!("address {} runs twice", pod.ip));
        }
        if account.running.insert(pod.uid.clone(), Arc::clone(&pod)).is_some() {
            account.faults.push(format!("{} runs twice", pod.name));
        }
        Ok(pod)
    }

    fn log(&self, pod: &Pod) -> Arc<dyn Log> {
        Arc::new(FakeLog(Arc::clone(pod)))
    }

    async fn probe(&self, pod: &Pod, request: ProbeRequest) -> Result<u16, String> {
        let status = {
            let mut account = self.0.lock();
            account.probes.push((Instant::now(), request.path.clone()));
            if !account.running.get(&pod.uid).is_some_and(|running| Arc::ptr_eq(running, pod)) {
                account.faults.push(format!("{} was probed and did not run", pod.name));
            }
            account.health.get(&request.path).copied()
        };
        match status {
            Some(0) => std::future::pending().await,
            status => Ok(status.unwrap_or(200)),
        }
    }

    fn usage(&self, pod: &Pod) -> Option<Usage> {
        let mut account = self.0.lock();
        account.count();
        account.measured += 1;
        let cpu_time = account.used.get(&pod.uid).copied().unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a request that has not come whole has not"
        )]
        let requests = account.called.get(&pod.uid).copied().unwrap_or_default() as u64;
        Some(Usage { cpu_time, memory: 1 << 20, requests })
    }

    /// As many nodes as the account says, with room for what tests ask for.
    fn machine(&self) -> Machine {
        let count = self.0.lock().nodes.max(1);
        Machine { nodes: Nodes { count, processors: 4, memory: 8 << 30 }, ..Machine::default() }
    }

    async fn ended(&self, pod: &Pod) -> Option<Exit> {
        let mut over = self.0.lock().over.subscribe();
        let of = |over: &Vec<(Pod, Option<Exit>)>| {
            over.iter().find(|(other, _)| Arc::ptr_eq(other, pod)).map(|(_, exit)| exit.clone())
        };
        of(&*over.wait_for(|over| of(over).is_some()).await.ok()?)?
    }

    fn discard(&self, volume: &Volume) {
        self.0.lock().discarded.push(volume.clone());
    }

    async fn stop(&self, pod: Pod) {
        let mut account = self.0.lock();
        account.over.send_modify(|over| over.push((Arc::clone(&pod), None)));
        account.count();
        if account.running.remove(&pod.uid).is_none() {
            account.faults.push(format!("{} was stopped and did not run", pod.name));
        }
    }
}

/// A container that said its name and fell silent.
struct FakeLog(Pod);

impl Log for FakeLog {
    fn read(&self, from: u64) -> LogPage {
        let line = LogLine { time: SystemTime::UNIX_EPOCH, text: self.0.name.as_str().into() };
        LogPage { lines: if from == 0 { vec![line] } else { Vec::new() }, next: 1, ended: true }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::Sender::new(1).subscribe()
    }
}

/// A cluster, its node, and the last picture of the mesh.
pub(crate) struct Harness {
    pub(crate) cluster: Cluster<FakeNode>,
    pub(crate) node: FakeNode,
    pub(crate) snapshots: Arc<Mutex<Vec<Arc<Snapshot<Pod>>>>>,
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::seeded(1)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self::on(FakeNode::default(), seed)
    }

    /// With several nodes.
    pub(crate) fn of_nodes(nodes: u16) -> Self {
        let node = FakeNode::default();
        node.0.lock().nodes = nodes;
        Self::on(node, 1)
    }

    fn on(node: FakeNode, seed: u64) -> Self {
        let snapshots = Arc::new(Mutex::new(vec![Arc::new(Snapshot::default())]));
        let publish = {
            let snapshots = Arc::clone(&snapshots);
            move |snapshot| snapshots.lock().push(snapshot)
        };
        let cluster = Cluster::new(node.clone(), &World::simulated(1_700_000_000, seed), publish);
        Self { cluster, node, snapshots }
    }

    /// Applies YAML; waits until its pods are ready or say why not.
    pub(crate) async fn apply(&self, yaml: &str) -> Vec<Result<Applied, Error>> {
        let results = self.apply_now(yaml);
        self.cluster.settled().await;
        // Stops are carried out beside: let them.
        tokio::task::yield_now().await;
        results
    }

    pub(crate) fn apply_now(&self, yaml: &str) -> Vec<Result<Applied, Error>> {
        let loaded = parse_manifests("test.yml", yaml);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        self.cluster.apply(loaded.objects.into_iter().map(Into::into))
    }

    pub(crate) async fn delete(&self, kind: Kind, name: &str) -> Result<(), Error> {
        let result = self.cluster.delete(&Key::new(kind, "default", name));
        self.cluster.settled().await;
        tokio::task::yield_now().await;
        result
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot<Pod>> {
        Arc::clone(self.snapshots.lock().last().unwrap())
    }

    /// The route of a `GET` from a pod of namespace `default`.
    pub(crate) fn route<R>(&self, host: &str, port: u16, path: &str, look: impl FnOnce(&Route<Pod>) -> R) -> Option<R> {
        self.route_from("default", host, port, path, look)
    }

    /// The route of a `GET` from a pod of a namespace.
    pub(crate) fn route_from<R>(
        &self,
        namespace: &str,
        host: &str,
        port: u16,
        path: &str,
        look: impl FnOnce(&Route<Pod>) -> R,
    ) -> Option<R> {
        let snapshot = self.snapshot();
        find(snapshot.sidecars.get(namespace)?.others.ports.get(&port)?, host, path, &[]).map(look)
    }

    /// The cluster of the first destination of a call from namespace `default`.
    pub(crate) fn target(&self, host: &str, port: u16) -> Option<Arc<Target<Pod>>> {
        self.route(host, port, "/", |route| destinations(route)[0].cluster.clone())?
    }

    /// Names of the pods behind `host` and `port` in the mesh, sorted; `None` if nobody knows the host.
    pub(crate) fn behind(&self, host: &str, port: u16) -> Option<Vec<String>> {
        Some(pods(&*self.target(host, port)?).into_iter().map(|pod| pod.name.clone()).collect())
    }

    /// `reason: message` of every pod that waits.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let pods = self.cluster.pods().into_iter();
        pods.filter_map(|pod| Some(format!("{}: {}", pod.reason?, pod.message.unwrap_or_default()))).collect()
    }
}

/// The pods behind a cluster, by name.
pub(crate) fn pods(cluster: &Target<Pod>) -> Vec<Pod> {
    let mut pods: Vec<Pod> = cluster
        .hosts
        .iter()
        .map(|host| match &host.endpoint.upstream {
            Upstream::Pod(pod) => Arc::clone(pod),
            Upstream::Address(name, port) => panic!("{name}:{port} is no pod"),
        })
        .collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    pods
}

/// The route of a `GET` with these headers.
pub(crate) fn find<'t>(
    hosts: &'t Hosts<Pod>,
    host: &str,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Option<&'t Route<Pod>> {
    let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    let head = Head {
        method: &Method::GET,
        scheme: "http",
        authority: host,
        path_and_query: path,
        headers: &headers,
        claims: None,
        source: &Labels::new(),
    };
    hosts.find(host)?.routes.find(&head)
}

/// How a route sends on.
pub(crate) fn forward(route: &Route<Pod>) -> &Forward<Pod> {
    match &route.action.answer {
        Answer::Forward(forward) => forward,
        other => panic!("{other:?} sends nothing on"),
    }
}

pub(crate) fn destinations(route: &Route<Pod>) -> &[Destination<Pod>] {
    &forward(route).destinations
}

/// A Deployment of one container with the labels `app: {name}`; `more` goes into the pod's spec.
pub(crate) fn deployment(name: &str, replicas: u32, image: &str, more: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      runtimeClassName: wasmtime-spin-v2
      containers:
      - name: app
        image: {image}
        ports: [{{name: http, containerPort: 80}}]
{more}
---"
    )
}

/// A Service of the pods with the label `app: {name}`.
pub(crate) fn service(name: &str, more: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {name}-service}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: http}}]
{more}
---"
    )
}
