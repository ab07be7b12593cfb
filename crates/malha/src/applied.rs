//! Manifests become objects as `kubectl apply` makes them: with a note of what was applied, from which a later
//! `kubectl apply` tells what its manifest does not say any more (kubectl, `pkg/util/apply.go`).

use malha_cluster::Object;
use malha_manifest::LoadedObject;
use serde_json::{Value, json};

/// Where kubectl keeps what it applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object of a manifest, with kubectl's annotation.
pub(crate) fn as_kubectl_does(loaded: LoadedObject) -> Object {
    let note = note(&loaded);
    let mut object = Object::from(loaded);
    object.annotate(LAST_APPLIED, note);
    object
}

/// The manifest as kubectl writes it down: in its namespace, with an empty note of its own, and a line's end.
fn note(loaded: &LoadedObject) -> String {
    let mut json = loaded.json.clone();
    json["metadata"]["namespace"] = loaded.id.namespace.clone().map_or(Value::Null, Value::String);
    if let Some(meta) = json["metadata"].as_object_mut() {
        meta.retain(|_, value| !value.is_null());
        let annotations = meta.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.remove(LAST_APPLIED);
        }
    }
    format!("{json}\n")
}

#[cfg(test)]
mod tests {
    use malha_manifest::parse_manifests;

    use super::*;

    #[test]
    fn what_was_applied_is_noted_as_kubectl_notes_it() {
        let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {b: c}}\ndata: {d: e}\n";
        let loaded = parse_manifests("a.yml", yaml).objects.remove(0);
        let object = as_kubectl_does(loaded);
        let note = &object.metadata().annotations.as_ref().unwrap()[LAST_APPLIED];
        assert_eq!(
            note,
            "{\"apiVersion\":\"v1\",\"data\":{\"d\":\"e\"},\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\
             \"labels\":{\"b\":\"c\"},\"name\":\"a\",\"namespace\":\"default\"}}\n"
        );
    }
}
