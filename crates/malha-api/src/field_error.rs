//! What malha-manifest finds wrong with a field, in the words of the API server (apimachinery, `validation/field/errors.go`).
//!
//! A manifest's findings are written for whoever reads the file; those whose kind is plain have their own form in an API.

use malha_manifest::Diagnostic;
use serde_json::Value;

/// A cause of a refusal: its reason, the field, and what is wrong with it.
pub(crate) struct FieldError {
    pub(crate) reason: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

/// The finding about an object of `kind`.
pub(crate) fn of(finding: &Diagnostic, kind: &str) -> FieldError {
    let (field, text) = split(&finding.message, kind);
    let (reason, message) = reworded(text, finding.help.as_deref());
    // `field.Path.Key` writes keys without quotes.
    let field = field.replace("[\"", "[").replace("\"]", "]");
    FieldError { reason, field, message }
}

/// `FIELD of KIND NAME: message`, as malha-manifest says it, in its parts.
fn split<'a>(message: &'a str, kind: &str) -> (&'a str, &'a str) {
    let found = message.split_once(": ").and_then(|(place, rest)| {
        let (field, of) = place.split_once(" of ")?;
        (of.starts_with(kind) && !field.contains(' ')).then_some((field, rest))
    });
    found.unwrap_or(("", message))
}

fn reworded(text: &str, help: Option<&str>) -> (&'static str, String) {
    let invalid = |value: &str, why: &str| ("FieldValueInvalid", format!("Invalid value: {value}: {why}"));
    let allowed = help.and_then(|help| help.rsplit_once("allowed: ")).map(|(_, words)| words);
    if text.ends_with("required, and not set") {
        return ("FieldValueRequired", "Required value".to_owned());
    }
    if let Some(why) = text.strip_prefix("required ").and_then(|rest| rest.strip_suffix(", and not set")) {
        return ("FieldValueRequired", format!("Required value: {why}"));
    }
    if let Some(value) = ticked(text, " is not one of the values that this field takes") {
        let words: Vec<_> = allowed.into_iter().flat_map(|words| words.split(", ")).map(quoted).collect();
        let supported =
            if words.is_empty() { String::new() } else { format!(": supported values: {}", words.join(", ")) };
        return ("FieldValueNotSupported", format!("Unsupported value: {}{supported}", quoted(value)));
    }
    // Some findings have the API server's words in a file, too.
    for (start, reason) in [("Forbidden: ", "FieldValueForbidden"), ("Required value: ", "FieldValueRequired")] {
        if text.starts_with(start) {
            return (reason, text.to_owned());
        }
    }
    if let Some(kind) = text.strip_prefix("may not be set in a Service of type ") {
        return ("FieldValueForbidden", format!("Forbidden: may not be used when `type` is '{kind}'"));
    }
    if let Some(value) = text.strip_suffix(" is used twice").and_then(|rest| rest.rsplit(' ').next()) {
        let value = value.trim_matches('`');
        let value = if value.parse::<i64>().is_ok() { value.to_owned() } else { quoted(value) };
        return ("FieldValueDuplicate", format!("Duplicate value: {value}"));
    }
    if let Some(value) = text.strip_suffix(" is not a port") {
        return invalid(value, "must be between 1 and 65535, inclusive");
    }
    if let Some(value) = text.strip_suffix(" is negative") {
        let value = if value.starts_with('`') { quoted(value.trim_matches('`')) } else { value.to_owned() };
        return invalid(&value, "must be greater than or equal to 0");
    }
    if let Some(value) = text.strip_suffix(" is less than the least, 1") {
        return invalid(value, "must be greater than or equal to 1");
    }
    if let Some(value) = text.strip_suffix(" is less than 1") {
        return invalid(value, "must be greater than 0");
    }
    if let Some(value) = ticked(text, " is not positive") {
        return invalid(&quoted(value), "must be positive");
    }
    if let Some((value, _)) = text.split_once(" is less than `minReplicas`") {
        return invalid(value, "must be greater than or equal to `minReplicas`");
    }
    if let Some(value) = text.strip_suffix(" is outside the range of node ports") {
        return invalid(value, "provided port is not in the valid range. The range of valid ports is 30000-32767");
    }
    if let Some(value) = ticked(text, " is not allowed").or_else(|| ticked(text, " is not allowed as a key")) {
        return match help {
            Some(help) => invalid(&quoted(value), help),
            None => invalid(&quoted(value), "it is not allowed"),
        };
    }
    ("FieldValueInvalid", text.to_owned())
}

/// The value of a text that is nothing but the value between ticks and `rest`.
fn ticked<'a>(text: &'a str, rest: &str) -> Option<&'a str> {
    text.strip_suffix(rest)?.strip_prefix('`')?.strip_suffix('`')
}

/// As Go's `%q` writes a text.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_its_field() {
        assert_eq!(
            split("spec.http[0].timeout of VirtualService route: `2 sec` is not a duration", "VirtualService"),
            ("spec.http[0].timeout", "`2 sec` is not a duration")
        );
        assert_eq!(split("no such thing", "Pod"), ("", "no such thing"));
    }

    #[test]
    fn what_is_plain_is_said_as_the_api_server_says_it() {
        for (text, help, reason, message) in [
            ("required, and not set", None, "FieldValueRequired", "Required value"),
            (
                "required when a Service has several ports, and not set",
                None,
                "FieldValueRequired",
                "Required value: when a Service has several ports",
            ),
            (
                "`Load` is not one of the values that this field takes",
                Some("did you mean `A`? allowed: A, B"),
                "FieldValueNotSupported",
                r#"Unsupported value: "Load": supported values: "A", "B""#,
            ),
            (
                "may not be set in a Service of type ClusterIP",
                None,
                "FieldValueForbidden",
                "Forbidden: may not be used when `type` is 'ClusterIP'",
            ),
            (
                "Forbidden: may not specify more than 1 handler type",
                None,
                "FieldValueForbidden",
                "Forbidden: may not specify more than 1 handler type",
            ),
            (
                "Required value: must specify a handler type",
                None,
                "FieldValueRequired",
                "Required value: must specify a handler type",
            ),
            ("port name `http` is used twice", None, "FieldValueDuplicate", r#"Duplicate value: "http""#),
            ("port 80 is used twice", None, "FieldValueDuplicate", "Duplicate value: 80"),
            (
                "70000 is not a port",
                Some("allowed: 1 to 65535"),
                "FieldValueInvalid",
                "Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            ("0 is less than 1", None, "FieldValueInvalid", "Invalid value: 0: must be greater than 0"),
            (
                "0 is less than the least, 1",
                None,
                "FieldValueInvalid",
                "Invalid value: 0: must be greater than or equal to 1",
            ),
            ("`0` is not positive", None, "FieldValueInvalid", "Invalid value: \"0\": must be positive"),
            (
                "1 is less than `minReplicas`, 2",
                None,
                "FieldValueInvalid",
                "Invalid value: 1: must be greater than or equal to `minReplicas`",
            ),
            ("-1 is negative", None, "FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0"),
            (
                "`A_b` is not allowed",
                Some("allowed: small letters"),
                "FieldValueInvalid",
                r#"Invalid value: "A_b": allowed: small letters"#,
            ),
            ("`2 sec` is not a duration", None, "FieldValueInvalid", "`2 sec` is not a duration"),
        ] {
            assert_eq!(reworded(text, help), (reason, message.to_owned()), "{text}");
        }
    }
}
