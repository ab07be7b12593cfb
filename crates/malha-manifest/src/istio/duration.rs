//! Durations as Go writes them: `300ms`, `2s`, `1h2m`.
//!
//! Istio's schemas check them with CEL's `duration()`, and Istio reads them with Go's `time.ParseDuration`: both take a
//! sequence of decimal numbers, each with an optional fraction and a unit.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Reads a duration; the error says what is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write a number and a unit, such as `2s`, `500ms` or `1m30s`");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned.starts_with('-') {
        return Err(format!("`{text}` is negative"));
    }
    let mut rest = unsigned;
    let mut total: u128 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, next) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, next) = split(next, |c| !c.is_ascii_digit() && c != '.');
        total = part(number, unit).and_then(|nanos| total.checked_add(nanos)).ok_or_else(wrong)?;
        rest = next;
    }
    // Go's durations are 64-bit nanoseconds: some 292 years.
    u64::try_from(total)
        .ok()
        .filter(|nanos| i64::try_from(*nanos).is_ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("`{text}` is too long"))
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// Nanoseconds of one number with its unit.
fn part(number: &str, unit: &str) -> Option<u128> {
    let nanos: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 20 {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Beyond 15 digits a fraction is below a nanosecond of an hour.
    let fraction = &fraction[..fraction.len().min(15)];
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole * nanos + part * nanos / scale)
}

/// For `#[serde(deserialize_with)]` on optional fields.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<Written>::deserialize(deserializer)?.map(|written| written.0))
}

/// A duration as a manifest has it.
pub(super) struct Written(Duration);

impl JsonSchema for Written {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "A number and a unit, such as `2s`, `500ms` or `1m30s`."})
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WrittenVisitor;

        impl Visitor<'_> for WrittenVisitor {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `2s` or `500ms`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
                parse_duration(text).map(Written).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(WrittenVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, millis) in [
            ("2s", 2000),
            ("0.5s", 500),
            ("1h2m", 3_720_000),
            ("1m30.5s", 90_500),
            (".5s", 500),
            ("1.s", 1000),
            ("0", 0),
            ("+3ms", 3),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("1.5us"), Ok(Duration::from_nanos(1500)));
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in ["", "2", "s", ".s", "2 s", "2sec", "1.2.3s", "-1s", "+", "2s3", "99999999999999h", "１s", "1d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
