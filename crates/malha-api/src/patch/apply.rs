//! Server-side apply.
//!
//! From sigs.k8s.io/structured-merge-diff (`merge/update.go`, `Apply` and `prune`) and Kubernetes'
//! `apimachinery/pkg/util/managedfields/internal` (`structuredmerge.go`, `conflict.go` for the words of conflicts,
//! `lastappliedmanager.go` and `lastappliedupdater.go` for the manager `kubectl`).

use malha_cluster::Kind;
use serde_json::{Value, json};

use super::error::{Cause, PatchError};
use super::fields::{Fields, written};
use super::managed::{Entry, Id, Managed, Manager, Operation, nobodys, reset_fields, without_managed};
use super::types::Type;
use super::walk::{Duplicates, compare, field_set, merge, remove, validate, with_parents};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object that is there after `manager` applied `config`, with its managed fields, before defaults and admission.
///
/// What others own and `config` sets otherwise is a conflict (409) unless `force` takes it. What the manager applied last time
/// and not this time is removed unless somebody else owns it.
pub fn server_side_apply(
    kind: Kind,
    live: Option<&Value>,
    config: &Value,
    manager: &Manager,
    force: bool,
) -> Result<Value, PatchError> {
    check_type(kind, config, manager)?;
    let mut owners = match live {
        Some(live) => Managed::of(live)
            .ok_or_else(|| PatchError::unnamed("failed to decode managed fields: they are not what they should be"))?,
        None => Managed::default(),
    };
    let nothing = json!({"apiVersion": manager.api_version, "kind": kind.name()});
    let live = live.map_or_else(|| nothing.clone(), |live| without_managed(live.clone()));
    let is = Type::of(kind, manager.api_version);
    let described = |object: &Value| {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
        format!("{}/{}; {}", text("namespace"), text("name"), group_version_kind(object))
    };
    validate(is, config, Duplicates::Refused).map_err(|why| {
        PatchError::unnamed(format!("failed to create typed patch object ({}): {why}", described(config)))
    })?;
    validate(is, &live, Duplicates::Allowed).map_err(|why| {
        PatchError::unnamed(format!("failed to create typed live object ({}): {why}", described(&live)))
    })?;
    if owners.0.is_empty() {
        // Nobody applied yet and nobody tracked: what is there has to be somebody's.
        owners.update(kind, &nothing, &live, &Manager { name: "before-first-apply", ..*manager });
    }
    let attempt = |force| apply(kind, &live, config, owners.clone(), manager, force);
    let applied = match attempt(force) {
        Err(conflicts) if manager.name == "kubectl" => match allowed(is, &live, manager) {
            None => Err(conflicts),
            Some(allowed) => {
                let kept = |(id, fields): (Id, Fields)| {
                    let fields = fields.difference(&allowed);
                    (!fields.is_empty()).then_some((id, fields))
                };
                let conflicts: Vec<_> = conflicts.into_iter().filter_map(kept).collect();
                if conflicts.is_empty() { attempt(true) } else { Err(conflicts) }
            }
        },
        outcome => outcome,
    };
    let (mut object, owners) = applied.map_err(|conflicts| conflict(&conflicts))?;
    let annotations = object.pointer_mut("/metadata/annotations");
    let annotation = annotations.and_then(|annotations| annotations.get_mut(LAST_APPLIED));
    if let Some(annotation) = annotation.filter(|text| manager.name == "kubectl" && text.as_str() != Some("")) {
        *annotation = last_applied(config).into();
    }
    owners.write(&mut object);
    Ok(object)
}

/// As Go prints a `GroupVersionKind`.
fn group_version_kind(object: &Value) -> String {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let api_version = text("apiVersion");
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={}", text("kind"))
}

fn check_type(kind: Kind, config: &Value, manager: &Manager) -> Result<(), PatchError> {
    if !config.is_object() {
        let found = super::json_type(config);
        return Err(PatchError::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )));
    }
    if config["apiVersion"] != manager.api_version || config["kind"] != kind.name() {
        return Err(PatchError::bad_request(format!("invalid object type: {}", group_version_kind(config))));
    }
    if config["metadata"]["managedFields"].is_array() {
        return Err(PatchError::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

/// Either the object and its managers, or who owns what the manager would change.
fn apply(
    kind: Kind,
    live: &Value,
    config: &Value,
    mut owners: Managed,
    manager: &Manager,
    force: bool,
) -> Result<(Value, Managed), Vec<(Id, Fields)>> {
    let is = Type::of(kind, manager.api_version);
    let id = Id::new(manager, Operation::Apply);
    let reset = reset_fields(kind, manager.subresource);
    let fields = field_set(is, config).beyond(&reset);
    let last = owners.0.get(&id).cloned();
    let time = last.as_ref().and_then(|last| last.time.clone());
    let merged = merge(is, live, config);
    owners.0.insert(id.clone(), Entry { fields, api_version: manager.api_version.to_owned(), time });
    let object = match last {
        Some(last) if !last.fields.is_empty() => prune(is, &merged, &owners, &last.fields),
        _ => merged,
    };
    let comparison = compare(is, live, &object).beyond(&reset);
    let conflicts = owners.conflicts(&comparison, Some(&id));
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    owners.take(&comparison, Some(&id));
    let object = without_nulls(object);
    if let Some(entry) = owners.0.get_mut(&id) {
        entry.fields = entry.fields.difference(&nobodys());
        // When nothing changed, nothing happened.
        if object != *live {
            entry.time = Some(manager.time.to_owned());
        }
    }
    owners.0.retain(|_, entry| !entry.fields.is_empty());
    Ok((object, owners))
}

/// Removes what the manager applied last time and now does not, unless somebody has it.
fn prune(is: Type, merged: &Value, owners: &Managed, last: &Fields) -> Value {
    let all = |value: &Value| with_parents(Some(is), &field_set(is, value));
    let last = with_parents(Some(is), last);
    let owned = owners.0.values().fold(Fields::default(), |all, entry| all.union(&entry.fields));
    let owned = with_parents(Some(is), &owned);
    let of_merged = all(merged);
    // Without what was applied last, then with what somebody has again, then with what never was the manager's again.
    let pruned = remove(is, merged, &last);
    let pruned = remove(is, merged, &of_merged.difference(&all(&pruned).union(&owned)));
    remove(is, merged, &of_merged.difference(&all(&pruned)).intersection(&last))
}

/// Kubernetes' types have no nulls: what is null is not there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// What `kubectl apply` without `--server-side` set last and nobody changed since: whoever goes on with `--server-side` has it.
fn allowed(is: Type, live: &Value, manager: &Manager) -> Option<Fields> {
    let last: Value = serde_json::from_str(live["metadata"]["annotations"][LAST_APPLIED].as_str()?).ok()?;
    if last["apiVersion"] != manager.api_version || validate(is, &last, Duplicates::Refused).is_err() {
        return None;
    }
    let changed = compare(is, &last, live);
    Some(field_set(is, &last).difference(&changed.modified).difference(&changed.added).difference(&changed.removed))
}

/// The annotation that `kubectl apply` without `--server-side` would have written, as Go encodes it.
fn last_applied(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let escapes =
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    let json = escapes.iter().fold(config.to_string(), |json, (letter, escape)| json.replace(*letter, escape));
    json + "\n"
}

/// The refusal that names every field that somebody else has.
fn conflict(conflicts: &[(Id, Fields)]) -> PatchError {
    let found: Vec<(String, Vec<String>)> = conflicts
        .iter()
        .map(|(id, fields)| (id.describe(), fields.paths().iter().map(|path| written(path)).collect()))
        .collect();
    let causes: Vec<Cause> = found
        .iter()
        .flat_map(|(manager, paths)| {
            paths.iter().map(move |path| Cause {
                reason: "FieldManagerConflict",
                message: format!("conflict with {manager}"),
                field: path.clone(),
            })
        })
        .collect();
    let message = if let [only] = &causes[..] {
        format!("Apply failed with 1 conflict: {}: {}", only.message, only.field)
    } else {
        let mut lines = Vec::new();
        for (manager, paths) in &found {
            lines.push(format!("conflicts with {manager}:"));
            lines.extend(paths.iter().map(|path| format!("- {path}")));
        }
        format!("Apply failed with {} conflicts: {}", causes.len(), lines.join("\n"))
    };
    PatchError::conflict(message, causes)
}
