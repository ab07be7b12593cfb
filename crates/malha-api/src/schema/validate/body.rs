//! A body as it was written: fields in their order, those that are there twice included.

use std::collections::BTreeSet;
use std::fmt;

use malha_manifest::node::{self, Limits, parse_yaml};
use malha_manifest::{Location, SourceFile};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A request's body.
#[derive(Clone)]
pub struct Body {
    root: Node,
    /// Of YAML, whose reader keeps the first of two fields: what to say about the second.
    duplicates: Vec<String>,
}

impl fmt::Debug for Body {
    /// Not what is in it: it may be a Secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

/// Text that is neither JSON nor YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// A value as it was written.
#[derive(Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Body {
    /// Reads JSON.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn json(text: &[u8]) -> Result<Self, Malformed> {
        let root = serde_json::from_slice(text).map_err(|error| Malformed(error.to_string()))?;
        Ok(Self { root, duplicates: Vec::new() })
    }

    /// Reads one document of YAML (or JSON, which is YAML), as an apply brings it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn yaml(text: &[u8]) -> Result<Self, Malformed> {
        if text.first() == Some(&b'{')
            && let Ok(mut body) = Self::json(text)
        {
            // Clients write it on one line.
            body.root.duplicates(&mut |key| body.duplicates.push(set_again(1, key)));
            return Ok(body);
        }
        let text = std::str::from_utf8(text).map_err(|error| Malformed(error.to_string()))?;
        let file = SourceFile::new("", text);
        let (documents, diagnostics) = parse_yaml(&file, Limits::default());
        let mut duplicates = Vec::new();
        for diagnostic in diagnostics {
            let line = diagnostic.location.as_ref().map_or(0, Location::line);
            match diagnostic.message.split('`').nth(1).filter(|_| diagnostic.message.contains("written twice")) {
                Some(key) => duplicates.push(set_again(line, key)),
                None => return Err(Malformed(diagnostic.message)),
            }
        }
        match documents.as_slice() {
            [one] => Ok(Self { root: Node::from(one.root()), duplicates }),
            [] => Ok(Self { root: Node::Null, duplicates }),
            _ => Err(Malformed("more than one document".to_owned())),
        }
    }

    /// What was read before.
    pub fn of(value: &Value) -> Self {
        Self { root: Node::from(value), duplicates: Vec::new() }
    }

    /// The values; of two fields of the same name, the last.
    pub fn to_value(&self) -> Value {
        self.root.to_value()
    }

    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// What a strict reader of YAML says of fields that are there twice.
    pub(super) fn yaml_error(&self) -> Option<String> {
        (!self.duplicates.is_empty()).then(|| {
            format!("error converting YAML to JSON: yaml: unmarshal errors:\n  {}", self.duplicates.join("\n  "))
        })
    }
}

/// As Go's reader of YAML says it.
fn set_again(line: u32, key: &str) -> String {
    format!("line {line}: key \"{key}\" already set in map")
}

impl Node {
    /// Every key that is in its map already.
    fn duplicates(&self, found: &mut dyn FnMut(&str)) {
        match self {
            Self::Map(fields) => {
                let mut seen = BTreeSet::new();
                for (key, value) in fields {
                    if !seen.insert(key) {
                        found(key);
                    }
                    value.duplicates(found);
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.duplicates(found)),
            _ => {}
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(value) => Value::Number(value.clone()),
            Self::Text(text) => Value::String(text.clone()),
            Self::List(items) => items.iter().map(Self::to_value).collect(),
            Self::Map(fields) => {
                Value::Object(fields.iter().map(|(key, value)| (key.clone(), value.to_value())).collect::<Map<_, _>>())
            }
        }
    }
}

impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(value) => Self::Number(value.clone()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(fields) => {
                Self::Map(fields.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect())
            }
        }
    }
}

impl From<&node::Node> for Node {
    fn from(node: &node::Node) -> Self {
        match &node.value {
            node::Value::Null => Self::Null,
            node::Value::Bool(value) => Self::Bool(*value),
            node::Value::Number(value) => Self::Number(value.clone()),
            node::Value::String(text) => Self::Text(text.clone()),
            node::Value::List(items) => Self::List(items.iter().map(Self::from).collect()),
            node::Value::Map(entries) => {
                Self::Map(entries.iter().map(|entry| (entry.key.clone(), Self::from(&entry.value))).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;

        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
                Number::from_f64(value).map(Node::Number).ok_or_else(|| E::custom("a number that is none"))
            }

            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Node, E> {
                Ok(Node::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Node::Map(fields))
            }
        }

        deserializer.deserialize_any(NodeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_and_yaml_are_read_alike() {
        let yaml = Body::yaml(b"spec:\n  replicas: 2\n  list: [a, true, null, 1.5]\n").unwrap();
        let json = Body::json(br#"{"spec": {"replicas": 2, "list": ["a", true, null, 1.5]}}"#).unwrap();
        assert_eq!(yaml.to_value(), json.to_value());
        assert_eq!(json.to_value(), json!({"spec": {"replicas": 2, "list": ["a", true, null, 1.5]}}));
        assert_eq!(Body::of(&json.to_value()).to_value(), json.to_value());
    }

    #[test]
    fn of_two_fields_json_keeps_the_last() {
        assert_eq!(Body::json(br#"{"a": 1, "a": 2}"#).unwrap().to_value(), json!({"a": 2}));
    }

    #[test]
    fn yaml_says_on_which_line_a_key_is_again() {
        for (text, line) in
            [("spec:\n  replicas: 1\n  replicas: 2\n", 3), (r#"{"spec": {"replicas": 1, "replicas": 2}}"#, 1)]
        {
            let error = Body::yaml(text.as_bytes()).unwrap().yaml_error();
            let expected = format!(
                "error converting YAML to JSON: yaml: unmarshal errors:\n  line {line}: key \"replicas\" already set in map"
            );
            assert_eq!(error, Some(expected), "{text}");
        }
        assert_eq!(Body::yaml(b"{a: 1, b: 1}").unwrap().yaml_error(), None);
    }

    #[test]
    fn what_is_neither_is_refused() {
        assert!(Body::json(b"{").is_err());
        assert!(Body::yaml(b"a: [").is_err());
        assert!(Body::yaml(b"a: 1\n---\nb: 1\n").is_err());
    }
}
