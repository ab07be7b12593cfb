//! What goes wrong, as clients are told: a `Status` with the reason, the code and the words of the API server
//! (apimachinery, `pkg/api/errors/errors.go`).

use std::borrow::Cow;

use http::StatusCode;
use malha_cluster::resource::Resource;
use malha_cluster::{Cause, DecodeError, Error, Key, Kind};
use serde_json::{Map, Value, json};

use crate::field_error::{self, FieldError};
use crate::patch::PatchError;

/// A request that fails.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: StatusCode,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) details: Map<String, Value>,
    /// `metadata` of the status: where a list that has expired can go on.
    pub(crate) metadata: Map<String, Value>,
}

impl Failure {
    pub(crate) fn new(code: StatusCode, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), message: message.into(), details: Map::new(), metadata: Map::new() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 403 that is about the request and no object.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// A path that leads nowhere.
    pub(crate) fn no_resource() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.kind.plural());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(resource.group, resource.plural, name)
    }

    pub(crate) fn method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    pub(crate) fn unsupported_type(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity is too large: limit is {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// 410: what was asked for is forgotten.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 422 about a request and no object (`meta/internalversion/validation`).
    pub(crate) fn invalid_options(kind: &str, causes: &[(&'static str, &str, String)]) -> Self {
        let listed: Vec<_> = causes.iter().map(|(_, field, message)| format!("{field}: {message}")).collect();
        let listed = if let [one] = listed.as_slice() { one.clone() } else { format!("[{}]", listed.join(", ")) };
        let message = format!("{kind}.meta.k8s.io \"\" is invalid: {listed}");
        let mut failure = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        failure.details.insert("group".into(), "meta.k8s.io".into());
        failure.details.insert("kind".into(), kind.into());
        failure.set_causes(causes.iter().map(|(reason, field, message)| (*reason, message.as_str(), *field)));
        failure
    }

    /// 422: what a patch leaves is no object of the kind (apiserver `handlers/patch.go`). `shown` is the patch or what it made.
    pub(crate) fn invalid_patch(shown: &str, why: &str) -> Self {
        let message = format!("Invalid value: {}: {why}", Value::from(shown));
        let mut failure =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", format!(" \"\" is invalid: patch: {message}"));
        failure.set_causes([("FieldValueInvalid", message.as_str(), "patch")].into_iter());
        failure
    }

    /// What could not be read as an object.
    pub(crate) fn of_decode(error: DecodeError, kind: Kind, version: &str, name: &str) -> Self {
        match error {
            DecodeError::Rules(findings) => {
                let found = findings.iter().map(|finding| field_error::of(finding, kind.name()));
                let causes = found.map(|FieldError { reason, field, message }| Cause { reason, field, message });
                Error::Invalid { key: Key::new(kind, "", name), causes: causes.collect() }.into()
            }
            other @ DecodeError::Shape(_) => {
                Self::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {other}"))
            }
        }
    }

    /// Says which object it is about.
    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        for (field, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                self.details.insert(field.to_owned(), value.into());
            }
        }
        self
    }

    fn set_causes<'a>(&mut self, causes: impl Iterator<Item = (&'a str, &'a str, &'a str)>) {
        let causes: Vec<_> = causes
            .map(|(reason, message, field)| {
                let mut cause = json!({"reason": reason, "message": message});
                if !field.is_empty() {
                    cause["field"] = field.into();
                }
                cause
            })
            .collect();
        if !causes.is_empty() {
            self.details.insert("causes".to_owned(), causes.into());
        }
    }

    /// As a `Status`.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.as_ref().into();
        }
        // `kubectl debug` reads the details of a 404 unasked; an API server writes them even where there are none.
        if !self.details.is_empty() || self.code == StatusCode::NOT_FOUND {
            status["details"] = Value::Object(self.details.clone());
        }
        status
    }
}

/// The group of a kind: `apps`.
fn group(kind: Kind) -> &'static str {
    kind.plural().split_once('.').map_or("", |(_, group)| group)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let (code, reason) = match &error {
            Error::NamespaceNotFound { .. } | Error::NotFound { .. } => (StatusCode::NOT_FOUND, "NotFound"),
            Error::AlreadyExists { .. } => (StatusCode::CONFLICT, "AlreadyExists"),
            Error::Conflict { .. } | Error::Precondition { .. } => (StatusCode::CONFLICT, "Conflict"),
            Error::Forbidden { .. } => (StatusCode::FORBIDDEN, "Forbidden"),
            Error::DisruptionBudget { .. } => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            Error::SeveralBudgets { .. } => (StatusCode::INTERNAL_SERVER_ERROR, ""),
            Error::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        };
        let failure = Self::new(code, reason, message);
        let Key { kind, namespace, name } = error.key();
        let plural = kind.plural().split('.').next().unwrap_or_default();
        match &error {
            Error::NamespaceNotFound { .. } => failure.about("", "namespaces", namespace),
            Error::SeveralBudgets { .. } => failure,
            Error::DisruptionBudget { message, retry_after_seconds, .. } => {
                let mut failure = failure;
                failure.set_causes([("DisruptionBudget", message.as_str(), "")].into_iter());
                if let Some(seconds) = retry_after_seconds {
                    failure.details.insert("retryAfterSeconds".to_owned(), (*seconds).into());
                }
                failure
            }
            Error::Invalid { causes, .. } => {
                let mut failure = failure.about(group(*kind), kind.name(), name);
                failure.set_causes(
                    causes.iter().map(|Cause { reason, field, message }| (*reason, message.as_str(), field.as_str())),
                );
                failure
            }
            _ => failure.about(group(*kind), plural, name),
        }
    }
}

impl From<PatchError> for Failure {
    fn from(error: PatchError) -> Self {
        let code = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut failure = Self::new(code, error.reason, error.message);
        failure
            .set_causes(error.causes.iter().map(|cause| (cause.reason, cause.message.as_str(), cause.field.as_str())));
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_cluster_are_statuses_of_an_api_server() {
        let key = Key::new(Kind::Deployment, "default", "posts");
        let status = Failure::from(Error::NotFound { key: key.clone() }).status();
        assert_eq!(
            status,
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404, "reason": "NotFound",
                "message": "deployments.apps \"posts\" not found",
                "details": {"name": "posts", "group": "apps", "kind": "deployments"},
            })
        );
        let causes = vec![Cause { reason: "FieldValueInvalid", field: "spec.replicas".into(), message: "bad".into() }];
        let status = Failure::from(Error::Invalid { key: key.clone(), causes }).status();
        assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")));
        assert_eq!(
            status["details"],
            json!({
                "name": "posts", "group": "apps", "kind": "Deployment",
                "causes": [{"reason": "FieldValueInvalid", "message": "bad", "field": "spec.replicas"}],
            })
        );
        let status = Failure::from(Error::NamespaceNotFound { key: Key::new(Kind::Pod, "shop", "a") }).status();
        assert_eq!(status["details"], json!({"name": "shop", "kind": "namespaces"}));
        assert_eq!(status["message"], "namespaces \"shop\" not found");
        assert_eq!(Failure::no_resource().status()["details"], json!({}));
        assert_eq!(Failure::bad_request("no").status().get("details"), None);
    }
}
