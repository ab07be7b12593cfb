//! What is told of a verified token: to the rules of `AuthorizationPolicy`, to routes by claims, and to the pod in
//! headers (Envoy, `source/extensions/filters/http/jwt_authn/authenticator.cc`).

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::base64url;

/// The payload of the token that counts.
pub type Payload = Map<String, Value>;

/// The claim at the end of a path of names.
pub(crate) fn find<'p, N: AsRef<str>>(payload: &'p Payload, path: &[N]) -> Option<&'p Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(payload.get(first.as_ref())?, |value, name| value.as_object()?.get(name.as_ref()))
}

/// Turns claims that are lists divided by blanks into lists. A text without a word stays a text.
pub(crate) fn split_lists(payload: &mut Payload, names: &[String]) {
    for name in names {
        if let Some(value) = payload.get_mut(name)
            && let Some(text) = value.as_str()
        {
            let words: Vec<Value> = text.split(' ').filter(|word| !word.is_empty()).map(Value::from).collect();
            if !words.is_empty() {
                *value = Value::Array(words);
            }
        }
    }
}

/// A claim as the value of a header: text and truth as they are, a whole number without a fraction, any other with six
/// digits of it, lists and objects as JSON in base64. `None` if there is nothing to tell.
pub(crate) fn header_text(value: &Value) -> Option<String> {
    const END: f64 = 18_446_744_073_709_551_616.0;
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => match number.as_f64()? {
            whole if (0.0..END).contains(&whole) && whole.fract() == 0.0 => format!("{whole:.0}"),
            other => format!("{other:.6}"),
        },
        Value::Array(_) | Value::Object(_) => {
            let mut json = String::new();
            write_json(&mut json, value);
            base64url::encode_standard(json.as_bytes())
        }
    };
    (!text.is_empty()).then_some(text)
}

/// JSON as protobuf writes it: without blanks, numbers as doubles, and `<`, `>` escaped.
fn write_json(json: &mut String, value: &Value) {
    match value {
        Value::Null => json.push_str("null"),
        Value::Bool(truth) => json.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => {
            let _ = match number.as_f64() {
                Some(number) if number.abs() >= 1e21 || (number != 0.0 && number.abs() < 1e-6) => {
                    write!(json, "{number:e}")
                }
                Some(number) => write!(json, "{number}"),
                None => write!(json, "{number}"),
            };
        }
        Value::String(text) => write_text(json, text),
        Value::Array(items) => {
            json.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    json.push(',');
                }
                write_json(json, item);
            }
            json.push(']');
        }
        Value::Object(members) => {
            json.push('{');
            for (place, (name, member)) in members.iter().enumerate() {
                if place > 0 {
                    json.push(',');
                }
                write_text(json, name);
                json.push(':');
                write_json(json, member);
            }
            json.push('}');
        }
    }
}

fn write_text(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '<' | '>' | '\u{7f}' | '\0'..='\u{1f}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            other => json.push(other),
        }
    }
    json.push('"');
}
