//! YAML as bare JSON values: plain words resolved as Kubernetes does, nothing typed.
//!
//! Not malha's own reader, on purpose: what it gets wrong must not be wrong on both sides.

use anyhow::{Context as _, Result, bail};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The one document of a text.
pub(crate) fn parse(text: &str) -> Result<Value> {
    let mut open: Vec<Open> = Vec::new();
    let mut document = None;
    for event in Parser::new_from_str(text) {
        let (event, marks) = event.context("not YAML")?;
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, _, None) => word(&text),
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Map(map, _)) => Value::Object(map),
                None => bail!("an end without its beginning"),
            },
            Event::Alias(_) => bail!("line {}: cases have no aliases", marks.start.line()),
            _ => continue,
        };
        match open.last_mut() {
            None if document.is_some() => bail!("more than one document"),
            None => document = Some(value),
            Some(Open::List(list)) => list.push(value),
            Some(Open::Map(map, key)) => match key.take() {
                None => *key = Some(name(value)),
                Some(name) if map.contains_key(&name) => bail!("line {}: `{name}` is there twice", marks.start.line()),
                Some(name) => _ = map.insert(name, value),
            },
        }
    }
    document.context("no document")
}

/// A list or a map that is not complete yet; the map with the key that waits for its value.
enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

/// A key is a word, also where it looks like a number.
fn name(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn word(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') => text
            .parse::<i64>()
            .map(Value::from)
            .or_else(|_| text.parse::<f64>().map(Value::from))
            .unwrap_or(text.into()),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;

    #[test]
    fn yaml_becomes_the_json_that_it_means() {
        let text = "a: [1, 2.5, x, '1', true, ~]\nb: {c: null, 200: 5s}\nd: |\n  two\n  lines\n";
        let value = json!({
            "a": [1, 2.5, "x", "1", true, null], "b": {"c": null, "200": "5s"}, "d": "two\nlines\n",
        });
        assert_eq!(parse(text).unwrap(), value);
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused() {
        assert!(parse("a: 1\na: 2\n").is_err());
    }
}
