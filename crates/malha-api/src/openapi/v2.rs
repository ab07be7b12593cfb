//! `OpenAPI` v2: what v3 says, in the words of Swagger 2.0.

use serde_json::{Map, Value, json};

use super::{group_versions, info, paths};
use crate::schema::{components, reference};

/// Schemas that v2 cannot say: a choice of types.
const CHOICES: &[(&str, &str, Option<&str>)] = &[
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "string", Some("int-or-string")),
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "string", None),
];

/// The whole document.
pub(super) fn document() -> Value {
    let definitions: Map<String, Value> = components()
        .iter()
        .map(|(name, component)| {
            let mut schema = schema(component);
            if let Some((_, kind, format)) = CHOICES.iter().find(|(known, ..)| known == name) {
                schema["type"] = json!(kind);
                if let Some(format) = format {
                    schema["format"] = json!(format);
                }
            }
            (name.clone(), schema)
        })
        .collect();
    let mut all = Map::new();
    for (group, version) in group_versions() {
        for (path, item) in paths::of(group, version) {
            all.insert(path, path_item(&item));
        }
    }
    json!({"swagger": "2.0", "info": info(), "paths": all, "definitions": definitions})
}

fn schema(third: &Value) -> Value {
    let Value::Object(fields) = third else { return third.clone() };
    let mut second = Map::new();
    for (key, value) in fields {
        let value = match (key.as_str(), value) {
            // Said by the reference, or not sayable.
            ("allOf" | "oneOf" | "$ref", _) => continue,
            ("properties", Value::Object(properties)) => {
                properties.iter().map(|(name, value)| (name.clone(), schema(value))).collect::<Map<_, _>>().into()
            }
            ("items" | "additionalProperties", value) => schema(value),
            (_, value) => value.clone(),
        };
        second.insert(key.clone(), value);
    }
    if let Some(name) = reference(third) {
        second.insert("$ref".to_owned(), json!(format!("#/definitions/{name}")));
    }
    Value::Object(second)
}

fn path_item(third: &Value) -> Value {
    let Value::Object(fields) = third else { return third.clone() };
    let fields = fields.iter().map(|(key, value)| {
        let value = if key == "parameters" { parameters(value) } else { operation(value) };
        (key.clone(), value)
    });
    Value::Object(fields.collect())
}

fn parameters(third: &Value) -> Value {
    third.as_array().into_iter().flatten().map(parameter).collect()
}

fn parameter(third: &Value) -> Value {
    let Value::Object(fields) = third else { return third.clone() };
    let mut second = fields.clone();
    if let Some(Value::Object(schema)) = second.remove("schema") {
        second.extend(schema);
    }
    Value::Object(second)
}

fn operation(third: &Value) -> Value {
    let Value::Object(fields) = third else { return third.clone() };
    let mut second = fields.clone();
    let mut all: Vec<Value> =
        third.get("parameters").map(parameters).and_then(|all| all.as_array().cloned()).unwrap_or_default();
    if let Some(body) = second.remove("requestBody") {
        let content = body.get("content").and_then(Value::as_object);
        second.insert("consumes".to_owned(), content.into_iter().flat_map(Map::keys).cloned().collect());
        let inside = content.and_then(|content| content.values().next()).and_then(|one| one.get("schema"));
        let mut parameter = json!({"name": "body", "in": "body", "schema": inside.map(schema)});
        if body.get("required").is_some_and(|required| required == true) {
            parameter["required"] = json!(true);
        }
        all.push(parameter);
    }
    if !all.is_empty() {
        second.insert("parameters".to_owned(), Value::Array(all));
    }
    let mut produces = Vec::new();
    if let Some(Value::Object(responses)) = second.get_mut("responses") {
        for response in responses.values_mut() {
            let Some(content) = response.as_object_mut().and_then(|response| response.remove("content")) else {
                continue;
            };
            for (kind, one) in content.as_object().into_iter().flatten() {
                if !produces.contains(kind) {
                    produces.push(kind.clone());
                }
                if let Some(inside) = one.get("schema") {
                    response["schema"] = schema(inside);
                }
            }
        }
    }
    second.insert("produces".to_owned(), json!(produces));
    Value::Object(second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::COMPONENTS;

    #[test]
    fn references_stand_beside_their_descriptions() {
        let third = json!({"properties": {
            "a": {"allOf": [{"$ref": format!("{COMPONENTS}x")}], "description": "b"},
            "c": {"type": "array", "items": {"$ref": format!("{COMPONENTS}y")}},
        }});
        let second = json!({"properties": {
            "a": {"$ref": "#/definitions/x", "description": "b"},
            "c": {"type": "array", "items": {"$ref": "#/definitions/y"}},
        }});
        assert_eq!(schema(&third), second);
    }

    #[test]
    fn a_body_is_a_parameter() {
        let document = document();
        let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert!(patch["consumes"].as_array().unwrap().contains(&json!("application/strategic-merge-patch+json")));
        assert!(patch["parameters"].as_array().unwrap().iter().any(|one| one["in"] == "body"));
        assert_eq!(patch["responses"]["200"]["schema"]["$ref"], "#/definitions/io.k8s.api.apps.v1.Deployment");
        assert_eq!(patch.get("requestBody"), None);
        let quantity = &document["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"];
        assert_eq!(quantity["type"], "string");
    }
}
