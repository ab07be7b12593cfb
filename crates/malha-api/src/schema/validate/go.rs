//! Values of another type than their fields', in the words of Go's `encoding/json` and of the types that read themselves
//! (apimachinery: `Quantity`, `IntOrString`, `Time`).

use k8s_openapi::jiff::Timestamp;

use super::Schema;
use super::body::Node;
use super::components;

const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";

/// Who reads the value, which decides the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// `encoding/json`.
    Json,
    /// `runtime.DefaultUnstructuredConverter`, which makes objects of what a strategic merge has left
    /// (apimachinery `pkg/runtime/converter.go`).
    Converter,
}

/// Where a value stands: the struct that holds its field, and the fields that lead to it.
#[derive(Clone)]
struct Place<'a> {
    holder: &'a str,
    fields: String,
}

/// The first mismatch of an object. Of a custom resource nothing but its metadata is a Go type.
pub(super) fn mismatch(root: &Node, name: &str, custom: bool, reader: Reader) -> Option<String> {
    let (name, value) = components().get_key_value(name)?;
    let schema = Schema { name: Some(name), value };
    let Node::Map(fields) = root else { return decode(root, schema, None, reader) };
    if custom {
        let place = Place { holder: short(name), fields: "metadata".to_owned() };
        let metadata = fields.iter().find(|(key, _)| key == "metadata")?;
        return decode(&metadata.1, schema.field("metadata")?, Some(&place), reader);
    }
    decode(root, schema, None, reader)
}

fn decode(node: &Node, schema: Schema<'_>, place: Option<&Place<'_>>, reader: Reader) -> Option<String> {
    if matches!(node, Node::Null) {
        return None;
    }
    match schema.name {
        Some(INT_OR_STRING) => return int_or_string(node),
        Some(QUANTITY) => return quantity(node),
        Some(TIME | MICRO_TIME) => return time(node),
        _ => {}
    }
    match (schema.kind(), node) {
        (Some("object"), Node::Map(fields)) => fields.iter().find_map(|(key, value)| {
            if let Some(inside) = schema.field(key) {
                let fields = match place {
                    Some(place) if !place.fields.is_empty() => format!("{}.{key}", place.fields),
                    _ => key.clone(),
                };
                let holder = schema.name.map_or("", short);
                decode(value, inside, Some(&Place { holder, fields }), reader)
            } else {
                // Keys of maps are no fields: what is wrong is said of the map's own field.
                decode(value, schema.values()?, place, reader)
            }
        }),
        (Some("array"), Node::List(items)) => {
            let inside = schema.items()?;
            items.iter().find_map(|item| decode(item, inside, place, reader))
        }
        (Some("string"), Node::Text(text)) => (schema.format() == Some("byte")).then(|| base64(text)).flatten(),
        (Some("boolean"), Node::Bool(_)) | (Some("number"), Node::Number(_)) | (None, _) => None,
        (Some("integer"), Node::Number(number)) => {
            let fits =
                number.as_i64().is_some_and(|value| schema.format() != Some("int32") || i32::try_from(value).is_ok());
            (!fits).then(|| match reader {
                Reader::Json => cannot(&format!("number {number}"), &go_type(schema), place),
                Reader::Converter => not_converted(node, schema),
            })
        }
        _ if reader == Reader::Converter => Some(not_converted(node, schema)),
        _ => Some(cannot(word(node), &go_type(schema), place)),
    }
}

/// What Go calls a JSON value.
fn word(node: &Node) -> &'static str {
    match node {
        Node::Null => "null",
        Node::Bool(_) => "bool",
        Node::Number(_) => "number",
        Node::Text(_) => "string",
        Node::List(_) => "array",
        Node::Map(_) => "object",
    }
}

/// What the converter says of a value that it cannot make the field's of.
fn not_converted(node: &Node, schema: Schema<'_>) -> String {
    let from = match node {
        Node::Null => "<nil>",
        Node::Bool(_) => "bool",
        Node::Number(number) if number.is_f64() => "float64",
        Node::Number(_) => "int64",
        Node::Text(_) => "string",
        Node::List(_) => "slice",
        Node::Map(_) => "map",
    };
    match schema.kind() {
        Some("object") if schema.name.is_some() => format!("cannot restore struct from: {from}"),
        Some("object") => format!("cannot restore map from {from}"),
        Some("array") => format!("cannot restore slice from {from}"),
        // What Go itself would convert has an error of its own.
        _ => match (node, go_type(schema)) {
            (Node::Number(_), into) if into != "bool" => format!("cannot convert {from} to {into}"),
            (_, into) => format!("unrecognized type: {into}"),
        },
    }
}

fn cannot(what: &str, into: &str, place: Option<&Place<'_>>) -> String {
    match place {
        Some(Place { holder, fields }) => {
            format!("json: cannot unmarshal {what} into Go struct field {holder}.{fields} of type {into}")
        }
        None => format!("json: cannot unmarshal {what} into Go value of type {into}"),
    }
}

/// The last part of a component's name.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The Go type of a schema: `v1.Container`, `[]v1.Container`, `map[string]string`, `int32`. Types with a name of their own
/// that are texts inside (`v1.Protocol`) cannot be told from texts.
fn go_type(schema: Schema<'_>) -> String {
    if let Some(name) = schema.name {
        let mut parts = name.rsplit('.');
        let (kind, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        return format!("{package}.{kind}");
    }
    match (schema.kind(), schema.format()) {
        (Some("array"), _) => format!("[]{}", schema.items().map(go_type).unwrap_or_default()),
        (Some("object"), _) => format!("map[string]{}", schema.values().map(go_type).unwrap_or_default()),
        (Some("integer"), Some("int32")) => "int32".to_owned(),
        (Some("integer"), _) => "int64".to_owned(),
        (Some("number"), _) => "float64".to_owned(),
        (Some("boolean"), _) => "bool".to_owned(),
        (Some("string"), Some("byte")) => "[]uint8".to_owned(),
        _ => "string".to_owned(),
    }
}

fn int_or_string(node: &Node) -> Option<String> {
    match node {
        Node::Text(_) => None,
        Node::Number(number) if number.as_i64().is_some_and(|value| i32::try_from(value).is_ok()) => None,
        Node::Number(number) => Some(cannot(&format!("number {number}"), "int32", None)),
        other => Some(cannot(word(other), "int32", None)),
    }
}

fn quantity(node: &Node) -> Option<String> {
    const FORM: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    let number;
    let text = match node {
        Node::Text(text) => text.as_str(),
        Node::Number(value) => {
            number = value.to_string();
            number.as_str()
        }
        _ => return Some(FORM.to_owned()),
    };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (digits, suffix) = unsigned.split_at(end);
    if digits.is_empty() || digits.matches('.').count() > 1 || digits == "." {
        return Some(FORM.to_owned());
    }
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|power| power.parse::<i32>().is_ok());
    let known = matches!(
        suffix,
        "" | "n" | "u" | "m" | "k" | "M" | "G" | "T" | "P" | "E" | "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei"
    );
    if known || exponent {
        None
    } else if suffix.chars().all(|c| "eEinumkKMGTP".contains(c)) {
        Some("unable to parse quantity's suffix".to_owned())
    } else {
        Some(FORM.to_owned())
    }
}

fn time(node: &Node) -> Option<String> {
    match node {
        Node::Text(text) if text.parse::<Timestamp>().is_ok() => None,
        Node::Text(text) => Some(format!(
            "parsing time {0} as \"2006-01-02T15:04:05Z07:00\": cannot parse {0} as \"2006\"",
            super::quoted(text)
        )),
        other => Some(cannot(word(other), "string", None)),
    }
}

/// Where base64 ends to be base64 (Go's `encoding/base64`, which leaves line breaks out).
fn base64(text: &str) -> Option<String> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let body = bytes.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let wrong = bytes[..body].iter().position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'/'));
    let padding = bytes.len() - body;
    let at = match wrong {
        Some(at) => at,
        None if padding <= 2 && bytes.len().is_multiple_of(4) => return None,
        // Go names the beginning of the last group that is not whole, or the padding that is too much.
        None if !bytes.len().is_multiple_of(4) => bytes.len() - bytes.len() % 4,
        None => body,
    };
    Some(format!("illegal base64 data at input byte {at}"))
}

#[cfg(test)]
mod tests {
    use malha_cluster::Kind;
    use malha_cluster::resource::Resource;

    use super::super::{Body, mismatch};

    #[test]
    fn wrong_types_are_named_as_go_names_them() {
        for (kind, text, expected) in [
            (
                Kind::Deployment,
                r#"{"spec": {"replicas": "two"}}"#,
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                Kind::Deployment,
                r#"{"spec": {"replicas": 1.5}}"#,
                "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                Kind::Pod,
                r#"{"spec": {"containers": [{"env": [{"name": "A", "value": 5}]}]}}"#,
                "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
            ),
            (
                Kind::Pod,
                r#"{"spec": {"containers": {"name": "a"}}}"#,
                "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                Kind::Deployment,
                r#"{"spec": "all"}"#,
                "json: cannot unmarshal string into Go struct field Deployment.spec of type v1.DeploymentSpec",
            ),
            (
                Kind::ConfigMap,
                r#"{"metadata": {"labels": {"a": true}}}"#,
                "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                Kind::VirtualService,
                r#"{"metadata": {"labels": ["a"]}}"#,
                "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
            ),
            (Kind::Service, "[]", "json: cannot unmarshal array into Go value of type v1.Service"),
            (
                Kind::Service,
                r#"{"spec": {"ports": [{"port": 80, "targetPort": true}]}}"#,
                "json: cannot unmarshal bool into Go value of type int32",
            ),
            (
                Kind::Pod,
                r#"{"spec": {"containers": [{"resources": {"limits": {"cpu": "a lot"}}}]}}"#,
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
            (
                Kind::Pod,
                r#"{"spec": {"containers": [{"resources": {"limits": {"memory": "1KK"}}}]}}"#,
                "unable to parse quantity's suffix",
            ),
            (Kind::Secret, r#"{"data": {"a": "hunter2!"}}"#, "illegal base64 data at input byte 7"),
            (Kind::Secret, r#"{"data": {"a": "hunter2"}}"#, "illegal base64 data at input byte 4"),
            (
                Kind::Pod,
                r#"{"metadata": {"creationTimestamp": "now"}}"#,
                "parsing time \"now\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"now\" as \"2006\"",
            ),
        ] {
            let resource = Resource::of(kind).unwrap();
            let body = Body::json(text.as_bytes()).unwrap();
            assert_eq!(mismatch(resource, "v1", &body).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_fits_is_not_named() {
        for (kind, text) in [
            (Kind::Deployment, r#"{"metadata": {"creationTimestamp": null}, "spec": {"replicas": null}, "foo": 5}"#),
            (
                Kind::Service,
                r#"{"spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8}]}}"#,
            ),
            (
                Kind::Pod,
                r#"{"spec": {"containers": [{"resources": {"limits": {"cpu": 1, "memory": "64Mi", "x": "1e3"}}}]}}"#,
            ),
            (Kind::Secret, r#"{"data": {"a": "aHVudGVyMg==", "b": ""}}"#),
            (Kind::VirtualService, r#"{"spec": {"http": "of another type, which is invalid, not undecodable"}}"#),
        ] {
            let resource = Resource::of(kind).unwrap();
            assert_eq!(mismatch(resource, "v1", &Body::json(text.as_bytes()).unwrap()), None, "{text}");
        }
    }
}
