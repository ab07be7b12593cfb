//! What a plain YAML word is: the rules of `sigs.k8s.io/yaml`, which kubectl and the API server use.
//!
//! They are YAML 1.1's, with `y` and `on` as booleans and a leading zero for octal numbers; measured with
//! `kubectl label --local -o json` 1.32. Dates stay strings. Spin's and Istio's other users of YAML never see this.

use serde_json::Number;

use super::Value;

/// The value of a plain (unquoted, untagged) word.
pub(super) fn resolve(word: &str) -> Value {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        _ if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) => {
            number(word).map_or_else(|| Value::String(word.to_owned()), Value::Number)
        }
        _ => Value::String(word.to_owned()),
    }
}

/// A number as Go's `strconv.ParseInt(word, 0, 64)`, `ParseUint` and `ParseFloat` read it, underscores taken away.
pub(super) fn number(word: &str) -> Option<Number> {
    let plain = word.replace('_', "");
    integer(&plain).or_else(|| float(&plain))
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if negative { i64::try_from(-i128::from(value)).ok().map(Number::from) } else { Some(Number::from(value)) }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, finite.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digit = |c: char| c.is_ascii_digit();
    if !unsigned.contains(digit) || !unsigned.starts_with(|c| digit(c) || c == '.') {
        return None;
    }
    if !unsigned.chars().all(|c| digit(c) || matches!(c, '.' | 'e' | 'E' | '+' | '-')) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    Number::from_f64(value)
}

/// The text that a scalar has as a key of a map, as `sigs.k8s.io/yaml` writes it; `None` for null.
pub(super) fn key(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_kubectl_makes_of_them() {
        for (word, json) in [
            ("y", "true"),
            ("On", "true"),
            ("N", "false"),
            ("~", "null"),
            ("0777", "511"),
            ("0o17", "15"),
            ("0x1F", "31"),
            ("1_000", "1000"),
            ("+1", "1"),
            ("-1", "-1"),
            ("1e3", "1000.0"),
            (".5", "0.5"),
            ("1.", "1.0"),
            ("0.0.1", "\"0.0.1\""),
            ("2001-01-01", "\"2001-01-01\""),
            ("12:30:45", "\"12:30:45\""),
            ("-", "\"-\""),
            ("0x", "\"0x\""),
            (".nan", "\".nan\""),
            ("1e999", "\"1e999\""),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            let node = super::super::Node { value: resolve(word), span: None };
            assert_eq!(node.to_json().to_string(), json, "{word}");
        }
    }
}
