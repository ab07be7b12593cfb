//! A pod's life: how it starts, is asked how it is, is started again, and ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Endpoints, Node as NodeObject, Pod};
use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use malha_cluster::{Deletion, Key, Kind, Object};
use tokio::time::{Instant, sleep};

use crate::node::{Harness, deployment, service};

fn pod(harness: &Harness) -> Pod {
    harness.cluster.read(|store| Pod::clone(store.list::<Pod>().next().unwrap()))
}

fn container(harness: &Harness) -> ContainerStatus {
    pod(harness).status.unwrap().container_statuses.unwrap().remove(0)
}

/// `Running`, or why it waits.
fn state(harness: &Harness) -> String {
    let state = container(harness).state.unwrap();
    state.waiting.map_or_else(|| "Running".to_owned(), |waiting| waiting.reason.unwrap())
}

fn conditions(harness: &Harness) -> BTreeMap<String, String> {
    let conditions = pod(harness).status.unwrap().conditions.unwrap();
    conditions.into_iter().map(|condition| (condition.type_, condition.status)).collect()
}

fn is_ready(harness: &Harness) -> bool {
    conditions(harness)["Ready"] == "True"
}

/// `reason: message` of the events of pods, in order.
fn told(harness: &Harness) -> Vec<String> {
    let mut events = harness.cluster.events();
    events.sort_by_key(|event| event.metadata.resource_version.as_ref().unwrap().parse::<u64>().unwrap());
    let of_pods = events.iter().filter(|event| event.involved_object.kind.as_deref() == Some("Pod"));
    of_pods.map(|event| format!("{}: {}", event.reason.clone().unwrap(), event.message.clone().unwrap())).collect()
}

async fn wait(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_is_told_step_by_step_as_the_kubelet_tells_it() {
    let harness = Harness::new();
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", "")).await;
    let pod = pod(&harness);
    let name = pod.metadata.name.clone().unwrap();
    assert_eq!(
        told(&harness),
        [
            format!("Scheduled: Successfully assigned default/{name} to malha"),
            "Pulled: Container image \"workshop:0.0.1\" already present on machine".to_owned(),
            "Created: Created container: app".to_owned(),
            "Started: Started container app".to_owned(),
        ]
    );
    let started =
        harness.cluster.events().into_iter().find(|event| event.reason.as_deref() == Some("Started")).unwrap();
    assert_eq!(started.involved_object.field_path.as_deref(), Some("spec.containers{app}"));
    assert_eq!(started.involved_object.uid, pod.metadata.uid);
    assert_eq!(started.source.as_ref().unwrap().component.as_deref(), Some("kubelet"));
    assert!(conditions(&harness).values().all(|status| status == "True") && conditions(&harness).len() == 5);
    assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some("malha"));
    assert_eq!(pod.metadata.generation, Some(1), "being bound to a node is no change of what is wanted");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_start_is_tried_again_less_and_less_often() {
    let harness = Harness::new();
    let start = Instant::now();
    harness.apply(&deployment("posts", 1, "panic:1", "")).await;
    assert_eq!(state(&harness), "RunContainerError");
    let mut restarts = vec![0];
    let mut states = Vec::new();
    while start.elapsed() < Duration::from_secs(1_300) {
        wait(1).await;
        let now = container(&harness);
        if i32::try_from(restarts.len()).unwrap() <= now.restart_count {
            restarts.push(start.elapsed().as_secs());
        }
        states.push(state(&harness));
    }
    // As soon as it is noticed, then 10 s, 20 s, … after the failure before, at most 5 min.
    let gaps: Vec<u64> = restarts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(restarts[1] <= 2, "{restarts:?}");
    assert_eq!(gaps[1..], [10, 20, 40, 80, 160, 300, 300, 300], "{restarts:?}");
    assert!(states.iter().filter(|state| *state == "CrashLoopBackOff").count() > 1_200, "{states:?}");
    let (uid, name) = (pod(&harness).metadata.uid.unwrap(), pod(&harness).metadata.name.unwrap());
    let waiting = container(&harness).state.unwrap().waiting.unwrap();
    let want = format!("back-off 5m0s restarting failed container=app pod={name}_default({uid})");
    assert_eq!(waiting.message, Some(want));
    let last = container(&harness).last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (128, Some("StartError")));
    let back_off = format!("BackOff: Back-off restarting failed container app in pod {name}_default({uid})");
    assert!(told(&harness).contains(&back_off));
    assert_eq!(pod(&harness).status.unwrap().phase.as_deref(), Some("Running"), "it is being restarted");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_missing_has_its_own_states_and_its_own_back_off() {
    let harness = Harness::new();
    harness.apply(&deployment("posts", 1, "missing:1", "")).await;
    assert_eq!(state(&harness), "ErrImagePull");
    wait(2).await;
    assert_eq!(state(&harness), "ImagePullBackOff");
    let waiting = container(&harness).state.unwrap().waiting.unwrap();
    let want = "Back-off pulling image \"missing:1\": ErrImagePull: no image missing:1; run malha build";
    assert_eq!(waiting.message.as_deref(), Some(want));
    wait(9).await;
    assert_eq!((state(&harness).as_str(), harness.node.0.lock().starts), ("ErrImagePull", 2));
    wait(15).await;
    assert_eq!((state(&harness).as_str(), harness.node.0.lock().starts), ("ImagePullBackOff", 2));
    let told = told(&harness);
    for want in [
        "Pulling: Pulling image \"missing:1\"",
        "Failed: Failed to pull image \"missing:1\": no image missing:1; run malha build",
        "Failed: Error: ErrImagePull",
        "BackOff: Back-off pulling image \"missing:1\"",
        "Failed: Error: ImagePullBackOff",
    ] {
        assert!(told.iter().any(|event| event == want), "{want}: {told:?}");
    }
    assert_eq!(pod(&harness).status.unwrap().phase.as_deref(), Some("Pending"));

    let harness = Harness::new();
    harness.apply(&deployment("posts", 1, "missing:1", "        imagePullPolicy: Never")).await;
    wait(5).await;
    assert_eq!(state(&harness), "ErrImageNeverPull");
    let want = "ErrImageNeverPull: Container image \"missing:1\" is not present with pull policy of Never";
    assert!(self::told(&harness).iter().any(|event| event == want));
}

#[tokio::test(start_paused = true)]
async fn readiness_decides_who_gets_requests() {
    let harness = Harness::new();
    harness.node.0.lock().health.insert("/ready".into(), 503);
    let probe = "        readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 5, failureThreshold: 2}";
    harness.apply(&(deployment("posts", 1, "workshop:0.0.1", probe) + &service("posts", ""))).await;
    let behind = |harness: &Harness| harness.behind("posts-service", 80).unwrap().len();
    assert_eq!((state(&harness).as_str(), is_ready(&harness), behind(&harness)), ("Running", false, 0));
    assert!(
        told(&harness)
            .contains(&"Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503".to_owned())
    );
    harness.node.0.lock().health.clear();
    wait(6).await;
    assert_eq!((is_ready(&harness), behind(&harness)), (true, 1));
    // Nothing is said in time.
    harness.node.0.lock().health.insert("/ready".into(), 0);
    wait(9).await;
    assert!(is_ready(&harness), "once is no pattern");
    wait(3).await;
    assert_eq!((is_ready(&harness), behind(&harness)), (false, 0));
    let ip = pod(&harness).status.unwrap().pod_ip.unwrap();
    let want = format!(
        "Unhealthy: Readiness probe failed: Get \"http://{ip}:80/ready\": context deadline exceeded \
         (Client.Timeout exceeded while awaiting headers)"
    );
    assert!(told(&harness).contains(&want), "{:?}", told(&harness));
    assert_eq!(container(&harness).restart_count, 0);
}

#[tokio::test(start_paused = true)]
async fn the_startup_probe_has_its_time_before_liveness_is_asked_for() {
    let harness = Harness::new();
    harness.node.0.lock().health.insert("/start".into(), 500);
    let probes = "        startupProbe: {httpGet: {path: /start, port: 80}, periodSeconds: 1, failureThreshold: 20}
        livenessProbe: {httpGet: {path: /live, port: 80}, periodSeconds: 3}
        readinessProbe: {httpGet: {path: /ready, port: 80}, periodSeconds: 3}";
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", probes)).await;
    wait(10).await;
    assert_eq!(container(&harness).started, Some(false));
    harness.node.0.lock().health.clear();
    wait(1).await;
    assert!(is_ready(&harness), "asked as soon as it has started");
    wait(10).await;
    let paths: Vec<String> = harness.node.0.lock().probes.iter().map(|(_, path)| path.clone()).collect();
    let last_start = paths.iter().rposition(|path| path == "/start").unwrap();
    assert!(paths[..last_start].iter().all(|path| path == "/start"), "{paths:?}");
    assert!(paths[last_start..].iter().any(|path| path == "/live"), "{paths:?}");
    assert_eq!(container(&harness).restart_count, 0);
}

#[tokio::test(start_paused = true)]
async fn liveness_that_fails_starts_the_container_again_with_a_log_of_its_own() {
    let harness = Harness::new();
    let probe = "        livenessProbe: {httpGet: {path: /live, port: 80}, periodSeconds: 5, failureThreshold: 2}";
    harness.apply(&(deployment("posts", 1, "workshop:0.0.1", probe) + &service("posts", ""))).await;
    let key = Key::new(Kind::Pod, "default", pod(&harness).metadata.name.unwrap());
    assert!(harness.cluster.log(&key, false).is_some() && harness.cluster.log(&key, true).is_none());
    harness.node.0.lock().health.insert("/live".into(), 500);
    wait(11).await;
    assert_eq!((container(&harness).restart_count, state(&harness).as_str()), (1, "Running"));
    assert!(harness.cluster.log(&key, true).is_some());
    let told = told(&harness);
    assert!(told.contains(&"Killing: Container app failed liveness probe, will be restarted".to_owned()), "{told:?}");
    let last = container(&harness).last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (0, Some("Completed")));
    // Whoever fails again and again waits in the end.
    let start = Instant::now();
    while state(&harness) != "CrashLoopBackOff" {
        wait(1).await;
        assert!(start.elapsed() < Duration::from_mins(2));
    }
    assert_eq!(harness.behind("posts-service", 80), Some(vec![]));
    assert!(harness.node.0.lock().faults.is_empty(), "{:?}", harness.node.0.lock().faults);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ends_by_itself_is_started_again_with_a_back_off() {
    let harness = Harness::new();
    let start = Instant::now();
    harness.apply(&(deployment("posts", 1, "workshop:0.0.1", "") + &service("posts", ""))).await;
    let key = Key::new(Kind::Pod, "default", pod(&harness).metadata.name.unwrap());
    let (mut states, mut restarts) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        harness.node.kill();
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        // Out of the endpoints at once, and to be seen for what it is until the kubelet has noticed.
        let ended = container(&harness).state.unwrap().terminated.unwrap();
        assert_eq!((ended.exit_code, ended.reason.as_deref()), (137, Some("Error")));
        assert!(!is_ready(&harness) && pod(&harness).status.unwrap().phase.as_deref() == Some("Running"));
        assert_eq!(harness.behind("posts-service", 80), Some(vec![]));
        let killed = Instant::now();
        // A little more than whole seconds, so that what is due then is done.
        sleep(Duration::from_millis(2_010)).await;
        states.push(state(&harness));
        while state(&harness) != "Running" {
            wait(1).await;
        }
        restarts.push(killed.elapsed().as_secs());
        let last = container(&harness).last_state.unwrap().terminated.unwrap();
        assert_eq!((last.exit_code, last.reason.as_deref()), (137, Some("Error")));
        assert!(is_ready(&harness) && harness.behind("posts-service", 80).unwrap().len() == 1);
        assert!(harness.cluster.log(&key, true).is_some());
    }
    // The first time as soon as it is noticed, then 10 s after the end, 20 s, …
    assert_eq!(states, ["Running", "CrashLoopBackOff", "CrashLoopBackOff", "CrashLoopBackOff"]);
    assert_eq!(restarts, [2, 10, 20, 40]);
    assert_eq!(container(&harness).restart_count, 4);
    let back_off = format!("BackOff: Back-off restarting failed container app in pod {}", key.name);
    assert!(told(&harness).iter().any(|event| event.starts_with(&back_off)), "{:?}", told(&harness));
    assert!(start.elapsed() < Duration::from_secs(90));
    assert!(harness.node.0.lock().faults.is_empty(), "{:?}", harness.node.0.lock().faults);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_dies_while_it_is_to_end_is_not_said_to_have_completed() {
    let harness = Harness::new();
    let more = "        lifecycle: {preStop: {sleep: {seconds: 5}}}
        livenessProbe: {httpGet: {path: /live, port: 80}, periodSeconds: 5, failureThreshold: 1}";
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", more)).await;
    harness.node.0.lock().health.insert("/live".into(), 500);
    wait(6).await;
    harness.node.kill();
    wait(6).await;
    let last = container(&harness).last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, container(&harness).restart_count), (137, 1));
    // One that nobody wants any more does not come back.
    harness.node.kill();
    harness.delete(Kind::Deployment, "posts").await.unwrap();
    wait(60).await;
    assert!(harness.cluster.pods().is_empty() && harness.node.0.lock().running.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_never_starts_again_is_not_said_to() {
    let harness = Harness::new();
    let probe = "        livenessProbe: {httpGet: {path: /live, port: 80}, periodSeconds: 5, failureThreshold: 2}";
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", probe)).await;
    let mut alone = pod(&harness);
    alone.metadata =
        ObjectMeta { name: Some("alone".to_owned()), namespace: Some("default".to_owned()), ..ObjectMeta::default() };
    let spec = alone.spec.as_mut().unwrap();
    (spec.restart_policy, spec.node_name) = (Some("Never".to_owned()), None);
    harness.delete(Kind::Deployment, "posts").await.unwrap();
    harness.cluster.write(|registry| registry.create(Object::Pod(Arc::new(alone)), false)).unwrap();
    harness.cluster.settled().await;
    harness.node.0.lock().health.insert("/live".into(), 500);
    wait(11).await;
    let told = told(&harness);
    assert!(told.contains(&"Killing: Container app failed liveness probe".to_owned()), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_pod_that_never_answers() {
    let harness = Harness::new();
    harness.node.0.lock().health.insert("/".into(), 0);
    let probe = "        startupProbe: {httpGet: {port: 80}, periodSeconds: 1, failureThreshold: 600}";
    let start = Instant::now();
    harness.apply(&deployment("posts", 3, "workshop:0.0.1", probe)).await;
    assert_eq!(start.elapsed(), Duration::from_secs(1), "the first answer, or its time");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_cannot_be_made_says_so_and_harms_nobody() {
    let harness = Harness::new();
    let probes = "        livenessProbe: {exec: {command: [\"true\"]}}
        readinessProbe: {tcpSocket: {port: http}}";
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", probes)).await;
    wait(120).await;
    assert!(is_ready(&harness) && container(&harness).restart_count == 0);
    let want = "Unhealthy: Liveness probe errored and resulted in unknown state: \
                the Spin shim runs no command in a container; use httpGet";
    assert!(told(&harness).contains(&want.to_owned()), "{:?}", told(&harness));
}

fn endpoint(harness: &Harness) -> Option<EndpointConditions> {
    harness.cluster.read(|store| {
        let slice = store.list::<EndpointSlice>().next()?;
        slice.endpoints.first()?.conditions.clone()
    })
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_leaves_in_stages() {
    let harness = Harness::new();
    let hook = "        lifecycle: {preStop: {sleep: {seconds: 5}}}";
    harness.apply(&(deployment("posts", 1, "workshop:0.0.1", hook) + &service("posts", ""))).await;
    let (name, uid) = (pod(&harness).metadata.name.unwrap(), pod(&harness).metadata.uid.unwrap());
    harness.apply(&deployment("posts", 0, "workshop:0.0.1", hook)).await;
    // It is no endpoint any more, and serves on.
    assert_eq!(harness.behind("posts-service", 80), Some(vec![]));
    let conditions = endpoint(&harness).unwrap();
    assert_eq!((conditions.ready, conditions.serving, conditions.terminating), (Some(false), Some(true), Some(true)));
    let addresses =
        harness.cluster.read(|store| store.get::<Endpoints>("default", "posts-service").unwrap().subsets.clone());
    assert_eq!(addresses, None);
    assert_eq!(pod(&harness).metadata.deletion_grace_period_seconds, Some(30));
    assert!(told(&harness).contains(&"Killing: Stopping container app".to_owned()));
    wait(4).await;
    assert!(harness.node.0.lock().running.contains_key(&uid));
    wait(2).await;
    assert!(harness.node.0.lock().running.is_empty() && harness.cluster.pods().is_empty());
    assert_eq!(endpoint(&harness), None);
    // The last that a watch shows before it is gone: how its container ended.
    let last = harness.cluster.read(|store| {
        let of_pod = store
            .since(0)
            .unwrap()
            .filter(|change| change.object.key() == Key::new(Kind::Pod, "default", name.as_str()));
        of_pod.last().unwrap().object.clone()
    });
    let Object::Pod(last) = last else { panic!("a pod") };
    let status = last.status.clone().unwrap();
    assert_eq!(status.phase.as_deref(), Some("Succeeded"));
    assert!(status.container_statuses.unwrap()[0].state.as_ref().unwrap().terminated.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_grace_period_ends_what_sleeps_too_long_and_zero_ends_it_at_once() {
    let hook = "        lifecycle: {preStop: {sleep: {seconds: 20}}}\n      terminationGracePeriodSeconds: 20";
    for (grace, after) in [(None, 20), (Some(10), 10), (Some(3), 3), (Some(0), 0)] {
        let harness = Harness::new();
        harness.apply(&deployment("posts", 1, "workshop:0.0.1", hook)).await;
        let uid = pod(&harness).metadata.uid.unwrap();
        let key = Key::new(Kind::Pod, "default", pod(&harness).metadata.name.unwrap());
        let deletion = Deletion { grace_period_seconds: grace, ..Deletion::default() };
        let start = Instant::now();
        harness.cluster.write(|registry| registry.delete(&key, &deletion)).unwrap();
        while harness.node.0.lock().running.contains_key(&uid) {
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(start.elapsed().as_secs(), after, "{grace:?}");
        harness.cluster.settled().await;
        assert!(harness.cluster.read(|store| store.find(&key).is_none()));
        let pods = harness.cluster.pods();
        assert!(pods.len() == 1 && pods[0].ready, "its set has made another");
        assert!(harness.node.0.lock().faults.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_deletion_can_only_hurry() {
    let harness = Harness::new();
    let hook = "        lifecycle: {preStop: {sleep: {seconds: 20}}}";
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", hook)).await;
    let key = Key::new(Kind::Pod, "default", pod(&harness).metadata.name.unwrap());
    let delete = |seconds| {
        let deletion = Deletion { grace_period_seconds: Some(seconds), ..Deletion::default() };
        harness.cluster.write(|registry| registry.delete(&key, &deletion)).unwrap();
    };
    delete(30);
    wait(5).await;
    delete(2);
    delete(60);
    wait(3).await;
    assert!(harness.cluster.read(|store| store.find(&key).is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_no_node_fits_waits_for_one() {
    let harness = Harness::new();
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", "      nodeSelector: {disk: ssd}")).await;
    let pending = pod(&harness);
    assert_eq!((pending.spec.unwrap().node_name, pending.status.unwrap().container_statuses), (None, None));
    assert_eq!(conditions(&harness), [("PodScheduled".to_owned(), "False".to_owned())].into());
    let want = "FailedScheduling: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. \
                preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert_eq!(told(&harness), [want]);
    harness.cluster.write(|registry| {
        let mut node = NodeObject::clone(registry.store().get::<NodeObject>("", "malha").unwrap());
        node.metadata.labels.as_mut().unwrap().insert("disk".into(), "ssd".into());
        registry.update(malha_cluster::Stored::into_object(node), malha_cluster::Part::Whole, false).unwrap();
    });
    harness.cluster.settled().await;
    assert!(is_ready(&harness));
}

#[tokio::test(start_paused = true)]
async fn the_node_is_there_and_ready_from_the_start() {
    let harness = Harness::new();
    let node = harness.cluster.read(|store| NodeObject::clone(store.get::<NodeObject>("", "malha").unwrap()));
    let status = node.status.unwrap();
    let ready = status.conditions.unwrap().into_iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("True", Some("KubeletReady")));
    assert!(status.node_info.unwrap().container_runtime_version.starts_with("malha://"));
    assert_eq!(status.capacity, status.allocatable);
}
