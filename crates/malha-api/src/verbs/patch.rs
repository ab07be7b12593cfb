//! patch: read, change and write in one, so that a patch conflicts with nobody unless it says which version it is for
//! (apiserver `pkg/endpoints/handlers/patch.go`).

use http::{Response, StatusCode};
use malha_cluster::{Object, Part, Registry};
use serde_json::Value;

use super::Call;
use super::body::{Draft, Made, check_name, content_type, draft, news, typed_patch_error};
use super::write::{Writer, unchanged, updated};
use crate::cluster::write;
use crate::patch::{Manager, Patch, PatchType, apply_patch, server_side_apply};
use crate::request::Target;
use crate::respond::{self, Body};
use crate::schema::validate::{self, FieldValidation, duplicate_fields, duplicate_keys};
use crate::status::Failure;
use crate::view::shown;

pub(super) fn patch(
    call: Call<'_>,
    target: &Target,
    name: &str,
    body: &[u8],
    part: Part,
) -> Result<Response<Body>, Failure> {
    let view = call.view(target)?;
    let (validation, writer) = (call.params.validation()?, Writer::of(call)?);
    let sort = PatchType::of(target.resource.kind, content_type(call.parts))?;
    let force = call.params.flag_of("force");
    let control = call.shared.control.as_ref();
    let (created, Draft { object, warnings }) = if let Some(patch) = Patch::read(sort, body)? {
        if force.is_some() {
            let why = "Forbidden: may not be specified for non-apply patch".to_owned();
            return Err(Failure::invalid_options("PatchOptions", &[("FieldValueForbidden", "force", why)]));
        }
        let twice = said_twice(&patch, body);
        let patched =
            |registry: &mut Registry| patched(registry, target, name, (&patch, &twice), part, validation, &writer);
        (false, write(control, patched)?)
    } else {
        if call.params.get("fieldManager").is_none() {
            let why = "Required value: is required for apply patch".to_owned();
            return Err(Failure::invalid_options("PatchOptions", &[("FieldValueRequired", "fieldManager", why)]));
        }
        let config = validate::Body::yaml(body)
            .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))?;
        let force = force.unwrap_or(false);
        let applied =
            |registry: &mut Registry| applied(registry, target, name, &config, part, validation, &writer, force);
        write(control, applied)?
    };
    let code = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = call.json(code, &view.one(&object));
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// What a patch says twice, which is as wrong in it as in an object.
fn said_twice(patch: &Patch, body: &[u8]) -> Vec<String> {
    let found = validate::Body::json(body).map(|body| duplicate_fields(&body)).unwrap_or_default();
    match patch {
        Patch::Json(_) => found.into_iter().map(|finding| format!("json patch {finding}")).collect(),
        Patch::Merge(_) | Patch::Strategic(_) => found,
    }
}

fn patched(
    registry: &mut Registry,
    target: &Target,
    name: &str,
    (patch, twice): (&Patch, &[String]),
    part: Part,
    validation: FieldValidation,
    writer: &Writer,
) -> Result<Draft, Failure> {
    let live = registry.store().find(&target.key(name)).cloned();
    let live = live.ok_or_else(|| Failure::not_found(target.resource, name))?;
    let value = apply_patch(target.resource.kind, &shown(&live, target.version), patch)?;
    let made = Made::Patched { live: &live, patch, twice };
    let Draft { mut object, mut warnings } = draft(target, &validate::Body::of(&value), made, validation)?;
    check_name(target, name, &mut object)?;
    news(&mut warnings, target, &live);
    let object = updated(registry, target, object, part, writer)?;
    Ok(Draft { object, warnings })
}

/// Whether the object is new, and the object.
#[expect(clippy::too_many_arguments, reason = "a request's parts, each used once")]
fn applied(
    registry: &mut Registry,
    target: &Target,
    name: &str,
    config: &validate::Body,
    part: Part,
    validation: FieldValidation,
    writer: &Writer,
    force: bool,
) -> Result<(bool, Draft), Failure> {
    let (resource, version) = (target.resource, target.version);
    let namespace = target.namespace.as_deref().unwrap_or_default();
    if let Some(why) = typed_patch_error(resource, version, &format!("{namespace}/{name}"), config) {
        // An error that the API server has no word for.
        return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", why));
    }
    let twice = duplicate_keys(config);
    if validation == FieldValidation::Strict
        && let Some(why) = twice
    {
        return Err(Failure::bad_request(format!("error strict decoding YAML: {why}")));
    }
    let mut config = config.to_value();
    check_config(target, name, &mut config)?;
    let live = registry.store().find(&target.key(name)).cloned();
    if live.is_none() && part == Part::Status {
        return Err(Failure::not_found(resource, name));
    }
    let before = live.as_ref().map(|live| shown(live, version));
    let time = registry.store().now().0.to_string();
    let api_version = target.api_version();
    let subresource = target.subresource.as_deref().unwrap_or_default();
    let manager = Manager { name: &writer.manager, api_version: &api_version, subresource, time: &time };
    let value = server_side_apply(resource.kind, before.as_ref(), &config, &manager, force)?;
    let body = validate::Body::of(&value);
    let Draft { mut object, mut warnings } = draft(target, &body, Made::Whole(live.as_ref()), FieldValidation::Ignore)?;
    if validation == FieldValidation::Warn {
        warnings.extend(twice);
    }
    check_name(target, name, &mut object)?;
    let (Some(live), Some(before)) = (live, before) else {
        return Ok((true, Draft { object: registry.create(object, writer.dry_run)?, warnings }));
    };
    let would: Object = registry.update(object.clone(), part, true)?;
    news(&mut warnings, target, &live);
    let object = if unchanged(&before, &mut shown(&would, version)) {
        live
    } else {
        registry.update(object, part, writer.dry_run)?
    };
    Ok((false, Draft { object, warnings }))
}

/// What is applied says which object it is for, or leaves it to the URL.
fn check_config(target: &Target, name: &str, config: &mut Value) -> Result<(), Failure> {
    if !config.is_object() {
        return Err(Failure::bad_request("error decoding YAML: the body is no object"));
    }
    let meta = &mut config["metadata"];
    if meta.is_null() {
        *meta = serde_json::json!({});
    }
    for (field, want) in [("name", Some(name)), ("namespace", target.namespace.as_deref())] {
        let Some(want) = want else { continue };
        match meta[field].as_str() {
            None | Some("") => meta[field] = want.into(),
            Some(given) if given != want => {
                let message =
                    format!("the {field} of the object ({given}) does not match the {field} on the URL ({want})");
                return Err(Failure::bad_request(message));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
