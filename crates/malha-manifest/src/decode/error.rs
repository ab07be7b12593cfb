//! Why a value does not fit its type: said openly, or without repeating the value where it may be a secret.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::wording;

/// Why a value does not fit.
#[derive(Debug)]
pub(crate) struct Misfit {
    open: String,
    discreet: String,
    help: Option<String>,
}

impl Misfit {
    pub(super) fn kind(expected: &dyn Expected, found: &str) -> Self {
        let expected = wording::expected(&expected.to_string());
        let text = format!("expected {expected}, found {found}");
        let quotable = expected == "a string" && matches!(found, "a boolean" | "a number" | "a number with a fraction");
        let help = quotable.then(|| "put it in quotes to make it a string".to_owned());
        Self { open: text.clone(), discreet: text, help }
    }

    /// The reason, which may repeat the value.
    pub(super) fn open(&self) -> &str {
        &self.open
    }

    /// The reason without the value.
    pub(super) fn discreet(&self) -> &str {
        &self.discreet
    }

    pub(super) fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.open)
    }
}

impl std::error::Error for Misfit {}

impl Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            open: message.to_string(),
            discreet: "the value is not of the form that this field takes".to_owned(),
            help: None,
        }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Bool(_) => "a boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a number",
            Unexpected::Float(_) => "a number with a fraction",
            Unexpected::Str(_) | Unexpected::Char(_) => "a string",
            Unexpected::Unit | Unexpected::Option => "nothing",
            Unexpected::Seq => "a list",
            Unexpected::Map | Unexpected::StructVariant => "a map",
            _ => "something else",
        };
        Self::kind(expected, found)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = wording::expected(&expected.to_string());
        let found = match unexpected {
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Float(number) => number.to_string(),
            Unexpected::Str(text) => format!("`{text}`"),
            other => other.to_string(),
        };
        Self {
            open: format!("expected {expected}, found {found}"),
            discreet: format!("expected {expected}"),
            help: None,
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self {
            open: format!("`{variant}` is not one of the values that this field takes"),
            discreet: "not one of the values that this field takes".to_owned(),
            help: Some(wording::did_you_mean(variant, expected)),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        let text = format!("field `{field}` is missing");
        Self { open: text.clone(), discreet: text, help: None }
    }
}
