//! One tree for YAML, TOML and JSON alike, in which every value and key knows its place.
//!
//! Everything after this speaks of fields and values only, so a rule is written once for all three notations.

mod limits;
mod scalar;
mod toml;
mod yaml;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Number, Value as Json};

use crate::path::{FieldPath, Step};
use crate::source::{Location, SourceFile, Span};

pub use limits::Limits;
pub use toml::parse_toml;
pub use yaml::parse_yaml;

/// A value and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it is; `None` for values that no file holds.
    pub span: Option<Span>,
}

/// The kinds of values that all three notations share.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as JSON has it.
    Number(Number),
    /// A text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// Fields in the order of the file. No two have the same key.
    Map(Vec<Entry>),
}

/// A field of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Where its name is.
    pub key_span: Option<Span>,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// A tree without places, for objects that arrive as JSON.
    pub fn from_json(json: &Json) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(value) => Value::Number(value.clone()),
            Json::String(value) => Value::String(value.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::from_json).collect()),
            Json::Object(fields) => Value::Map(
                fields
                    .iter()
                    .map(|(key, value)| Entry { key: key.clone(), key_span: None, value: Self::from_json(value) })
                    .collect(),
            ),
        };
        Self { value, span: None }
    }

    /// The same values without places.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(value) => Json::Number(value.clone()),
            Value::String(value) => Json::String(value.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => Json::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The field `key` of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The field `key` of a map, with its key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The fields of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    /// What it is, in a message's words.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(number) if number.is_f64() => "a number with a fraction",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// One document of a file.
#[derive(Clone)]
pub struct Document {
    file: Option<Arc<SourceFile>>,
    root: Node,
}

impl fmt::Debug for Document {
    /// The file only: the document may be a Secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Document {
    /// A document of `file`.
    pub fn new(file: Arc<SourceFile>, root: Node) -> Self {
        Self { file: Some(file), root }
    }

    /// A document that no file holds.
    pub fn from_json(json: &Json) -> Self {
        Self { file: None, root: Node::from_json(json) }
    }

    /// A part of this document as one of its own.
    pub(crate) fn with_root(&self, root: Node) -> Self {
        Self { file: self.file.clone(), root }
    }

    /// The tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The file.
    pub fn file(&self) -> Option<&Arc<SourceFile>> {
        self.file.as_ref()
    }

    /// The node at `path`, if it is there.
    pub fn get(&self, path: impl Into<FieldPath>) -> Option<&Node> {
        let mut node = &self.root;
        for step in path.into().steps() {
            node = match step {
                Step::Field(name) => node.get(name)?,
                Step::Item(index) => node.items().get(*index)?,
            };
        }
        Some(node)
    }

    /// The place of the value at `path`, or of the nearest thing above it that is written down.
    pub fn at(&self, path: impl Into<FieldPath>) -> Option<Location> {
        self.place(&path.into(), false)
    }

    /// The place of the field's name at `path`, or of the nearest thing above it that is written down.
    pub fn at_key(&self, path: impl Into<FieldPath>) -> Option<Location> {
        self.place(&path.into(), true)
    }

    /// A place in this document's file.
    pub(crate) fn location(&self, span: Option<Span>) -> Option<Location> {
        Some(Location::new(Arc::clone(self.file.as_ref()?), span?))
    }

    fn place(&self, path: &FieldPath, key: bool) -> Option<Location> {
        let mut node = &self.root;
        let mut span = node.span;
        let last = path.steps().len();
        for (position, step) in path.steps().iter().enumerate() {
            let found = match step {
                Step::Field(name) => node.entry(name).map(|entry| (entry.key_span, &entry.value)),
                Step::Item(index) => node.items().get(*index).map(|item| (item.span, item)),
            };
            let Some((key_span, value)) = found else {
                return self.location(span);
            };
            node = value;
            // A container begins at its first field, which is not what it is called: show its name instead.
            let named =
                (key && position + 1 == last) || matches!(value.value, Value::Map(_) | Value::List(_) | Value::Null);
            span = if named { key_span.or(value.span) } else { value.span.or(key_span) };
        }
        self.location(span)
    }
}
