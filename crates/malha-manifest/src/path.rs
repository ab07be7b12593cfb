//! The way to a field, as messages and `kubectl` write it: `spec.template.spec.containers[0].name`.

use std::fmt;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Into an object's field.
    Field(String),
    /// Into a list's item, counted from 0.
    Item(usize),
}

/// A way from the root of a document to a field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// The root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads `a.b[0]["c.d"]`. A text that is not of this form is read as far as it goes: paths only choose places.
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("[\"") {
                let Some((key, next)) = after.split_once("\"]") else { break };
                steps.push(Step::Field(key.to_owned()));
                rest = next;
            } else if let Some(after) = rest.strip_prefix('[') {
                let Some((index, next)) = after.split_once(']') else { break };
                let Ok(index) = index.parse() else { break };
                steps.push(Step::Item(index));
                rest = next;
            } else {
                rest = rest.strip_prefix('.').unwrap_or(rest);
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                if end == 0 {
                    break;
                }
                steps.push(Step::Field(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        Self(steps)
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The way one field further.
    #[must_use]
    pub fn field(&self, name: impl Into<String>) -> Self {
        self.and(Step::Field(name.into()))
    }

    /// The way one list item further.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.and(Step::Item(index))
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Goes down in place.
    pub(crate) fn push(&mut self, step: Step) {
        self.0.push(step);
    }

    /// Goes back up in place.
    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }

    fn and(&self, step: Step) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }
}

impl From<&str> for FieldPath {
    fn from(text: &str) -> Self {
        Self::parse(text)
    }
}

impl From<&FieldPath> for FieldPath {
    fn from(path: &FieldPath) -> Self {
        path.clone()
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(index) => write!(f, "[{index}]")?,
                Step::Field(name) if !is_plain(name) => write!(f, "[\"{name}\"]")?,
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

/// Whether a name needs no brackets.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["", "a", "a.b[0].c", "data[\"a.b\"]", "[1][2]", "metadata.annotations[\"x.io/y\"].z"] {
            assert_eq!(FieldPath::parse(text).to_string(), text);
        }
    }
}
