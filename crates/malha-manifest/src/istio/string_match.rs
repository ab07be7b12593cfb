//! How Istio compares texts.

use schemars::JsonSchema;
use serde::Deserialize;

/// One way to compare a text. Written as a map with one field: `exact`, `prefix` or `regex`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
#[schemars(with = "Written")]
pub enum StringMatch {
    /// The whole text, case-sensitive.
    Exact(String),
    /// The beginning, case-sensitive.
    Prefix(String),
    /// The whole text matches an RE2 expression.
    Regex(String),
    /// `{}`: there is such a header or query parameter, whatever its value.
    Present,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(default)]
struct Written {
    /// The whole text, case-sensitive.
    exact: Option<String>,
    /// The beginning, case-sensitive.
    prefix: Option<String>,
    /// The whole text matches this RE2 expression.
    regex: Option<String>,
}

impl TryFrom<Written> for StringMatch {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match (written.exact, written.prefix, written.regex) {
            (Some(text), None, None) => Ok(Self::Exact(text)),
            (None, Some(text), None) => Ok(Self::Prefix(text)),
            (None, None, Some(text)) => Ok(Self::Regex(text)),
            (None, None, None) => Ok(Self::Present),
            _ => Err("more than one of `exact`, `prefix` and `regex` is set; keep one"),
        }
    }
}
