//! Bodies: JSON or YAML, for the object that the URL names (apiserver `pkg/endpoints/handlers/create.go`, `update.go`).

use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use malha_cluster::resource::Resource;
use malha_cluster::{DecodeError, Decoded, Error, Key, Object, decode, encode};
use malha_manifest::Diagnostic;
use serde_json::{Map, Value};

use super::services;
use crate::patch::Patch;
use crate::protobuf;
use crate::request::Target;
use crate::schema::validate::{
    self, Body, FieldValidation, cannot_be_handled, invalid, merge_mismatch, mismatch, prune, strict_error,
    strict_findings,
};
use crate::status::Failure;

/// What a body may be.
const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// The `Content-Type` without its parameters.
pub(super) fn content_type(parts: &Parts) -> &str {
    let value = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Reads a body of JSON, YAML or protobuf.
pub(super) fn read(parts: &Parts, body: &[u8]) -> Result<Body, Failure> {
    let read = match content_type(parts) {
        "" | "application/json" => Body::json(body),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Body::yaml(body),
        protobuf::CONTENT_TYPE => {
            let value = protobuf::read(body).map_err(|error| Failure::bad_request(error.to_string()))?;
            return Ok(Body::of(&value));
        }
        _ => return Err(Failure::unsupported_type(ACCEPTED)),
    };
    read.map_err(|error| Failure::bad_request(error.to_string()))
}

/// An object out of a body, and what there is to say about it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) object: Object,
    pub(super) warnings: Vec<String>,
}

/// What an object is made of, beside its text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Made<'a> {
    /// It is new, or in the place of this one.
    Whole(Option<&'a Object>),
    /// A patch made it of this one. Of the patch, what was said twice in it.
    Patched { live: &'a Object, patch: &'a Patch, twice: &'a [String] },
}

impl Made<'_> {
    fn live(&self) -> Option<&Object> {
        match self {
            Self::Whole(live) => *live,
            Self::Patched { live, .. } => Some(live),
        }
    }

    /// The refusal of what is no object of the target's kind.
    fn undecodable(&self, target: &Target, body: &Body, why: &str) -> Failure {
        match self {
            Self::Whole(_) => Failure::bad_request(cannot_be_handled(target.resource, target.version, why)),
            Self::Patched { patch, .. } => Failure::invalid_patch(&patch.shown(&body.to_value()), why),
        }
    }
}

/// Reads an object of the target's kind. Unknown fields are refused, or dropped with a warning, or dropped.
pub(super) fn draft(
    target: &Target,
    body: &Body,
    made: Made<'_>,
    validation: FieldValidation,
) -> Result<Draft, Failure> {
    let (resource, version) = (target.resource, target.version);
    let Value::Object(mut fields) = body.to_value() else {
        return Err(made.undecodable(target, body, "the body is no object"));
    };
    check_type(target, &mut fields)?;
    put_where_the_url_says(target, &mut fields);
    let strategic = matches!(made, Made::Patched { patch: Patch::Strategic(_), .. });
    let misfit = if strategic { merge_mismatch } else { mismatch };
    if let Some(why) = misfit(resource, version, body) {
        return Err(made.undecodable(target, body, &why));
    }
    let mut warnings = match made {
        Made::Patched { twice, .. } => twice.to_vec(),
        Made::Whole(_) => Vec::new(),
    };
    let unknown = strict_findings(resource, version, body);
    let prunes = !unknown.is_empty();
    warnings.extend(unknown);
    if !warnings.is_empty() && validation == FieldValidation::Strict {
        return Err(made.undecodable(target, body, &strict_error(&warnings)));
    }
    let mut value = Value::Object(fields);
    if prunes {
        prune(resource, version, &mut value);
    }
    if validation == FieldValidation::Ignore {
        warnings.clear();
    }
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let causes = invalid(resource, version, &value);
    if !causes.is_empty() {
        return Err(Error::Invalid { key: Key::new(resource.kind, "", name), causes }.into());
    }
    if let Some(live @ Object::Service(_)) = made.live() {
        services::drop_type_dependent(&mut value, &live.to_json());
    }
    let decoded = match decode(resource.kind, value) {
        Err(DecodeError::Shape(why)) => return Err(made.undecodable(target, body, &why)),
        decoded => decoded,
    };
    let Decoded { object, findings } =
        decoded.map_err(|error| Failure::of_decode(error, resource.kind, version, &name))?;
    warnings.extend(findings.into_iter().map(said));
    warnings.extend(unserved(&object));
    Ok(Draft { object, warnings })
}

/// What is to be said of a definition whose objects will not be known.
fn unserved(object: &Object) -> Option<String> {
    let Object::CustomResourceDefinition(crd) = object else { return None };
    let (group, plural) = (&crd.spec.group, &crd.spec.names.plural);
    Resource::named(group, plural)
        .is_none()
        .then(|| format!("malha serves no kinds of one's own; objects of {plural}.{group} will not be known"))
}

fn said(finding: Diagnostic) -> String {
    match finding.help {
        Some(help) => format!("{}; {help}", finding.message),
        None => finding.message,
    }
}

/// Leaves of the warnings about a change what could not be said of the object before: defaults, and what was said already,
/// are no news.
pub(super) fn news(warnings: &mut Vec<String>, target: &Target, live: &Object) {
    if warnings.is_empty() {
        return;
    }
    if let Ok(Decoded { findings, .. }) = decode(target.resource.kind, encode(live, target.version)) {
        let known: Vec<_> = findings.into_iter().map(said).collect();
        warnings.retain(|warning| !known.contains(warning));
    }
}

/// The body's kind and version are those of the URL; a body that says neither has them.
fn check_type(target: &Target, fields: &mut Map<String, Value>) -> Result<(), Failure> {
    let Resource { kind, .. } = target.resource;
    let want = target.api_version();
    let text = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, given) = (text("apiVersion"), text("kind"));
    if !given.is_empty() && given != kind.name() {
        let version = if api_version.is_empty() { &want } else { &api_version };
        let short = version.rsplit('/').next().unwrap_or_default();
        return Err(Failure::bad_request(format!(
            "{given} in version \"{short}\" cannot be handled as a {kind}: no kind \"{given}\" is registered for this resource"
        )));
    }
    if !api_version.is_empty() && api_version != want {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({want})"
        )));
    }
    fields.insert("apiVersion".to_owned(), want.into());
    fields.insert("kind".to_owned(), kind.name().into());
    Ok(())
}

/// A body that names no namespace is for the one of the URL (`EnsureObjectNamespaceMatchesRequestNamespace`).
fn put_where_the_url_says(target: &Target, fields: &mut Map<String, Value>) {
    let Some(namespace) = &target.namespace else { return };
    if let Value::Object(meta) = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()))
        && meta.get("namespace").is_none_or(|given| given.is_null() || given == "")
    {
        meta.insert("namespace".to_owned(), namespace.as_str().into());
    }
}

/// Puts a new object where the URL says.
pub(super) fn place(target: &Target, object: &mut Object) -> Result<(), Failure> {
    let Some(namespace) = &target.namespace else { return Ok(()) };
    let given = &mut object.metadata_mut().namespace;
    match given {
        Some(given) if !given.is_empty() && given != namespace => Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
        _ => {
            *given = Some(namespace.clone());
            Ok(())
        }
    }
}

/// The object is the one that the URL names (`rest.go`, `checkName`).
pub(super) fn check_name(target: &Target, name: &str, object: &mut Object) -> Result<(), Failure> {
    let meta = object.metadata_mut();
    let given = meta.name.as_deref().unwrap_or_default();
    if given.is_empty() {
        let message = format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
        return Err(Failure::bad_request(message));
    }
    if given != name {
        let message = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(Failure::bad_request(message));
    }
    match (&target.namespace, meta.namespace.as_deref().filter(|namespace| !namespace.is_empty())) {
        (Some(namespace), Some(given)) if given != namespace => {
            let message = format!(
                "the namespace of the object ({given}) does not match the namespace on the request ({namespace})"
            );
            Err(Failure::bad_request(message))
        }
        (Some(namespace), None) => {
            meta.namespace = Some(namespace.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// 422 for options that cannot be.
pub(super) fn unprocessable(message: impl Into<String>) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
}

pub(super) use validate::typed_patch_error;
