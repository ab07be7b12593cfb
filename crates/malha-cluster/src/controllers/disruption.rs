//! `PodDisruptionBudget` → how many of its pods may be evicted now (kube-controller-manager, `pkg/controller/disruption`).

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::events::EventKind;
use crate::object::{Key, Stored};
use crate::selector;
use crate::store::Store;

use super::deployment::{Round, scaled};
use super::{Action, name, owner, ready};

/// The condition that says whether one more pod may go.
pub(crate) const ALLOWED: &str = "DisruptionAllowed";

/// How long a pod that is said to go counts as gone although it is there (`DeletionTimeout`), in seconds.
const TIMEOUT: i64 = 120;

/// What the budget needs now.
pub(super) fn sync(store: &Store, key: &Key) -> Vec<Action> {
    let Some(budget) = store.get::<PodDisruptionBudget>(&key.namespace, &key.name) else { return Vec::new() };
    let spec = budget.spec.clone().unwrap_or_default();
    let pods: Vec<&Pod> =
        store.list_in::<Pod>(&key.namespace).map(AsRef::as_ref).filter(|pod| selects(&spec, pod)).collect();
    let mut events = Vec::new();
    if pods.is_empty() {
        events.push(Action::Event(EventKind::Normal, "NoPods", "No matching pods found".to_owned()));
    }
    let now = store.now();
    let before = budget.status.clone().unwrap_or_default();
    let mut actions = Vec::new();
    let status = match wanted(store, &spec, &pods) {
        Ok(wanted) => {
            if wanted.unmanaged {
                events.push(Action::Event(EventKind::Warning, "UnmanagedPods", unmanaged(spec.selector.as_ref())));
            }
            let disrupted = disrupted(&before, &pods, &now);
            let left = disrupted.values().map(|Time(since)| since.as_second() + TIMEOUT - now.0.as_second()).min();
            actions.extend(left.map(|left| Action::Later(Duration::from_secs(u64::try_from(left).unwrap_or(0) + 1))));
            let healthy = pods.iter().filter(|pod| healthy(pod) && !disrupted.contains_key(name(**pod))).count();
            let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
            let allowed = healthy - wanted.healthy;
            let allowed = if wanted.expected <= 0 { 0 } else { allowed.max(0) };
            let mut status = PodDisruptionBudgetStatus {
                current_healthy: healthy,
                desired_healthy: wanted.healthy,
                expected_pods: wanted.expected,
                disruptions_allowed: allowed,
                disrupted_pods: Some(disrupted).filter(|disrupted| !disrupted.is_empty()),
                observed_generation: budget.metadata.generation,
                ..before.clone()
            };
            say(&mut status, None, &now);
            status
        }
        Err(why) => {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            events.push(Action::Event(EventKind::Warning, "CalculateExpectedPodCountFailed", message));
            let mut status = PodDisruptionBudgetStatus { disruptions_allowed: 0, ..before.clone() };
            say(&mut status, Some(why), &now);
            status
        }
    };
    if budget.status.as_ref() != Some(&status) {
        let budget = PodDisruptionBudget { status: Some(status), ..PodDisruptionBudget::clone(budget) };
        actions.push(Action::Update(budget.into_object()));
        actions.append(&mut events);
    }
    actions
}

/// Whether a budget is for a pod of its namespace. Without a selector it is for none, with an empty one for all.
pub(crate) fn selects(spec: &PodDisruptionBudgetSpec, pod: &Pod) -> bool {
    spec.selector.as_ref().is_some_and(|selector| selector::matches(selector, pod.metadata.labels.as_ref()))
}

/// Says in the condition how things are (`UpdateDisruptionAllowedCondition`); `failed`: why nobody knows.
pub(crate) fn say(status: &mut PodDisruptionBudgetStatus, failed: Option<String>, now: &Time) {
    let (value, reason) = match (&failed, status.disruptions_allowed > 0) {
        (Some(_), _) => ("False", "SyncFailed"),
        (None, true) => ("True", "SufficientPods"),
        (None, false) => ("False", "InsufficientPods"),
    };
    let conditions = status.conditions.get_or_insert_default();
    let before = conditions.iter().find(|condition| condition.type_ == ALLOWED && condition.status == value);
    let condition = Condition {
        type_: ALLOWED.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: failed.unwrap_or_default(),
        observed_generation: status.observed_generation,
        last_transition_time: before.map_or_else(|| now.clone(), |before| before.last_transition_time.clone()),
    };
    match conditions.iter_mut().find(|condition| condition.type_ == ALLOWED) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// How many pods there should be, and how many of them healthy.
struct Wanted {
    expected: i32,
    healthy: i32,
    /// There are pods that belong to nobody, of whom a share cannot be reckoned.
    unmanaged: bool,
}

/// `getExpectedPodCount`.
fn wanted(store: &Store, spec: &PodDisruptionBudgetSpec, pods: &[&Pod]) -> Result<Wanted, String> {
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => {
            let (expected, unmanaged) = scale(store, pods)?;
            let healthy = (expected - scaled(Some(most), expected, Round::Up)).max(0);
            Ok(Wanted { expected, healthy, unmanaged })
        }
        (None, Some(IntOrString::Int(least))) => {
            let expected = i32::try_from(pods.len()).unwrap_or(i32::MAX);
            Ok(Wanted { expected, healthy: *least, unmanaged: false })
        }
        (None, Some(least)) => {
            let (expected, unmanaged) = scale(store, pods)?;
            Ok(Wanted { expected, healthy: scaled(Some(least), expected, Round::Up), unmanaged })
        }
        (None, None) => Ok(Wanted { expected: 0, healthy: 0, unmanaged: false }),
    }
}

/// The pods that the pods' controllers want together, and whether there are others (`getExpectedScale`).
fn scale(store: &Store, pods: &[&Pod]) -> Result<(i32, bool), String> {
    let mut controllers = BTreeMap::new();
    let mut unmanaged = false;
    for pod in pods {
        let Some(owner) = owner(*pod) else {
            unmanaged = true;
            continue;
        };
        let missing = || format!("found no controllers for pod {:?}", name(*pod));
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let set = (owner.kind == "ReplicaSet").then(|| store.get::<ReplicaSet>(namespace, &owner.name)).flatten();
        let set = set.filter(|set| set.metadata.uid.as_deref() == Some(&*owner.uid)).ok_or_else(missing)?;
        // A Deployment's replica sets want as many as it does.
        let above = super::owner(set.as_ref()).filter(|owner| owner.kind == "Deployment");
        let deployment = above.and_then(|owner| store.get::<Deployment>(namespace, &owner.name));
        let (uid, replicas) = deployment.map_or_else(
            || (&set.metadata.uid, set.spec.as_ref().and_then(|spec| spec.replicas)),
            |deployment| (&deployment.metadata.uid, deployment.spec.as_ref().and_then(|spec| spec.replicas)),
        );
        controllers.insert(uid, replicas.unwrap_or(1));
    }
    Ok((controllers.values().sum(), unmanaged))
}

fn healthy(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && ready(pod)
}

/// The pods whose eviction was let through and that are still there (`buildDisruptedPodMap`).
fn disrupted(status: &PodDisruptionBudgetStatus, pods: &[&Pod], now: &Time) -> BTreeMap<String, Time> {
    let going = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let known = going.filter_map(|pod| {
        let since = status.disrupted_pods.as_ref()?.get(name(*pod))?;
        (since.0.as_second() + TIMEOUT >= now.0.as_second()).then(|| (name(*pod).to_owned(), since.clone()))
    });
    known.collect()
}

fn unmanaged(selector: Option<&LabelSelector>) -> String {
    format!(
        "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of the \
         PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \
         \".spec.minAvailable\" field of the PDB to an integer value.",
        selector.map(selector::text).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use crate::fixtures;

    use super::*;

    /// A cluster with a Deployment of five, of whose pods these many are ready, and its budget's status.
    fn status(spec: &Value, ready: usize, disrupted: &Value) -> (PodDisruptionBudgetStatus, Vec<Action>) {
        let mut store = fixtures::store();
        store.create(fixtures::deployment("posts", 5, "workshop:1").into_object()).unwrap();
        let reference = |kind: &str, name: &str, uid: &Value| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
        let uid = |store: &Store, key: &Key| Value::from(store.find(key).unwrap().uid());
        let deployment = uid(&store, &Key::new(crate::object::Kind::Deployment, "default", "posts"));
        let mut set =
            json!({"metadata": {"name": "posts-1", "namespace": "default"}, "spec": {"selector": {}, "replicas": 3}});
        set["metadata"]["ownerReferences"] = reference("Deployment", "posts", &deployment);
        let set: ReplicaSet = serde_json::from_value(set).unwrap();
        let set = store.create(set.into_object()).unwrap();
        let set = uid(&store, &set);
        for number in 0..5 {
            let mut pod = fixtures::pod(&format!("posts-1-{number}"));
            pod.metadata.owner_references = serde_json::from_value(reference("ReplicaSet", "posts-1", &set)).unwrap();
            let value = if number < ready { "True" } else { "False" };
            let conditions = json!({"conditions": [{"type": "Ready", "status": value}]});
            pod.metadata.labels = Some([("app".to_owned(), "posts".to_owned())].into());
            pod.status = serde_json::from_value(conditions).unwrap();
            store.create(pod.into_object()).unwrap();
        }
        let budget = json!({
            "metadata": {"name": "posts"}, "spec": spec,
            "status": {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
                "disruptedPods": disrupted},
        });
        let budget: PodDisruptionBudget = serde_json::from_value(budget).unwrap();
        let key = store.create(budget.into_object()).unwrap();
        let mut actions = sync(&store, &key);
        let update = actions.iter().position(|action| matches!(action, Action::Update(_))).unwrap();
        let Action::Update(object) = actions.remove(update) else { panic!() };
        let status = PodDisruptionBudget::of(&object).unwrap().status.clone().unwrap();
        store.update(object).unwrap();
        assert!(!sync(&store, &key).iter().any(|action| matches!(action, Action::Update(_))), "it is as it should be");
        (status, actions)
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_go_follows_from_what_is_healthy_and_what_should_be() {
        let selector = json!({"matchLabels": {"app": "posts"}});
        for (field, value, ready, want) in [
            ("minAvailable", json!(2), 5, (5, 2, 5, 3)),
            ("minAvailable", json!(5), 5, (5, 5, 5, 0)),
            ("minAvailable", json!(4), 2, (2, 4, 5, 0)),
            // Shares are of what the Deployment wants, and round up.
            ("minAvailable", json!("50%"), 5, (5, 3, 5, 2)),
            ("maxUnavailable", json!(1), 5, (5, 4, 5, 1)),
            ("maxUnavailable", json!("30%"), 5, (5, 3, 5, 2)),
            ("maxUnavailable", json!(9), 1, (1, 0, 5, 1)),
        ] {
            let (status, _) = status(&json!({field: value, "selector": selector}), ready, &json!({}));
            let got =
                (status.current_healthy, status.desired_healthy, status.expected_pods, status.disruptions_allowed);
            assert_eq!(got, want, "{field}: {value}, {ready} ready");
            let condition = &status.conditions.unwrap()[0];
            let words = if want.3 > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
            assert_eq!((condition.status.as_str(), condition.reason.as_str()), words);
            assert_eq!(status.observed_generation, Some(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_of_no_pods_allows_nothing() {
        let (status, actions) =
            status(&json!({"minAvailable": 0, "selector": {"matchLabels": {"app": "x"}}}), 5, &json!({}));
        assert_eq!((status.expected_pods, status.disruptions_allowed), (0, 0));
        assert!(matches!(&actions[..], [Action::Event(EventKind::Normal, "NoPods", _)]), "{actions:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_is_about_to_go_counts_as_gone_for_two_minutes() {
        let at = |ago: i64| Timestamp::from_second(1_700_000_000 - ago).unwrap().to_string();
        let spec = json!({"minAvailable": 2, "selector": {}});
        let (status, actions) =
            status(&spec, 5, &json!({"posts-1-0": at(20), "posts-1-1": at(121), "posts-1-9": at(0)}));
        assert_eq!((status.current_healthy, status.disruptions_allowed), (4, 2));
        assert_eq!(status.disrupted_pods.unwrap().into_keys().collect::<Vec<_>>(), ["posts-1-0"]);
        assert_eq!(actions, [Action::Later(Duration::from_secs(101))]);
    }
}
