//! `fieldSelector` (apimachinery `pkg/fields`; which fields there are: each kind's `AddFieldLabelConversionFunc`, kubernetes
//! `pkg/apis/core/v1/conversion.go`, and `pkg/registry/*/strategy.go`).

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Event, Pod};
use malha_cluster::{Kind, Object};

/// A selector: all terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    equal: bool,
}

/// Every object has these.
const META: &[&str] = &["metadata.name", "metadata.namespace"];
const POD: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];
const EVENT: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

/// The fields that can be selected by, besides [`META`].
fn own(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Pod => POD,
        Kind::Event => EVENT,
        Kind::Secret => &["type"],
        Kind::Namespace => &["status.phase"],
        Kind::Node => &["spec.unschedulable"],
        Kind::ReplicaSet => &["status.replicas"],
        Kind::Service => &["spec.clusterIP", "spec.type"],
        _ => &[],
    }
}

impl Fields {
    pub(super) fn read(kind: Kind, text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for part in split(text) {
            let found = operator(&part);
            let Some((field, equal, value)) = found else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            let value =
                unescape(value).ok_or_else(|| format!("invalid field selector: invalid escape sequence: {value}"))?;
            let known = META.contains(&field)
                && (field != "metadata.namespace" || kind.namespaced() || kind == Kind::Namespace);
            if !known && !own(kind).contains(&field) {
                return Err(unsupported(kind, field));
            }
            terms.push(Term { field: field.to_owned(), value, equal });
        }
        Ok(Self(terms))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn select(&self, object: &Object) -> bool {
        self.0.iter().all(|term| (value(object, &term.field) == term.value) == term.equal)
    }
}

/// In the words of the kind's conversion: custom resources have the last ones.
fn unsupported(kind: Kind, field: &str) -> String {
    match kind {
        Kind::Pod | Kind::Event | Kind::Secret | Kind::Namespace | Kind::Node | Kind::ReplicaSet | Kind::Service => {
            format!("field label not supported: {field}")
        }
        _ => format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""),
    }
}

/// At commas that no backslash precedes. Empty parts are dropped.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for letter in text.chars() {
        let last = parts.len() - 1;
        if letter == ',' && !escaped {
            parts.push(String::new());
        } else {
            parts[last].push(letter);
        }
        escaped = letter == '\\' && !escaped;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Field, whether it is to be equal, value.
fn operator(part: &str) -> Option<(&str, bool, &str)> {
    let at = part.find(['=', '!'])?;
    let (field, rest) = part.split_at(at);
    for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some(value) = rest.strip_prefix(sign) {
            return Some((field.trim(), equal, value));
        }
    }
    None
}

fn unescape(value: &str) -> Option<String> {
    let mut found = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => found.push(letters.next().filter(|next| matches!(next, '\\' | ',' | '='))?),
            ',' | '=' => return None,
            other => found.push(other),
        }
    }
    Some(found)
}

/// What an object has there; empty where it has nothing.
fn value<'o>(object: &'o Object, field: &str) -> Cow<'o, str> {
    let meta = object.metadata();
    let text = |value: Option<&'o String>| Cow::Borrowed(value.map_or("", String::as_str));
    match field {
        "metadata.name" => return text(meta.name.as_ref()),
        "metadata.namespace" => return text(meta.namespace.as_ref()),
        _ => {}
    }
    match object {
        Object::Pod(pod) => of_pod(pod, field),
        Object::Event(event) => of_event(event, field),
        Object::Secret(secret) => text(secret.type_.as_ref()),
        Object::Namespace(namespace) => text(namespace.status.as_ref().and_then(|status| status.phase.as_ref())),
        Object::Node(node) => flag(node.spec.as_ref().and_then(|spec| spec.unschedulable)),
        Object::ReplicaSet(set) => Cow::Owned(set.status.as_ref().map_or(0, |status| status.replicas).to_string()),
        Object::Service(service) => {
            let spec = service.spec.as_ref();
            text(match field {
                "spec.clusterIP" => spec.and_then(|spec| spec.cluster_ip.as_ref()),
                _ => spec.and_then(|spec| spec.type_.as_ref()),
            })
        }
        _ => Cow::Borrowed(""),
    }
}

fn flag(value: Option<bool>) -> Cow<'static, str> {
    Cow::Borrowed(if value == Some(true) { "true" } else { "false" })
}

fn of_pod<'o>(pod: &'o Pod, field: &str) -> Cow<'o, str> {
    let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
    let found = match field {
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.as_ref()),
        "spec.restartPolicy" => spec.and_then(|spec| spec.restart_policy.as_ref()),
        "spec.schedulerName" => spec.and_then(|spec| spec.scheduler_name.as_ref()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.as_ref()),
        "spec.hostNetwork" => return flag(spec.and_then(|spec| spec.host_network)),
        "status.phase" => status.and_then(|status| status.phase.as_ref()),
        "status.podIP" => status.and_then(|status| status.pod_ip.as_ref()),
        "status.nominatedNodeName" => status.and_then(|status| status.nominated_node_name.as_ref()),
        _ => None,
    };
    Cow::Borrowed(found.map_or("", String::as_str))
}

fn of_event<'o>(event: &'o Event, field: &str) -> Cow<'o, str> {
    let object = &event.involved_object;
    let component = || event.source.as_ref().and_then(|source| source.component.as_ref());
    let found = match field {
        "involvedObject.kind" => object.kind.as_ref(),
        "involvedObject.namespace" => object.namespace.as_ref(),
        "involvedObject.name" => object.name.as_ref(),
        "involvedObject.uid" => object.uid.as_ref(),
        "involvedObject.apiVersion" => object.api_version.as_ref(),
        "involvedObject.resourceVersion" => object.resource_version.as_ref(),
        "involvedObject.fieldPath" => object.field_path.as_ref(),
        "reason" => event.reason.as_ref(),
        "reportingComponent" => event.reporting_component.as_ref(),
        // One for the other (`registry/core/event`, `ToSelectableFields`).
        "source" => component().filter(|name| !name.is_empty()).or(event.reporting_component.as_ref()),
        "type" => event.type_.as_ref(),
        _ => None,
    };
    Cow::Borrowed(found.map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Object {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop"},
            "spec": {"containers": [], "nodeName": "malha"}, "status": {"phase": "Running", "podIP": "10.0.0.1"},
        });
        malha_cluster::decode(Kind::Pod, pod).unwrap().object
    }

    #[test]
    fn fields_of_the_kind_select() {
        for (selector, want) in [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a,metadata.namespace=shop", true),
            ("metadata.name!=a", false),
            ("status.phase=Running,status.phase!=Failed", true),
            ("status.phase!=Succeeded,status.phase!=Failed,spec.nodeName=malha", true),
            ("spec.nodeName=", false),
            ("status.nominatedNodeName=", true),
            ("status.podIP=10.0.0.2", false),
            ("metadata.name=a\\,b", false),
        ] {
            let read = Fields::read(Kind::Pod, selector).unwrap_or_else(|why| panic!("{selector}: {why}"));
            assert_eq!(read.select(&pod()), want, "{selector}");
        }
    }

    #[test]
    fn other_fields_are_refused_in_the_words_of_the_api_server() {
        for (kind, selector, want) in [
            (Kind::Pod, "spec.image=a", "field label not supported: spec.image"),
            (Kind::Pod, "metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
            (
                Kind::Gateway,
                "spec.host=a",
                "\"spec.host\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            ),
        ] {
            assert_eq!(Fields::read(kind, selector).unwrap_err(), want);
        }
    }
}
