//! What a body says that its kind does not know: fields that there are not, fields said twice, and values of other types,
//! each in the words that the API server has for it.
//!
//! An API server decodes a body into a Go type and reports what was left over (`sigs.k8s.io/json`, apiserver
//! `endpoints/handlers/create.go`); for custom resources it prunes and validates against the structural schema
//! (apiextensions-apiserver `pkg/apiserver/validation`). Here the schema plays both parts.

mod body;
mod go;
mod strict;
mod structural;

use malha_cluster::Cause;
use malha_cluster::resource::Resource;
use serde_json::Value;

use super::{components, is_istio, name_of, reference};

pub use body::{Body, Malformed};

/// What the query parameter `fieldValidation` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Say nothing.
    Ignore,
    /// Warn, and go on without the unknown fields.
    #[default]
    Warn,
    /// Refuse.
    Strict,
}

impl FieldValidation {
    /// Reads the parameter; missing and empty mean `Warn`.
    ///
    /// # Errors
    /// The API server's words for another value.
    pub fn read(parameter: Option<&str>) -> Result<Self, String> {
        match parameter.unwrap_or_default() {
            "" | "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            "Strict" => Ok(Self::Strict),
            other => Err(format!(
                "fieldValidation: Unsupported value: {}: supported values: \"Ignore\", \"Strict\", \"Warn\"",
                quoted(other)
            )),
        }
    }
}

/// Fields that the kind does not have and fields that are there twice: `unknown field "spec.foo"`, in the order of the body.
///
/// Each is the text of a warning; all together are the [`strict_error`]. Where a value [does not fit](mismatch), the API
/// server says that alone.
pub fn strict_findings(resource: &Resource, version: &str, body: &Body) -> Vec<String> {
    let mut found = strict::findings(body.root(), schema(resource, version));
    found.extend(body.yaml_error());
    found
}

/// What a strict reader of YAML says of fields that are there twice, which is all that an apply is asked about: a warning, or
/// after `error strict decoding YAML: ` an error (400).
pub fn duplicate_keys(body: &Body) -> Option<String> {
    body.yaml_error()
}

/// `strict decoding error: …`.
pub fn strict_error(findings: &[String]) -> String {
    format!("strict decoding error: {}", findings.join(", "))
}

/// What an apply says of fields that the kind does not have (structured-merge-diff): an error without a
/// reason (500) in any case.
///
/// `namespaced_name` is `NAMESPACE/NAME`, or `/NAME` without a namespace.
pub fn typed_patch_error(resource: &Resource, version: &str, namespaced_name: &str, body: &Body) -> Option<String> {
    let fields: Vec<String> = strict::unknown(body.root(), schema(resource, version))
        .iter()
        .map(|path| format!(".{path}: field not declared in schema"))
        .collect();
    let text = match fields.as_slice() {
        [] => return None,
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let kind = resource.kind.name();
    let api_version = resource.api_version(version);
    Some(format!("failed to create typed patch object ({namespaced_name}; {api_version}, Kind={kind}): {text}"))
}

/// The first value whose type is not that of its field, as Go's decoder puts it: `json: cannot unmarshal string into Go struct
/// field DeploymentSpec.spec.replicas of type int32`. Of custom resources, in `metadata` only: for the rest, see [`invalid`].
pub fn mismatch(resource: &Resource, version: &str, body: &Body) -> Option<String> {
    go::mismatch(body.root(), &name_of(resource, version), is_istio(resource), go::Reader::Json)
}

/// The first value whose type is not that of its field, as it is said of what a strategic merge has left: `unrecognized type:
/// int32`.
pub fn merge_mismatch(resource: &Resource, version: &str, body: &Body) -> Option<String> {
    go::mismatch(body.root(), &name_of(resource, version), is_istio(resource), go::Reader::Converter)
}

/// Fields that a patch says twice: `duplicate field "spec.replicas"`.
pub fn duplicate_fields(patch: &Body) -> Vec<String> {
    strict::duplicates(patch.root())
}

/// `Deployment in version "v1" cannot be handled as a Deployment: …`: how the API server wraps what decoding says (400).
pub fn cannot_be_handled(resource: &Resource, version: &str, why: &str) -> String {
    let kind = resource.kind.name();
    format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}")
}

/// Values of a custom resource that its schema does not allow (422). Always empty for Kubernetes' own kinds.
pub fn invalid(resource: &Resource, version: &str, object: &Value) -> Vec<Cause> {
    if is_istio(resource) { structural::invalid(object, schema(resource, version)) } else { Vec::new() }
}

/// Takes unknown fields of a custom resource out of it, as pruning does. Kubernetes' own kinds drop them as they are decoded.
pub fn prune(resource: &Resource, version: &str, object: &mut Value) {
    strict::prune(object, schema(resource, version));
}

/// Leads from the schema of a value to those of its parts.
#[derive(Clone, Copy, Debug)]
struct Schema<'a> {
    /// The component that it is, where it has a name.
    name: Option<&'a str>,
    value: &'a Value,
}

fn schema(resource: &Resource, version: &str) -> Schema<'static> {
    match components().get_key_value(&name_of(resource, version)) {
        Some((name, value)) => Schema { name: Some(name), value },
        None => Schema { name: None, value: &Value::Null },
    }
}

impl<'a> Schema<'a> {
    /// Of a part, through its reference.
    fn of(value: &'a Value) -> Self {
        match reference(value).and_then(|name| components().get_key_value(name)) {
            Some((name, value)) => Schema { name: Some(name), value },
            None => Schema { name: None, value },
        }
    }

    fn field(self, name: &str) -> Option<Self> {
        self.value.get("properties")?.get(name).map(Schema::of)
    }

    fn values(self) -> Option<Self> {
        self.value.get("additionalProperties").map(Schema::of)
    }

    fn items(self) -> Option<Self> {
        self.value.get("items").map(Schema::of)
    }

    /// Any field may stand here: nothing is said about them, or they are to be kept.
    fn open(self) -> bool {
        self.value.get("x-kubernetes-preserve-unknown-fields").is_some_and(|keep| keep == true)
            || (self.value.get("properties").is_none() && self.value.get("additionalProperties").is_none())
    }

    fn kind(self) -> Option<&'a str> {
        self.value.get("type").and_then(Value::as_str)
    }

    fn format(self) -> Option<&'a str> {
        self.value.get("format").and_then(Value::as_str)
    }
}

/// As Go's `%q` writes a text.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use malha_cluster::Kind;

    use super::*;

    fn of(kind: Kind) -> &'static Resource {
        Resource::of(kind).unwrap()
    }

    fn body(text: &str) -> Body {
        Body::json(text.as_bytes()).unwrap()
    }

    #[test]
    fn fields_that_there_are_not_and_fields_said_twice_are_named_in_order() {
        for (kind, text, expected) in [
            (Kind::Deployment, r#"{"spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}}}"#, vec![]),
            (
                Kind::Deployment,
                r#"{"spec": {"template": {"spec": {"containers": [{"name": "a", "imagee": "b"}]}}, "foo": 1}, "extra": {"x": 1}}"#,
                vec![
                    r#"unknown field "spec.template.spec.containers[0].imagee""#,
                    r#"unknown field "spec.foo""#,
                    r#"unknown field "extra""#,
                ],
            ),
            (
                Kind::Deployment,
                r#"{"spec": {"replicas": 1, "replicas": 2}, "metadata": {"labels": {"a": "1", "a": "2"}}}"#,
                vec![r#"duplicate field "spec.replicas""#, r#"duplicate field "metadata.labels.a""#],
            ),
            (Kind::ConfigMap, r#"{"data": {"any": "key"}, "metadata": {"annotations": {"x": "y"}}}"#, vec![]),
            // Any JSON may be in these.
            (Kind::Pod, r#"{"metadata": {"managedFields": [{"fieldsV1": {"f:spec": {}}}]}}"#, vec![]),
            (
                Kind::CustomResourceDefinition,
                r#"{"spec": {"versions": [{"schema": {"openAPIV3Schema": {"default": {"a": 1}, "items": {"type": "x"}}}}]}}"#,
                vec![],
            ),
            (
                Kind::VirtualService,
                r#"{"spec": {"http": [{"retires": {}, "retries": {"attempts": 1, "atempts": 2}}]}, "status": {"x": 1}}"#,
                vec![r#"unknown field "spec.http[0].retires""#, r#"unknown field "spec.http[0].retries.atempts""#],
            ),
            (
                Kind::VirtualService,
                r#"{"spec": {"http": [{"match": [{"headers": {"any": {"exact": "a"}}}]}]}}"#,
                vec![],
            ),
            (Kind::RequestAuthentication, r#"{"spec": {"jwtRules": [{"jwks_uri": "a"}]}}"#, vec![]),
        ] {
            assert_eq!(strict_findings(of(kind), "v1", &body(text)), expected, "{text}");
        }
    }

    #[test]
    fn the_error_has_the_api_servers_words() {
        let found = strict_findings(of(Kind::Deployment), "v1", &body(r#"{"spec": {"a": 1}, "b": 2}"#));
        assert_eq!(
            cannot_be_handled(of(Kind::Deployment), "v1", &strict_error(&found)),
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: \
             unknown field \"spec.a\", unknown field \"b\""
        );
    }

    #[test]
    fn an_apply_names_unknown_fields_in_its_own_way() {
        let error = |text: &str| typed_patch_error(of(Kind::Deployment), "v1", "default/a", &body(text));
        assert_eq!(error(r#"{"spec": {"replicas": 1}}"#), None);
        assert_eq!(
            error(r#"{"spec": {"foo": 1}}"#).unwrap(),
            "failed to create typed patch object (default/a; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema"
        );
        assert_eq!(
            error(r#"{"spec": {"foo": 1}, "bar": {}}"#).unwrap(),
            "failed to create typed patch object (default/a; apps/v1, Kind=Deployment): errors:\n  \
             .spec.foo: field not declared in schema\n  .bar: field not declared in schema"
        );
    }

    #[test]
    fn the_parameter_is_read_as_the_api_server_reads_it() {
        assert_eq!(FieldValidation::read(None), Ok(FieldValidation::Warn));
        assert_eq!(FieldValidation::read(Some("Strict")), Ok(FieldValidation::Strict));
        assert_eq!(
            FieldValidation::read(Some("strict")),
            Err("fieldValidation: Unsupported value: \"strict\": supported values: \"Ignore\", \"Strict\", \"Warn\""
                .to_owned())
        );
    }

    #[test]
    fn pruning_leaves_what_is_known() {
        let mut object = serde_json::json!({
            "metadata": {"name": "a", "foo": 1},
            "spec": {"hosts": ["a"], "http": [{"x": 1, "name": "b"}]},
            "status": {"any": {"thing": 1}},
        });
        prune(of(Kind::VirtualService), "v1", &mut object);
        assert_eq!(
            object,
            serde_json::json!({
                "metadata": {"name": "a"},
                "spec": {"hosts": ["a"], "http": [{"name": "b"}]},
                "status": {"any": {"thing": 1}},
            })
        );
    }
}
