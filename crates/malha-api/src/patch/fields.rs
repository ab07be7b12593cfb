//! Sets of fields, and `fieldsV1`, as which they are written.
//!
//! From sigs.k8s.io/structured-merge-diff (`fieldpath/`): a set is a tree of path elements, some of which are members. Written
//! as JSON, each level is an object whose names are `f:NAME`, `k:{KEYS}`, `v:VALUE` or `i:INDEX`; `.` makes the parent itself
//! a member, and so does an empty object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Number, Value};

/// A scalar in a path. Whole numbers are the same however they were written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scalar {
    Whole(i64),
    /// Any other number, as JSON writes it.
    Number(String),
    Text(String),
    Bool(bool),
    Null,
    /// No scalar at all: a client may write such a path, no object has one.
    Other(String),
}

impl From<&Value> for Scalar {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::String(text) => Self::Text(text.clone()),
            Value::Number(number) => whole(number).map_or_else(|| Self::Number(number.to_string()), Self::Whole),
            other => Self::Other(other.to_string()),
        }
    }
}

/// The number without a fraction that this one is.
fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| number.to_string().strip_suffix(".0")?.parse().ok())
}

impl fmt::Display for Scalar {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(to, "{number}"),
            Self::Text(text) => write!(to, "{}", Value::from(text.as_str())),
            Self::Bool(flag) => write!(to, "{flag}"),
            Self::Null => write!(to, "null"),
            Self::Number(text) | Self::Other(text) => to.write_str(text),
        }
    }
}

/// A step of a path. The order is that of fieldsV1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    /// A field, or an entry of a map.
    Field(String),
    /// The item of a list whose keys have these values, sorted by name.
    Key(Vec<(String, Scalar)>),
    /// The item of a set.
    Value(Scalar),
    /// The item at a place.
    Index(i64),
}

/// As in messages: `.spec`, `[name="posts"]`, `[="finalizer"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(to, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<_> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(to, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(to, "[={value}]"),
            Self::Index(index) => write!(to, "[{index}]"),
        }
    }
}

impl Element {
    fn read(text: &str) -> Option<Self> {
        let (what, rest) = text.split_once(':')?;
        match what {
            "f" => Some(Self::Field(rest.to_owned())),
            "v" => Some(Self::Value(Scalar::from(&serde_json::from_str::<Value>(rest).ok()?))),
            "i" => rest.parse().ok().map(Self::Index),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
                let mut keys: Vec<_> = keys.iter().map(|(name, value)| (name.clone(), Scalar::from(value))).collect();
                keys.sort();
                Some(Self::Key(keys))
            }
            _ => None,
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
            Self::Key(keys) => {
                let keys: Vec<_> =
                    keys.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
                format!("k:{{{}}}", keys.join(","))
            }
        }
    }
}

/// As in messages: `.spec.template.spec.containers[name="posts"].image`.
pub(super) fn written(path: &[Element]) -> String {
    path.iter().map(ToString::to_string).collect()
}

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) members: BTreeSet<Element>,
    pub(super) children: BTreeMap<Element, Fields>,
}

impl Fields {
    /// Out of `fieldsV1`.
    pub(super) fn read(json: &Value) -> Option<Self> {
        let mut fields = Self::default();
        for (name, below) in json.as_object()? {
            if name == "." {
                continue;
            }
            let element = Element::read(name)?;
            let inside = below.as_object()?;
            let child = Self::read(below)?;
            if inside.is_empty() || inside.contains_key(".") {
                fields.members.insert(element.clone());
            }
            if !child.is_empty() {
                fields.children.insert(element, child);
            }
        }
        Some(fields)
    }

    /// As `fieldsV1`.
    pub(super) fn write(&self) -> Value {
        let mut level = Map::new();
        for member in &self.members {
            level.insert(member.write(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            let mut below = child.write();
            if let (true, Some(below)) = (self.members.contains(element), below.as_object_mut()) {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            level.insert(element.write(), below);
        }
        Value::Object(level)
    }

    /// Adds the field at a path. Nobody owns the object itself.
    pub(super) fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Self::is_empty)
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.add(other);
        all
    }

    fn add(&mut self, other: &Self) {
        self.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            self.children.entry(element.clone()).or_default().add(child);
        }
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let both = |(element, child): (&Element, &Self)| {
            let child = child.intersection(other.children.get(element)?);
            (!child.is_empty()).then(|| (element.clone(), child))
        };
        Self {
            members: self.members.intersection(&other.members).cloned().collect(),
            children: self.children.iter().filter_map(both).collect(),
        }
    }

    /// What is here and not there, field by field: a member does not take its children with it.
    pub(super) fn difference(&self, other: &Self) -> Self {
        self.less(other, false)
    }

    /// What is here and neither there nor below what is there.
    pub(super) fn beyond(&self, other: &Self) -> Self {
        self.less(other, true)
    }

    fn less(&self, other: &Self, with_children: bool) -> Self {
        let left = |(element, child): (&Element, &Self)| {
            if with_children && other.members.contains(element) {
                return None;
            }
            let child = match other.children.get(element) {
                Some(others) => child.less(others, with_children),
                None => child.clone(),
            };
            (!child.is_empty()).then(|| (element.clone(), child))
        };
        Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: self.children.iter().filter_map(left).collect(),
        }
    }

    /// Every member's path, the members of a level before those below it.
    pub(super) fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, above: &mut Vec<Element>, to: &mut Vec<Vec<Element>>) {
        for member in &self.members {
            let mut path = above.clone();
            path.push(member.clone());
            to.push(path);
        }
        for (element, child) in &self.children {
            above.push(element.clone());
            child.collect(above, to);
            above.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(json: &Value) -> Fields {
        Fields::read(json).unwrap()
    }

    #[test]
    fn fields_v1_is_written_as_it_was_read() {
        let json = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {".": {}, "v:\"a/b\"": {}}},
            "f:spec": {"f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}}, "f:x": {"i:3": {}}},
        });
        assert_eq!(fields(&json).write(), json);
        let path = written(&fields(&json!({"f:a": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {}}})).paths()[0]);
        assert_eq!(path, ".a[containerPort=80,protocol=\"TCP\"]");
    }

    #[test]
    fn what_is_no_set_of_fields_is_not_read() {
        for json in [json!([]), json!({"spec": {}}), json!({"f:spec": 1}), json!({"k:{": {}}), json!({"i:x": {}})] {
            assert_eq!(Fields::read(&json), None, "{json}");
        }
    }

    #[test]
    fn a_member_leaves_without_its_children_unless_they_are_meant_too() {
        let (all, parent) = (fields(&json!({"f:a": {".": {}, "f:b": {}}})), fields(&json!({"f:a": {}})));
        assert_eq!(all.difference(&parent).write(), json!({"f:a": {"f:b": {}}}));
        assert!(all.beyond(&parent).is_empty());
        assert_eq!(all.intersection(&parent), parent);
    }
}
