//! What holds for every patch: nothing panics, an object that is patched with itself stays, applying twice is applying once.

use malha_api::patch::{Manager, Patch, PatchType, apply_patch, fill, keep_times, server_side_apply, track_update};
use malha_cluster::Kind;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

const NAMES: &[&str] = &[
    "$deleteFromPrimitiveList/finalizers",
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "$setElementOrder/finalizers",
    "annotations",
    "apiVersion",
    "containers",
    "env",
    "f:spec",
    "fieldsType",
    "fieldsV1",
    "finalizers",
    "kind",
    "kubectl.kubernetes.io/last-applied-configuration",
    "labels",
    "managedFields",
    "metadata",
    "name",
    "op",
    "operation",
    "path",
    "ports",
    "selector",
    "spec",
    "template",
    "uid",
    "value",
];
const WORDS: &[&str] = &[
    "", "a", "b", "delete", "replace", "merge", "Apply", "Update", "v1", "/spec", "/spec/-1", "add", "FieldsV1", "{}",
];

/// JSON that is often nearly right.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(select(NAMES), inner, 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
            }),
        ]
    })
}

/// A deployment of `containers`, each with variables and ports.
fn deployment() -> impl Strategy<Value = Value> {
    let names = || prop::collection::btree_set("[a-e]", 0..4).prop_map(|names| names.into_iter().collect::<Vec<_>>());
    let container =
        (names(), prop::collection::btree_set(1..9u16, 0..3), "[a-c]:[12]").prop_map(|(env, ports, image)| {
            let env: Vec<_> = env.iter().map(|name| json!({"name": name, "value": image})).collect();
            let ports: Vec<_> = ports.iter().map(|port| json!({"containerPort": port, "protocol": "TCP"})).collect();
            json!({"image": image, "env": env, "ports": ports})
        });
    let containers = prop::collection::btree_map("[a-e]", container, 1..4);
    (0..5u8, names(), names(), containers).prop_map(|(replicas, labels, finalizers, containers)| {
        let labels: Map<String, Value> = labels.into_iter().map(|label| (label, "x".into())).collect();
        let containers: Vec<Value> = containers
            .into_iter()
            .map(|(name, mut container)| {
                container["name"] = name.into();
                container
            })
            .collect();
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "posts", "labels": labels, "finalizers": finalizers},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": containers}}},
        })
    })
}

fn manager<'a>(name: &'a str, time: &'a str) -> Manager<'a> {
    Manager { name, api_version: "apps/v1", subresource: "", time }
}

const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-01-01T00:00:09Z";

proptest! {
    #[test]
    fn nothing_panics(live in any_json(), patch in any_json(), kind in select(Kind::ALL)) {
        let body = patch.to_string();
        for patch_type in [PatchType::Json, PatchType::Merge, PatchType::Strategic] {
            if let Ok(Some(patch)) = Patch::read(patch_type, body.as_bytes())
                && let Ok(mut object) = apply_patch(kind, &live, &patch)
            {
                track_update(kind, Some(&live), &mut object, &manager("one", EARLY));
                keep_times(&live, &mut object);
            }
        }
        let mut config = patch;
        if let Some(config) = config.as_object_mut() {
            config.insert("apiVersion".to_owned(), kind.api_version().into());
            config.insert("kind".to_owned(), kind.name().into());
        }
        let manager = Manager { api_version: kind.api_version(), ..manager("kubectl", EARLY) };
        for live in [None, Some(&live)] {
            let _ = server_side_apply(kind, live, &config, &manager, true);
        }
        fill(kind, &mut config);
        track_update(kind, None, &mut config, &manager);
    }

    #[test]
    fn an_object_patched_with_itself_stays(object in deployment()) {
        for patch in [Patch::Merge(object.clone()), Patch::Strategic(object.clone()), Patch::Json(Vec::new())] {
            prop_assert_eq!(apply_patch(Kind::Deployment, &object, &patch).unwrap(), object.clone());
        }
    }

    #[test]
    fn applying_twice_is_applying_once(live in deployment(), config in deployment()) {
        let mut created = live;
        track_update(Kind::Deployment, None, &mut created, &manager("creator", EARLY));
        let apply = |live: &Value, time| {
            server_side_apply(Kind::Deployment, Some(live), &config, &manager("applier", time), true).unwrap()
        };
        let once = apply(&created, EARLY);
        prop_assert_eq!(apply(&once, LATE), once);
    }

    #[test]
    fn whoever_applies_alone_gets_what_he_applied(first in deployment(), second in deployment()) {
        let apply = |live: Option<&Value>, config: &Value| {
            server_side_apply(Kind::Deployment, live, config, &manager("applier", EARLY), false).unwrap()
        };
        let mut second_only = apply(None, &second);
        let mut both = apply(Some(&apply(None, &first)), &second);
        // Empty maps and lists that nobody has any more are left out, and so may be those of the config.
        drop_empty(&mut second_only);
        drop_empty(&mut both);
        prop_assert_eq!(sorted(both), sorted(second_only));
    }

    #[test]
    fn the_rfc_is_kept_wherever_it_allows_a_patch(
        document in json_document(),
        operations in prop::collection::vec(operation(), 0..4),
    ) {
        let mut by_the_rfc = document.clone();
        let patch: json_patch::Patch = serde_json::from_value(Value::from(operations.clone())).unwrap();
        if json_patch::patch_unsafe(&mut by_the_rfc, &patch).is_ok() {
            let ours = apply_patch(Kind::ConfigMap, &document, &Patch::Json(operations));
            prop_assert_eq!(ours.unwrap(), by_the_rfc);
        }
    }
}

fn json_document() -> impl Strategy<Value = Value> {
    (0..3u8, prop::collection::vec(0..3u8, 0..3)).prop_map(|(a, list)| json!({"a": a, "o": {"b": a, "l": list}}))
}

fn operation() -> impl Strategy<Value = Value> {
    let path = || select(&["/a", "/c", "/o", "/o/b", "/o/l", "/o/l/0", "/o/l/1", "/o/l/-", "/o/l/2"][..]);
    let op = select(&["add", "remove", "replace", "move", "copy", "test"][..]);
    (op, path(), path(), 0..3u8).prop_map(|(op, path, from, value)| match op {
        "remove" => json!({"op": op, "path": path}),
        "move" | "copy" => json!({"op": op, "path": path, "from": from}),
        _ => json!({"op": op, "path": path, "value": value}),
    })
}

fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(drop_empty);
            fields.retain(|_, value| *value != json!({}) && *value != json!([]));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

/// Without managed fields, with lists in one order.
fn sorted(mut value: Value) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Object(fields) => fields.values_mut().for_each(sort),
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(ToString::to_string);
            }
            _ => {}
        }
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    sort(&mut value);
    value
}
