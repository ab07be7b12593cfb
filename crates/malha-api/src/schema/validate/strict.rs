//! Fields that a schema does not have, and fields that are there twice (`sigs.k8s.io/json`, strict mode).

use std::collections::BTreeSet;

use serde_json::Value;

use super::body::Node;
use super::{Schema, quoted};

/// As many as the API server reports.
const LIMIT: usize = 100;

#[derive(Default)]
struct Found {
    unknown: Vec<String>,
    all: Vec<String>,
}

/// All of them, in the order of the body.
pub(super) fn findings(root: &Node, schema: Schema<'_>) -> Vec<String> {
    look(root, schema).all
}

/// Paths of unknown fields only.
pub(super) fn unknown(root: &Node, schema: Schema<'_>) -> Vec<String> {
    look(root, schema).unknown
}

fn look(root: &Node, schema: Schema<'_>) -> Found {
    let mut found = Found::default();
    walk(root, schema, "", &mut found);
    found
}

impl Found {
    fn add(&mut self, finding: String) {
        if self.all.len() < LIMIT && !self.all.contains(&finding) {
            self.all.push(finding);
        }
    }
}

fn walk(node: &Node, schema: Schema<'_>, path: &str, found: &mut Found) {
    match node {
        Node::Map(fields) => {
            let mut seen = BTreeSet::new();
            for (key, value) in fields {
                let path = below(path, key);
                let inside = schema.field(key).or_else(|| schema.values());
                if inside.is_none() {
                    if !schema.open() {
                        found.add(format!("unknown field {}", quoted(&path)));
                        found.unknown.push(path);
                    }
                    continue;
                }
                if !seen.insert(key) {
                    found.add(format!("duplicate field {}", quoted(&path)));
                }
                if let Some(inside) = inside {
                    walk(value, inside, &path, found);
                }
            }
        }
        Node::List(items) => {
            let Some(inside) = schema.items() else { return };
            for (index, item) in items.iter().enumerate() {
                walk(item, inside, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// Fields that are there twice, in anything that is JSON.
pub(super) fn duplicates(root: &Node) -> Vec<String> {
    let mut found = Found::default();
    walk_any(root, "", &mut found);
    found.all
}

fn walk_any(node: &Node, path: &str, found: &mut Found) {
    match node {
        Node::Map(fields) => {
            let mut seen = BTreeSet::new();
            for (key, value) in fields {
                let path = below(path, key);
                if !seen.insert(key) {
                    found.add(format!("duplicate field {}", quoted(&path)));
                }
                walk_any(value, &path, found);
            }
        }
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                walk_any(item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Takes unknown fields out.
pub(super) fn prune(value: &mut Value, schema: Schema<'_>) {
    match value {
        Value::Object(fields) => {
            let open = schema.open();
            fields.retain(|key, value| match schema.field(key).or_else(|| schema.values()) {
                Some(inside) => {
                    prune(value, inside);
                    true
                }
                None => open,
            });
        }
        Value::Array(items) => {
            if let Some(inside) = schema.items() {
                for item in items {
                    prune(item, inside);
                }
            }
        }
        _ => {}
    }
}
