//! Objects and the cells that a real cluster prints of them.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use malha_cluster::Kind;
use malha_cluster::resource::{RESOURCES, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

const CREATED: &str = "2025-01-01T00:00:00Z";

fn now() -> Timestamp {
    "2025-01-01T01:02:03Z".parse().unwrap()
}

fn typed<T: DeserializeOwned>(mut json: Value, wrap: fn(Arc<T>) -> Object) -> Object {
    if json["metadata"].get("creationTimestamp").is_none() {
        json["metadata"]["creationTimestamp"] = json!(CREATED);
    }
    wrap(Arc::new(serde_json::from_value(json).unwrap()))
}

fn pod(json: Value) -> Object {
    typed(json, Object::Pod)
}

fn istio(kind: Kind, spec: &str) -> Object {
    let api_version = kind.api_version();
    let text = format!(
        "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a, creationTimestamp: '{CREATED}'}}\nspec: {spec}\n"
    );
    let loaded = malha_manifest::parse_manifests("a.yml", &text);
    loaded.objects.into_iter().next().unwrap_or_else(|| panic!("{kind}: {:?}", loaded.diagnostics)).into()
}

fn cells_of(object: &Object) -> Value {
    let resource = Resource::of(object.kind()).unwrap();
    let table = table(resource, [object], resource.versions[0], now(), Include::None);
    let columns = table["columnDefinitions"].as_array().unwrap().len();
    let cells = table["rows"][0]["cells"].clone();
    assert_eq!(cells.as_array().unwrap().len(), columns, "{}", object.kind());
    cells
}

/// A pod that runs, with one container, and what differs: in the container's status, and in the pod (merge patches).
fn running(container: &str, rest: &str) -> Value {
    let mut status = json!({
        "name": "posts", "image": "posts", "imageID": "", "ready": false, "restartCount": 0, "state": {}, "lastState": {},
    });
    json_patch::merge(&mut status, &serde_json::from_str(container).unwrap());
    let mut pod = json!({
        "metadata": {"name": "posts"},
        "spec": {"containers": [{"name": "posts"}], "nodeName": "malha"},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [status],
        },
    });
    json_patch::merge(&mut pod, &serde_json::from_str(rest).unwrap());
    pod
}

const HEALTHY: &str = r#"{"ready": true, "state": {"running": {}}}"#;
const COMPLETED: &str = r#"{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}"#;

/// What differs in the container and in the pod; READY, STATUS, RESTARTS.
type PodCase = (&'static str, &'static str, [&'static str; 3]);

const PODS: &[PodCase] = &[
    (HEALTHY, "{}", ["1/1", "Running", "0"]),
    (
        r#"{"ready": true, "restartCount": 3, "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2025-01-01T00:57:03Z"}}}"#,
        "{}",
        ["1/1", "Running", "3 (5m ago)"],
    ),
    (r#"{"state": {"running": {}}}"#, "{}", ["0/1", "Running", "0"]),
    (
        r#"{"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2025-01-01T01:02:00Z"}}}"#,
        "{}",
        ["0/1", "CrashLoopBackOff", "2 (3s ago)"],
    ),
    (
        r#"{"state": {"waiting": {"reason": "CreateContainerConfigError"}}}"#,
        "{}",
        ["0/1", "CreateContainerConfigError", "0"],
    ),
    (COMPLETED, "{}", ["0/1", "Completed", "0"]),
    (r#"{"state": {"terminated": {"exitCode": 137, "reason": ""}}}"#, "{}", ["0/1", "ExitCode:137", "0"]),
    (r#"{"state": {"terminated": {"exitCode": 0, "signal": 9}}}"#, "{}", ["0/1", "Signal:9", "0"]),
    ("{}", r#"{"status": {"phase": "Pending", "containerStatuses": null}}"#, ["0/1", "Pending", "0"]),
    (
        "{}",
        r#"{"status": {"phase": "Pending", "containerStatuses": null,
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}}"#,
        ["0/1", "SchedulingGated", "0"],
    ),
    (
        "{}",
        r#"{"status": {"phase": "Failed", "reason": "Evicted", "containerStatuses": null}}"#,
        ["0/1", "Evicted", "0"],
    ),
    (HEALTHY, r#"{"metadata": {"deletionTimestamp": "2025-01-01T00:00:00Z"}}"#, ["1/1", "Terminating", "0"]),
    (
        COMPLETED,
        r#"{"metadata": {"deletionTimestamp": "2025-01-01T00:00:00Z"}, "status": {"phase": "Succeeded"}}"#,
        ["0/1", "Completed", "0"],
    ),
    (
        HEALTHY,
        r#"{"metadata": {"deletionTimestamp": "2025-01-01T00:00:00Z"}, "status": {"reason": "NodeLost"}}"#,
        ["1/1", "Unknown", "0"],
    ),
    (
        HEALTHY,
        r#"{"spec": {"initContainers": [{"name": "first"}, {"name": "second"}]},
            "status": {"initContainerStatuses": [{"name": "first", "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}]}}"#,
        ["0/1", "Init:0/2", "0"],
    ),
    (
        HEALTHY,
        r#"{"spec": {"initContainers": [{"name": "first"}]},
            "status": {"initContainerStatuses": [{"name": "first", "image": "", "imageID": "", "ready": false,
                "restartCount": 2, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}}"#,
        ["0/1", "Init:Error", "2"],
    ),
    (
        HEALTHY,
        r#"{"spec": {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]},
            "status": {"initContainerStatuses": [{"name": "proxy", "image": "", "imageID": "", "ready": true,
                "started": true, "restartCount": 1, "state": {"running": {}}}]}}"#,
        ["2/2", "Running", "1"],
    ),
];

#[test]
fn pods_say_what_keeps_them_from_running() {
    for (container, rest, expected) in PODS {
        let cells = cells_of(&pod(running(container, rest)));
        assert_eq!(cells.as_array().unwrap()[1..4], *expected, "{container} {rest}");
    }
}

#[test]
fn pods_have_their_places_in_the_wide_columns() {
    let mut object = running(HEALTHY, "{}");
    let wide = |object: &Value| cells_of(&pod(object.clone())).as_array().unwrap()[4..].to_vec();
    assert_eq!(wide(&object), ["62m", "10.0.0.1", "malha", "<none>", "<none>"]);
    object["spec"]["readinessGates"] = json!([{"conditionType": "Ready"}, {"conditionType": "Other"}]);
    assert_eq!(wide(&object)[4], "1/2");
    object["status"] = json!({});
    object["spec"]["nodeName"] = Value::Null;
    assert_eq!(wide(&object)[1..3], ["<none>", "<none>"]);
}

#[test]
fn pods_that_have_ended_say_so_in_a_condition() {
    let rows = |phase: &str| {
        let object = pod(json!({"metadata": {"name": "a"}, "status": {"phase": phase}}));
        table(Resource::of(Kind::Pod).unwrap(), [&object], "v1", now(), Include::None)["rows"][0].clone()
    };
    assert_eq!(rows("Succeeded")["conditions"][0]["reason"], "Succeeded");
    assert_eq!(rows("Failed")["conditions"][0]["type"], "Completed");
    assert_eq!(rows("Running").get("conditions"), None);
}

/// An object of a kind, an hour and two minutes old.
fn object(kind: Kind, json: Value) -> Object {
    match kind {
        Kind::Namespace => typed(json, Object::Namespace),
        Kind::Node => typed(json, Object::Node),
        Kind::ServiceAccount => typed(json, Object::ServiceAccount),
        Kind::ConfigMap => typed(json, Object::ConfigMap),
        Kind::Secret => typed(json, Object::Secret),
        Kind::PersistentVolumeClaim => typed(json, Object::PersistentVolumeClaim),
        Kind::Service => typed(json, Object::Service),
        Kind::Endpoints => typed(json, Object::Endpoints),
        Kind::EndpointSlice => typed(json, Object::EndpointSlice),
        Kind::Deployment => typed(json, Object::Deployment),
        Kind::ReplicaSet => typed(json, Object::ReplicaSet),
        Kind::HorizontalPodAutoscaler => typed(json, Object::HorizontalPodAutoscaler),
        Kind::PodDisruptionBudget => typed(json, Object::PodDisruptionBudget),
        Kind::Event => typed(json, Object::Event),
        Kind::Lease => typed(json, Object::Lease),
        Kind::RuntimeClass => typed(json, Object::RuntimeClass),
        Kind::CustomResourceDefinition => typed(json, Object::CustomResourceDefinition),
        _ => istio(kind, &json["spec"].to_string()),
    }
}

#[test]
fn every_kind_prints_what_a_real_cluster_prints() {
    let cases: Value = serde_json::from_str(include_str!("cases.json")).unwrap();
    let cases = cases.as_array().unwrap();
    let kind = |case: &Value| Kind::of(case["kind"].as_str().unwrap()).unwrap();
    for resource in RESOURCES.iter().filter(|resource| resource.kind != Kind::Pod) {
        assert!(cases.iter().any(|case| kind(case) == resource.kind), "no case for {}", resource.kind);
    }
    for case in cases {
        assert_eq!(cells_of(&object(kind(case), case["object"].clone())), case["cells"], "{}", case["object"]);
    }
}

#[test]
fn columns_have_the_names_and_priorities_of_a_real_cluster() {
    let columns = |kind: Kind| -> Vec<String> {
        let table = table(Resource::of(kind).unwrap(), [], "v1", now(), Include::None);
        assert_eq!(table["rows"], json!([]));
        let columns = table["columnDefinitions"].as_array().unwrap().iter();
        columns
            .map(|column| {
                format!(
                    "{}:{}:{}",
                    column["name"].as_str().unwrap(),
                    column["format"].as_str().unwrap(),
                    column["priority"]
                )
            })
            .collect()
    };
    assert_eq!(
        columns(Kind::Pod),
        [
            "Name:name:0",
            "Ready::0",
            "Status::0",
            "Restarts::0",
            "Age::0",
            "IP::1",
            "Node::1",
            "Nominated Node::1",
            "Readiness Gates::1",
        ]
    );
    assert_eq!(columns(Kind::VirtualService), ["Name:name:0", "Gateways::0", "Hosts::0", "Age::0"]);
    assert_eq!(columns(Kind::Sidecar), ["Name:name:0", "Age::0"]);
    assert_eq!(columns(Kind::CustomResourceDefinition), ["Name:name:0", "Created At::0"]);
}

#[test]
fn rows_bring_as_much_of_the_object_as_was_asked_for() {
    let object = istio(Kind::DestinationRule, "{host: posts}");
    let resource = Resource::of(Kind::DestinationRule).unwrap();
    let row = |include| table(resource, [&object], "v1beta1", now(), include)["rows"][0]["object"].clone();
    assert_eq!(row(Include::None), Value::Null);
    assert_eq!(row(Include::Metadata)["kind"], "PartialObjectMetadata");
    assert_eq!(row(Include::Metadata)["metadata"]["name"], "a");
    assert_eq!(row(Include::Object)["apiVersion"], "networking.istio.io/v1beta1");
    assert_eq!(row(Include::Object)["spec"]["host"], "posts");
    for (parameter, include) in
        [(None, Include::Metadata), (Some("None"), Include::None), (Some("Object"), Include::Object)]
    {
        assert_eq!(Include::read(parameter), Ok(include));
    }
    assert_eq!(Include::read(Some("all")), Err("unrecognized includeObject value: \"all\"".to_owned()));
}
