//! create and update, with who set which field.

use http::{Response, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use malha_cluster::{Object, Part, Registry};
use serde_json::Value;

use super::Call;
use super::body::{Draft, Made, check_name, draft, news, place, read};
use crate::cluster::{read as look, write};
use crate::patch::{Manager, keep_times, track_update};
use crate::request::Target;
use crate::respond::{self, Body};
use crate::status::Failure;
use crate::view::shown;

/// Who writes, and how.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) manager: String,
    pub(super) dry_run: bool,
}

impl Writer {
    pub(super) fn of(call: Call<'_>) -> Result<Self, Failure> {
        Ok(Self { manager: call.params.manager(&call.parts.headers)?, dry_run: call.params.dry_run()? })
    }
}

pub(super) fn create(call: Call<'_>, target: &Target, body: &[u8]) -> Result<Response<Body>, Failure> {
    let view = call.view(target)?;
    let (validation, writer) = (call.params.validation()?, Writer::of(call)?);
    let Draft { mut object, warnings } = draft(target, &read(call.parts, body)?, Made::Whole(None), validation)?;
    place(target, &mut object)?;
    let stored = write(call.shared.control.as_ref(), |registry| created(registry, target, object, &writer))?;
    let mut response = call.json(StatusCode::CREATED, &view.one(&stored));
    respond::warn(&mut response, &warnings);
    Ok(response)
}

pub(super) fn update(
    call: Call<'_>,
    target: &Target,
    name: &str,
    body: &[u8],
    part: Part,
) -> Result<Response<Body>, Failure> {
    let view = call.view(target)?;
    let (validation, writer) = (call.params.validation()?, Writer::of(call)?);
    let key = target.key(name);
    let live = look(call.shared.control.as_ref(), |store| store.find(&key).cloned());
    let made = Made::Whole(live.as_ref());
    let Draft { mut object, mut warnings } = draft(target, &read(call.parts, body)?, made, validation)?;
    check_name(target, name, &mut object)?;
    if let Some(live) = live {
        news(&mut warnings, target, &live);
    }
    let stored = write(call.shared.control.as_ref(), |registry| updated(registry, target, object, part, &writer))?;
    let mut response = call.json(StatusCode::OK, &view.one(&stored));
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// Creates an object with its managed fields.
pub(super) fn created(
    registry: &mut Registry,
    target: &Target,
    mut object: Object,
    writer: &Writer,
) -> Result<Object, Failure> {
    let version = target.version;
    // Fields are owned as they will be stored, defaults among them.
    let would = registry.create(object.clone(), true)?;
    let mut after = shown(&would, version);
    if let Some(fields) = after.as_object_mut() {
        fields.remove("status");
    }
    let time = registry.store().now().0.to_string();
    let api_version = target.api_version();
    let who = Manager { name: &writer.manager, api_version: &api_version, subresource: "", time: &time };
    track_update(object.kind(), None, &mut after, &who);
    let managed = managed_fields(&after);
    object.metadata_mut().managed_fields.clone_from(&managed);
    if writer.dry_run {
        let mut would = would;
        would.metadata_mut().managed_fields = managed;
        return Ok(would);
    }
    Ok(registry.create(object, false)?)
}

/// Replaces a part of an object, with its managed fields. What changes nothing is no write.
pub(super) fn updated(
    registry: &mut Registry,
    target: &Target,
    mut object: Object,
    part: Part,
    writer: &Writer,
) -> Result<Object, Failure> {
    let version = target.version;
    let key = object.key();
    let Some(live) = registry.store().find(&key).cloned() else {
        return Err(Failure::not_found(target.resource, &key.name));
    };
    let would = registry.update(object.clone(), part, true)?;
    let (before, mut after) = (shown(&live, version), shown(&would, version));
    let time = registry.store().now().0.to_string();
    let api_version = target.api_version();
    let subresource = target.subresource.as_deref().unwrap_or_default();
    let who = Manager { name: &writer.manager, api_version: &api_version, subresource, time: &time };
    track_update(object.kind(), Some(&before), &mut after, &who);
    if unchanged(&before, &mut after) {
        return Ok(live);
    }
    object.metadata_mut().managed_fields = managed_fields(&after);
    Ok(registry.update(object, part, writer.dry_run)?)
}

/// Whether nothing differs but times of managed fields and the version that a write would have.
pub(super) fn unchanged(before: &Value, after: &mut Value) -> bool {
    after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
    keep_times(before, after);
    before == after
}

pub(super) fn managed_fields(value: &Value) -> Option<Vec<ManagedFieldsEntry>> {
    serde_json::from_value(value.get("metadata")?.get("managedFields")?.clone()).ok()
}
