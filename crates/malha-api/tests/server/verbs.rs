//! Objects come, change and go.

use http::Method;
use serde_json::{Value, json};

use super::harness::Harness;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

pub(crate) fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "runtimeClassName": "wasmtime-spin-v2",
                    "containers": [{"name": "app", "image": "workshop:0.0.1", "command": ["/"]}],
                },
            },
        },
    })
}

pub(crate) fn config(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

#[tokio::test(start_paused = true)]
async fn a_deployment_lives_and_dies() {
    let harness = Harness::new();
    let created = harness.post(&format!("{DEPLOYMENTS}?fieldManager=me"), &deployment("a")).await;
    assert_eq!(created.code, 201, "{}", created.text);
    let created = created.json();
    assert_eq!((&created["kind"], &created["apiVersion"]), (&json!("Deployment"), &json!("apps/v1")));
    assert_eq!(created["spec"]["revisionHistoryLimit"], 10);
    let managed = &created["metadata"]["managedFields"][0];
    assert_eq!((&managed["manager"], &managed["operation"]), (&json!("me"), &json!("Update")));
    assert!(managed["fieldsV1"]["f:spec"]["f:replicas"].is_object(), "{managed}");
    harness.cluster.settled().await;

    let path = format!("{DEPLOYMENTS}/a");
    let mut read = harness.get(&path).await.json();
    read["spec"]["replicas"] = 2.into();
    assert_eq!(harness.put(&path, &read).await.json()["spec"]["replicas"], 2);
    // The version that was read is not the stored one any more.
    read["spec"]["replicas"] = 3.into();
    let (code, reason, message) = harness.put(&path, &read).await.failure();
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert_eq!(
        message,
        "Operation cannot be fulfilled on deployments.apps \"a\": the object has been modified; please apply your changes \
         to the latest version and try again"
    );
    let deleted = harness.delete(&path).await;
    assert_eq!(deleted.json()["details"]["kind"], "deployments");
    assert_eq!(harness.get(&path).await.failure().2, "deployments.apps \"a\" not found");
}

#[tokio::test(start_paused = true)]
async fn every_sort_of_patch_is_taken_and_none_conflicts_by_itself() {
    let harness = Harness::new();
    harness.post(DEPLOYMENTS, &deployment("a")).await;
    let path = format!("{DEPLOYMENTS}/a");
    for (kind, patch, want) in [
        ("application/merge-patch+json", json!({"spec": {"replicas": 2}}), 2),
        ("application/strategic-merge-patch+json", json!({"spec": {"replicas": 3}}), 3),
        ("application/json-patch+json", json!([{"op": "replace", "path": "/spec/replicas", "value": 4}]), 4),
    ] {
        let answer = harness.write(Method::PATCH, &path, kind, &patch).await;
        assert_eq!(answer.json()["spec"]["replicas"], want, "{}", answer.text);
    }
    let applied = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 5}\n";
    let apply = |query: &'static str| harness.write(Method::PATCH, query, "application/apply-patch+yaml", applied);
    let conflict = apply("/apis/apps/v1/namespaces/default/deployments/a?fieldManager=other").await;
    assert_eq!((conflict.failure().0, conflict.failure().1.as_str()), (409, "Conflict"), "{}", conflict.text);
    let forced = apply("/apis/apps/v1/namespaces/default/deployments/a?fieldManager=other&force=true").await;
    assert_eq!(forced.json()["spec"]["replicas"], 5, "{}", forced.text);
    assert_eq!(apply("/apis/apps/v1/namespaces/default/deployments/a").await.failure().0, 422);
    assert_eq!(harness.write(Method::PATCH, &path, "text/plain", "{}").await.failure().0, 415);
    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 6}});
    assert_eq!(harness.write(Method::PATCH, &path, "application/merge-patch+json", stale).await.failure().0, 409);
    // A patch that changes nothing is no write.
    let version = || async { harness.get(&path).await.json()["metadata"]["resourceVersion"].clone() };
    let before = version().await;
    harness.write(Method::PATCH, &path, "application/merge-patch+json", json!({"spec": {"replicas": 5}})).await;
    apply("/apis/apps/v1/namespaces/default/deployments/a?fieldManager=other&force=true").await;
    assert_eq!(version().await, before);
}

#[tokio::test]
async fn apply_makes_what_is_not_there() {
    let harness = Harness::new();
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {key: value}\n";
    let path = "/api/v1/namespaces/default/configmaps/a?fieldManager=me";
    let answer = harness.write(Method::PATCH, path, "application/apply-patch+yaml", text).await;
    assert_eq!(answer.code, 201, "{}", answer.text);
    assert_eq!(answer.json()["metadata"]["managedFields"][0]["operation"], "Apply");
    let answer = harness.write(Method::PATCH, path, "application/apply-patch+yaml", text).await;
    assert_eq!(answer.code, 200);
}

#[tokio::test]
async fn names_and_kinds_of_body_and_url_agree() {
    let harness = Harness::new();
    let maps = "/api/v1/namespaces/default/configmaps";
    harness.post(maps, &config("a", "1")).await;
    let with = |field: &str, value: &str| {
        let mut object = config("a", "2");
        object["metadata"][field] = value.into();
        object
    };
    let put = |object: Value| {
        let harness = &harness;
        async move { harness.put("/api/v1/namespaces/default/configmaps/a", &object).await.failure() }
    };
    let (code, _, message) = put(with("name", "b")).await;
    assert_eq!((code, message.as_str()), (400, "the name of the object (b) does not match the name on the URL (a)"));
    let (code, _, message) = put(with("namespace", "other")).await;
    assert_eq!(
        (code, message.as_str()),
        (400, "the namespace of the object (other) does not match the namespace on the request (default)")
    );
    let (code, _, message) = harness.post(maps, &with("namespace", "other")).await.failure();
    assert_eq!(
        (code, message.as_str()),
        (400, "the namespace of the provided object does not match the namespace sent on the request")
    );
    let (code, _, message) = harness.post(DEPLOYMENTS, &config("a", "1")).await.failure();
    assert!(code == 400 && message.contains("cannot be handled as a Deployment"), "{message}");
    let mut old = deployment("a");
    old["apiVersion"] = "apps/v1beta1".into();
    assert_eq!(
        harness.post(DEPLOYMENTS, &old).await.failure().2,
        "the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)"
    );
}

#[tokio::test]
async fn unknown_fields_are_refused_or_dropped_with_a_warning() {
    let harness = Harness::new();
    let mut object = deployment("a");
    object["spec"]["replica"] = 2.into();
    let (code, _, message) = harness.post(&format!("{DEPLOYMENTS}?fieldValidation=Strict"), &object).await.failure();
    assert!(code == 400 && message.contains("strict decoding error: unknown field \"spec.replica\""), "{message}");
    let answer = harness.post(DEPLOYMENTS, &object).await;
    assert_eq!(answer.code, 201, "{}", answer.text);
    assert!(answer.warnings().contains(&"299 - \"unknown field \\\"spec.replica\\\"\""), "{:?}", answer.warnings());
    assert!(answer.json()["spec"].get("replica").is_none());
    object["metadata"]["name"] = "b".into();
    let answer = harness.post(&format!("{DEPLOYMENTS}?fieldValidation=Ignore"), &object).await;
    assert!(!answer.warnings().iter().any(|warning| warning.contains("spec.replica\\")), "{:?}", answer.warnings());
}

#[tokio::test]
async fn a_dry_run_shows_and_does_nothing() {
    let harness = Harness::new();
    let maps = "/api/v1/namespaces/default/configmaps";
    let shown = harness.post(&format!("{maps}?dryRun=All"), &config("a", "1")).await;
    assert_eq!(shown.code, 201);
    assert!(shown.json()["metadata"]["uid"].is_string());
    assert_eq!(harness.get(&format!("{maps}/a")).await.code, 404);
    harness.post(maps, &config("a", "1")).await;
    let path = format!("{maps}/a?dryRun=All");
    assert_eq!(harness.put(&path, &config("a", "2")).await.json()["data"]["key"], "2");
    assert_eq!(harness.delete(&path).await.code, 200);
    assert_eq!(harness.get(&format!("{maps}/a")).await.json()["data"]["key"], "1");
    assert_eq!(harness.post(&format!("{maps}?dryRun=Some"), &config("b", "1")).await.failure().0, 422);
}

#[tokio::test]
async fn an_object_is_served_in_each_version_of_its_group() {
    let harness = Harness::new();
    let rule = json!({"metadata": {"name": "a"}, "spec": {"host": "a"}});
    let at = |version: &str| format!("/apis/networking.istio.io/{version}/namespaces/default/destinationrules");
    let created = harness.post(&at("v1beta1"), &rule).await;
    assert_eq!(created.json()["apiVersion"], "networking.istio.io/v1beta1", "{}", created.text);
    let read = harness.get(&format!("{}/a", at("v1"))).await.json();
    assert_eq!(read["apiVersion"], "networking.istio.io/v1");
    let list = harness.get(&at("v1alpha3")).await.json();
    assert_eq!(list["items"][0]["apiVersion"], "networking.istio.io/v1alpha3");
}

#[tokio::test(start_paused = true)]
async fn replicas_are_set_through_scale() {
    let harness = Harness::new();
    harness.post(DEPLOYMENTS, &deployment("a")).await;
    let path = format!("{DEPLOYMENTS}/a/scale");
    let scale = harness.get(&path).await.json();
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(1)));
    assert_eq!(scale["status"]["selector"], "app=a");
    let patched =
        harness.write(Method::PATCH, &path, "application/merge-patch+json", json!({"spec": {"replicas": 0}})).await;
    assert_eq!(patched.json()["spec"]["replicas"], 0, "{}", patched.text);
    let mut next = harness.get(&path).await.json();
    next["spec"]["replicas"] = 2.into();
    assert_eq!(harness.put(&path, &next).await.json()["spec"]["replicas"], 2);
    assert_eq!(harness.put(&path, &scale).await.failure().0, 409);
    next["metadata"]["resourceVersion"] = Value::Null;
    next["spec"]["replicas"] = (-1).into();
    assert_eq!(harness.put(&path, &next).await.failure().0, 422);
    assert_eq!(harness.get(&format!("{DEPLOYMENTS}/a")).await.json()["spec"]["replicas"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_runs_has_its_time_to_end_and_can_be_evicted() {
    let harness = Harness::new();
    harness.post(DEPLOYMENTS, &deployment("a")).await;
    harness.cluster.settled().await;
    let pods = "/api/v1/namespaces/default/pods";
    let name = |list: &Value| list["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let first = name(&harness.get(pods).await.json());
    let deleted = harness.delete(&format!("{pods}/{first}?gracePeriodSeconds=7")).await.json();
    assert_eq!((&deleted["kind"], &deleted["metadata"]["deletionGracePeriodSeconds"]), (&json!("Pod"), &json!(7)));
    let exec = harness.write(Method::POST, &format!("{pods}/{first}/exec?command=ls"), "", "").await;
    let (code, _, message) = exec.failure();
    assert!(code == 500 && message.contains("error executing command in container: not supported"), "{message}");
    let attach = harness.write(Method::POST, &format!("{pods}/{first}/attach"), "", "").await.failure().2;
    assert!(attach.contains("error attaching to container: not supported"), "{attach}");
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    assert_eq!(harness.get(&format!("{pods}/{first}")).await.code, 404);
    harness.cluster.settled().await;
    let second = name(&harness.get(pods).await.json());
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": second, "namespace": "default"}});
    assert_eq!(harness.post(&format!("{pods}/{second}/eviction"), &eviction).await.code, 201);
    assert!(harness.get(&format!("{pods}/{second}")).await.json()["metadata"]["deletionTimestamp"].is_string());
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_nobody_who_is_there_goes() {
    let harness = Harness::new();
    let maps = "/api/v1/namespaces/default/configmaps";
    let there = harness.post(maps, &config("owner", "1")).await.json()["metadata"]["uid"].clone();
    let owned = |name: &str, kind: &str, uid: &Value| {
        let mut object = config(name, "1");
        let (version, owner) = if kind == "Foo" { ("ex.io/v1", "f") } else { ("v1", "owner") };
        object["metadata"]["ownerReferences"] =
            json!([{"apiVersion": version, "kind": kind, "name": owner, "uid": uid}]);
        object
    };
    let gone = json!("00000000-0000-4000-8000-000000000000");
    for (name, kind, uid) in [("lost", "ConfigMap", &gone), ("kept", "ConfigMap", &there), ("foreign", "Foo", &gone)] {
        assert_eq!(harness.post(maps, &owned(name, kind, uid)).await.code, 201);
    }
    harness.cluster.settled().await;
    for (name, code) in [("lost", 404), ("kept", 200), ("foreign", 200)] {
        assert_eq!(harness.get(&format!("{maps}/{name}")).await.code, code, "{name}");
    }
    // An object that comes to belong to nobody goes as well.
    let object = owned("kept", "ConfigMap", &gone);
    assert_eq!(harness.put(&format!("{maps}/kept"), &object).await.code, 200);
    harness.cluster.settled().await;
    assert_eq!(harness.get(&format!("{maps}/kept")).await.code, 404);
}

#[tokio::test]
async fn a_deployment_that_could_not_roll_out_is_refused_in_the_api_servers_words() {
    let harness = Harness::new();
    let mut object = deployment("a");
    object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}});
    let (code, reason, message) = harness.post(DEPLOYMENTS, &object).await.failure();
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert_eq!(
        message,
        "Deployment.apps \"a\" is invalid: spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when \
         `maxSurge` is 0"
    );
    object["spec"]["strategy"] = json!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}});
    let refused = harness.post(DEPLOYMENTS, &object).await.json();
    assert_eq!(refused["details"]["causes"][0]["reason"], "FieldValueForbidden", "{refused}");
    let certificate = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c"}, "type": "kubernetes.io/tls",
        "data": {"tls.crt": "YQ=="},
    });
    let refused = harness.post("/api/v1/namespaces/default/secrets", &certificate).await.json();
    assert_eq!(refused["details"]["causes"][0]["field"], "data[tls.key]", "{refused}");
    assert_eq!(refused["details"]["causes"][0]["reason"], "FieldValueRequired");
}

#[tokio::test]
async fn who_reads_endpoints_is_told_what_to_read_instead() {
    let harness = Harness::new();
    for (path, code) in [("endpoints", 200), ("endpoints/none", 404)] {
        let answer = harness.get(&format!("/api/v1/namespaces/default/{path}")).await;
        let want = "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"";
        assert_eq!((answer.code.as_u16(), answer.warnings()), (code, vec![want]));
    }
    assert!(harness.get("/api/v1/namespaces/default/services").await.warnings().is_empty());
    // `kubectl debug` reads the details of every 404.
    assert_eq!(harness.get("/api/v1/namespaces/default/foos").await.json()["details"], json!({}));
}

#[tokio::test]
async fn a_kind_of_ones_own_is_said_not_to_be_served() {
    let harness = Harness::new();
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition = |group: &str, plural: &str, kind: &str| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}},
                }],
            },
        })
    };
    let established = |answer: &Value| {
        let conditions = answer["status"]["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|condition| condition["type"] == "Established").unwrap();
        (found["status"].as_str().unwrap().to_owned(), found["reason"].as_str().unwrap().to_owned())
    };
    let own = harness.post(definitions, &definition("ex.io", "foos", "Foo")).await;
    let want = "299 - \"malha serves no kinds of one's own; objects of foos.ex.io will not be known\"";
    assert_eq!((own.code.as_u16(), own.warnings()), (201, vec![want]), "{}", own.text);
    assert_eq!(established(&own.json()), ("False".to_owned(), "UnsupportedByMalha".to_owned()));
    assert_eq!(own.json()["status"]["conditions"][0]["status"], "True");
    let istio = harness.post(definitions, &definition("networking.istio.io", "sidecars", "Sidecar")).await;
    assert_eq!((istio.code.as_u16(), istio.warnings()), (201, vec![]), "{}", istio.text);
    assert_eq!(established(&istio.json()).0, "True");
    let again = format!("{definitions}/sidecars.networking.istio.io");
    let again = harness.put(&again, &definition("networking.istio.io", "sidecars", "Sidecar")).await;
    assert_eq!(established(&again.json()).0, "True");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_let_go_has_no_owners() {
    let harness = Harness::new();
    harness.post(DEPLOYMENTS, &deployment("a")).await;
    harness.cluster.settled().await;
    let pods = "/api/v1/namespaces/default/pods";
    let name = harness.get(pods).await.json()["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let path = format!("{pods}/{name}");
    let relabelled = json!({"metadata": {"labels": {"app": "other"}}});
    harness.write(Method::PATCH, &path, "application/merge-patch+json", &relabelled).await;
    harness.cluster.settled().await;
    assert_eq!(harness.get(&path).await.json()["metadata"].get("ownerReferences"), None);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_with_a_sidecar_is_taken_and_its_pod_waits() {
    let harness = Harness::new();
    let mut object = deployment("a");
    let containers = &mut object["spec"]["template"]["spec"]["containers"];
    containers.as_array_mut().unwrap().push(json!({"name": "side", "image": "busybox"}));
    object["spec"]["template"]["spec"]["initContainers"] = json!([{"name": "init", "image": "busybox"}]);
    let created = harness.post(DEPLOYMENTS, &object).await;
    assert_eq!(created.code, 201, "{}", created.text);
    harness.cluster.settled().await;
    let pods = harness.get("/api/v1/namespaces/default/pods").await.json();
    assert_eq!(pods["items"][0]["status"]["phase"], "Pending");
}

#[tokio::test]
async fn a_collection_is_deleted_as_far_as_it_is_selected() {
    let harness = Harness::new();
    let maps = "/api/v1/namespaces/default/configmaps";
    for name in ["a", "b", "c"] {
        let mut object = config(name, "1");
        object["metadata"]["labels"] = json!({"name": name});
        harness.post(maps, &object).await;
    }
    let deleted = harness.delete(&format!("{maps}?labelSelector=name+in+(a,b)")).await.json();
    assert_eq!((deleted["items"].as_array().unwrap().len(), &deleted["kind"]), (2, &json!("ConfigMapList")));
    assert_eq!(harness.get(maps).await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tables_and_metadata_come_to_those_who_ask() {
    let harness = Harness::new();
    harness.post("/api/v1/namespaces/default/configmaps", &config("a", "1")).await;
    let path = "/api/v1/namespaces/default/configmaps";
    let table = harness.get_as(path, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").await.json();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(table["rows"][0]["cells"], json!(["a", 1, "0s"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert!(table["metadata"]["resourceVersion"].is_string());
    let meta = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let meta = harness.get_as(&format!("{path}/a"), meta).await.json();
    assert_eq!((&meta["kind"], &meta["metadata"]["name"]), (&json!("PartialObjectMetadata"), &json!("a")));
    assert!(meta.get("data").is_none());
    assert_eq!(harness.get_as(path, "application/vnd.kubernetes.protobuf").await.failure().0, 406);
}

#[tokio::test]
async fn a_service_that_changes_its_type_loses_what_the_new_type_does_not_have() {
    let harness = Harness::new();
    let services = "/api/v1/namespaces/default/services";
    let service = json!({
        "metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}], "selector": {"app": "a"}},
    });
    let created = harness.post(services, &service).await.json();
    assert!(created["spec"]["ports"][0]["nodePort"].is_number(), "{created}");
    let path = format!("{services}/a");
    let merge = "application/strategic-merge-patch+json";
    let to = |kind: &str| json!({"spec": {"type": kind}});
    let patched = harness.write(Method::PATCH, &path, merge, to("ClusterIP")).await;
    assert_eq!(patched.code, 200, "{}", patched.text);
    let patched = patched.json();
    assert!(patched["spec"]["ports"][0].get("nodePort").is_none(), "{patched}");
    assert_eq!(patched["spec"]["clusterIP"], created["spec"]["clusterIP"]);
    // By a replacement as well, which may not ask for what the type does not have.
    let mut whole = harness.write(Method::PATCH, &path, merge, to("NodePort")).await.json();
    whole["spec"]["type"] = "ClusterIP".into();
    assert_eq!(harness.put(&path, &whole).await.code, 200);
    whole["metadata"]["resourceVersion"] = Value::Null;
    whole["spec"]["ports"][0]["nodePort"] = 30123.into();
    assert_eq!(harness.put(&path, &whole).await.failure().0, 422);
}

#[tokio::test]
async fn an_autoscaler_is_the_same_in_both_of_its_versions() {
    let harness = Harness::new();
    let at = |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers");
    let scaler = json!({
        "metadata": {"name": "a"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "a"}, "maxReplicas": 10, "targetCPUUtilizationPercentage": 20},
    });
    let created = harness.post(&at("v1"), &scaler).await;
    assert_eq!(created.code, 201, "{}", created.text);
    assert_eq!(created.json()["spec"]["targetCPUUtilizationPercentage"], 20);
    assert_eq!(created.warnings(), [""; 0]);
    let list = harness.get(&at("v1")).await.json();
    assert_eq!(list["items"][0]["spec"]["targetCPUUtilizationPercentage"], 20, "{list}");
    let read = harness.get(&format!("{}/a", at("v2"))).await.json();
    assert_eq!(read["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 20, "{read}");
    let patch = json!({"spec": {"targetCPUUtilizationPercentage": 30}});
    let kind = "application/strategic-merge-patch+json";
    let patched = harness.write(Method::PATCH, &format!("{}/a", at("v1")), kind, patch).await;
    assert_eq!(patched.json()["spec"]["targetCPUUtilizationPercentage"], 30, "{}", patched.text);
    let mut wrong = scaler;
    wrong["spec"]["minReplicas"] = 11.into();
    assert_eq!(
        harness.post(&at("v1"), &wrong).await.failure().2,
        "HorizontalPodAutoscaler.autoscaling \"a\" is invalid: spec.maxReplicas: Invalid value: 10: must be greater than or \
         equal to `minReplicas`"
    );
}

#[tokio::test]
async fn every_namespace_has_a_service_account() {
    let harness = Harness::new();
    let accounts = |namespace: &str| format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
    for namespace in ["default", "kube-system"] {
        assert_eq!(harness.get(&accounts(namespace)).await.code, 200, "{namespace}");
    }
    harness.post("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await;
    let first = harness.get(&accounts("shop")).await.json();
    assert_eq!(harness.delete(&accounts("shop")).await.code, 200);
    let second = harness.get(&accounts("shop")).await.json();
    assert!(second["metadata"]["uid"].is_string() && second["metadata"]["uid"] != first["metadata"]["uid"], "{second}");
    harness.delete("/api/v1/namespaces/shop").await;
    assert_eq!(harness.get(&accounts("shop")).await.code, 404);
    assert_eq!(harness.get("/api/v1/namespaces/shop").await.code, 404);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_wherever_it_is_not_and_only_a_create_asks_for_the_namespace() {
    let harness = Harness::new();
    let maps = "/api/v1/namespaces/nowhere/configmaps";
    let path = format!("{maps}/a");
    let merge = "application/merge-patch+json";
    for answer in [
        harness.get(&path).await,
        harness.delete(&path).await,
        harness.put(&path, &config("a", "1")).await,
        harness.write(Method::PATCH, &path, merge, json!({"data": {"a": "b"}})).await,
    ] {
        assert_eq!(answer.failure(), (404, "NotFound".to_owned(), "configmaps \"a\" not found".to_owned()));
    }
    assert_eq!(harness.get(maps).await.json()["items"], json!([]));
    assert_eq!(harness.post(maps, &config("a", "1")).await.failure().2, "namespaces \"nowhere\" not found");
    let apply = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let kind = "application/apply-patch+yaml";
    let applied = harness.write(Method::PATCH, &format!("{path}?fieldManager=me"), kind, apply).await;
    assert_eq!(applied.failure().2, "namespaces \"nowhere\" not found");
    // A body that names no namespace is for that of the URL.
    harness.post("/api/v1/namespaces", &json!({"metadata": {"name": "nowhere"}})).await;
    assert_eq!(harness.post(maps, &config("a", "1")).await.json()["metadata"]["namespace"], "nowhere");
    assert_eq!(harness.put(&path, &config("a", "2")).await.json()["data"]["key"], "2");
}

#[tokio::test(start_paused = true)]
async fn being_bound_to_a_node_is_no_new_generation_of_a_pod() {
    let harness = Harness::new();
    harness.post(DEPLOYMENTS, &deployment("a")).await;
    harness.cluster.settled().await;
    let pods = harness.get("/api/v1/namespaces/default/pods").await.json();
    let pod = &pods["items"][0];
    assert_eq!((&pod["spec"]["nodeName"], &pod["metadata"]["generation"]), (&json!("malha"), &json!(1)), "{pod}");
}

#[tokio::test(start_paused = true)]
async fn an_eviction_is_refused_in_the_words_of_the_budget() {
    let harness = Harness::new();
    harness.post(DEPLOYMENTS, &deployment("a")).await;
    harness.cluster.settled().await;
    let pods = harness.get("/api/v1/namespaces/default/pods").await.json();
    let name = pods["items"][0]["metadata"]["name"].clone();
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = |name: &str| json!({"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {}}});
    assert_eq!(harness.post(budgets, &budget("one")).await.code, 201);
    let path = format!("/api/v1/namespaces/default/pods/{}/eviction", name.as_str().unwrap());
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    let refused = harness.post(&path, &eviction).await;
    let words = "Cannot evict pod as it would violate the pod's disruption budget.";
    assert_eq!(refused.failure(), (429, "TooManyRequests".to_owned(), words.to_owned()));
    assert_eq!(
        refused.json()["details"],
        json!({"causes": [{
            "reason": "DisruptionBudget", "message": "The disruption budget one needs 1 healthy pods and has 1 currently",
        }]})
    );
    harness.post(budgets, &budget("two")).await;
    let failed = harness.post(&path, &eviction).await.json();
    let words = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!((&failed["code"], &failed["message"], failed.get("reason")), (&json!(500), &json!(words), None));
    for name in ["one", "two"] {
        harness.delete(&format!("{budgets}/{name}")).await;
    }
    let gone = harness.post(&path, &eviction).await;
    assert_eq!((gone.code.as_u16(), gone.json()["status"].clone()), (201, json!("Success")));
}

#[tokio::test]
async fn what_a_manifest_lacks_is_refused_in_the_api_servers_words() {
    let harness = Harness::new();
    let mut object = deployment("a");
    object["spec"]["template"]["spec"]["containers"][0]["image"] = Value::Null;
    let answer = harness.post(DEPLOYMENTS, &object).await;
    assert_eq!(
        answer.failure(),
        (
            422,
            "Invalid".to_owned(),
            "Deployment.apps \"a\" is invalid: spec.template.spec.containers[0].image: Required value".to_owned()
        )
    );
    assert_eq!(
        answer.json()["details"]["causes"],
        json!([{
            "reason": "FieldValueRequired", "message": "Required value", "field": "spec.template.spec.containers[0].image",
        }])
    );
}

#[tokio::test]
async fn a_patch_that_leaves_no_object_is_unprocessable() {
    let harness = Harness::new();
    harness.post(DEPLOYMENTS, &deployment("a")).await;
    let path = format!("{DEPLOYMENTS}/a?fieldValidation=Strict");
    let (strategic, merge) = ("application/strategic-merge-patch+json", "application/merge-patch+json");
    let unknown = "strict decoding error: unknown field \"spec.replica\"";
    for (kind, patch, shown, why) in [
        (strategic, r#"{"spec":{"replica":2}}"#, "map[spec:map[replica:2]]", unknown),
        (strategic, r#"{"spec":{"replicas":"two"}}"#, "map[spec:map[replicas:two]]", "unrecognized type: int32"),
        (
            strategic,
            r#"{"spec":{"replicas":2,"replicas":3}}"#,
            "map[spec:map[replicas:3]]",
            "strict decoding error: duplicate field \"spec.replicas\"",
        ),
        (merge, r#"{"spec":{"replica":2}}"#, "{\\\"apiVersion\\\":\\\"apps/v1\\\"", unknown),
        (
            merge,
            r#"{"spec":{"replicas":"two"}}"#,
            "{\\\"apiVersion\\\":\\\"apps/v1\\\"",
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
    ] {
        let (code, reason, message) = harness.write(Method::PATCH, &path, kind, patch).await.failure();
        assert_eq!((code, reason.as_str()), (422, "Invalid"), "{patch}: {message}");
        let head = format!(" \"\" is invalid: patch: Invalid value: \"{shown}");
        assert!(message.starts_with(&head) && message.ends_with(&format!("\": {why}")), "{patch}: {message}");
    }
    let apply = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replica: 5}\n";
    let path = format!("{path}&fieldManager=me");
    let applied = harness.write(Method::PATCH, &path, "application/apply-patch+yaml", apply).await;
    assert_eq!(
        applied.failure(),
        (
            500,
            String::new(),
            "failed to create typed patch object (default/a; apps/v1, Kind=Deployment): .spec.replica: field not declared \
             in schema"
                .to_owned()
        )
    );
}
