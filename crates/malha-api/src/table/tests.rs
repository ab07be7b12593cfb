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

fn istio(group: &str, kind: &str, spec: &str) -> Object {
    let text = format!(
        "apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: a, creationTimestamp: '{CREATED}'}}\nspec: {spec}\n"
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

/// A pod that runs, with one container.
fn running(container: Value) -> Value {
    json!({
        "metadata": {"name": "posts"},
        "spec": {"containers": [{"name": "posts"}], "nodeName": "malha"},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [container],
        },
    })
}

fn container(ready: bool, restarts: i32, state: Value, last: Value) -> Value {
    json!({
        "name": "posts", "image": "posts", "imageID": "", "ready": ready, "restartCount": restarts,
        "state": state, "lastState": last,
    })
}

#[test]
fn pods_say_what_keeps_them_from_running() {
    let runs = json!({"running": {"startedAt": CREATED}});
    let ended = |code: i32, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason, "finishedAt": "2025-01-01T00:57:03Z"}});
    let waits = |reason: &str| json!({"waiting": {"reason": reason}});
    let one = |ready, restarts, state: Value, last: Value| running(container(ready, restarts, state, last));
    let with = |mut pod: Value, pointer: &str, value: Value| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[key] = value;
        pod
    };
    let healthy = one(true, 0, runs.clone(), json!({}));
    for (name, object, ready, status, restarts) in [
        ("healthy", healthy.clone(), "1/1", "Running", "0"),
        ("restarted", one(true, 3, runs.clone(), ended(1, "Error")), "1/1", "Running", "3 (5m ago)"),
        ("not ready", one(false, 0, runs.clone(), json!({})), "0/1", "Running", "0"),
        (
            "crashing",
            one(false, 2, waits("CrashLoopBackOff"), ended(1, "Error")),
            "0/1",
            "CrashLoopBackOff",
            "2 (5m ago)",
        ),
        (
            "no config",
            one(false, 0, waits("CreateContainerConfigError"), json!({})),
            "0/1",
            "CreateContainerConfigError",
            "0",
        ),
        ("ended", one(false, 0, ended(0, "Completed"), json!({})), "0/1", "Completed", "0"),
        ("killed", one(false, 0, ended(137, ""), json!({})), "0/1", "ExitCode:137", "0"),
        (
            "by a signal",
            one(false, 0, json!({"terminated": {"exitCode": 0, "signal": 9}}), json!({})),
            "0/1",
            "Signal:9",
            "0",
        ),
        (
            "pending",
            json!({"metadata": {"name": "posts"}, "spec": {"containers": [{"name": "a"}]}, "status": {"phase": "Pending"}}),
            "0/1",
            "Pending",
            "0",
        ),
        (
            "gated",
            json!({"metadata": {"name": "posts"}, "spec": {"containers": [{"name": "a"}]}, "status": {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            }}),
            "0/1",
            "SchedulingGated",
            "0",
        ),
        (
            "evicted",
            with(healthy.clone(), "/status", json!({"phase": "Failed", "reason": "Evicted"})),
            "0/1",
            "Evicted",
            "0",
        ),
        ("deleted", with(healthy.clone(), "/metadata/deletionTimestamp", json!(CREATED)), "1/1", "Terminating", "0"),
        (
            "deleted when over",
            with(one(false, 0, ended(0, "Completed"), json!({})), "/metadata/deletionTimestamp", json!(CREATED)),
            "0/1",
            "Terminating",
            "0",
        ),
        (
            "lost",
            with(
                with(healthy.clone(), "/metadata/deletionTimestamp", json!(CREATED)),
                "/status/reason",
                json!("NodeLost"),
            ),
            "1/1",
            "Unknown",
            "0",
        ),
        (
            "initializing",
            with(
                with(healthy.clone(), "/spec/initContainers", json!([{"name": "first"}, {"name": "second"}])),
                "/status/initContainerStatuses",
                json!([{"name": "first", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": waits("PodInitializing")}]),
            ),
            "0/1",
            "Init:0/2",
            "0",
        ),
        (
            "failing to initialize",
            with(
                with(healthy.clone(), "/spec/initContainers", json!([{"name": "first"}])),
                "/status/initContainerStatuses",
                json!([{"name": "first", "image": "", "imageID": "", "ready": false, "restartCount": 2, "state": ended(1, "Error")}]),
            ),
            "0/1",
            "Init:Error",
            "2",
        ),
        (
            "with a sidecar",
            with(
                with(healthy.clone(), "/spec/initContainers", json!([{"name": "proxy", "restartPolicy": "Always"}])),
                "/status/initContainerStatuses",
                json!([{"name": "proxy", "image": "", "imageID": "", "ready": true, "started": true, "restartCount": 1, "state": runs}]),
            ),
            "2/2",
            "Running",
            "1",
        ),
    ] {
        let cells = cells_of(&pod(object));
        assert_eq!((&cells[1], &cells[2], &cells[3]), (&json!(ready), &json!(status), &json!(restarts)), "{name}");
    }
}

#[test]
fn pods_have_their_places_in_the_wide_columns() {
    let mut object = running(container(true, 0, json!({"running": {}}), json!({})));
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

#[test]
fn every_kind_prints_what_a_real_cluster_prints() {
    let meta = || json!({"name": "a"});
    let template = json!({"spec": {"containers": [{"name": "x", "image": "i:1"}, {"name": "y", "image": "j:2"}]}});
    let cases: Vec<(Object, Value)> = vec![
        (
            typed(json!({"metadata": meta(), "status": {"phase": "Active"}}), Object::Namespace),
            json!(["a", "Active", "62m"]),
        ),
        (
            typed(
                json!({
                    "metadata": {"name": "malha", "labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "worker"}},
                    "status": {
                        "conditions": [{"type": "Ready", "status": "True"}],
                        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                        "nodeInfo": {
                            "architecture": "", "bootID": "", "containerRuntimeVersion": "malha://1", "kernelVersion": "",
                            "kubeProxyVersion": "", "kubeletVersion": "v1.34.0+malha", "machineID": "",
                            "operatingSystem": "", "osImage": "", "systemUUID": "",
                        },
                    },
                }),
                Object::Node,
            ),
            json!([
                "malha",
                "Ready",
                "control-plane,worker",
                "62m",
                "v1.34.0+malha",
                "127.0.0.1",
                "<none>",
                "<unknown>",
                "<unknown>",
                "malha://1",
            ]),
        ),
        (
            typed(json!({"metadata": meta(), "spec": {"unschedulable": true}}), Object::Node),
            json!([
                "a",
                "Unknown,SchedulingDisabled",
                "<none>",
                "62m",
                "",
                "<none>",
                "<none>",
                "<unknown>",
                "<unknown>",
                "<unknown>"
            ]),
        ),
        (typed(json!({"metadata": meta()}), Object::ServiceAccount), json!(["a", 0, "62m"])),
        (
            typed(json!({"metadata": meta(), "data": {"x": "1"}, "binaryData": {"y": "AA=="}}), Object::ConfigMap),
            json!(["a", 2, "62m"]),
        ),
        (
            typed(json!({"metadata": meta(), "type": "Opaque", "data": {"x": "AA=="}}), Object::Secret),
            json!(["a", "Opaque", 1, "62m"]),
        ),
        (
            typed(
                json!({"metadata": meta(), "spec": {
                    "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
                    "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                    "selector": {"app": "posts", "tier": "web"},
                }}),
                Object::Service,
            ),
            json!(["a", "ClusterIP", "10.96.0.1", "<none>", "80/TCP,53/UDP", "62m", "app=posts,tier=web"]),
        ),
        (
            typed(
                json!({"metadata": meta(), "spec": {
                    "type": "LoadBalancer", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 80, "nodePort": 31234, "protocol": "TCP"}],
                }, "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}, {"hostname": "a-name-that-is-long.example.com"}]}}}),
                Object::Service,
            ),
            json!([
                "a",
                "LoadBalancer",
                "10.96.0.1",
                "127.0.0.1,a-name-that-is-long.example.com",
                "80:31234/TCP",
                "62m",
                "<none>"
            ]),
        ),
        (
            typed(
                json!({"metadata": meta(), "spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.1"], "externalIPs": ["1.2.3.4"]}}),
                Object::Service,
            ),
            json!(["a", "LoadBalancer", "10.96.0.1", "1.2.3.4", "<none>", "62m", "<none>"]),
        ),
        (
            typed(
                json!({"metadata": meta(), "spec": {"type": "LoadBalancer", "clusterIPs": ["None"]}}),
                Object::Service,
            ),
            json!(["a", "LoadBalancer", "None", "<pending>", "<none>", "62m", "<none>"]),
        ),
        (
            typed(
                json!({"metadata": meta(), "spec": {"type": "ExternalName", "externalName": "b.c"}}),
                Object::Service,
            ),
            json!(["a", "ExternalName", "<none>", "b.c", "<none>", "62m", "<none>"]),
        ),
        (typed(json!({"metadata": meta()}), Object::Endpoints), json!(["a", "<none>", "62m"])),
        (
            typed(
                json!({"metadata": meta(), "subsets": [{
                    "addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}, {"port": 81}],
                }]}),
                Object::Endpoints,
            ),
            json!(["a", "10.0.0.1:80,[fd00::1]:80,10.0.0.1:81 + 1 more...", "62m"]),
        ),
        (
            typed(
                json!({"metadata": meta(), "addressType": "IPv4", "ports": [{"port": 80}, {"name": "x"}, {}],
                    "endpoints": [{"addresses": ["1", "2"]}, {"addresses": ["3", "4", "5"]}]}),
                Object::EndpointSlice,
            ),
            json!(["a", "IPv4", "80,x,*", "1,2,3 + 2 more...", "62m"]),
        ),
        (
            typed(json!({"metadata": meta(), "addressType": "IPv4", "endpoints": []}), Object::EndpointSlice),
            json!(["a", "IPv4", "<unset>", "<unset>", "62m"]),
        ),
        (
            typed(
                json!({"metadata": meta(), "spec": {
                    "replicas": 3, "template": template,
                    "selector": {"matchLabels": {"b": "1"}, "matchExpressions": [
                        {"key": "c", "operator": "In", "values": ["y", "x"]},
                        {"key": "a", "operator": "DoesNotExist"},
                        {"key": "d", "operator": "Exists"},
                        {"key": "e", "operator": "NotIn", "values": ["z"]},
                    ]},
                }, "status": {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2}}),
                Object::Deployment,
            ),
            json!(["a", "2/3", 1, 2, "62m", "x,y", "i:1,j:2", "!a,b=1,c in (x,y),d,e notin (z)"]),
        ),
        (
            typed(
                json!({"metadata": meta(), "spec": {"replicas": 3, "template": template, "selector": {}},
                    "status": {"replicas": 2, "readyReplicas": 1}}),
                Object::ReplicaSet,
            ),
            json!(["a", 3, 2, 1, "62m", "x,y", "i:1,j:2", "<none>"]),
        ),
        (
            typed(
                json!({"metadata": meta(), "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "posts"}, "minReplicas": 1, "maxReplicas": 4,
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 20}}}],
                }, "status": {"currentReplicas": 2, "desiredReplicas": 2, "currentMetrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "12m"}}},
                ]}}),
                Object::HorizontalPodAutoscaler,
            ),
            json!(["a", "Deployment/posts", "cpu: 12%/20%", "1", 4, 2, "62m"]),
        ),
        (
            typed(
                json!({"metadata": meta(), "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "posts"}, "maxReplicas": 4,
                    "metrics": [
                        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 20}}},
                        {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "64Mi"}}},
                        {"type": "Pods", "pods": {"metric": {"name": "x"}, "target": {"type": "AverageValue", "averageValue": "1k"}}},
                    ],
                }}),
                Object::HorizontalPodAutoscaler,
            ),
            json!([
                "a",
                "Deployment/posts",
                "cpu: <unknown>/20%, memory: <unknown>/64Mi + 1 more...",
                "<unset>",
                4,
                0,
                "62m"
            ]),
        ),
        (
            typed(
                json!({"metadata": meta(), "type": "Warning", "reason": "BackOff", "message": " again \n", "count": 5,
                    "involvedObject": {"kind": "Pod", "name": "posts", "fieldPath": "spec.containers{posts}"},
                    "source": {"component": "kubelet", "host": "malha"},
                    "firstTimestamp": CREATED, "lastTimestamp": "2025-01-01T01:02:00Z"}),
                Object::Event,
            ),
            json!([
                "3s",
                "Warning",
                "BackOff",
                "pod/posts",
                "spec.containers{posts}",
                "kubelet, malha",
                "again",
                "62m",
                5,
                "a"
            ]),
        ),
        (
            typed(
                json!({"metadata": meta(), "involvedObject": {"kind": "Pod"}, "eventTime": "2025-01-01T01:00:00.000000Z",
                    "reportingComponent": "malha", "series": {"count": 7, "lastObservedTime": "2025-01-01T01:02:01.000000Z"}}),
                Object::Event,
            ),
            json!(["2s", "", "", "pod", "", "malha", "", "2m3s", 7, "a"]),
        ),
        (
            typed(json!({"metadata": meta(), "handler": "wasmtime-spin-v2"}), Object::RuntimeClass),
            json!(["a", "wasmtime-spin-v2", "62m"]),
        ),
        (
            typed(
                json!({"metadata": meta(), "spec": {"group": "x.y", "names": {"kind": "A", "plural": "as"}, "scope": "Namespaced", "versions": []}}),
                Object::CustomResourceDefinition,
            ),
            json!(["a", "2025-01-01T00:00:00Z"]),
        ),
        (
            istio(
                "networking",
                "Gateway",
                "{selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}]}",
            ),
            json!(["a", "62m"]),
        ),
        (
            istio(
                "networking",
                "VirtualService",
                "{hosts: [c, b], gateways: [c], http: [{directResponse: {status: 200}}]}",
            ),
            json!(["a", "[\"c\"]", "[\"c\",\"b\"]", "62m"]),
        ),
        (
            istio("networking", "VirtualService", "{hosts: [b], http: [{directResponse: {status: 200}}]}"),
            json!(["a", null, "[\"b\"]", "62m"]),
        ),
        (istio("networking", "DestinationRule", "{host: posts}"), json!(["a", "posts", "62m"])),
        (
            istio(
                "networking",
                "ServiceEntry",
                "{hosts: [b.c], ports: [{number: 80, name: a, protocol: HTTP}], resolution: DNS}",
            ),
            json!(["a", "[\"b.c\"]", null, "DNS", "62m"]),
        ),
        (istio("networking", "Sidecar", "{egress: [{hosts: ['./*']}]}"), json!(["a", "62m"])),
        (istio("security", "PeerAuthentication", "{mtls: {mode: STRICT}}"), json!(["a", "STRICT", "62m"])),
        (istio("security", "RequestAuthentication", "{}"), json!(["a", "62m"])),
        (istio("security", "AuthorizationPolicy", "{action: DENY, rules: [{}]}"), json!(["a", "DENY", "62m"])),
    ];
    for resource in RESOURCES.iter().filter(|resource| resource.kind != Kind::Pod) {
        assert!(cases.iter().any(|(object, _)| object.kind() == resource.kind), "no case for {}", resource.kind);
    }
    for (object, expected) in cases {
        assert_eq!(cells_of(&object), expected, "{}", object.kind());
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
    let object = istio("networking", "DestinationRule", "{host: posts}");
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
