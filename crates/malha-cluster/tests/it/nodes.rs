//! Several nodes: where pods go, and what becomes of them when a node closes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use malha_cluster::{Deletion, Error, Key, Kind, Object, Part};
use tokio::time::sleep;

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

fn node(harness: &Harness, name: &str) -> Node {
    harness.cluster.read(|store| Node::clone(store.get("", name).unwrap()))
}

async fn change(harness: &Harness, name: &str, change: impl FnOnce(&mut Node)) {
    let mut node = node(harness, name);
    change(&mut node);
    harness.cluster.write(|registry| registry.update(Object::Node(Arc::new(node)), Part::Whole, false)).unwrap();
    harness.cluster.settled().await;
}

/// What `kubectl cordon` and `uncordon` write.
async fn cordon(harness: &Harness, name: &str, closed: bool) {
    change(harness, name, |node| node.spec.as_mut().unwrap().unschedulable = closed.then_some(true)).await;
}

fn taints(harness: &Harness, name: &str) -> Vec<String> {
    let taints = node(harness, name).spec.unwrap().taints.unwrap_or_default();
    taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect()
}

/// A budget of the pods labelled `app: posts`; `spec` says how much.
fn budget(name: &str, spec: &str) -> String {
    format!(
        "
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: posts}}}}
  {spec}
---"
    )
}

/// The keys of the pods, by name.
fn pods(harness: &Harness) -> Vec<Key> {
    let name = |pod: &Arc<Pod>| Key::new(Kind::Pod, "default", pod.metadata.name.clone().unwrap());
    harness.cluster.read(|store| store.list::<Pod>().map(name).collect())
}

/// Evicts a pod; the refusal, if there is one.
fn evict(harness: &Harness, pod: &Key) -> Result<(), Error> {
    harness.cluster.write(|registry| registry.evict(pod, &Deletion::default()).map(drop))
}

/// Healthy, to be healthy, expected, allowed to go.
fn status(harness: &Harness, name: &str) -> (i32, i32, i32, i32) {
    harness.cluster.read(|store| {
        let budget = store.get::<PodDisruptionBudget>("default", name).unwrap();
        let status = budget.status.clone().unwrap();
        (status.current_healthy, status.desired_healthy, status.expected_pods, status.disruptions_allowed)
    })
}

async fn wait(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
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

#[tokio::test(start_paused = true)]
async fn a_cordoned_node_says_so_in_its_taints_too() {
    let harness = Harness::of_nodes(2);
    cordon(&harness, "malha-m02", true).await;
    assert_eq!(taints(&harness, "malha-m02"), ["node.kubernetes.io/unschedulable:NoSchedule"]);
    assert_eq!(taints(&harness, "malha"), Vec::<String>::new());
    cordon(&harness, "malha-m02", false).await;
    assert_eq!(taints(&harness, "malha-m02"), Vec::<String>::new());
    let told: Vec<_> = harness.cluster.events().iter().filter_map(|event| event.message.clone()).collect();
    assert_eq!(
        told,
        ["Node malha-m02 status is now: NodeNotSchedulable", "Node malha-m02 status is now: NodeSchedulable"]
    );
}

#[tokio::test(start_paused = true)]
async fn pods_leave_a_node_whose_taint_they_do_not_tolerate() {
    let harness = Harness::of_nodes(2);
    let tolerating = |seconds: &str| format!("      tolerations: [{{key: broken, operator: Exists{seconds}}}]");
    harness.apply(&deployment("posts", 2, "workshop:0.0.1", "")).await;
    harness.apply(&deployment("stays", 2, "workshop:0.0.1", &tolerating(""))).await;
    harness.apply(&deployment("waits", 2, "workshop:0.0.1", &tolerating(", tolerationSeconds: 60"))).await;
    let on = |app: &str| {
        harness.cluster.read(|store| {
            let pods = store.list::<Pod>().filter(|pod| pod.metadata.name.as_ref().unwrap().starts_with(app));
            pods.filter(|pod| pod.spec.as_ref().unwrap().node_name.as_deref() == Some("malha-m02")).count()
        })
    };
    assert_eq!(["posts", "stays", "waits"].map(on), [1, 1, 1]);
    change(&harness, "malha-m02", |node| {
        let taint = Taint { key: "broken".into(), effect: "NoExecute".into(), ..Taint::default() };
        node.spec.as_mut().unwrap().taints = Some(vec![taint]);
    })
    .await;
    wait(2).await;
    assert_eq!(["posts", "stays", "waits"].map(on), [0, 1, 1]);
    let starts = harness.node.0.lock().starts;
    wait(60).await;
    // A new one takes the place of the one whose time is over; it may come back, since it tolerates the taint for a while, too.
    assert_eq!(["posts", "stays"].map(on), [0, 1]);
    assert_eq!(harness.node.0.lock().starts, starts + 1);
    assert_eq!(placed(&harness).values().sum::<usize>(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_budget_lets_go_what_it_can_spare_and_no_more() {
    let harness = Harness::of_nodes(3);
    harness.apply(&deployment("posts", 3, "workshop:0.0.1", "")).await;
    harness.apply(&budget("posts", "minAvailable: 2")).await;
    assert_eq!(status(&harness, "posts"), (3, 2, 3, 1));
    let [first, second, _] = &pods(&harness)[..] else { panic!("three pods") };
    // Both at once, before anything of it is noticed.
    let (one, two) = harness.cluster.write(|registry| {
        (registry.evict(first, &Deletion::default()).map(drop), registry.evict(second, &Deletion::default()).map(drop))
    });
    assert_eq!(one, Ok(()));
    let Err(Error::DisruptionBudget { message, .. }) = two else { panic!("{two:?}") };
    assert_eq!(message, "The disruption budget posts needs 2 healthy pods and has 3 currently");
    let refused = evict(&harness, second).unwrap_err();
    assert_eq!(refused.to_string(), "Cannot evict pod as it would violate the pod's disruption budget.");
    harness.cluster.settled().await;
    wait(1).await;
    assert_eq!(status(&harness, "posts"), (3, 2, 3, 1), "there is another in its place");
    let dry = Deletion { dry_run: true, ..Deletion::default() };
    harness.cluster.write(|registry| registry.evict(second, &dry)).unwrap();
    assert_eq!(status(&harness, "posts"), (3, 2, 3, 1));
    let other = Deletion { uid: Some("another".into()), ..Deletion::default() };
    let error = harness.cluster.write(|registry| registry.evict(second, &other)).unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    evict(&harness, second).unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_budgets_of_one_pod_are_one_too_many() {
    let harness = Harness::new();
    harness.apply(&deployment("posts", 3, "workshop:0.0.1", "")).await;
    harness.apply(&budget("a", "maxUnavailable: 50%")).await;
    assert_eq!(status(&harness, "a"), (3, 1, 3, 2));
    harness.apply(&budget("b", "minAvailable: 1")).await;
    let pod = pods(&harness).remove(0);
    assert!(matches!(evict(&harness, &pod), Err(Error::SeveralBudgets { .. })));
    harness.delete(Kind::PodDisruptionBudget, "b").await.unwrap();
    evict(&harness, &pod).unwrap();
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_not_healthy_go_as_the_budget_says() {
    let probe = "        readinessProbe: {httpGet: {path: /sick, port: 80}, failureThreshold: 1, periodSeconds: 1}";
    for (policy, goes) in [("IfHealthyBudget", false), ("AlwaysAllow", true)] {
        let harness = Harness::new();
        harness.node.0.lock().health.insert("/sick".into(), 503);
        harness.apply(&deployment("posts", 2, "workshop:0.0.1", probe)).await;
        let spec = format!("minAvailable: 1\n  unhealthyPodEvictionPolicy: {policy}");
        harness.apply(&budget("posts", &spec)).await;
        assert_eq!(status(&harness, "posts"), (0, 1, 2, 0));
        assert_eq!(evict(&harness, &pods(&harness)[0]).is_ok(), goes, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_pods_of_a_node_that_is_gone_are_made_anew_after_forty_seconds() {
    let harness = Harness::of_nodes(3);
    harness.apply(&deployment("posts", 3, "workshop:0.0.1", "")).await;
    harness.cluster.delete(&Key::new(Kind::Node, "", "malha-m02")).unwrap();
    let leases = |harness: &Harness| harness.cluster.read(|store| store.list::<Lease>().count());
    assert_eq!(leases(&harness), 2);
    wait(39).await;
    assert_eq!(counts(&placed(&harness)), [("malha", 1), ("malha-m02", 1), ("malha-m03", 1)]);
    assert_eq!(harness.node.0.lock().running.len(), 3, "it runs on meanwhile");
    wait(2).await;
    assert_eq!(placed(&harness).values().sum::<usize>(), 3);
    assert_eq!(placed(&harness).get("malha-m02"), None);
    assert_eq!(harness.node.0.lock().faults, Vec::<String>::new());
    assert!(harness.cluster.pods().iter().all(|pod| pod.ready));
}

#[tokio::test(start_paused = true)]
async fn without_a_node_pods_wait_until_there_is_one_again() {
    let harness = Harness::new();
    harness.apply(&deployment("posts", 2, "workshop:0.0.1", "")).await;
    let gone = node(&harness, "malha");
    harness.cluster.delete(&Key::new(Kind::Node, "", "malha")).unwrap();
    wait(41).await;
    assert_eq!(counts(&placed(&harness)), [("", 2)]);
    assert_eq!(why(&harness).as_deref(), Some("no nodes available to schedule pods"));
    assert!(harness.node.0.lock().running.is_empty());
    // Whoever makes the node anew finds its kubelet there.
    let mut anew = Node { status: None, ..gone };
    anew.metadata.resource_version = None;
    harness.cluster.write(|registry| registry.create(Object::Node(Arc::new(anew)), false)).unwrap();
    harness.cluster.settled().await;
    assert_eq!(counts(&placed(&harness)), [("malha", 2)]);
    assert!(harness.cluster.pods().iter().all(|pod| pod.ready));
}
