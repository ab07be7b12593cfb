//! Why a patch was refused, as the API server says it: the parts of a `metav1.Status` that a patch decides.
//!
//! From Kubernetes: `apiserver/pkg/endpoints/handlers/patch.go` (what becomes which error) and
//! `apimachinery/pkg/api/errors/errors.go` (code, reason and message of each).

use serde_json::Value;

/// A refusal, ready to become a `Status` with `status: Failure`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatchError {
    /// HTTP status.
    pub code: u16,
    /// `reason`; empty for an error that the API server has no word for.
    pub reason: &'static str,
    /// `message`.
    pub message: String,
    /// `details.causes`.
    pub causes: Vec<Cause>,
}

/// One of `details.causes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `reason`: `FieldManagerConflict`.
    pub reason: &'static str,
    /// `message`.
    pub message: String,
    /// `field`: `.spec.replicas`.
    pub field: String,
}

impl PatchError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), causes: Vec::new() }
    }

    /// 400: the patch is not one.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 422: a patch that does not fit the object. The API server keeps to itself what did not fit.
    pub fn unprocessable() -> Self {
        Self::new(422, "Invalid", "the server rejected our request due to an error in our request")
    }

    /// 413: too many operations.
    pub fn too_large(message: &str) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity is too large: {message}"))
    }

    /// 415: a kind of patch that this resource does not take; `accepted` are those that it takes.
    pub fn unsupported(accepted: &[&str]) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                accepted.join(", ")
            ),
        )
    }

    /// 500 without a reason: what the API server answers when a patch fails in a way that it does not name.
    pub fn unnamed(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// 409: other managers own what the request sets.
    pub fn conflict(message: String, causes: Vec<Cause>) -> Self {
        Self { causes, ..Self::new(409, "Conflict", message) }
    }
}

/// A value as Go's `%v` prints it, for the messages that quote values.
pub(super) fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}:{}", go(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

/// The name of a value's type in Go, as decoded from JSON.
pub(super) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => GO_LIST,
        Value::Object(_) => GO_MAP,
    }
}

/// A JSON list in Go.
pub(super) const GO_LIST: &str = "[]interface {}";
/// A JSON object in Go.
pub(super) const GO_MAP: &str = "map[string]interface {}";
