//! Groups and their versions (apimachinery `meta/v1`: `APIVersions`, `APIGroupList`, `APIGroup`).

use serde_json::{Map, Value, json};

use super::served_groups;

/// `/api`.
pub(super) fn core(host: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}],
    })
}

/// `/apis`.
pub(super) fn all() -> Value {
    let groups: Vec<Value> =
        served_groups().into_iter().map(|(name, versions)| Value::Object(group(name, versions))).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub(super) fn one(name: &str) -> Option<Value> {
    let (name, versions) = served_groups().into_iter().find(|(known, _)| *known == name)?;
    let mut group = group(name, versions);
    group.insert("kind".to_owned(), json!("APIGroup"));
    group.insert("apiVersion".to_owned(), json!("v1"));
    Some(Value::Object(group))
}

fn group(name: &str, versions: &[&str]) -> Map<String, Value> {
    let version = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    Map::from_iter([
        ("name".to_owned(), json!(name)),
        ("versions".to_owned(), versions.iter().map(version).collect()),
        ("preferredVersion".to_owned(), versions.first().map(version).unwrap_or_default()),
    ])
}
