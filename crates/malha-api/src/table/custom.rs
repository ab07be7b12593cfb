//! Custom resources, with the columns that their definitions name, and the definitions themselves.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use malha_cluster::{Istio, Stored};
use serde_json::{Value, json};

use super::common::{age, name};
use crate::schema::crds;

pub(super) fn definition(crd: &CustomResourceDefinition) -> Vec<Value> {
    let created = crd.metadata.creation_timestamp.as_ref();
    vec![name(&crd.metadata), json!(created)]
}

pub(super) fn row<S>(object: &Istio<S>, now: Timestamp) -> Vec<Value>
where
    Istio<S>: Stored,
{
    let cells = crds::columns(<Istio<S> as Stored>::KIND).iter().map(|column| match column.kind {
        "date" => age(&object.metadata, now),
        _ => text(&object.json, column.json_path),
    });
    std::iter::once(name(&object.metadata)).chain(cells).collect()
}

/// The value at a simple JSON path below `spec`, as kubectl's JSON paths print it: texts as they are, lists and maps as JSON.
fn text(spec: &Value, path: &str) -> Value {
    let Some(fields) = path.strip_prefix(".spec.") else { return Value::Null };
    match fields.split('.').try_fold(spec, |value, field| value.get(field)) {
        None | Some(Value::Null) => Value::Null,
        Some(Value::String(text)) => json!(text),
        // Go writes these three so that they can stand in HTML.
        Some(other) => {
            json!(other.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
        }
    }
}
