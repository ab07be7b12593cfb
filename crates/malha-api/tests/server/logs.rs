//! What containers print.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::json;

use super::harness::{Harness, Lines};
use super::verbs::deployment;

async fn with_pod(image: &str) -> (Harness, String, Option<Arc<Lines>>) {
    let harness = Harness::new();
    let mut object = deployment("a");
    object["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
    harness.post("/apis/apps/v1/namespaces/default/deployments", &object).await;
    if !image.starts_with("never") {
        harness.cluster.settled().await;
    }
    let pods = harness.get("/api/v1/namespaces/default/pods").await.json();
    let name = pods["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let lines = harness.node.0.lock().get(&name).cloned();
    (harness, format!("/api/v1/namespaces/default/pods/{name}/log"), lines)
}

#[tokio::test(start_paused = true)]
async fn lines_are_chosen_by_number_and_time() {
    let (harness, path, lines) = with_pod("workshop:0.0.1").await;
    let lines = lines.unwrap();
    for text in ["one", "two", "three"] {
        lines.write(harness.world.clock.now(), text);
        tokio::time::advance(Duration::from_millis(10_500)).await;
    }
    let read = |query: &'static str| {
        let (harness, path) = (&harness, &path);
        async move { harness.get(&format!("{path}?{query}")).await.text }
    };
    assert_eq!(read("").await, "one\ntwo\nthree\n");
    assert_eq!(read("container=app&tailLines=2").await, "two\nthree\n");
    assert_eq!(read("tailLines=0").await, "");
    assert_eq!(read("sinceSeconds=22").await, "two\nthree\n");
    assert_eq!(read("sinceTime=2023-11-14T22:13:40Z").await, "three\n");
    assert_eq!(read("limitBytes=6").await, "one\ntw");
    assert_eq!(read("timestamps=true&tailLines=1").await, "2023-11-14T22:13:41.000000000Z three\n");
    for (query, code, words) in [
        ("container=b", 400, "container b is not valid for pod"),
        ("previous=true", 400, "previous terminated container \"app\" in pod"),
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceTime=yesterday", 400, "parsing time"),
    ] {
        let failure = harness.get(&format!("{path}?{query}")).await.failure();
        assert_eq!(failure.0, code, "{query}");
        assert!(failure.2.contains(words), "{}", failure.2);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_gets_each_line_until_the_end() {
    let (harness, path, lines) = with_pod("workshop:0.0.1").await;
    let lines = lines.unwrap();
    let now = harness.world.clock.now();
    lines.write(now, "before");
    let mut body = harness.open(&format!("{path}?follow=true")).await.into_body();
    let mut next = async || body.frame().await.map(|frame| frame.unwrap().into_data().unwrap());
    assert_eq!(next().await.unwrap(), "before\n");
    lines.write(now, "one");
    assert_eq!(next().await.unwrap(), "one\n");
    lines.write(now, "two");
    lines.write(now, "three");
    lines.end();
    assert_eq!(next().await.unwrap(), "two\nthree\n");
    assert!(next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_has_not_started_says_why_there_is_no_log() {
    let (harness, path, _) = with_pod("never:1").await;
    let (code, _, message) = harness.get(&path).await.failure();
    assert_eq!(code, 400);
    assert!(message.ends_with("is waiting to start: ContainerCreating"), "{message}");
    let missing = harness.get("/api/v1/namespaces/default/pods/nosuch/log").await;
    assert_eq!(missing.json()["details"], json!({"name": "nosuch", "kind": "pods"}));
}

#[tokio::test(start_paused = true)]
async fn what_pods_use_is_a_rate() {
    let (harness, path, lines) = with_pod("workshop:0.0.1").await;
    let lines = lines.unwrap();
    let pods = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods";
    let first = harness.get(pods).await.json();
    assert_eq!(
        (&first["kind"], &first["items"][0]["containers"][0]["usage"]["cpu"]),
        (&json!("PodMetricsList"), &json!("0n"))
    );
    lines.write(harness.world.clock.now(), "a second of work");
    tokio::time::advance(Duration::from_secs(4)).await;
    let name = path.rsplit('/').nth(1).unwrap();
    let pod = harness.get(&format!("{pods}/{name}")).await.json();
    let want = json!({"name": "app", "usage": {"cpu": "250000000n", "memory": "3072Ki"}});
    assert_eq!((&pod["kind"], &pod["containers"][0], &pod["window"]), (&json!("PodMetrics"), &want, &json!("4.000s")));
    let node = harness.get("/apis/metrics.k8s.io/v1beta1/nodes/malha").await.json();
    assert_eq!(node["usage"], json!({"cpu": "250000000n", "memory": "3072Ki"}), "{node}");
    assert_eq!(harness.get(&format!("{pods}/nosuch")).await.failure().2, "pods.metrics.k8s.io \"nosuch\" not found");
}

#[tokio::test(start_paused = true)]
async fn the_rate_of_requests_is_a_custom_metric() {
    let (harness, path, lines) = with_pod("workshop:0.0.1").await;
    let lines = lines.unwrap();
    let name = path.rsplit('/').nth(1).unwrap();
    let base = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default";
    let all = format!("{base}/pods/*/istio_requests_per_second");
    let list = json!({
        "kind": "MetricValueList", "apiVersion": "custom.metrics.k8s.io/v1beta2", "metadata": {}, "items": [],
    });
    assert_eq!(harness.get(&all).await.json(), list);
    // Ten requests in each of two minutes' quarters.
    for _ in 0..8 {
        lines.write(harness.world.clock.now(), "ten requests");
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
    let list = harness.get(&all).await.json();
    let item = &list["items"][0];
    let object = json!({"kind": "Pod", "namespace": "default", "name": name, "apiVersion": "/v1"});
    assert_eq!((&item["describedObject"], &item["value"]), (&object, &json!("666m")), "{list}");
    assert_eq!(item["metric"], json!({"name": "istio_requests_per_second", "selector": null}));
    let one = harness.get(&format!("{base}/pods/{name}/istio_requests_per_second")).await.json();
    assert_eq!(one, list);
    let space = harness.get(&format!("{base}/metrics/istio_requests_per_second")).await.json();
    let object = json!({"kind": "Namespace", "name": "default", "apiVersion": "/v1"});
    assert_eq!((&space["items"][0]["describedObject"], &space["items"][0]["value"]), (&object, &json!("666m")));
    let old = format!("{}/pods/*/istio_requests_per_second", base.replace("v1beta2", "v1beta1"));
    assert_eq!(harness.get(&old).await.json()["items"][0]["metricName"], "istio_requests_per_second");
    let none = format!("{all}?labelSelector=app%3Dnobody");
    assert_eq!(harness.get(&none).await.json()["items"], json!([]));

    for (path, said) in [
        ("pods/*/packets", "the server could not find the metric packets for pods"),
        (
            "secrets/a/istio_requests_per_second",
            "the server could not find the metric istio_requests_per_second for secrets",
        ),
        (
            "services/nosuch/istio_requests_per_second",
            "the server could not find the metric istio_requests_per_second for services nosuch",
        ),
        ("pods/*", "the server could not find the requested resource"),
    ] {
        let (code, reason, message) = harness.get(&format!("{base}/{path}")).await.failure();
        assert_eq!((code, reason.as_str(), message.as_str()), (404, "NotFound", said));
    }
}
