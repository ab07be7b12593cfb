//! The subresource `scale` of Deployments and replica sets: `Scale` of autoscaling/v1 (`pkg/registry/apps/*/storage`).

use std::sync::Arc;

use http::{Response, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use malha_cluster::{Object, Part, Registry};
use serde_json::{Value, json};

use super::Call;
use super::body::{content_type, read};
use super::write::{Writer, updated};
use crate::cluster::{read as look, write};
use crate::patch::{Patch, PatchType, apply_patch};
use crate::request::Target;
use crate::respond::Body;
use crate::status::Failure;

pub(super) fn get(call: Call<'_>, target: &Target, name: &str) -> Result<Response<Body>, Failure> {
    let key = target.key(name);
    let found = look(call.shared.control.as_ref(), |store| store.find(&key).cloned());
    let scale = found.as_ref().and_then(scale).ok_or_else(|| Failure::not_found(target.resource, name))?;
    Ok(call.json(StatusCode::OK, &scale))
}

pub(super) fn put(call: Call<'_>, target: &Target, name: &str, body: &[u8]) -> Result<Response<Body>, Failure> {
    let wanted = read(call.parts, body)?.to_value();
    let writer = Writer::of(call)?;
    let set = |registry: &mut Registry| rescale(registry, target, name, &writer, |_| Ok(wanted));
    Ok(call.json(StatusCode::OK, &write(call.shared.control.as_ref(), set)?))
}

pub(super) fn patch(call: Call<'_>, target: &Target, name: &str, body: &[u8]) -> Result<Response<Body>, Failure> {
    let writer = Writer::of(call)?;
    let sort = PatchType::of(target.resource.kind, content_type(call.parts))?;
    let patch = match Patch::read(sort, body)? {
        // A Scale has no lists: the one is the other.
        Some(Patch::Strategic(value)) => Patch::Merge(value),
        Some(patch) => patch,
        None => {
            return Err(Failure::unsupported_type(
                "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json",
            ));
        }
    };
    let kind = target.resource.kind;
    let set = |registry: &mut Registry| {
        rescale(registry, target, name, &writer, |scale| Ok(apply_patch(kind, scale, &patch)?))
    };
    Ok(call.json(StatusCode::OK, &write(call.shared.control.as_ref(), set)?))
}

/// Sets the replicas that `change` makes of the scale that is there.
fn rescale(
    registry: &mut Registry,
    target: &Target,
    name: &str,
    writer: &Writer,
    change: impl FnOnce(&Value) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    let live = registry.store().find(&target.key(name)).cloned();
    let missing = || Failure::not_found(target.resource, name);
    let mut object = live.ok_or_else(missing)?;
    let before = scale(&object).ok_or_else(missing)?;
    let after = change(&before)?;
    let given = after["metadata"]["name"].as_str().unwrap_or_default();
    if given != name {
        let message = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(Failure::bad_request(message));
    }
    let replicas = match &after["spec"]["replicas"] {
        Value::Null => 0,
        given => given.as_i64().and_then(|replicas| i32::try_from(replicas).ok()).ok_or_else(|| {
            Failure::bad_request(format!(
                "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal {given} into Go struct field \
                 ScaleSpec.spec.replicas of type int32"
            ))
        })?,
    };
    if replicas < 0 {
        let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        let mut failure = Failure::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!("Scale.autoscaling \"{name}\" is invalid: spec.replicas: {why}"),
        );
        let causes = json!([{"reason": "FieldValueInvalid", "message": why, "field": "spec.replicas"}]);
        for (field, value) in
            [("name", name.into()), ("group", "autoscaling".into()), ("kind", "Scale".into()), ("causes", causes)]
        {
            failure.details.insert(field.to_owned(), value);
        }
        return Err(failure);
    }
    match &mut object {
        Object::Deployment(object) => Arc::make_mut(object).spec.get_or_insert_default().replicas = Some(replicas),
        Object::ReplicaSet(object) => Arc::make_mut(object).spec.get_or_insert_default().replicas = Some(replicas),
        _ => return Err(missing()),
    }
    // A scale that names no version is for any.
    let version = after["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty());
    object.metadata_mut().resource_version = version.map(str::to_owned);
    let stored = updated(registry, target, object, Part::Whole, writer)?;
    scale(&stored).ok_or_else(missing)
}

/// The `Scale` of what can be scaled.
fn scale(object: &Object) -> Option<Value> {
    let (replicas, current, selector) = match object {
        Object::Deployment(object) => {
            let (spec, status) = (object.spec.as_ref()?, object.status.as_ref());
            (spec.replicas, status.and_then(|status| status.replicas), &spec.selector)
        }
        Object::ReplicaSet(object) => {
            let (spec, status) = (object.spec.as_ref()?, object.status.as_ref());
            (spec.replicas, status.map(|status| status.replicas), &spec.selector)
        }
        _ => return None,
    };
    let ObjectMeta { name, namespace, uid, resource_version, creation_timestamp, .. } = object.metadata();
    Some(json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": name, "namespace": namespace, "uid": uid, "resourceVersion": resource_version,
            "creationTimestamp": creation_timestamp,
        },
        "spec": {"replicas": replicas.unwrap_or(0)},
        "status": {"replicas": current.unwrap_or(0), "selector": written(selector)},
    }))
}

/// As text (`meta/v1`, `FormatLabelSelector`).
fn written(selector: &LabelSelector) -> String {
    let pairs = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(|one| {
        let mut values = one.values.clone().unwrap_or_default();
        values.sort();
        let (key, values) = (&one.key, values.join(","));
        match one.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        }
    });
    let mut all: Vec<_> = pairs.chain(expressions).collect();
    all.sort();
    all.join(",")
}
