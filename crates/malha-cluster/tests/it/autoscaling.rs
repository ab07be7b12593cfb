//! `HorizontalPodAutoscaler`s: pods whose use of the CPU a test sets, and what follows, under paused time.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus};
use malha_cluster::{Described, Kind, Part, Stored};
use tokio::time::sleep;

use crate::node::{Harness, deployment, service};

/// The autoscaler of `k8s/02-hpa.yml`, or another: `more` goes into its spec.
fn scaler(most: u32, metrics: &str, more: &str) -> String {
    format!(
        "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: posts}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: posts}}
  maxReplicas: {most}
  metrics: [{metrics}]
{more}
---"
    )
}

const CPU: &str = "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 20}}}";

/// Ten requests a second for each pod.
const RATE: &str =
    "{type: Pods, pods: {metric: {name: istio_requests_per_second}, target: {type: AverageValue, averageValue: '10'}}}";

/// Posts, each with a limit of a tenth of a processor.
fn posts(replicas: u32) -> String {
    deployment("posts", replicas, "workshop:1", "        resources: {limits: {cpu: 100m, memory: 128M}}")
}

async fn after(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
    // What is due at that moment is done.
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

fn status(harness: &Harness) -> HorizontalPodAutoscalerStatus {
    let get = |store: &malha_cluster::Store| store.get::<HorizontalPodAutoscaler>("default", "posts").cloned();
    harness.cluster.read(get).unwrap().status.clone().unwrap_or_default()
}

/// Of a condition: whether it holds, its reason and its message.
fn condition(harness: &Harness, type_: &str) -> (String, String, String) {
    let conditions = status(harness).conditions.unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition.type_ == type_).unwrap();
    (found.status, found.reason.unwrap(), found.message.unwrap())
}

fn said(status: &str, reason: &str, message: &str) -> (String, String, String) {
    (status.to_owned(), reason.to_owned(), message.to_owned())
}

/// The replicas that are wanted, and the pods that are ready.
fn size(harness: &Harness) -> (i32, usize) {
    let wanted = |store: &malha_cluster::Store| {
        store.get::<Deployment>("default", "posts").unwrap().spec.as_ref().unwrap().replicas.unwrap()
    };
    (harness.cluster.read(wanted), harness.cluster.pods().iter().filter(|pod| pod.ready).count())
}

/// `reason: message` of the events of the autoscaler, in the order of their names.
fn events(harness: &Harness) -> Vec<String> {
    let events = harness.cluster.events().into_iter();
    let own = events.filter(|event| event.involved_object.kind.as_deref() == Some("HorizontalPodAutoscaler"));
    own.map(|event| {
        assert_eq!(event.source.as_ref().unwrap().component.as_deref(), Some("horizontal-pod-autoscaler"));
        format!("{}: {}", event.reason.clone().unwrap(), event.message.clone().unwrap())
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn replicas_rise_under_load_and_fall_after_the_window() {
    let harness = Harness::new();
    harness.apply(&posts(1)).await;
    // Longer than a pod counts as starting.
    after(400).await;
    harness.apply(&scaler(10, CPU, "")).await;
    // 200 % of a tenth of a processor, which all pods share.
    harness.node.load(Duration::from_millis(200));
    let mut sizes = Vec::new();
    for _ in 0..8 {
        after(15).await;
        sizes.push(size(&harness));
    }
    // To four at most, then doubled.
    assert_eq!(sizes, [(4, 4), (8, 8), (10, 10), (10, 10), (10, 10), (10, 10), (10, 10), (10, 10)]);
    let metrics = status(&harness).current_metrics.unwrap();
    let cpu = &metrics[0].resource.as_ref().unwrap().current;
    assert_eq!((cpu.average_utilization, &*cpu.average_value.as_ref().unwrap().0), (Some(20), "20m"));
    let last = status(&harness);
    assert_eq!((last.current_replicas, last.desired_replicas), (Some(10), 10));
    assert_eq!(
        condition(&harness, "ScalingActive"),
        said(
            "True",
            "ValidMetricFound",
            "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"
        )
    );

    harness.node.load(Duration::ZERO);
    let mut still = 0;
    while size(&harness).0 == 10 {
        after(15).await;
        still += 15;
        assert!(still < 600, "it never falls");
        if still == 60 {
            assert_eq!(
                condition(&harness, "AbleToScale"),
                said(
                    "True",
                    "ScaleDownStabilized",
                    "recent recommendations were higher than current one, applying the highest recent recommendation"
                )
            );
        }
    }
    assert!((300..=330).contains(&still), "{still}");
    assert_eq!(size(&harness).0, 1);
    assert_eq!(
        condition(&harness, "AbleToScale"),
        said("True", "SucceededRescale", "the HPA controller was able to update the target scale to 1")
    );
    // New pods have not been measured yet, and count for nothing: what holds is the recommendation before, and that has no
    // reason, as in Kubernetes.
    assert_eq!(
        events(&harness),
        [
            "SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of request) above target",
            "SuccessfulRescale: New size: 8; reason: ",
            "SuccessfulRescale: New size: 10; reason: ",
            "SuccessfulRescale: New size: 1; reason: All metrics below target",
        ]
    );
    assert_eq!(harness.node.0.lock().faults, Vec::<String>::new());
    // With the last autoscaler, measuring ends: nothing is due any more but what events are due for.
    let measured = harness.node.0.lock().measured;
    harness.delete(Kind::HorizontalPodAutoscaler, "posts").await.unwrap();
    after(120).await;
    assert_eq!(harness.node.0.lock().measured, measured);
}

#[tokio::test(start_paused = true)]
async fn behavior_says_how_fast() {
    let harness = Harness::new();
    harness.apply(&posts(1)).await;
    after(400).await;
    let behavior = "
  behavior:
    scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 30}]}
    scaleDown: {stabilizationWindowSeconds: 0, policies: [{type: Percent, value: 50, periodSeconds: 60}]}";
    harness.apply(&scaler(10, CPU, behavior)).await;
    harness.node.load(Duration::from_millis(60));
    let mut sizes = Vec::new();
    for _ in 0..6 {
        after(15).await;
        sizes.push(size(&harness).0);
    }
    assert_eq!(sizes, [2, 2, 3, 3, 3, 3]);
    harness.node.load(Duration::ZERO);
    let mut sizes = Vec::new();
    for _ in 0..6 {
        after(15).await;
        sizes.push(size(&harness).0);
    }
    assert_eq!(sizes, [1; 6]);
}

/// One look at an autoscaler that cannot do its work: the target, the autoscaler, one condition, and an event.
struct Trouble {
    target: String,
    scaler: String,
    about: &'static str,
    condition: (&'static str, &'static str, String),
    /// Without one if empty. `POD` stands for the pod's name, here and in the condition.
    event: String,
}

impl Trouble {
    async fn happens(self) {
        let Self { target, scaler, about, condition: (status, reason, message), event } = self;
        let harness = Harness::new();
        if !target.is_empty() {
            harness.apply(&target).await;
        }
        after(400).await;
        assert!(harness.apply(&scaler).await.iter().all(Result::is_ok), "{message}");
        after(20).await;
        let pod = harness.cluster.pods().first().map(|pod| pod.name.clone()).unwrap_or_default();
        assert_eq!(condition(&harness, about), said(status, reason, &message.replace("POD", &pod)));
        if !event.is_empty() {
            assert!(events(&harness).contains(&event.replace("POD", &pod)), "{event}: {:#?}", events(&harness));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_target_is_said_in_kubernetes_words() {
    let above = scaler(2, CPU, "");
    let unable = "the HPA controller was unable to get the target's current scale: ";
    let missing = "deployments/scale.apps \"posts\" not found";
    let unknown = "no matches for kind \"StatefulSet\" in group \"apps\"";
    let several = "pods by selector app=posts are controlled by multiple HPAs: [{others default} {posts default}]";
    for trouble in [
        Trouble {
            target: String::new(),
            scaler: above.clone(),
            about: "AbleToScale",
            condition: ("False", "FailedGetScale", format!("{unable}{missing}")),
            event: format!("FailedGetScale: {missing}"),
        },
        Trouble {
            target: String::new(),
            scaler: above.replace("kind: Deployment", "kind: StatefulSet"),
            about: "AbleToScale",
            condition: ("False", "FailedGetScale", format!("{unable}{unknown}")),
            event: format!("FailedGetScale: {unknown}"),
        },
        Trouble {
            target: posts(0),
            scaler: above.clone(),
            about: "ScalingActive",
            condition: (
                "False",
                "ScalingDisabled",
                "scaling is disabled since the replica count of the target is zero".to_owned(),
            ),
            event: String::new(),
        },
        Trouble {
            target: posts(3),
            scaler: above.clone(),
            about: "AbleToScale",
            condition: (
                "True",
                "SucceededRescale",
                "the HPA controller was able to update the target scale to 2".to_owned(),
            ),
            event: "SuccessfulRescale: New size: 2; reason: Current number of replicas above Spec.MaxReplicas"
                .to_owned(),
        },
        Trouble {
            target: posts(1),
            scaler: format!("{above}{}", above.replace("name: posts}\nspec", "name: others}\nspec")),
            about: "ScalingActive",
            condition: ("False", "AmbiguousSelector", several.to_owned()),
            event: format!("AmbiguousSelector: {several}"),
        },
    ] {
        trouble.happens().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_metrics_is_said_in_kubernetes_words() {
    let unable = "the HPA was unable to compute the replica count: ";
    let unrequested = "failed to get cpu utilization: missing request for cpu in container app of Pod POD";
    let unmeasured = "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource \
                      metrics API";
    let unknown = "unable to get metric packets: unable to fetch metrics from custom metrics API: the server could not find the \
                   metric packets for pods";
    let packets = RATE.replace("istio_requests_per_second", "packets");
    let uncalled = "unable to get metric istio_requests_per_second: unable to fetch metrics from custom metrics API: no metrics \
                    returned from custom metrics API";
    let first = "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: ";
    for trouble in [
        Trouble {
            target: deployment("posts", 1, "workshop:1", ""),
            scaler: scaler(2, CPU, ""),
            about: "ScalingActive",
            condition: ("False", "FailedGetResourceMetric", format!("{unable}{unrequested}")),
            event: format!("{first}failed to get cpu resource metric value: {unrequested}"),
        },
        Trouble {
            target: posts(1).replace("workshop:1", "missing:1"),
            scaler: scaler(2, CPU, ""),
            about: "ScalingActive",
            condition: ("False", "FailedGetResourceMetric", format!("{unable}{unmeasured}")),
            event: format!("FailedGetResourceMetric: {unmeasured}"),
        },
        Trouble {
            target: posts(1),
            scaler: scaler(2, &packets, ""),
            about: "ScalingActive",
            condition: ("False", "FailedGetPodsMetric", format!("{unable}{unknown}")),
            event: format!("{first}failed to get pods metric value: {unknown}"),
        },
        Trouble {
            target: posts(1),
            scaler: scaler(2, RATE, ""),
            about: "ScalingActive",
            condition: ("False", "FailedGetPodsMetric", format!("{unable}{uncalled}")),
            event: format!("FailedGetPodsMetric: {uncalled}"),
        },
        // One of two is enough to grow, and not to shrink.
        Trouble {
            target: posts(1),
            scaler: scaler(2, &format!("{CPU}, {packets}"), ""),
            about: "ScalingActive",
            condition: ("False", "FailedGetPodsMetric", format!("{unable}{unknown}")),
            event: format!("FailedGetPodsMetric: {unknown}"),
        },
    ] {
        trouble.happens().await;
    }
}

#[tokio::test(start_paused = true)]
async fn replicas_follow_the_requests_that_reach_the_pods() {
    let harness = Harness::new();
    harness.apply(&posts(1)).await;
    harness.apply(&scaler(10, RATE, "")).await;
    harness.node.call(60.0);
    let mut sizes = Vec::new();
    for _ in 0..10 {
        after(15).await;
        sizes.push(size(&harness).0);
    }
    // The second look has a rate, of a series that is half as long as the minute that it is taken over. New pods have none at
    // first, and count for nothing.
    assert_eq!(sizes[0], 1);
    assert_eq!(sizes[9], 6, "{sizes:?}");
    assert!(sizes.is_sorted(), "{sizes:?}");
    // A minute after the last of them has come, the rates are whole.
    after(60).await;
    let metrics = status(&harness).current_metrics.unwrap();
    let rate = metrics[0].pods.as_ref().unwrap();
    assert_eq!(
        (&*rate.metric.name, &*rate.current.average_value.as_ref().unwrap().0),
        ("istio_requests_per_second", "10")
    );
    let message =
        "the HPA was able to successfully calculate a replica count from pods metric istio_requests_per_second";
    assert_eq!(condition(&harness, "ScalingActive"), said("True", "ValidMetricFound", message));
    let grown = events(&harness)
        .iter()
        .any(|event| event.ends_with("reason: pods metric istio_requests_per_second above target"));
    assert!(grown, "{:?}", events(&harness));

    harness.node.call(0.0);
    let mut still = 0;
    while size(&harness).0 == 6 {
        after(15).await;
        still += 15;
        assert!(still < 600, "it never falls");
    }
    // The window begins with the last look that asked for six: the rate takes a minute to fall.
    assert!((300..=375).contains(&still), "{still}");
    after(120).await;
    assert_eq!(size(&harness).0, 1);
    assert_eq!(
        &*status(&harness).current_metrics.unwrap()[0].pods.as_ref().unwrap().current.average_value.as_ref().unwrap().0,
        "0"
    );
}

#[tokio::test(start_paused = true)]
async fn the_requests_of_an_object_are_those_of_its_pods() {
    let object = |kind: &str, name: &str, target: &str| {
        format!(
            "{{type: Object, object: {{metric: {{name: istio_requests_per_second}}, describedObject: {{{kind}, name: {name}}}, \
             target: {{{target}}}}}}}"
        )
    };
    let (service_, deployment_) = ("apiVersion: v1, kind: Service", "apiVersion: apps/v1, kind: Deployment");
    for (metric, want, shown, named) in [
        (object(service_, "posts-service", "type: Value, value: 30"), 2, "value: 45", "Service metric"),
        (object(deployment_, "posts", "type: AverageValue, averageValue: 15"), 3, "average: 45", "external metric"),
        (
            object("apiVersion: v1, kind: Namespace", "default", "type: AverageValue, averageValue: 22500m"),
            2,
            "average: 45",
            "external metric",
        ),
        // The oldest Service of a pod has its requests.
        (object(service_, "other", "type: Value, value: 30"), 1, "none", ""),
    ] {
        let harness = Harness::new();
        harness.apply(&format!("{}{}", posts(1), service("posts", ""))).await;
        after(5).await;
        harness.apply(&service("posts", "").replace("posts-service", "other")).await;
        harness.node.call(45.0);
        // Somebody asks, and so there is a whole minute of samples when the autoscaler first looks.
        harness.cluster.request_rates();
        after(90).await;
        harness.apply(&scaler(10, &metric, "")).await;
        after(15).await;
        let metrics = status(&harness).current_metrics.unwrap_or_default();
        let current = metrics.first().and_then(|metric| metric.object.as_ref()).map(|object| &object.current);
        let current = current.map(|current| (current.value.as_ref(), current.average_value.as_ref()));
        let current = current.map(|(value, average)| {
            [("value", value), ("average", average)]
                .map(|(name, value)| value.map(|value| format!("{name}: {}", value.0)))
        });
        let current = current.into_iter().flatten().flatten().next().unwrap_or_else(|| "none".to_owned());
        assert_eq!((size(&harness).0, current.as_str()), (want, shown), "{metric}");
        let (_, _, message) = condition(&harness, "ScalingActive");
        assert!(message.contains(named), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_metrics_the_one_that_asks_for_more_counts() {
    for (cpu, calls, want, metric) in [
        (80, 20.0, 4, "cpu resource utilization (percentage of request)"),
        (20, 50.0, 5, "pods metric istio_requests_per_second"),
    ] {
        let harness = Harness::new();
        harness.apply(&posts(1)).await;
        harness.node.load(Duration::from_millis(cpu));
        harness.node.call(calls);
        after(400).await;
        harness.apply(&scaler(10, &format!("{CPU}, {RATE}"), "")).await;
        after(360).await;
        assert_eq!(size(&harness).0, want, "{cpu} {calls}");
        let events = events(&harness);
        assert!(events.iter().any(|event| event.contains(&format!("reason: {metric} above target"))), "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_the_rate_of_requests_has_it_measured() {
    let harness = Harness::new();
    harness.apply(&posts(2)).await;
    harness.node.call(30.0);
    let rate = || harness.cluster.request_rates().of("default", Described::Deployment("posts"));
    assert_eq!(rate(), None);
    after(90).await;
    assert_eq!(rate(), Some(30_000));
    // Nobody asks any more.
    after(400).await;
    let measured = harness.node.0.lock().measured;
    after(400).await;
    assert_eq!(harness.node.0.lock().measured, measured);
    assert_eq!(rate(), None);
}

#[tokio::test(start_paused = true)]
async fn a_users_size_is_taken_up_from_there() {
    let harness = Harness::new();
    harness.apply(&posts(1)).await;
    after(400).await;
    harness.apply(&scaler(10, CPU, "")).await;
    harness.node.load(Duration::from_millis(20));
    after(60).await;
    assert_eq!(size(&harness), (1, 1));
    let mut deployment = harness.cluster.read(|store| Deployment::clone(store.get("default", "posts").unwrap()));
    deployment.spec.as_mut().unwrap().replicas = Some(12);
    harness.cluster.write(|registry| registry.update(deployment.into_object(), Part::Whole, false)).unwrap();
    after(15).await;
    assert_eq!(size(&harness).0, 10);
}
