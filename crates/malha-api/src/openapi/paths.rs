//! The paths of a group and version.

use malha_cluster::resource::{RESOURCES, Resource};
use serde_json::{Map, Value, json};

use super::operations::{Action, Subject, add, in_path};
use crate::discovery::{METRICS, MetricsResource, Subresource, subresources};
use crate::schema::{EVICTION, SCALE, is_istio, metrics_name, name_of};

/// All paths of a group and version.
pub(super) fn of(group: &str, version: &str) -> Map<String, Value> {
    let mut paths = Map::new();
    let base = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    for resource in RESOURCES.iter().filter(|one| one.group == group && one.versions.contains(&version)) {
        of_resource(&mut paths, &base, resource, version);
    }
    if group == "metrics.k8s.io" {
        for metrics in METRICS {
            of_metrics(&mut paths, &base, metrics, group, version);
        }
    }
    paths
}

/// `apps/v1` as operations and tags have it: `AppsV1`, `apps_v1`.
fn words(group: &str, version: &str) -> (String, String) {
    let short = group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    (format!("{}{}", capital(short), capital(version)), format!("{short}_{version}"))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn of_resource(paths: &mut Map<String, Value>, base: &str, resource: &Resource, version: &str) {
    let (word, tag) = words(resource.group, version);
    let component = name_of(resource, version);
    let kind = resource.kind.name();
    let namespaced = resource.kind.namespaced();
    let scope = if namespaced { "Namespaced" } else { "" };
    let subject = |name: String| Subject {
        name,
        tag: tag.clone(),
        kind: (resource.group, version, kind),
        component: Some(&component),
        custom: is_istio(resource),
    };
    let (list, parameters) = if namespaced {
        let mut all = Map::new();
        add(&mut all, Action::List, &subject(format!("{word}{kind}ForAllNamespaces")));
        paths.insert(format!("{base}/{}", resource.plural), Value::Object(all));
        (format!("{base}/namespaces/{{namespace}}/{}", resource.plural), vec![in_path("namespace", "Its namespace.")])
    } else {
        (format!("{base}/{}", resource.plural), Vec::new())
    };

    let mut collection = Map::new();
    if !parameters.is_empty() {
        collection.insert("parameters".to_owned(), json!(parameters));
    }
    let name = format!("{word}{scope}{kind}");
    for action in [Action::List, Action::Create] {
        add(&mut collection, action, &subject(name.clone()));
    }
    if resource.plural != "namespaces" {
        add(&mut collection, Action::DeleteCollection, &subject(format!("{word}Collection{scope}{kind}")));
    }
    paths.insert(list.clone(), Value::Object(collection));

    let mut parameters = parameters;
    parameters.insert(0, in_path("name", "Its name."));
    let mut one = Map::from_iter([("parameters".to_owned(), json!(parameters))]);
    for action in [Action::Get, Action::Replace, Action::Patch, Action::Delete] {
        add(&mut one, action, &subject(name.clone()));
    }
    paths.insert(format!("{list}/{{name}}"), Value::Object(one));

    for sub in subresources(resource) {
        let mut path = Map::from_iter([("parameters".to_owned(), json!(parameters))]);
        below(&mut path, &sub, &subject(format!("{name}{}", capital(sub.name))));
        paths.insert(format!("{list}/{{name}}/{}", sub.name), Value::Object(path));
    }
}

fn below(path: &mut Map<String, Value>, sub: &Subresource, object: &Subject<'_>) {
    let (group, version, _) = object.kind;
    let (group, version) = sub.group_version.unwrap_or((group, version));
    let (component, actions): (_, &[Action]) = match sub.name {
        "log" => (None, &[Action::Log]),
        "attach" | "exec" | "portforward" => (None, &[Action::Connect]),
        "eviction" => (Some(EVICTION), &[Action::Create]),
        "scale" => (Some(SCALE), &[Action::Get, Action::Replace, Action::Patch]),
        _ => (object.component, &[Action::Get, Action::Replace, Action::Patch]),
    };
    let subject = Subject {
        name: object.name.clone(),
        tag: object.tag.clone(),
        kind: (group, version, sub.kind),
        component,
        custom: object.custom,
    };
    for action in actions {
        add(path, *action, &subject);
    }
}

fn of_metrics(paths: &mut Map<String, Value>, base: &str, metrics: &MetricsResource, group: &str, version: &str) {
    let (word, tag) = words(group, version);
    let component = metrics_name(metrics.kind);
    let kind = metrics.kind;
    let subject = |name: String| Subject {
        name,
        tag: tag.clone(),
        kind: (group, version, kind),
        component: Some(&component),
        custom: true,
    };
    let mut all = Map::new();
    let scope = if metrics.namespaced { "ForAllNamespaces" } else { "" };
    add(&mut all, Action::List, &subject(format!("{word}{kind}{scope}")));
    paths.insert(format!("{base}/{}", metrics.plural), Value::Object(all));
    let (list, mut parameters) = if metrics.namespaced {
        let list = format!("{base}/namespaces/{{namespace}}/{}", metrics.plural);
        let namespace = in_path("namespace", "Its namespace.");
        let mut one = Map::from_iter([("parameters".to_owned(), json!([namespace]))]);
        add(&mut one, Action::List, &subject(format!("{word}Namespaced{kind}")));
        paths.insert(list.clone(), Value::Object(one));
        (list, vec![namespace])
    } else {
        (format!("{base}/{}", metrics.plural), Vec::new())
    };
    parameters.insert(0, in_path("name", "Its name."));
    let mut one = Map::from_iter([("parameters".to_owned(), json!(parameters))]);
    add(&mut one, Action::Get, &subject(format!("{word}{kind}")));
    paths.insert(format!("{list}/{{name}}"), Value::Object(one));
}
