//! What can be done at a path, in `OpenAPI` v3: actions with their parameters, bodies and answers
//! (apiserver `pkg/endpoints/installer.go`).

use serde_json::{Map, Value, json};

use crate::schema::{DELETE_OPTIONS, STATUS, refer};

/// A parameter: name, type, what it does.
type Parameter = (&'static str, &'static str, &'static str);

const DRY_RUN: Parameter = ("dryRun", "string", "`All`: do everything but keep it.");
const MANAGER: Parameter = ("fieldManager", "string", "Who writes, for managed fields.");
const VALIDATION: Parameter =
    ("fieldValidation", "string", "What becomes of unknown and duplicate fields: `Ignore`, `Warn` or `Strict`.");
const FORCE: Parameter = ("force", "boolean", "Take over fields that others manage. For apply only.");

const WRITE: &[Parameter] = &[DRY_RUN, MANAGER, VALIDATION];
const PATCH: &[Parameter] = &[DRY_RUN, MANAGER, VALIDATION, FORCE];
const DELETE: &[Parameter] = &[
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "How long the object may take to end; 0 deletes at once."),
    ("orphanDependents", "boolean", "Old: whether objects that this one owns stay."),
    (
        "propagationPolicy",
        "string",
        "What becomes of objects that this one owns: `Orphan`, `Background`, `Foreground`.",
    ),
];
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Send the version from time to time while watching."),
    ("continue", "string", "Where the last page ended."),
    ("fieldSelector", "string", "Only objects with these fields."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "Objects on a page."),
    ("resourceVersion", "string", "The version to read at, or to watch from."),
    ("resourceVersionMatch", "string", "How that version is meant: `Exact` or `NotOlderThan`."),
    ("sendInitialEvents", "boolean", "Begin a watch with what is there."),
    ("timeoutSeconds", "integer", "How long to watch at most."),
    ("watch", "boolean", "Go on with every change."),
];
const LOG: &[Parameter] = &[
    ("container", "string", "Of which container."),
    ("follow", "boolean", "Go on as lines come."),
    ("limitBytes", "integer", "At most so many bytes."),
    ("previous", "boolean", "Of the container before it was restarted."),
    ("sinceSeconds", "integer", "Of the last seconds only."),
    ("sinceTime", "string", "Since this time only."),
    ("tailLines", "integer", "The last lines only."),
    ("timestamps", "boolean", "Each line with its time."),
];
const NONE: &[Parameter] = &[];

/// An action at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Get,
    List,
    Create,
    Replace,
    Patch,
    Delete,
    DeleteCollection,
    Log,
    Connect,
}

impl Action {
    /// HTTP method, `x-kubernetes-action`, the word in the operation's name, parameters.
    fn row(self) -> (&'static str, &'static str, &'static str, &'static [Parameter]) {
        match self {
            Self::Get => ("get", "get", "read", NONE),
            Self::List => ("get", "list", "list", LIST),
            Self::Create => ("post", "post", "create", WRITE),
            Self::Replace => ("put", "put", "replace", WRITE),
            Self::Patch => ("patch", "patch", "patch", PATCH),
            Self::Delete => ("delete", "delete", "delete", DELETE),
            Self::DeleteCollection => ("delete", "deletecollection", "deletecollection", DELETE),
            Self::Log => ("get", "get", "read", LOG),
            Self::Connect => ("post", "connect", "connect", NONE),
        }
    }
}

/// What the operations of a path have in common.
pub(super) struct Subject<'a> {
    /// In operations' names: `AppsV1NamespacedDeploymentScale`.
    pub(super) name: String,
    /// Group and version: `apps_v1`.
    pub(super) tag: String,
    /// The kind that is spoken of.
    pub(super) kind: (&'a str, &'a str, &'a str),
    /// Its component; `None` for what is not JSON.
    pub(super) component: Option<&'a str>,
    /// Whether it is a custom resource, which has no strategic merge patch.
    pub(super) custom: bool,
}

/// Adds an operation to a path.
pub(super) fn add(path: &mut Map<String, Value>, action: Action, subject: &Subject<'_>) {
    let (method, verb, word, parameters) = action.row();
    let (group, version, kind) = subject.kind;
    let mut operation = Map::from_iter([
        ("operationId".to_owned(), json!(format!("{word}{}", subject.name))),
        ("description".to_owned(), json!(format!("{verb} {kind}"))),
        ("tags".to_owned(), json!([subject.tag])),
        ("x-kubernetes-action".to_owned(), json!(verb)),
        ("x-kubernetes-group-version-kind".to_owned(), json!({"group": group, "version": version, "kind": kind})),
        ("responses".to_owned(), responses(action, subject)),
    ]);
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), parameters.iter().map(parameter).collect());
    }
    if let Some(body) = body(action, subject) {
        operation.insert("requestBody".to_owned(), body);
    }
    path.insert(method.to_owned(), Value::Object(operation));
}

fn parameter((name, kind, description): &Parameter) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": true}})
}

/// A part of the path itself.
pub(super) fn in_path(name: &str, description: &str) -> Value {
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": description,
        "schema": {"type": "string", "uniqueItems": true},
    })
}

fn body(action: Action, subject: &Subject<'_>) -> Option<Value> {
    let content: Map<String, Value> = match action {
        Action::Create | Action::Replace => {
            let schema = json!({"schema": refer(subject.component?)});
            [("application/json".to_owned(), schema)].into_iter().collect()
        }
        Action::Patch => {
            let mut types =
                vec!["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
            if !subject.custom {
                types.push("application/strategic-merge-patch+json");
            }
            types.into_iter().map(|kind| (kind.to_owned(), json!({"schema": {"type": "object"}}))).collect()
        }
        Action::Delete | Action::DeleteCollection => {
            let schema = json!({"schema": refer(DELETE_OPTIONS)});
            return Some(json!({"content": {"application/json": schema}}));
        }
        _ => return None,
    };
    Some(json!({"required": true, "content": content}))
}

fn responses(action: Action, subject: &Subject<'_>) -> Value {
    let content = |component: &str| json!({"application/json": {"schema": refer(component)}});
    let answer = match (action, subject.component) {
        (Action::Delete | Action::DeleteCollection, _) => content(STATUS),
        (Action::List, Some(component)) => content(&format!("{component}List")),
        (_, Some(component)) => content(component),
        (_, None) => json!({"text/plain": {"schema": {"type": "string"}}}),
    };
    let ok = json!({"description": "OK", "content": answer});
    let refused = json!({"description": "Unauthorized"});
    match action {
        Action::Create => json!({"200": ok, "201": {"description": "Created", "content": answer}, "401": refused}),
        _ => json!({"200": ok, "401": refused}),
    }
}
