//! How Istio compares texts.

use serde::Deserialize;

/// One way to compare a text. Written as a map with one field: `exact`, `prefix` or `regex`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
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

#[derive(Deserialize, Default)]
#[serde(default)]
struct Written {
    exact: Option<String>,
    prefix: Option<String>,
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
