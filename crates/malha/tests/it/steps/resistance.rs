//! `11-resistance.yml`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use malha_cluster::{Deletion, Error, Key, Kind, Object, Part};
use malha_mesh::{Connection, Mesh, gateway};
use tokio::task::JoinSet;

use super::wait;
use crate::support::{Answer, Cluster, Manifests, get};

const NODES: [&str; 3] = ["malha", "malha-m02", "malha-m03"];

/// Clients that ask, each one request after the other, and how long each thinks between two.
const CLIENTS: usize = 4;
const THINKS: Duration = Duration::from_millis(200);

/// Constant load until somebody asks how it went.
struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<BTreeMap<String, usize>>,
}

impl Load {
    fn start(mesh: &Mesh) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = || {
            let (mesh, stop) = (mesh.clone(), Arc::clone(&stop));
            async move {
                let mut counts = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = ask(&mesh).await;
                    *counts.entry(answer).or_default() += 1;
                    tokio::time::sleep(THINKS).await;
                }
                counts
            }
        };
        Self { clients: (0..CLIENTS).map(|_| client()).collect(), stop }
    }

    /// How often each answer came.
    async fn counts(mut self) -> BTreeMap<String, usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        while let Some(counts) = self.clients.join_next().await {
            for (answer, count) in counts.unwrap() {
                *all.entry(answer).or_default() += count;
            }
        }
        all
    }
}

/// The status of an answer from posts; what else came as it is.
async fn ask(mesh: &Mesh) -> String {
    let connection =
        Connection { client: "192.0.2.1:50000".parse().unwrap(), local: "127.0.0.1:80".parse().unwrap(), tls: None };
    let request = get("/posts/1").bearer(Cluster::admin()).request();
    let Some(response) = mesh.enter(&gateway(80), request, &connection).await else { return "cut".to_owned() };
    let answer = Answer::read(response).await;
    match answer.status {
        200 => "200".to_owned(),
        status => format!("{status} {}", answer.text()),
    }
}

/// The pods on a node that have not ended.
fn pods_on(cluster: &Cluster, node: &str) -> Vec<Key> {
    cluster.running.cluster().read(|store| {
        let pods = store.list::<Pod>().filter(|pod| pod.spec.as_ref().unwrap().node_name.as_deref() == Some(node));
        pods.map(|pod| Key::new(Kind::Pod, "default", pod.metadata.name.clone().unwrap())).collect()
    })
}

fn cordon(cluster: &Cluster, name: &str, closed: bool) {
    cluster.running.cluster().write(|registry| {
        let Some(Object::Node(node)) = registry.store().find(&Key::new(Kind::Node, "", name)).cloned() else {
            panic!("no node {name}")
        };
        let mut node = Node::clone(&node);
        node.spec.get_or_insert_default().unschedulable = closed.then_some(true);
        registry.update(Object::Node(Arc::new(node)), Part::Whole, false).unwrap();
    });
}

/// What `kubectl drain` does: evicts what is on the node, asks again every five seconds where a budget says no, and waits until
/// all of it is gone. How often a budget said no.
async fn drain(cluster: &Cluster, node: &str) -> usize {
    cordon(cluster, node, true);
    let mut refused = 0;
    for pod in pods_on(cluster, node) {
        while let Err(error) = cluster.running.cluster().write(|registry| registry.evict(&pod, &Deletion::default())) {
            assert!(matches!(error, Error::DisruptionBudget { .. }), "{error}");
            assert!(refused < 100, "{pod} cannot be evicted");
            refused += 1;
            wait(5).await;
        }
    }
    while !pods_on(cluster, node).is_empty() {
        wait(1).await;
    }
    refused
}

/// How many posts are ready, and how many more may go.
fn budget(cluster: &Cluster) -> (i32, i32) {
    cluster.running.cluster().read(|store| {
        let budget = store.get::<PodDisruptionBudget>("default", "posts-budget").unwrap();
        let status = budget.status.as_ref().unwrap();
        (status.current_healthy, status.disruptions_allowed)
    })
}

#[tokio::test(start_paused = true)]
async fn every_node_is_drained_in_turn_and_no_request_is_lost() {
    let cluster = Manifests::step("11-resistance.yml").on_nodes(3).start().await;
    for node in NODES {
        let posts = pods_on(&cluster, node).into_iter().filter(|pod| pod.name.starts_with("posts")).count();
        assert_eq!(posts, 1, "{node}");
    }
    assert_eq!(budget(&cluster), (3, 1));
    let load = Load::start(cluster.running.mesh());
    let mut refused = 0;
    for node in NODES {
        refused += drain(&cluster, node).await;
        cordon(&cluster, node, false);
        wait(10).await;
        assert_eq!(budget(&cluster), (3, 1), "after {node}");
    }
    assert!(refused > 0, "a node with two posts is not drained in one go");
    let counts = load.counts().await;
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["200"], "{counts:?}");
    assert!(counts["200"] > 1_000, "{counts:?}");
}

/// Nobody asks the budget when a node is deleted: after 40 s its pods are gone at once, and with them what they were answering.
#[tokio::test(start_paused = true)]
async fn the_pods_of_a_deleted_node_are_made_anew_elsewhere() {
    let cluster = Manifests::step("11-resistance.yml").on_nodes(3).start().await;
    let load = Load::start(cluster.running.mesh());
    wait(5).await;
    cluster.running.cluster().delete(&Key::new(Kind::Node, "", "malha-m02")).unwrap();
    wait(30).await;
    assert!(!pods_on(&cluster, "malha-m02").is_empty(), "its pods run on for now");
    wait(30).await;
    assert!(pods_on(&cluster, "malha-m02").is_empty());
    let left = ["malha", "malha-m03"].map(|node| pods_on(&cluster, node).len());
    assert_eq!(left.iter().sum::<usize>(), 6, "{left:?}");
    assert_eq!(budget(&cluster), (3, 1));
    let counts = load.counts().await;
    let lost: usize = counts.iter().filter(|(answer, _)| *answer != "200").map(|(_, count)| count).sum();
    assert!(lost <= CLIENTS, "no more than were under way when the pod was cut: {counts:?}");
    assert!(counts["200"] > 1_000, "{counts:?}");
}
