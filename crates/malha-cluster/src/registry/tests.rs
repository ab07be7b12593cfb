//! The registry as its users see it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use serde_json::json;

use crate::fixtures::{deployment, secret, service};
use crate::object::Stored;

use super::*;

fn registry() -> Registry {
    let mut registry = Registry::new(&World::simulated(1_700_000_000, 1));
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
    registry.create(namespace.into_object(), false).unwrap();
    registry
}

fn ip(object: &Object) -> Option<String> {
    Service::of(object).unwrap().spec.as_ref().unwrap().cluster_ip.clone()
}

#[tokio::test]
async fn string_data_becomes_data() {
    let mut object = secret("jwt-keys", &[]);
    object.string_data = Some([("key".to_owned(), "value".to_owned())].into());
    let Object::Secret(object) = registry().create(object.into_object(), false).unwrap() else { panic!() };
    assert_eq!(object.data.as_ref().unwrap()["key"].0, b"value");
    assert_eq!((&object.string_data, object.type_.as_deref()), (&None, Some("Opaque")));
}

#[tokio::test]
async fn a_service_keeps_what_it_was_given() {
    let mut registry = registry();
    let first = registry.create(service("posts", 80).into_object(), false).unwrap();
    assert_eq!(ip(&first).as_deref(), Some("10.96.1.0"));
    let again = registry.update(service("posts", 81).into_object(), Part::Whole, false).unwrap();
    assert_eq!(ip(&again), ip(&first));
    let mut moved = service("posts", 80);
    moved.spec.as_mut().unwrap().cluster_ip = Some("10.96.0.9".into());
    let error = registry.update(moved.into_object(), Part::Whole, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"Service "posts" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.0.9"]: may not change once set"#
    );
}

#[tokio::test]
async fn node_ports_come_and_go_with_the_type() {
    let mut registry = registry();
    let typed = |kind: &str| {
        let mut service = service("posts", 80);
        service.spec.as_mut().unwrap().type_ = Some(kind.into());
        service.into_object()
    };
    let port =
        |object: &Object| Service::of(object).unwrap().spec.as_ref().unwrap().ports.as_ref().unwrap()[0].node_port;
    let first = registry.create(typed("LoadBalancer"), false).unwrap();
    assert!(port(&first).is_some_and(|port| (30_000..=32_767).contains(&port)));
    let second = registry.update(typed("NodePort"), Part::Whole, false).unwrap();
    assert_eq!(port(&second), port(&first));
    let third = registry.update(typed("ClusterIP"), Part::Whole, false).unwrap();
    assert_eq!(port(&third), None);
}

#[tokio::test]
async fn a_dry_run_shows_and_writes_nothing() {
    let mut registry = registry();
    let version = registry.store().version();
    let shown = registry.create(deployment("posts", 1, "workshop:0.0.1").into_object(), true).unwrap();
    assert!(shown.metadata().uid.is_some());
    assert_eq!(shown.metadata().resource_version, None);
    assert_eq!(registry.store().version(), version);
    let stored = registry.create(deployment("posts", 1, "workshop:0.0.1").into_object(), false).unwrap();
    let version = registry.store().version();
    let shown = registry.update(deployment("posts", 3, "workshop:0.0.1").into_object(), Part::Whole, true).unwrap();
    assert_eq!((shown.metadata().generation, registry.store().version()), (Some(2), version));
    assert_eq!(shown.metadata().resource_version, stored.metadata().resource_version);
}

#[tokio::test]
async fn a_write_to_the_status_leaves_the_rest_and_the_other_way_round() {
    let mut registry = registry();
    registry.create(deployment("posts", 1, "workshop:0.0.1").into_object(), false).unwrap();
    let mut object = deployment("posts", 7, "workshop:0.0.1");
    object.status = Some(serde_json::from_value(json!({"replicas": 5})).unwrap());
    let stored = registry.update(object.clone().into_object(), Part::Status, false).unwrap();
    let of = |object: &Object| {
        let deployment = Deployment::of(object).unwrap();
        (deployment.spec.as_ref().unwrap().replicas, deployment.status.as_ref().and_then(|status| status.replicas))
    };
    assert_eq!(of(&stored), (Some(1), Some(5)));
    object.status = None;
    let stored = registry.update(object.into_object(), Part::Whole, false).unwrap();
    assert_eq!((of(&stored), stored.metadata().generation), ((Some(7), Some(5)), Some(2)));
}

#[tokio::test]
async fn a_selector_must_match_its_own_template_and_stays() {
    let mut registry = registry();
    let mut other = deployment("posts", 1, "workshop:0.0.1");
    other.spec.as_mut().unwrap().selector.match_labels = Some([("app".to_owned(), "x".to_owned())].into());
    let error = registry.create(other.clone().into_object(), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"Deployment.apps "posts" is invalid: spec.template.metadata.labels: Invalid value: {"app":"posts"}: `selector` does not match template `labels`"#
    );
    registry.create(deployment("posts", 1, "workshop:0.0.1").into_object(), false).unwrap();
    let error = registry.update(other.clone().into_object(), Part::Whole, false).unwrap_err();
    assert!(error.to_string().contains("field is immutable"), "{error}");
    other.spec.as_mut().unwrap().selector.match_labels = None;
    other.metadata.name = Some("other".into());
    let error = registry.create(other.into_object(), false).unwrap_err();
    assert!(error.to_string().contains("empty selector"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_on_a_node_has_its_time_and_only_ever_less() {
    let mut registry = registry();
    let mut pod = crate::fixtures::pod("p");
    pod.spec.as_mut().unwrap().node_name = Some("malha".into());
    let key = pod.clone().into_object().key();
    registry.create(pod.into_object(), false).unwrap();
    let deletion = |seconds| Deletion { grace_period_seconds: seconds, ..Deletion::default() };
    let left = |deleted| match deleted {
        Ok(Deleted::Terminating(object)) => Pod::of(&object).unwrap().metadata.deletion_grace_period_seconds,
        Ok(Deleted::Gone(_)) => None,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(left(registry.delete(&key, &deletion(None))), Some(30));
    assert_eq!(left(registry.delete(&key, &deletion(Some(60)))), Some(30));
    assert_eq!(left(registry.delete(&key, &deletion(Some(5)))), Some(5));
    assert_eq!(left(registry.delete(&key, &deletion(Some(0)))), None);
    assert!(registry.store().find(&key).is_none());
}

#[tokio::test]
async fn the_last_finalizer_takes_the_object_along() {
    let mut registry = registry();
    let mut object = deployment("posts", 1, "workshop:0.0.1");
    object.metadata.finalizers = Some(vec!["example.com/a".into()]);
    let key = object.clone().into_object().key();
    registry.create(object.clone().into_object(), false).unwrap();
    assert!(matches!(registry.delete(&key, &Deletion::default()), Ok(Deleted::Terminating(_))));
    object.metadata.finalizers = Some(vec!["example.com/a".into(), "example.com/b".into()]);
    let error = registry.update(object.clone().into_object(), Part::Whole, false).unwrap_err();
    assert!(error.to_string().contains("no new finalizers can be added"), "{error}");
    object.metadata.finalizers = None;
    registry.update(object.into_object(), Part::Whole, false).unwrap();
    assert!(registry.store().find(&key).is_none());
}
