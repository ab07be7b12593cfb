//! Cases of Kubernetes' documentation ("Horizontal Pod Autoscaling", algorithm details) and of its `replica_calculator_test.go`.

use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_700_001_000;

/// A pod that started an hour ago and requests a whole processor, and what it uses.
#[derive(Clone, Copy)]
enum Is {
    Ready(i64),
    Unready(i64),
    /// Nobody has measured it.
    Unknown,
    Pending,
    Failed(i64),
    Leaving(i64),
}
use Is::{Failed, Leaving, Pending, Ready, Unknown, Unready};

fn time(second: u64) -> String {
    let second = i64::try_from(second).unwrap();
    k8s_openapi::jiff::Timestamp::from_second(second).unwrap().to_string()
}

fn pod(index: usize, is: Is) -> (Pod, Option<i64>) {
    let (phase, ready, used) = match is {
        Ready(used) | Leaving(used) => ("Running", "True", Some(used)),
        Unready(used) => ("Running", "False", Some(used)),
        Unknown => ("Running", "True", None),
        Pending => ("Pending", "False", None),
        Failed(used) => ("Failed", "False", Some(used)),
    };
    let start = time(NOW - 3_600);
    let deleted = matches!(is, Leaving(_)).then_some(&start);
    let pod = json!({
        "metadata": {"name": format!("p{index}"), "deletionTimestamp": deleted},
        "spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": "1", "memory": "1k"}}}]},
        "status": {
            "phase": phase,
            "startTime": start,
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": start}],
        },
    });
    (serde_json::from_value(pod).unwrap(), used)
}

fn asked(pods: &[Is], aim: Aim<'_>, current: i32) -> Result<Proposal, String> {
    asked_of("cpu", pods, aim, current)
}

/// By a metric without a resource's name: one of the mesh.
fn asked_of(resource: &str, pods: &[Is], aim: Aim<'_>, current: i32) -> Result<Proposal, String> {
    let pods: Vec<_> = pods.iter().enumerate().map(|(index, is)| pod(index, *is)).collect();
    let metric = |value| Metric { value, at: Duration::from_secs(NOW), window: Duration::from_secs(15) };
    let metrics = pods.iter().filter_map(|(pod, used)| Some((name(pod).to_owned(), metric((*used)?)))).collect();
    let pods: Vec<&Pod> = pods.iter().map(|(pod, _)| pod).collect();
    propose(&pods, &metrics, resource, aim, current, Duration::from_secs(NOW))
}

#[test]
fn replicas_follow_from_the_share_of_what_is_requested() {
    for (case, pods, target, current, want) in [
        ("twice the target doubles", vec![Ready(200)], 10, 1, 2),
        ("half the target halves", vec![Ready(50), Ready(50)], 10, 2, 1),
        ("more load", vec![Ready(300), Ready(500), Ready(700)], 30, 3, 5),
        ("less load", vec![Ready(100), Ready(300), Ready(500), Ready(250), Ready(250)], 50, 5, 3),
        ("a tenth above is tolerated", vec![Ready(110)], 10, 1, 1),
        ("a tenth below is tolerated", vec![Ready(90), Ready(90)], 10, 2, 2),
        ("more than a tenth is not", vec![Ready(120)], 10, 1, 2),
        ("tolerated, whatever the number of pods", vec![Ready(1_020)], 100, 3, 3),
        ("of what is ready, not of what is wanted", vec![Ready(200)], 10, 5, 2),
        ("unready pods hold growth back", vec![Unready(300), Ready(500), Ready(700)], 30, 3, 4),
        ("unready pods never turn growth", vec![Ready(400), Unready(500), Unready(700)], 30, 3, 3),
        ("unready pods do not count when shrinking", vec![Unready(900), Ready(100), Ready(100)], 20, 3, 1),
        ("pods that wait count as unready", vec![Pending, Ready(500), Ready(700)], 30, 3, 4),
        ("missing ones use all of it when shrinking", vec![Ready(400), Ready(95), Unknown, Unknown], 100, 4, 3),
        ("and the target where that is more", vec![Ready(400), Unknown], 200, 3, 2),
        ("missing ones use nothing when growing", vec![Ready(1_900), Unknown], 100, 2, 2),
        ("missing ones change nothing on target", vec![Ready(1_000), Unknown], 100, 2, 2),
        ("missing ones leave too small a change", vec![Ready(600), Unknown], 100, 2, 2),
        ("missing ones never turn shrinking", vec![Unready(100), Ready(450), Unknown], 50, 3, 3),
        ("missing and unready, growing", vec![Unready(100), Ready(2_000), Unknown], 50, 3, 4),
        ("missing and unready, shrinking", vec![Unready(100), Ready(100), Ready(100), Unknown], 50, 4, 3),
        ("ended and leaving pods do not count", vec![Failed(9_000), Leaving(9_000), Ready(200)], 10, 1, 2),
    ] {
        let proposal = asked(&pods, Aim::Utilization(target, None), current);
        assert_eq!(proposal.map(|proposal| proposal.replicas), Ok(want), "{case}");
    }
}

#[test]
fn replicas_follow_from_an_average() {
    for (case, pods, target, current, want) in [
        ("more load", vec![Ready(20), Ready(10), Ready(30)], 15, 3, 4),
        ("less load", vec![Ready(12), Ready(12), Ready(12), Ready(12), Ready(12)], 20, 5, 3),
        ("tolerated", vec![Ready(20), Ready(21), Ready(21)], 20, 3, 3),
        ("unready pods hold growth back", vec![Unready(50), Ready(50), Ready(100)], 30, 3, 5),
        ("missing ones use the target when shrinking", vec![Ready(10), Unknown], 40, 2, 2),
        ("missing ones use nothing when growing", vec![Ready(90), Unknown, Unknown], 20, 3, 5),
    ] {
        let proposal = asked(&pods, Aim::Average(target), current);
        assert_eq!(proposal.map(|proposal| proposal.replicas), Ok(want), "{case}");
    }
}

#[test]
fn replicas_follow_from_a_metric_of_the_pods() {
    let millis = |pods: &[i64]| pods.iter().map(|value| Ready(*value)).collect::<Vec<_>>();
    for (case, pods, target, current, want) in [
        ("more load", millis(&[20_000, 10_000, 30_000]), 15_000, 3, 4),
        ("less load", millis(&[12_000; 5]), 20_000, 5, 3),
        ("tolerated", millis(&[20_000, 21_000, 21_000]), 20_000, 3, 3),
        // Whether a pod is ready matters only to what it uses of the CPU.
        ("unready pods count, growing", vec![Ready(50_000), Ready(10_000), Unready(30_000)], 15_000, 3, 6),
        ("and more of them", vec![Unready(50_000), Ready(15_000), Unready(30_000)], 15_000, 3, 7),
        ("pods that wait get nothing", vec![Ready(30_000), Pending, Pending], 15_000, 3, 3),
        ("pods that nobody called get nothing", vec![Ready(60_000), Unknown], 15_000, 2, 4),
        ("or just enough, shrinking", vec![Ready(5_000), Unknown], 10_000, 2, 2),
        ("less than one a second", millis(&[900, 1_100]), 500, 2, 4),
    ] {
        let proposal = asked_of("", &pods, Aim::Average(target), current);
        assert_eq!(proposal.map(|proposal| proposal.replicas), Ok(want), "{case}");
    }
}

#[test]
fn replicas_follow_from_a_value_of_an_object() {
    for (case, ready, unready, value, target, current, want) in [
        ("more load", 3, 0, 20_000, 15_000, 3, 4),
        ("less load", 5, 0, 12_000, 20_000, 5, 3),
        ("tolerated", 3, 0, 20_666, 20_000, 3, 3),
        ("of what is ready", 1, 2, 50_000, 10_000, 3, 5),
        ("tolerated, whatever is ready", 1, 2, 10_500, 10_000, 3, 3),
        ("none is ready", 0, 2, 50_000, 10_000, 2, 0),
    ] {
        let states = [vec![Ready(0); ready], vec![Unready(0); unready]].concat();
        let pods: Vec<Pod> = states.iter().enumerate().map(|(index, is)| pod(index, *is).0).collect();
        let pods: Vec<&Pod> = pods.iter().collect();
        assert_eq!(by_value(&pods, value, target, current), Ok(want), "{case}");
    }
    let none = "unable to calculate ready pods: no pods returned by selector while calculating replica count";
    assert_eq!(by_value(&[], 20_000, 10_000, 1), Err(none.to_owned()));
}

#[test]
fn replicas_follow_from_each_ones_share_of_a_value() {
    for (case, value, target, running, want) in [
        ("more load", 40_000, 10_000, 3, (4, 13_334)),
        ("less load", 6_000, 2_000, 5, (3, 1_200)),
        ("tolerated", 8_076, 2_000, 4, (4, 2_019)),
    ] {
        assert_eq!(by_share(value, target, running), want, "{case}");
    }
}

#[test]
fn what_is_shown_is_what_was_measured() {
    let shown = |pods: &[Is], aim| asked(pods, aim, 3).map(|proposal| (proposal.utilization, proposal.average));
    let pods = [Unready(300), Ready(500), Ready(700)];
    assert_eq!(shown(&pods, Aim::Utilization(30, None)), Ok((Some(60), 600)));
    assert_eq!(shown(&pods, Aim::Average(30)), Ok((None, 600)));
    assert_eq!(shown(&[Ready(999), Ready(1_000)], Aim::Utilization(30, None)), Ok((Some(99), 999)));
}

#[test]
fn without_pods_metrics_or_requests_nothing_is_asked_for() {
    let aim = Aim::Utilization(50, None);
    let unready = "did not receive metrics for targeted pods (pods might be unready)";
    for (pods, aim, want) in [
        (vec![], aim, "no pods returned by selector while calculating replica count"),
        (vec![Unready(5), Unknown], aim, unready),
        (vec![Failed(5)], aim, unready),
        (vec![Ready(5)], Aim::Utilization(50, Some("proxy")), "container proxy not found in Pod p0"),
    ] {
        assert_eq!(asked(&pods, aim, 1), Err(want.to_owned()));
    }
    let (mut pod, _) = pod(0, Ready(5));
    pod.spec.as_mut().unwrap().containers[0].resources = None;
    let metric = Metric { value: 5, at: Duration::from_secs(NOW), window: Duration::from_secs(15) };
    let metrics = [("p0".to_owned(), metric)].into();
    assert_eq!(
        propose(&[&pod], &metrics, "cpu", aim, 1, Duration::from_secs(NOW)),
        Err("missing request for cpu in container app of Pod p0".to_owned())
    );
}

#[test]
fn what_a_starting_pod_uses_of_the_cpu_does_not_count() {
    // Seconds ago: the start, the last change of Ready, the measurement, whose window is 15 s.
    for (case, start, ready, since, measured, resource, counts) in [
        ("ready for a window", 60, "True", 30, 5, "cpu", true),
        ("ready for less than a window", 60, "True", 10, 5, "cpu", false),
        ("unready in its first five minutes", 299, "False", 100, 5, "cpu", false),
        ("unready, but it has been ready", 301, "False", 100, 5, "cpu", true),
        ("never ready", 301, "False", 272, 5, "cpu", false),
        ("memory counts from the start", 60, "False", 10, 5, "memory", true),
    ] {
        let status: Value = json!({
            "phase": "Running",
            "startTime": time(NOW - start),
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": time(NOW - since)}],
        });
        let (mut pod, _) = pod(0, Ready(5));
        pod.status = Some(serde_json::from_value(status).unwrap());
        let metric = Metric { value: 5, at: Duration::from_secs(NOW - measured), window: Duration::from_secs(15) };
        let metrics = [("p0".to_owned(), metric)].into();
        let groups = group(&[&pod], &metrics, resource, Duration::from_secs(NOW));
        assert_eq!((groups.ready == 1, groups.unready.is_empty()), (counts, counts), "{case}");
    }
}
