//! From JSON schema, as schemars writes it, to the dialect of `OpenAPI` 3.0 that Kubernetes publishes.

use serde_json::{Map, Value, json};

/// Of a schema by `k8s-openapi`: it is Kubernetes' already, but for the siblings of `$ref`.
pub(super) fn builtin(schema: &mut Value) {
    each_part(schema, &mut builtin);
    let Value::Object(fields) = schema else { return };
    if fields.len() > 1
        && let Some(target) = fields.remove("$ref")
    {
        fields.insert("allOf".to_owned(), json!([{ "$ref": target }]));
    }
}

/// Of a schema that was derived with everything in place: it becomes a structural schema, as CRDs must have
/// (apiextensions, `pkg/apiserver/schema`): one type for every value, no `null`, no defaults.
pub(super) fn structural(schema: &mut Value) {
    if schema == &Value::Bool(true) {
        *schema = json!({"x-kubernetes-preserve-unknown-fields": true});
    }
    let Value::Object(fields) = schema else { return };
    for unknown in ["$schema", "title", "default", "writeOnly", "readOnly"] {
        fields.remove(unknown);
    }
    without_null(fields);
    choice(fields);
    number(fields);
    if let Some(Value::String(text)) = fields.get_mut("description") {
        *text = prose(text);
    }
    each_part(schema, &mut structural);
}

fn each_part(schema: &mut Value, act: &mut dyn FnMut(&mut Value)) {
    let Value::Object(fields) = schema else { return };
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(&mut *act),
            ("allOf" | "oneOf" | "anyOf", Value::Array(parts)) => parts.iter_mut().for_each(&mut *act),
            ("items" | "additionalProperties", part) => act(part),
            _ => {}
        }
    }
}

/// A field that may be missing is `null` or something in JSON schema; in Kubernetes every field may be `null`.
fn without_null(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = fields.get("type") {
        let rest: Vec<Value> = types.iter().filter(|kind| *kind != "null").cloned().collect();
        if let [only] = rest.as_slice() {
            fields.insert("type".to_owned(), only.clone());
        }
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    for key in ["anyOf", "oneOf"] {
        let Some(Value::Array(parts)) = fields.get_mut(key) else { continue };
        parts.retain(|part| part.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = parts.as_mut_slice() {
            let only = std::mem::take(only);
            fields.remove(key);
            for (key, value) in only {
                // What the field says of itself is nearer than what its type says.
                fields.entry(key).or_insert(value);
            }
        }
    }
}

/// Words with a text for each are `oneOf` constants in JSON schema; Kubernetes has one `enum`, and the texts in the
/// description.
fn choice(fields: &mut Map<String, Value>) {
    let Some(Value::Array(parts)) = fields.get("oneOf") else { return };
    let mut words = Vec::new();
    let mut texts = Vec::new();
    for part in parts {
        let text = part.get("description").and_then(Value::as_str).map(prose).unwrap_or_default();
        let consts = part.get("const").into_iter();
        for word in consts.chain(part.get("enum").and_then(Value::as_array).into_iter().flatten()) {
            let Some(shown) = word.as_str() else { return };
            texts.push(format!(" - `\"{shown}\"` {text}").trim_end().to_owned());
            words.push(word.clone());
        }
    }
    if words.is_empty() {
        return;
    }
    fields.remove("oneOf");
    fields.insert("type".to_owned(), json!("string"));
    fields.insert("enum".to_owned(), Value::Array(words));
    let about = fields.get("description").and_then(Value::as_str).map(prose).unwrap_or_default();
    let values = format!("{about}\n\nPossible enum values:\n{}", texts.join("\n"));
    fields.insert("description".to_owned(), Value::String(values.trim_start().to_owned()));
}

/// Kubernetes knows the formats `int32`, `int64` and `double`; what others mean is said in limits.
fn number(fields: &mut Map<String, Value>) {
    match fields.get("format").and_then(Value::as_str) {
        Some("uint8" | "uint16" | "uint32") => {
            fields.remove("format");
            fields.insert("minimum".to_owned(), json!(0));
            fields.insert("maximum".to_owned(), json!(u32::MAX));
        }
        Some("uint" | "uint64") => {
            fields.remove("format");
            fields.insert("minimum".to_owned(), json!(0));
        }
        _ => {}
    }
}

/// Rust's documentation as prose: lines run on, and links are not shown.
fn prose(text: &str) -> String {
    let paragraphs: Vec<String> = text
        .split("\n\n")
        .map(|paragraph| {
            // Lists keep their lines.
            if paragraph.contains("\n - ") { paragraph.to_owned() } else { paragraph.replace('\n', " ") }
        })
        .collect();
    paragraphs.join("\n\n").replace("[`", "`").replace("`]", "`").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_schemas_become_structural() {
        for (derived, expected) in [
            (json!({"type": ["string", "null"], "default": null}), json!({"type": "string"})),
            (json!({"type": ["integer", "null"], "format": "int32"}), json!({"type": "integer", "format": "int32"})),
            (
                json!({"type": "integer", "format": "uint32", "minimum": 0}),
                json!({"type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32}),
            ),
            (
                json!({
                    "description": "of the field",
                    "anyOf": [{"type": "object", "description": "of the type", "properties": {"a": true}}, {"type": "null"}],
                }),
                json!({
                    "description": "of the field",
                    "type": "object",
                    "properties": {"a": {"x-kubernetes-preserve-unknown-fields": true}},
                }),
            ),
            (
                json!({
                    "description": "Which\nway.",
                    "oneOf": [
                        {"type": "string", "const": "LEFT", "description": "Not right, see [`Right`]."},
                        {"type": "string", "enum": ["RIGHT"]},
                    ],
                }),
                json!({
                    "description": "Which way.\n\nPossible enum values:\n - `\"LEFT\"` Not right, see `Right`.\n - `\"RIGHT\"`",
                    "type": "string",
                    "enum": ["LEFT", "RIGHT"],
                }),
            ),
        ] {
            let mut schema = derived.clone();
            structural(&mut schema);
            assert_eq!(schema, expected, "{derived}");
        }
    }

    #[test]
    fn a_reference_with_a_description_is_wrapped() {
        let mut schema = json!({"properties": {"a": {"$ref": "#/x", "description": "b"}, "c": {"$ref": "#/x"}}});
        builtin(&mut schema);
        let expected =
            json!({"properties": {"a": {"allOf": [{"$ref": "#/x"}], "description": "b"}, "c": {"$ref": "#/x"}}});
        assert_eq!(schema, expected);
    }
}
