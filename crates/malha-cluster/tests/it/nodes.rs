//! Several nodes: where pods go, and what becomes of them when a node closes.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use malha_cluster::{Key, Kind, Object, Part};

use crate::node::{Harness, deployment};

/// One pod a node.
const APART: &str = "
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: kubernetes.io/hostname
            labelSelector: {matchLabels: {app: posts}}";

/// How many pods each node has; those without a node under no name.
fn placed(harness: &Harness) -> BTreeMap<String, usize> {
    let mut placed = BTreeMap::new();
    for pod in harness.cluster.read(|store| store.list::<Pod>().cloned().collect::<Vec<_>>()) {
        *placed.entry(pod.spec.as_ref().unwrap().node_name.clone().unwrap_or_default()).or_default() += 1;
    }
    placed
}

fn counts(placed: &BTreeMap<String, usize>) -> Vec<(&str, usize)> {
    placed.iter().map(|(name, count)| (name.as_str(), *count)).collect()
}

/// What `kubectl cordon` and `uncordon` write.
async fn cordon(harness: &Harness, name: &str, closed: bool) {
    let key = Key::new(Kind::Node, "", name);
    harness.cluster.write(|registry| {
        let Some(Object::Node(node)) = registry.store().find(&key).cloned() else { panic!("{name}") };
        let mut node = Node::clone(&node);
        node.spec.as_mut().unwrap().unschedulable = closed.then_some(true);
        registry.update(Object::Node(Arc::new(node)), Part::Whole, false).unwrap();
    });
    harness.cluster.settled().await;
}

fn why(harness: &Harness) -> Option<String> {
    harness.cluster.read(|store| {
        let conditions = store.list::<Pod>().flat_map(|pod| pod.status.clone().unwrap().conditions.unwrap());
        conditions.filter(|condition| condition.reason.as_deref() == Some("Unschedulable")).find_map(|one| one.message)
    })
}

#[tokio::test(start_paused = true)]
async fn replicas_are_spread_over_the_nodes() {
    let harness = Harness::of_nodes(3);
    harness.apply(&deployment("posts", 6, "workshop:0.0.1", "")).await;
    assert_eq!(counts(&placed(&harness)), [("malha", 2), ("malha-m02", 2), ("malha-m03", 2)]);
    let ranges = harness.cluster.read(|store| {
        store.list::<Node>().map(|node| node.spec.clone().unwrap().pod_cidr.unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(ranges, ["10.244.0.0/18", "10.244.64.0/18", "10.244.128.0/18"]);
    for pod in harness.cluster.read(|store| store.list::<Pod>().cloned().collect::<Vec<_>>()) {
        let third = match pod.spec.as_ref().unwrap().node_name.as_deref() {
            Some("malha") => "10.244.0.",
            Some("malha-m02") => "10.244.64.",
            _ => "10.244.128.",
        };
        let ip = pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
        assert!(ip.starts_with(third), "{ip} of {:?}", pod.spec);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_until_a_node_takes_it() {
    let harness = Harness::of_nodes(3);
    cordon(&harness, "malha-m02", true).await;
    harness.apply(&deployment("posts", 3, "workshop:0.0.1", APART)).await;
    assert_eq!(counts(&placed(&harness)), [("", 1), ("malha", 1), ("malha-m03", 1)]);
    assert_eq!(
        why(&harness).as_deref(),
        Some(
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod anti-affinity rules. \
             preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims \
             found for incoming pod."
        )
    );
    cordon(&harness, "malha-m02", false).await;
    assert_eq!(counts(&placed(&harness)), [("malha", 1), ("malha-m02", 1), ("malha-m03", 1)]);
    let told: Vec<_> = harness.cluster.events().iter().filter_map(|event| event.reason.clone()).collect();
    let count = |reason: &str| told.iter().filter(|one| *one == reason).count();
    assert_eq!((count("Scheduled"), count("FailedScheduling")), (3, 1));
}
