//! Patches and who owns what: pure functions of JSON, as the API server's `apiserver/pkg/endpoints/handlers/patch.go` and
//! `apimachinery/pkg/util/managedfields` have them. Nothing here knows HTTP or the store.
//!
//! ```text
//! PATCH, content type ──▶ json | merge | strategic ──▶ the new object ──▶ admission ──▶ managed::track_update ──▶ store
//!                     └─▶ apply (with managed fields) ─────────────────────────────────────────────────────────▶ store
//! ```
//!
//! `lists` is the one table of how lists and maps merge; `types` knows the type of every field; `fields` are sets of fields as
//! in `fieldsV1`; `walk` is structured-merge-diff; `skeleton` is what Go writes although it is empty.

mod apply;
mod error;
mod fields;
mod json;
pub mod lists;
mod managed;
mod merge;
mod skeleton;
mod strategic;
mod types;
mod walk;

pub use apply::server_side_apply;
pub use error::{Cause, PatchError};
pub use managed::{Manager, keep_times, track_update};
pub use skeleton::fill;

use malha_cluster::Kind;
use serde_json::Value;

/// Makes what patches look at, which is made once.
pub(crate) fn prepare() {
    types::Type::free();
}

/// The kinds of patches, by their content types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, for its built-in kinds.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl PatchType {
    const ALL: [Self; 4] = [Self::Json, Self::Merge, Self::Strategic, Self::Apply];

    /// The content type that says so.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }

    /// The kind of patch that a request for objects of a kind has, by its `Content-Type`. 415 names those that the kind takes.
    pub fn of(kind: Kind, content_type: &str) -> Result<Self, PatchError> {
        // As the API server reads it: what follows a semicolon does not count.
        let content_type = content_type.split(';').next().unwrap_or_default();
        let accepted = || Self::ALL.into_iter().filter(|patch| *patch != Self::Strategic || !custom(kind));
        accepted()
            .find(|patch| patch.content_type() == content_type)
            .ok_or_else(|| PatchError::unsupported(&accepted().map(Self::content_type).collect::<Vec<_>>()))
    }
}

/// Whether a kind is served from a CRD: all of Istio's.
fn custom(kind: Kind) -> bool {
    kind.api_version().split('/').next().is_some_and(|group| group.ends_with(".istio.io"))
}

/// A patch that changes an object. Server-side apply is [`server_side_apply`]: it needs to know who applies.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// Operations.
    Json(Vec<Value>),
    /// An object to merge.
    Merge(Value),
    /// An object to merge by the rules of the kind.
    Strategic(Value),
}

impl Patch {
    /// A patch out of a request's body; none for [`PatchType::Apply`], whose body is YAML.
    pub fn read(of: PatchType, body: &[u8]) -> Result<Option<Self>, PatchError> {
        if of == PatchType::Apply {
            return Ok(None);
        }
        let decoding = if of == PatchType::Strategic { "" } else { "error decoding patch: " };
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| PatchError::bad_request(format!("{decoding}invalid JSON: {error}")))?;
        Ok(match of {
            PatchType::Json => Some(Self::Json(json::read(body)?)),
            PatchType::Merge => Some(Self::Merge(body)),
            PatchType::Strategic => Some(Self::Strategic(body)),
            PatchType::Apply => None,
        })
    }
}

impl Patch {
    /// What an API server shows of a patch that makes no object: a strategic one itself, as Go's `%+v` prints it; of another, the
    /// object that it made.
    pub(crate) fn shown(&self, made: &Value) -> String {
        match self {
            Self::Strategic(patch) => error::go(patch),
            Self::Json(_) | Self::Merge(_) => made.to_string(),
        }
    }
}

/// The object with the patch carried out, without a look at managed fields: for them, see [`track_update`].
pub fn apply_patch(kind: Kind, live: &Value, patch: &Patch) -> Result<Value, PatchError> {
    match patch {
        Patch::Json(operations) => json::patch(live, operations),
        Patch::Merge(patch) => merge::patch(live, patch),
        Patch::Strategic(_) if custom(kind) => {
            Err(PatchError::bad_request("strategic merge patch format is not supported"))
        }
        Patch::Strategic(patch) => strategic::patch(kind, live, patch),
    }
}

/// What a value is, in the words of Go's JSON decoder.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
