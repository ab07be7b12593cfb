//! delete, deletecollection, and the eviction of a pod (apiserver `pkg/endpoints/handlers/delete.go`).

use http::{Response, StatusCode};
use malha_cluster::{Deleted, Deletion, Kind, Object, Propagation};
use serde_json::{Map, Value, json};

use super::Call;
use super::body::{read, unprocessable};
use crate::cluster::{read as look, write};
use crate::list::Wanted;
use crate::request::Target;
use crate::respond::Body;
use crate::select::Selector;
use crate::status::Failure;

/// `DeleteOptions`, of the body or, without one, of the query.
fn options(call: Call<'_>, body: &[u8]) -> Result<(Deletion, bool), Failure> {
    let value = if body.is_empty() { Value::Null } else { read(call.parts, body)?.to_value() };
    of_value(call, &value)
}

/// The deletion, and whether `orphanDependents: false` was said.
fn of_value(call: Call<'_>, value: &Value) -> Result<(Deletion, bool), Failure> {
    let text = |field: &str| value[field].as_str().or_else(|| call.params.get(field)).map(str::to_owned);
    let mut deletion = Deletion {
        dry_run: call.params.dry_run()?,
        grace_period_seconds: match &value["gracePeriodSeconds"] {
            Value::Null => call.params.number("gracePeriodSeconds")?,
            given => given.as_i64(),
        },
        uid: value["preconditions"]["uid"].as_str().map(str::to_owned),
        resource_version: value["preconditions"]["resourceVersion"].as_str().map(str::to_owned),
        ..Deletion::default()
    };
    for run in value["dryRun"].as_array().into_iter().flatten() {
        if run != "All" {
            return Err(unprocessable(format!("dryRun: Unsupported value: {run}: supported values: \"All\"")));
        }
        deletion.dry_run = true;
    }
    let orphan = value["orphanDependents"].as_bool().or_else(|| call.params.flag_of("orphanDependents"));
    deletion.propagation = match (text("propagationPolicy").as_deref(), orphan) {
        (Some(_), Some(_)) => {
            let message = "orphanDependents and deletionPropagation cannot be both set";
            return Err(unprocessable(format!("propagationPolicy: Invalid value: {message}")));
        }
        (Some("Orphan"), None) | (None, Some(true)) => Propagation::Orphan,
        (Some("Foreground"), None) => Propagation::Foreground,
        (Some("Background"), None) | (None, _) => Propagation::Background,
        (Some(other), None) => {
            return Err(unprocessable(format!(
                "propagationPolicy: Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \
                 \"Orphan\", \"nil\""
            )));
        }
    };
    Ok((deletion, orphan == Some(false)))
}

pub(super) fn one(call: Call<'_>, target: &Target, name: &str, body: &[u8]) -> Result<Response<Body>, Failure> {
    let view = call.view(target)?;
    let (deletion, dependents_too) = options(call, body)?;
    let key = target.key(name);
    let deleted = write(call.shared.control.as_ref(), |registry| registry.delete(&key, &deletion))?;
    Ok(match deleted {
        Deleted::Gone(object) if returns(target.resource.kind) => call.json(StatusCode::OK, &view.one(&object)),
        Deleted::Gone(object) => call.json(StatusCode::OK, &success(target, &object)),
        Deleted::Terminating(object) => {
            let code = if dependents_too { StatusCode::ACCEPTED } else { StatusCode::OK };
            call.json(code, &view.one(&object))
        }
    })
}

/// Whether a delete answers with the object rather than with a status (`ReturnDeletedObject` in `pkg/registry`).
fn returns(kind: Kind) -> bool {
    matches!(kind, Kind::Pod | Kind::Service | Kind::ServiceAccount)
}

fn success(target: &Target, object: &Object) -> Value {
    let meta = object.metadata();
    let mut details = json!({"name": meta.name, "kind": target.resource.plural, "uid": meta.uid});
    if !target.resource.group.is_empty() {
        details["group"] = target.resource.group.into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

pub(super) fn collection(call: Call<'_>, target: &Target, body: &[u8]) -> Result<Response<Body>, Failure> {
    let view = call.view(target)?;
    let selector = Selector::read(target, call.params)?;
    let wanted = Wanted::read(selector, target.namespace.clone(), call.params)?;
    let (deletion, _) = options(call, body)?;
    let control = call.shared.control.as_ref();
    let page = look(control, |store| wanted.cut(store, target.resource.kind))?;
    let mut objects = Vec::with_capacity(page.objects.len());
    for object in page.objects {
        let key = object.key();
        match write(control, |registry| registry.delete(&key, &deletion)) {
            Ok(Deleted::Gone(object) | Deleted::Terminating(object)) => objects.push(object),
            // Somebody else was quicker.
            Err(malha_cluster::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let meta = Map::from_iter([("resourceVersion".to_owned(), page.meta["resourceVersion"].clone())]);
    Ok(call.json(StatusCode::OK, &view.many(&objects, meta)))
}

/// A deletion that the pod's disruption budget has to allow.
pub(super) fn evict(call: Call<'_>, target: &Target, name: &str, body: &[u8]) -> Result<Response<Body>, Failure> {
    let eviction = read(call.parts, body)?.to_value();
    for (field, want) in [("name", Some(name)), ("namespace", target.namespace.as_deref())] {
        let given = eviction["metadata"][field].as_str();
        if given.is_some_and(|given| !given.is_empty() && Some(given) != want) {
            return Err(Failure::bad_request(format!("{field} in URL does not match {field} in Eviction object")));
        }
    }
    let (deletion, _) = of_value(call, &eviction["deleteOptions"])?;
    let key = target.key(name);
    write(call.shared.control.as_ref(), |registry| registry.evict(&key, &deletion))?;
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(call.json(StatusCode::CREATED, &status))
}
