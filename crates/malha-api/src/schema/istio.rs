//! Schemas of Istio's kinds, out of the types that malha reads them into. The words are malha's own; names, types and limits
//! are those of Istio's CRDs (`manifests/charts/base/files/crd-all.gen.yaml`).

use std::collections::BTreeMap;

use malha_cluster::Kind;
use malha_cluster::resource::{RESOURCES, Resource};
use malha_manifest::istio;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{API_VERSION, KIND, OBJECT_META, convert, described, name_of};

/// Whether a kind is one of Istio's.
pub(crate) fn is_istio(resource: &Resource) -> bool {
    resource.group.ends_with(".istio.io")
}

/// What a kind is for.
fn about(kind: Kind) -> &'static str {
    match kind {
        Kind::Gateway => "What listens at the edge of the mesh.",
        Kind::VirtualService => "Where requests for a host go, and what happens to them on the way.",
        Kind::DestinationRule => "How a service is spoken to once routing has chosen it, and what its subsets are.",
        Kind::ServiceEntry => "Services that are not Kubernetes' own, mostly outside of the mesh.",
        Kind::Sidecar => "What a pod's sidecar listens on, and what it lets its pod reach.",
        Kind::PeerAuthentication => "Whether pods take plaintext.",
        Kind::RequestAuthentication => "Whose tokens a pod believes.",
        Kind::AuthorizationPolicy => "Who may do what.",
        _ => "",
    }
}

/// Old spellings that Istio's CRDs keep beside the new: where in `spec`, new, old.
const OLD_SPELLINGS: &[(Kind, &str, &str, &str)] = &[
    (Kind::VirtualService, "/properties/http/items/properties", "mirrorPercent", "mirror_percent"),
    (Kind::RequestAuthentication, "/properties/jwtRules/items/properties", "jwksUri", "jwks_uri"),
];

/// Fields that Istio's CRDs do not let be missing: the end of the path of the object that holds them, and their names.
const REQUIRED: &[(Kind, &str, &[&str])] = &[
    (Kind::Gateway, "servers", &["port", "hosts"]),
    (Kind::Gateway, "port", &["number", "protocol", "name"]),
    (Kind::VirtualService, "directResponse", &["status"]),
    (Kind::VirtualService, "mirror", &["host"]),
    (Kind::VirtualService, "mirrors", &["destination"]),
    (Kind::VirtualService, "destination", &["host"]),
    (Kind::VirtualService, "route", &["destination"]),
    (Kind::VirtualService, "tls", &["match"]),
    (Kind::VirtualService, "tls.match", &["sniHosts"]),
    (Kind::DestinationRule, "spec", &["host"]),
    (Kind::DestinationRule, "subsets", &["name"]),
    (Kind::DestinationRule, "httpCookie", &["name"]),
    (Kind::DestinationRule, "attributes", &["name"]),
    (Kind::DestinationRule, "warmup", &["duration"]),
    (Kind::DestinationRule, "tunnel", &["targetHost", "targetPort"]),
    (Kind::ServiceEntry, "spec", &["hosts"]),
    (Kind::ServiceEntry, "ports", &["number", "name"]),
    (Kind::Sidecar, "ingress", &["port"]),
    (Kind::Sidecar, "egress", &["hosts"]),
    (Kind::Sidecar, "egressProxy", &["host"]),
    (Kind::RequestAuthentication, "fromHeaders", &["name"]),
    (Kind::RequestAuthentication, "outputClaimToHeaders", &["header", "claim"]),
    (Kind::RequestAuthentication, "targetRef", &["kind", "name"]),
    (Kind::RequestAuthentication, "targetRefs", &["kind", "name"]),
    (Kind::AuthorizationPolicy, "when", &["key"]),
    (Kind::AuthorizationPolicy, "targetRef", &["kind", "name"]),
    (Kind::AuthorizationPolicy, "targetRefs", &["kind", "name"]),
];

/// Marks what may not be missing; `path` is without the marks of lists.
fn require(kind: Kind, path: &str, schema: &mut Value) {
    for part in ["items", "additionalProperties"] {
        if let Some(inside) = schema.get_mut(part) {
            require(kind, path, inside);
        }
    }
    let Some(Value::Object(fields)) = schema.get_mut("properties") else { return };
    for (name, field) in fields {
        require(kind, &format!("{path}.{name}"), field);
    }
    let ends = |end: &str| path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let row = REQUIRED.iter().find(|(of, end, _)| *of == kind && ends(end));
    if let Some((.., names)) = row {
        schema["required"] = json!(names);
    }
}

/// The structural schema of a kind's `spec`; `None` for kinds that are not Istio's.
pub(crate) fn spec(kind: Kind) -> Option<Value> {
    let mut schema = match kind {
        Kind::Gateway => derived::<istio::Gateway>(),
        Kind::VirtualService => derived::<istio::VirtualService>(),
        Kind::DestinationRule => derived::<istio::DestinationRule>(),
        Kind::ServiceEntry => derived::<istio::ServiceEntry>(),
        Kind::Sidecar => derived::<istio::Sidecar>(),
        Kind::PeerAuthentication => derived::<istio::PeerAuthentication>(),
        Kind::RequestAuthentication => derived::<istio::RequestAuthentication>(),
        Kind::AuthorizationPolicy => derived::<istio::AuthorizationPolicy>(),
        _ => return None,
    };
    schema["description"] = json!(about(kind));
    require(kind, "spec", &mut schema);
    for (_, place, new, old) in OLD_SPELLINGS.iter().filter(|(of, ..)| *of == kind) {
        if let Some(Value::Object(fields)) = schema.pointer_mut(place)
            && let Some(mut field) = fields.get(*new).cloned()
        {
            field["description"] = json!(format!("The old spelling of `{new}`."));
            fields.insert((*old).to_owned(), field);
        }
    }
    Some(schema)
}

/// Whether an object without `spec` is refused.
pub(crate) fn needs_spec(kind: Kind) -> bool {
    kind == Kind::ServiceEntry
}

fn derived<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    convert::structural(&mut schema);
    schema
}

/// All components of Istio's kinds, in every version.
pub(super) fn components() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for resource in RESOURCES {
        let Some(spec) = spec(resource.kind) else { continue };
        let mut schema = json!({
            "description": about(resource.kind),
            "type": "object",
            "properties": {
                "apiVersion": {"type": "string", "description": API_VERSION},
                "kind": {"type": "string", "description": KIND},
                "metadata": described(OBJECT_META, "Metadata of the object."),
                "spec": spec,
                "status": status(),
            },
        });
        if needs_spec(resource.kind) {
            schema["required"] = json!(["spec"]);
        }
        for version in resource.versions {
            all.insert(name_of(resource, version), schema.clone());
        }
    }
    all
}

/// The schema of every kind's `status`.
pub(super) fn status() -> Value {
    json!({
        "description": "What the control plane says of the object.",
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field by its path, through lists and maps.
    fn field<'a>(schema: &'a Value, path: &str) -> &'a Value {
        path.split('.').fold(schema, |schema, name| {
            let schema = schema.get("items").or_else(|| schema.get("additionalProperties")).unwrap_or(schema);
            schema.pointer(&format!("/properties/{name}")).unwrap_or_else(|| panic!("{path}: no {name} in {schema}"))
        })
    }

    #[test]
    fn fields_have_the_types_of_istios_definitions_and_the_words_of_our_own() {
        for (kind, path, part, expected) in [
            (Kind::VirtualService, "http.retries.attempts", "format", json!("int32")),
            (Kind::VirtualService, "http.retries", "description", json!("Tries after a failure.")),
            (Kind::VirtualService, "http.retries.perTryTimeout", "type", json!("string")),
            (Kind::VirtualService, "http.retries.perTryTimeout", "description", json!("Time for each try.")),
            (Kind::VirtualService, "http.match.uri.exact", "type", json!("string")),
            (Kind::VirtualService, "http.match.headers.prefix", "type", json!("string")),
            (
                Kind::VirtualService,
                "http.redirect.derivePort",
                "enum",
                json!(["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"]),
            ),
            (Kind::VirtualService, "http.mirror_percent", "type", json!("integer")),
            (
                Kind::DestinationRule,
                "trafficPolicy.loadBalancer.consistentHash.httpCookie.ttl",
                "type",
                json!("string"),
            ),
            (Kind::DestinationRule, "trafficPolicy.outlierDetection.consecutive5xxErrors", "maximum", json!(u32::MAX)),
            (Kind::PeerAuthentication, "mtls.mode", "enum", json!(["UNSET", "DISABLE", "PERMISSIVE", "STRICT"])),
            (Kind::RequestAuthentication, "jwtRules.jwks_uri", "type", json!("string")),
            (Kind::AuthorizationPolicy, "rules.from.source.notIpBlocks", "type", json!("array")),
        ] {
            let spec = spec(kind).unwrap();
            assert_eq!(field(&spec, path)[part], expected, "{kind} {path}");
        }
    }

    #[test]
    fn what_may_not_be_missing_is_that_of_istios_definitions() {
        for (kind, path, expected) in [
            (Kind::VirtualService, "http.route.destination", json!(["host"])),
            (Kind::VirtualService, "tls.match", json!(["sniHosts"])),
            (Kind::VirtualService, "http.match", Value::Null),
            (Kind::DestinationRule, "subsets.trafficPolicy.loadBalancer.warmup", json!(["duration"])),
            (Kind::ServiceEntry, "ports", json!(["number", "name"])),
            (Kind::ServiceEntry, "endpoints.ports", Value::Null),
            (Kind::Sidecar, "ingress.port", Value::Null),
            (Kind::Gateway, "servers.port", json!(["number", "protocol", "name"])),
        ] {
            let spec = spec(kind).unwrap();
            let schema = field(&spec, path);
            let schema = schema.get("items").unwrap_or(schema);
            assert_eq!(schema["required"], expected, "{kind} {path}");
        }
        for (kind, end, names) in REQUIRED {
            let text = spec(*kind).unwrap().to_string();
            assert!(text.contains(&json!(names).to_string()), "{kind} {end}: no such object");
        }
    }

    #[test]
    fn every_field_is_described() {
        fn look(path: &str, schema: &Value) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(field["description"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
                look(&path, field);
            }
            for part in ["items", "additionalProperties"] {
                if schema.get(part).is_some() {
                    look(path, &schema[part]);
                }
            }
        }
        for resource in RESOURCES.iter().filter(|resource| is_istio(resource)) {
            look(resource.kind.name(), &spec(resource.kind).unwrap());
        }
    }
}
