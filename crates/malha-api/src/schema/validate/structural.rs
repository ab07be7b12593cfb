//! Custom resources against their schemas (apiextensions-apiserver `pkg/apiserver/validation`, kube-openapi
//! `pkg/validation`).

use malha_cluster::Cause;
use serde_json::Value;

use super::{Schema, quoted};

/// All that is wrong, in the order of the schema.
pub(super) fn invalid(object: &Value, schema: Schema<'_>) -> Vec<Cause> {
    let mut found = Vec::new();
    let required = schema.value.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if object.get(name).is_none_or(Value::is_null) {
            found.push(missing(name));
        }
    }
    // Metadata is a Go type, decoded before.
    for name in ["spec", "status"] {
        if let (Some(value), Some(inside)) = (object.get(name), schema.field(name)) {
            look(value, inside, name, &mut found);
        }
    }
    found
}

fn missing(path: &str) -> Cause {
    Cause { reason: "FieldValueRequired", field: path.to_owned(), message: "Required value".to_owned() }
}

fn look(value: &Value, schema: Schema<'_>, path: &str, found: &mut Vec<Cause>) {
    // A null is pruned where a field may be missing.
    if value.is_null() {
        return;
    }
    let Some(expected) = schema.kind() else { return };
    let fits = match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_i64().is_some() || value.as_u64().is_some() || whole(value),
        _ => value.is_number(),
    };
    if !fits {
        let actual = word(value);
        found.push(Cause {
            reason: "FieldValueTypeInvalid",
            field: path.to_owned(),
            message: format!("Invalid value: \"{actual}\": {path} in body must be of type {expected}: \"{actual}\""),
        });
        return;
    }
    if let Some(words) = schema.value.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        let known: Vec<String> = words.iter().filter_map(Value::as_str).map(quoted).collect();
        found.push(Cause {
            reason: "FieldValueNotSupported",
            field: path.to_owned(),
            message: format!("Unsupported value: {value}: supported values: {}", known.join(", ")),
        });
    }
    for (limit, breaks, words) in [
        ("minimum", f64::lt as fn(&f64, &f64) -> bool, "greater than or equal to"),
        ("maximum", f64::gt, "less than or equal to"),
    ] {
        if let (Some(limit), Some(number)) = (schema.value.get(limit), value.as_f64())
            && limit.as_f64().is_some_and(|limit| breaks(&number, &limit))
        {
            found.push(Cause {
                reason: "FieldValueInvalid",
                field: path.to_owned(),
                message: format!("Invalid value: {value}: {path} in body should be {words} {limit}"),
            });
        }
    }
    match value {
        Value::Object(fields) => {
            let required = schema.value.get("required").and_then(Value::as_array);
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                if fields.get(name).is_none_or(Value::is_null) {
                    found.push(missing(&format!("{path}.{name}")));
                }
            }
            for (key, value) in fields {
                if let Some(inside) = schema.field(key).or_else(|| schema.values()) {
                    look(value, inside, &format!("{path}.{key}"), found);
                }
            }
        }
        Value::Array(items) => {
            let Some(inside) = schema.items() else { return };
            for (index, item) in items.iter().enumerate() {
                look(item, inside, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// `1.0` is an integer too.
fn whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use malha_cluster::Kind;
    use malha_cluster::resource::Resource;
    use serde_json::json;

    use super::super::invalid;

    #[test]
    fn what_a_schema_does_not_allow_is_named_in_the_api_servers_words() {
        for (kind, object, expected) in [
            (Kind::VirtualService, json!({"spec": {"hosts": ["a"], "http": [{"timeout": "5s"}]}}), vec![]),
            (
                Kind::VirtualService,
                json!({"spec": {"hosts": "a"}}),
                vec![("spec.hosts", "Invalid value: \"string\": spec.hosts in body must be of type array: \"string\"")],
            ),
            (
                Kind::VirtualService,
                json!({"spec": {"http": [{"timeout": 5}]}}),
                vec![(
                    "spec.http[0].timeout",
                    "Invalid value: \"integer\": spec.http[0].timeout in body must be of type string: \"integer\"",
                )],
            ),
            (
                Kind::PeerAuthentication,
                json!({"spec": {"mtls": {"mode": "SOMETIMES"}}}),
                vec![(
                    "spec.mtls.mode",
                    "Unsupported value: \"SOMETIMES\": supported values: \"UNSET\", \"DISABLE\", \"PERMISSIVE\", \"STRICT\"",
                )],
            ),
            (
                Kind::VirtualService,
                json!({"spec": {"http": [{"route": [{"destination": {"host": "a", "port": {"number": -1}}}]}]}}),
                vec![(
                    "spec.http[0].route[0].destination.port.number",
                    "Invalid value: -1: spec.http[0].route[0].destination.port.number in body should be greater than or equal to 0",
                )],
            ),
            (Kind::ServiceEntry, json!({"metadata": {}}), vec![("spec", "Required value")]),
            (
                Kind::VirtualService,
                json!({"spec": {"http": [{"route": [{"destination": {"subset": "v1"}}, {"weight": 1}]}]}}),
                vec![
                    ("spec.http[0].route[0].destination.host", "Required value"),
                    ("spec.http[0].route[1].destination", "Required value"),
                ],
            ),
            (Kind::DestinationRule, json!({"spec": {}}), vec![("spec.host", "Required value")]),
            (Kind::Gateway, json!({"spec": null}), vec![]),
            (Kind::Pod, json!({"spec": 1}), vec![]),
        ] {
            let found = invalid(Resource::of(kind).unwrap(), "v1", &object);
            let found: Vec<(&str, &str)> =
                found.iter().map(|cause| (cause.field.as_str(), cause.message.as_str())).collect();
            assert_eq!(found, expected, "{object}");
        }
    }
}
