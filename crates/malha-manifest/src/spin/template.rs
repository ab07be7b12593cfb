//! Texts with variables in them: `https://{{ host }}/api`.
//!
//! Spin's expressions (crates/expressions): `{{`, a variable's name with optional white space around it, `}}`. There is
//! no escape and nothing nested, and `}}` alone is text.

use std::fmt;

/// A text with variables in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// `{{` without `}}`.
    Unclosed,
    /// Not a name: what stands between the braces.
    BadName(String),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => f.write_str("`{{` is never closed by `}}`"),
            Self::BadName(name) => write!(f, "`{name}` is not a variable's name: {NAME_RULE}"),
        }
    }
}

impl std::error::Error for TemplateError {}

/// What [`is_variable_name`] asks for, in words.
pub(super) const NAME_RULE: &str = "it begins with a lower-case letter, goes on with lower-case letters, digits and `_`, does not end with `_` and has no two `_` in a row";

/// Spin's rule for variables' names (crates/expressions, `Key::validate`).
pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.ends_with('_')
        && !name.contains("__")
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (before, after) = match rest.split_once("{{") {
                Some((before, after)) => (before, Some(after)),
                None => (rest, None),
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some(after) = after else {
                return Ok(Self(parts));
            };
            let (name, next) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
            let name = name.trim();
            if !is_variable_name(name) {
                return Err(TemplateError::BadName(name.to_owned()));
            }
            parts.push(Part::Variable(name.to_owned()));
            rest = next;
        }
    }

    /// The text with every variable replaced by what `lookup` gives; the error is the first name it does not know.
    pub fn resolve<T: AsRef<str>>(&self, lookup: impl Fn(&str) -> Option<T>) -> Result<String, String> {
        let mut resolved = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => resolved.push_str(text),
                Part::Variable(name) => resolved.push_str(lookup(name).ok_or_else(|| name.clone())?.as_ref()),
            }
        }
        Ok(resolved)
    }

    /// Names of the variables in it, in order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Variable(name) => write!(f, "{{{{ {name} }}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_variables() {
        let template = Template::parse("{{a}}://{{ b_2 }}:80").unwrap();
        assert_eq!(template.variables().collect::<Vec<_>>(), ["a", "b_2"]);
        assert_eq!(template.resolve(|name| (name == "a").then_some("http")), Err("b_2".to_owned()));
        assert_eq!(template.resolve(|name| Some(name.to_uppercase())), Ok("A://B_2:80".to_owned()));
        assert_eq!(template.to_string(), "{{ a }}://{{ b_2 }}:80");
    }

    #[test]
    fn refuses_broken_braces_and_names() {
        assert_eq!(Template::parse("x {{ y"), Err(TemplateError::Unclosed));
        assert_eq!(Template::parse("x }} y").unwrap().to_string(), "x }} y");
        for name in ["", "A", "1a", "a_", "a__b", "a-b", "a b", "{a"] {
            let text = format!("{{{{{name}}}}}");
            assert!(Template::parse(&text).is_err(), "{text}");
        }
    }
}
