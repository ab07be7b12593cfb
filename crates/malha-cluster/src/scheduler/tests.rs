//! Where pods go and what is said of those that go nowhere.

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use crate::fixtures;
use crate::object::Stored;

use super::*;

/// A cluster of three nodes of two processors and 1 GiB each, the first two of them in zone `a`.
fn cluster() -> Store {
    let mut store = fixtures::store();
    for (name, zone) in [("n1", "a"), ("n2", "a"), ("n3", "b")] {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {
                "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, "size": "3",
            }},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "4"}},
        }))
        .unwrap();
        store.create(node.into_object()).unwrap();
    }
    store
}

fn change(store: &mut Store, node: &str, spec: Value) {
    let mut node = Node::clone(store.get("", node).unwrap());
    node.spec = Some(serde_json::from_value(spec).unwrap());
    store.update(node.into_object()).unwrap();
}

/// A pod labelled `app: {first word of its name}` with more in its spec.
fn pod(store: &mut Store, name: &str, more: Value) {
    let app = name.split('-').next().unwrap();
    let mut spec = json!({"containers": [{"name": "app", "image": "workshop:1"}]});
    let Value::Object(more) = more else { panic!("{more} is no object") };
    spec.as_object_mut().unwrap().extend(more);
    let pod = json!({"metadata": {"name": name, "namespace": "default", "labels": {"app": app}}, "spec": spec});
    store.create(serde_json::from_value::<Pod>(pod).unwrap().into_object()).unwrap();
}

/// What became of the pod of that name.
fn decision(store: &Store, name: &str) -> Decision {
    decide(store).into_iter().find(|(key, _)| key.name == name).unwrap().1
}

fn requests(cpu: &str, memory: &str) -> Value {
    json!({"containers": [{"name": "app", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]})
}

fn apart(from: &str) -> Value {
    json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": from}}},
    ]}}})
}

fn near(to: &str, key: &str) -> Value {
    json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": key, "labelSelector": {"matchLabels": {"app": to}}},
    ]}}})
}

fn nodes(operator: &str, key: &str, values: &[&str]) -> Value {
    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": key, "operator": operator, "values": values}]},
    ]}}}})
}

fn spread(key: &str, when: &str) -> Value {
    json!({"topologySpreadConstraints": [{
        "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"app": "posts"}},
    }]})
}

const HELPLESS: &str = "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.";
const NO_VICTIMS: &str = "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.";

#[tokio::test]
async fn a_pod_that_asks_for_nothing_goes_where_least_is() {
    let mut store = cluster();
    pod(&mut store, "a-1", json!({"nodeName": "n1"}));
    pod(&mut store, "b-1", json!({"nodeName": "n2"}));
    pod(&mut store, "c-1", json!({}));
    assert_eq!(decision(&store, "c-1"), Ok("n3".into()));
}

/// Too little to show in a score.
#[tokio::test]
async fn of_nodes_with_one_score_the_one_with_the_fewest_pods_is_taken() {
    let mut store = cluster();
    let mut spec = requests("1m", "1Ki");
    pod(&mut store, "c-1", spec.clone());
    assert_eq!(decision(&store, "c-1"), Ok("n1".into()));
    spec["nodeName"] = json!("n1");
    pod(&mut store, "a-1", spec);
    assert_eq!(decision(&store, "c-1"), Ok("n2".into()));
}

#[tokio::test]
async fn what_a_node_must_have_decides() {
    let placed = |spec: Value| {
        let mut store = cluster();
        // Every node has something, the later ones less.
        for (name, node, cpu) in [("x-1", "n1", "500m"), ("x-2", "n2", "200m"), ("x-3", "n3", "100m")] {
            pod(&mut store, name, requests(cpu, "1Mi"));
            let mut bound = Pod::clone(store.get("default", name).unwrap());
            bound.spec.as_mut().unwrap().node_name = Some(node.into());
            store.update(bound.into_object()).unwrap();
        }
        pod(&mut store, "posts-1", spec);
        decision(&store, "posts-1")
    };
    let refused = |reason: &str| Err(format!("0/3 nodes are available: 3 {reason}. {HELPLESS}"));
    let affinity = "node(s) didn't match Pod's node affinity/selector";
    for (spec, want) in [
        (json!({}), Ok("n3")),
        (json!({"nodeSelector": {"topology.kubernetes.io/zone": "a"}}), Ok("n2")),
        (json!({"nodeSelector": {"topology.kubernetes.io/zone": "c"}}), Err(affinity)),
        (nodes("In", "kubernetes.io/hostname", &["n1", "n9"]), Ok("n1")),
        (nodes("NotIn", "kubernetes.io/hostname", &["n3"]), Ok("n2")),
        (nodes("Exists", "gpu", &[]), Err(affinity)),
        (nodes("DoesNotExist", "gpu", &[]), Ok("n3")),
        (nodes("Gt", "size", &["2"]), Ok("n3")),
        (nodes("Lt", "size", &["3"]), Err(affinity)),
        (near("x", "kubernetes.io/hostname"), Ok("n3")),
        (near("y", "kubernetes.io/hostname"), Err("node(s) didn't match pod affinity rules")),
        // The first of its kind may be near nobody.
        (near("posts", "kubernetes.io/hostname"), Ok("n3")),
        (requests("1900m", "1Mi"), Ok("n3")),
        (requests("3", "1Mi"), Err("Insufficient cpu")),
    ] {
        assert_eq!(placed(spec.clone()), want.map(str::to_owned).or_else(refused), "{spec}");
    }
}

#[tokio::test]
async fn what_is_in_the_way_is_counted_in_kube_schedulers_words() {
    let mut store = cluster();
    change(&mut store, "n1", json!({"unschedulable": true}));
    for (name, node) in [("posts-2", "n2"), ("posts-3", "n3")] {
        let mut spec = apart("posts");
        spec["nodeName"] = node.into();
        pod(&mut store, name, spec);
    }
    pod(&mut store, "posts-4", apart("posts"));
    pod(&mut store, "posts-5", json!({}));
    let after = "preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, \
                 2 No preemption victims found for incoming pod.";
    let want = "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod anti-affinity rules.";
    assert_eq!(decision(&store, "posts-4"), Err(format!("{want} {after}")));
    let want = "0/3 nodes are available: 1 node(s) were unschedulable, \
                2 node(s) didn't satisfy existing pods anti-affinity rules.";
    assert_eq!(decision(&store, "posts-5"), Err(format!("{want} {after}")));
}

#[tokio::test]
async fn a_taint_keeps_out_who_does_not_tolerate_it() {
    let taint = |effect: &str| json!({"taints": [{"key": "team", "value": "a", "effect": effect}]});
    let tolerating = |toleration: Value| json!({"tolerations": [toleration]});
    for (effect, spec, want) in [
        ("NoSchedule", json!({}), Err(())),
        ("NoExecute", json!({}), Err(())),
        ("PreferNoSchedule", json!({}), Ok("n1")),
        ("NoSchedule", tolerating(json!({"key": "team", "operator": "Exists"})), Ok("n1")),
        ("NoSchedule", tolerating(json!({"key": "team", "value": "a"})), Ok("n1")),
        ("NoSchedule", tolerating(json!({"key": "team", "value": "b"})), Err(())),
        ("NoExecute", tolerating(json!({"key": "team", "value": "a", "effect": "NoSchedule"})), Err(())),
        ("NoExecute", tolerating(json!({"operator": "Exists"})), Ok("n1")),
    ] {
        let mut store = cluster();
        for node in ["n1", "n2", "n3"] {
            change(&mut store, node, taint(effect));
        }
        pod(&mut store, "posts-1", spec.clone());
        let refused = format!("0/3 nodes are available: 3 node(s) had untolerated taint {{team: a}}. {HELPLESS}");
        let want = want.map(str::to_owned).map_err(|()| refused);
        assert_eq!(decision(&store, "posts-1"), want, "{effect} {spec}");
    }
}

#[tokio::test]
async fn a_node_with_a_taint_that_only_prefers_comes_last() {
    let mut store = cluster();
    for node in ["n1", "n2"] {
        change(&mut store, node, json!({"taints": [{"key": "team", "effect": "PreferNoSchedule"}]}));
    }
    pod(&mut store, "posts-1", json!({}));
    assert_eq!(decision(&store, "posts-1"), Ok("n3".into()));
}

#[tokio::test]
async fn room_is_used_up_pod_by_pod() {
    let mut store = cluster();
    for number in 1..=4 {
        pod(&mut store, &format!("posts-{number}"), requests("1500m", "900Mi"));
    }
    let decisions: Vec<_> = decide(&store).into_iter().map(|(_, decision)| decision).collect();
    let want = format!("0/3 nodes are available: 3 Insufficient cpu, 3 Insufficient memory. {NO_VICTIMS}");
    assert_eq!(decisions, [Ok("n1".into()), Ok("n2".into()), Ok("n3".into()), Err(want)]);
    let mut store = cluster();
    for number in 10..23 {
        pod(&mut store, &format!("posts-{number}"), json!({}));
    }
    let want = format!("0/3 nodes are available: 3 Too many pods. {NO_VICTIMS}");
    assert_eq!(decision(&store, "posts-22"), Err(want));
}

#[tokio::test]
async fn constraints_keep_domains_even() {
    let on = |nodes: &[&str], spec: Value| {
        let mut store = cluster();
        for (number, node) in nodes.iter().enumerate() {
            pod(&mut store, &format!("posts-{number}"), json!({"nodeName": node}));
        }
        pod(&mut store, "posts-new", spec);
        decision(&store, "posts-new")
    };
    let host = spread("kubernetes.io/hostname", "DoNotSchedule");
    let zone = spread("topology.kubernetes.io/zone", "DoNotSchedule");
    let rack = spread("rack", "DoNotSchedule");
    let mut minimum = host.clone();
    minimum["topologySpreadConstraints"][0]["minDomains"] = 4.into();
    let mut mine = host.clone();
    mine["nodeSelector"] = json!({"topology.kubernetes.io/zone": "a"});
    let full = format!("0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints. {NO_VICTIMS}");
    for (nodes, spec, want) in [
        (&["n1", "n3"][..], host.clone(), Ok("n2".to_owned())),
        (&["n1", "n1", "n2"], zone, Ok("n3".to_owned())),
        // With fewer domains than wanted the emptiest counts as empty.
        (&["n1", "n2", "n3"], minimum, Err(full)),
        (&["n1", "n2", "n3"], host, Ok("n1".to_owned())),
        // A node that it must not be on does not count.
        (&["n1", "n2"], mine, Ok("n1".to_owned())),
        (
            &[],
            rack,
            Err(format!(
                "0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints \
                 (missing required label). {HELPLESS}"
            )),
        ),
    ] {
        assert_eq!(on(nodes, spec.clone()), want, "{nodes:?} {spec}");
    }
}

#[tokio::test]
async fn pods_of_a_service_are_spread_without_being_asked() {
    let mut store = cluster();
    store.create(fixtures::service("posts", 80).into_object()).unwrap();
    // Much room on the first node, and still the pods go apart.
    pod(&mut store, "other-2", json!({"nodeName": "n2"}));
    pod(&mut store, "other-3", json!({"nodeName": "n3"}));
    for number in 1..=3 {
        pod(&mut store, &format!("posts-{number}"), json!({}));
    }
    let mut placed: Vec<_> = decide(&store).into_iter().map(|(_, decision)| decision.unwrap()).collect();
    placed.sort();
    assert_eq!(placed, ["n1", "n2", "n3"]);
}

#[tokio::test]
async fn what_is_only_preferred_decides_among_equals() {
    let preferred = |kind: &str, weight: i32| {
        json!({"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": weight,
            "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}},
        }]}}})
    };
    let node = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}},
    ]}}});
    for (spec, want) in [
        (preferred("podAffinity", 50), "n1"),
        (preferred("podAntiAffinity", 50), "n2"),
        (node, "n2"),
        (spread("kubernetes.io/hostname", "ScheduleAnyway"), "n2"),
    ] {
        let mut store = cluster();
        pod(&mut store, "x-1", json!({"nodeName": "n1"}));
        pod(&mut store, "posts-1", spec.clone());
        assert_eq!(decision(&store, "posts-1"), Ok(want.into()), "{spec}");
    }
}

#[tokio::test]
async fn who_has_a_node_or_another_scheduler_or_goes_is_left_alone() {
    let mut store = cluster();
    pod(&mut store, "a", json!({"nodeName": "n9"}));
    pod(&mut store, "b", json!({"schedulerName": "mine"}));
    assert!(decide(&store).is_empty());
    let mut store = fixtures::store();
    pod(&mut store, "c", json!({}));
    assert_eq!(decision(&store, "c"), Err("no nodes available to schedule pods".into()));
}
