//! Managed fields: who set what, kept in `metadata.managedFields` through creates, updates and patches.
//!
//! From Kubernetes' `apimachinery/pkg/util/managedfields/internal`: `managedfields.go` (how they are written),
//! `managedfieldsupdater.go` (time, and joining with what the manager had), `stripmeta.go` (what nobody owns), `skipnonapplied.go`
//! (what is not tracked, and `before-first-apply`), `capmanagers.go` (not more than ten), and structured-merge-diff's
//! `merge/update.go` (who loses what).

use std::collections::BTreeMap;

use malha_cluster::Kind;
use serde_json::{Map, Value, json};

use super::fields::{Element, Fields};
use super::skeleton::filled;
use super::types::Type;
use super::walk::{Comparison, compare};

/// Who writes, as the entry in `managedFields` will say it.
#[derive(Clone, Copy, Debug)]
pub struct Manager<'a> {
    /// The query's `fieldManager`, or what [`Manager::name`] makes of the client's name.
    pub name: &'a str,
    /// Of the request's URL: `apps/v1`.
    pub api_version: &'a str,
    /// `status` or `scale`; empty for the object itself.
    pub subresource: &'a str,
    /// Now, as RFC 3339 in UTC without fractions of a second.
    pub time: &'a str,
}

impl Manager<'_> {
    /// The manager's name: `fieldManager` of the query or, if it is empty, the product that `User-Agent` names.
    ///
    /// From Kubernetes' `apiserver/pkg/endpoints/handlers/create.go`, `managerOrUserAgent`.
    pub fn name(field_manager: &str, user_agent: &str) -> String {
        const MAX_BYTES: usize = 128;
        if !field_manager.is_empty() {
            return field_manager.to_owned();
        }
        let mut name = String::new();
        for letter in user_agent.split('/').next().unwrap_or_default().chars().filter(|letter| !letter.is_control()) {
            if name.len() + letter.len_utf8() > MAX_BYTES {
                break;
            }
            name.push(letter);
        }
        name
    }
}

/// A manager among those of an object. Appliers are the same whatever the version that they apply with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) name: String,
    pub(super) operation: Operation,
    /// Empty for an applier.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Id {
    pub(super) fn new(manager: &Manager, operation: Operation) -> Self {
        let name = if manager.name.is_empty() { "unknown" } else { manager.name };
        let api_version = if operation == Operation::Apply { "" } else { manager.api_version };
        Self {
            name: name.to_owned(),
            operation,
            api_version: api_version.to_owned(),
            subresource: manager.subresource.to_owned(),
        }
    }

    /// As in messages about conflicts: `"kubectl" using apps/v1`.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update { format!("{text} using {}", self.api_version) } else { text }
    }
}

/// What a manager has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) fields: Fields,
    pub(super) api_version: String,
    pub(super) time: Option<String>,
}

/// The managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Managed(pub(super) BTreeMap<Id, Entry>);

impl Managed {
    /// Those of an object; none if they cannot be understood.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let mut managed = BTreeMap::new();
        let entries = match &object["metadata"]["managedFields"] {
            Value::Null => return Some(Self::default()),
            Value::Array(entries) => entries,
            _ => return None,
        };
        for entry in entries {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let operation = match entry["operation"].as_str()? {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            let api_version = text("apiVersion");
            if api_version.is_empty() || entry["fieldsType"] != "FieldsV1" {
                return None;
            }
            let fields = match &entry["fieldsV1"] {
                Value::Null => Fields::default(),
                fields => Fields::read(fields)?,
            };
            let id = Id {
                name: text("manager"),
                operation,
                api_version: if operation == Operation::Apply { String::new() } else { api_version.clone() },
                subresource: text("subresource"),
            };
            let time = entry["time"].as_str().map(str::to_owned);
            managed.insert(id, Entry { fields, api_version, time });
        }
        Some(Self(managed))
    }

    /// Writes them to an object, oldest first, appliers before updaters.
    pub(super) fn write(self, object: &mut Value) {
        let mut entries: Vec<(Id, Entry)> = self.0.into_iter().collect();
        entries.sort_by(|(left, one), (right, other)| {
            let key = |id: &Id, entry: &Entry| (id.operation, entry.time.clone(), id.name.clone());
            let rest = |id: &Id, entry: &Entry| (entry.api_version.clone(), id.subresource.clone());
            (key(left, one), rest(left, one)).cmp(&(key(right, other), rest(right, other)))
        });
        let entries: Vec<Value> = entries.into_iter().map(|(id, entry)| written(id, entry)).collect();
        let metadata = object.as_object_mut().map(|object| object.entry("metadata").or_insert(Value::Null));
        let Some(metadata) = metadata else { return };
        if entries.is_empty() {
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.remove("managedFields");
            }
            return;
        }
        if !metadata.is_object() {
            *metadata = Value::Object(Map::new());
        }
        metadata["managedFields"] = entries.into();
    }

    /// What the others have of what changes.
    pub(super) fn conflicts(&self, comparison: &Comparison, but: Option<&Id>) -> Vec<(Id, Fields)> {
        let changed = comparison.changed();
        let others = self.0.iter().filter(|(id, _)| Some(*id) != but);
        others
            .map(|(id, entry)| (id.clone(), entry.fields.intersection(&changed)))
            .filter(|(_, conflict)| !conflict.is_empty())
            .collect()
    }

    /// Takes from the others what changes or goes. Who has nothing left is gone.
    pub(super) fn take(&mut self, comparison: &Comparison, but: Option<&Id>) {
        let changed = comparison.changed();
        for (id, entry) in &mut self.0 {
            if Some(id) != but {
                entry.fields = entry.fields.difference(&changed).difference(&comparison.removed);
            }
        }
        self.0.retain(|_, entry| !entry.fields.is_empty());
    }

    /// A change by an updater: it gets what it changed, from whoever had it.
    pub(super) fn update(&mut self, kind: Kind, before: &Value, after: &Value, manager: &Manager) {
        let comparison = compare(Type::of(kind, manager.api_version), &filled(kind, before), &filled(kind, after))
            .beyond(&reset_fields(kind, manager.subresource));
        self.take(&comparison, None);
        let fields = comparison.changed().difference(&nobodys());
        if fields.is_empty() {
            return;
        }
        let id = Id::new(manager, Operation::Update);
        let fields = match self.0.get(&id) {
            Some(previous) => fields.union(&previous.fields),
            None => fields,
        };
        let (api_version, time) = (manager.api_version.to_owned(), Some(manager.time.to_owned()));
        self.0.insert(id, Entry { fields, api_version, time });
    }

    /// Joins the oldest updaters until there are not too many.
    fn cap(&mut self) {
        const MAX_UPDATERS: usize = 10;
        let mut updaters: Vec<Id> = self.0.keys().filter(|id| id.operation == Operation::Update).cloned().collect();
        let mut count = updaters.len();
        if count <= MAX_UPDATERS {
            return;
        }
        updaters.sort_by_key(|id| self.0.get(id).and_then(|entry| entry.time.clone()));
        let mut first_of: BTreeMap<String, Id> = BTreeMap::new();
        for id in updaters {
            if count <= MAX_UPDATERS {
                break;
            }
            let version = id.api_version.clone();
            let Some(first) = first_of.get(&version) else {
                first_of.insert(version, id);
                continue;
            };
            let bucket = Id {
                name: "ancient-changes".to_owned(),
                operation: Operation::Update,
                api_version: version,
                subresource: String::new(),
            };
            if !self.0.contains_key(&bucket)
                && let Some(oldest) = self.0.remove(first)
            {
                self.0.insert(bucket.clone(), oldest);
            }
            if let Some(entry) = self.0.remove(&id) {
                let fields = self.0.get(&bucket).map_or_else(Fields::default, |known| known.fields.clone());
                self.0.insert(bucket, Entry { fields: fields.union(&entry.fields), ..entry });
                count -= 1;
            }
        }
    }
}

fn written(id: Id, entry: Entry) -> Value {
    let operation = if id.operation == Operation::Apply { "Apply" } else { "Update" };
    let mut json = json!({
        "apiVersion": entry.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields.write(),
        "manager": id.name,
        "operation": operation,
    });
    if !id.subresource.is_empty() {
        json["subresource"] = id.subresource.into();
    }
    if let Some(time) = entry.time {
        json["time"] = time.into();
    }
    json
}

/// Metadata that the API server itself keeps, and what names the object: nobody owns it.
pub(super) fn nobodys() -> Fields {
    const METADATA: &[&str] = &[
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let mut fields = set(&[&["apiVersion"], &["kind"], &["metadata"]]);
    for name in METADATA {
        fields.insert(&path(&["metadata", name]));
    }
    fields
}

/// What a request has no say in: `status` in one for the object, everything else in one for its status. From each
/// resource's `GetResetFields` (Kubernetes' `pkg/registry`, and `apiextensions-apiserver/pkg/registry`).
pub(super) fn reset_fields(kind: Kind, subresource: &str) -> Fields {
    match (kind, subresource) {
        (
            Kind::ServiceAccount
            | Kind::ConfigMap
            | Kind::Secret
            | Kind::Endpoints
            | Kind::EndpointSlice
            | Kind::Event
            | Kind::Lease
            | Kind::RuntimeClass,
            _,
        ) => Fields::default(),
        (_, "") => set(&[&["status"]]),
        (Kind::Deployment, "status") => set(&[&["spec"], &["metadata", "labels"]]),
        (Kind::Pod, "status") => {
            set(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]])
        }
        (Kind::CustomResourceDefinition, "status") => set(&[&["spec"], &["metadata"]]),
        (_, "status") => set(&[&["spec"]]),
        _ => Fields::default(),
    }
}

fn path(names: &[&str]) -> Vec<Element> {
    names.iter().map(|name| Element::Field((*name).to_owned())).collect()
}

fn set(paths: &[&[&str]]) -> Fields {
    let mut fields = Fields::default();
    for names in paths {
        fields.insert(&path(names));
    }
    fields
}

/// Takes the managed fields out of an object.
pub(super) fn without_managed(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// Writes to `after` who owns what of it, after `manager` made it out of `before` (none if it is new) other than by applying.
///
/// To be called with the object as it will be stored: after defaults and admission.
pub fn track_update(kind: Kind, before: Option<&Value>, after: &mut Value, manager: &Manager) {
    let of_before = || before.and_then(Managed::of).unwrap_or_default();
    let sent = &after["metadata"]["managedFields"];
    let resets = match sent.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(only)]) => only.is_empty(),
        _ => false,
    };
    let mut owners = match Managed::of(after) {
        _ if !manager.subresource.is_empty() => of_before(),
        _ if resets => Managed::default(),
        // Clients that do not know managed fields must not lose them.
        Some(sent) if !sent.0.is_empty() => sent,
        _ => of_before(),
    };
    *after = without_managed(after.take());
    // Whoever wants no managed fields gets none until somebody applies.
    if owners.0.is_empty() && before.is_some() {
        return;
    }
    let nothing = json!({"apiVersion": manager.api_version, "kind": kind.name()});
    let before = before.map_or(nothing, |before| without_managed(before.clone()));
    owners.update(kind, &before, after, manager);
    owners.cap();
    owners.write(after);
}

/// Gives `after` the times of `before` back if nothing but the times in managed fields differs, so that a change that changes
/// nothing is none. From Kubernetes' `apiserver/pkg/endpoints/handlers/fieldmanager/equality.go`.
pub fn keep_times(before: &Value, after: &mut Value) {
    let timeless = |object: &Value| {
        let mut managed = Managed::of(object)?;
        managed.0.values_mut().for_each(|entry| entry.time = None);
        Some(managed)
    };
    let same_managers = timeless(before).is_some_and(|managed| timeless(after) == Some(managed));
    if same_managers && without_managed(before.clone()) == without_managed(after.clone()) {
        *after = before.clone();
    }
}
