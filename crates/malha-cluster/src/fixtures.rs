//! Objects for tests.

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use malha_world::World;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::object::Stored;
use crate::store::Store;

fn read<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// A store with the namespaces `default` and `other`, and the runtime classes `wasmtime-spin-v2` and (not ours) `other`.
pub(crate) fn store() -> Store {
    let mut store = Store::new(&World::simulated(1_700_000_000, 1));
    for name in ["default", "other"] {
        store.create(read::<Namespace>(json!({"metadata": {"name": name}})).into_object()).unwrap();
    }
    for (name, handler) in [("wasmtime-spin-v2", "spin-v2"), ("other", "runsc")] {
        let class: RuntimeClass = read(json!({"metadata": {"name": name}, "handler": handler}));
        store.create(class.into_object()).unwrap();
    }
    store
}

/// A Deployment of pods labelled `app: {name}` with one container `app` and a port `http` of number 80.
pub(crate) fn deployment(name: &str, replicas: i32, image: &str) -> Deployment {
    read(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "runtimeClassName": "wasmtime-spin-v2",
                    "containers": [{
                        "name": "app", "image": image, "ports": [{"name": "http", "containerPort": 80}],
                    }],
                },
            },
        },
    }))
}

/// A pod as a replica set of [`deployment`] makes it.
pub(crate) fn pod(name: &str) -> Pod {
    let template = deployment(name, 1, "workshop:0.0.1").spec.unwrap().template;
    let metadata = ObjectMeta {
        name: Some(name.into()),
        namespace: Some("default".into()),
        labels: template.metadata.unwrap().labels,
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: template.spec, status: None }
}

/// A Service of the pods labelled `app: {name}`.
pub(crate) fn service(name: &str, port: u16) -> Service {
    read(json!({
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": "http"}]},
    }))
}

pub(crate) fn secret(name: &str, data: &[(&str, &str)]) -> Secret {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
    let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    Secret { metadata, data: Some(data.collect()), ..Secret::default() }
}
