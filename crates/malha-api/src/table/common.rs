//! What many tables have: names, ages, labels, selectors, containers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;

/// A row: its cells, and conditions where it has any.
pub(super) struct Row {
    pub(super) cells: Vec<Value>,
    pub(super) conditions: Option<Value>,
}

impl From<Vec<Value>> for Row {
    fn from(cells: Vec<Value>) -> Self {
        Self { cells, conditions: None }
    }
}

/// `metadata.name`.
pub(super) fn name(metadata: &ObjectMeta) -> Value {
    json!(metadata.name.as_deref().unwrap_or_default())
}

/// Time since the object was created.
pub(super) fn age(metadata: &ObjectMeta, now: Timestamp) -> Value {
    json!(since(metadata.creation_timestamp.as_ref().map(|time| time.0), now))
}

/// The text, or the words for none.
pub(super) fn or<'a>(text: Option<&'a str>, none: &'a str) -> &'a str {
    text.filter(|text| !text.is_empty()).unwrap_or(none)
}

/// `a=b,c=d` (apimachinery `labels.FormatLabels`).
pub(super) fn labels(labels: Option<&BTreeMap<String, String>>) -> String {
    let pairs: Vec<String> = labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// `a=b,c in (d,e),!f`, by keys (apimachinery `labels.Requirement.String`).
pub(super) fn selector(selector: &LabelSelector) -> String {
    let pairs = selector.match_labels.iter().flatten().map(|(key, value)| (key.as_str(), format!("{key}={value}")));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let key = &expression.key;
        let mut values = expression.values.clone().unwrap_or_default();
        values.sort_unstable();
        let values = values.join(",");
        let text = match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        };
        (key.as_str(), text)
    });
    let mut all: Vec<(&str, String)> = pairs.chain(expressions).collect();
    all.sort_by_key(|(key, _)| *key);
    all.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

/// Names and images of containers.
pub(super) fn containers(containers: &[Container]) -> [Value; 2] {
    let join = |part: fn(&Container) -> &str| json!(containers.iter().map(part).collect::<Vec<_>>().join(","));
    [join(|container| &container.name), join(|container| container.image.as_deref().unwrap_or_default())]
}

/// The first of a list, and how many more there are: `a,b,c + 2 more...`.
pub(super) fn first(list: &[String], most: usize, between: &str) -> String {
    let shown = list.iter().take(most).cloned().collect::<Vec<_>>().join(between);
    match list.len().checked_sub(most) {
        Some(more) if more > 0 => format!("{shown} + {more} more..."),
        _ => shown,
    }
}
