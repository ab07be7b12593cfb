//! What can go wrong at the crate's edge, in the API server's words (apimachinery `pkg/api/errors`, `validation/field`).

use serde::Serialize;

use crate::object::{Key, Kind};

/// Why the cluster did not take a write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Objects live only in namespaces that exist (404).
    #[error("namespaces \"{}\" not found", key.namespace)]
    NamespaceNotFound {
        /// The object that was to be written.
        key: Key,
    },
    /// A create of what is there already (409).
    #[error("{} \"{}\" already exists", key.kind.plural(), key.name)]
    AlreadyExists {
        /// The object in the way.
        key: Key,
    },
    /// An update or delete of what is not there (404).
    #[error("{} \"{}\" not found", key.kind.plural(), key.name)]
    NotFound {
        /// What was looked for.
        key: Key,
    },
    /// An update that was made from an older version than the stored one (409).
    #[error("Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply your changes to the latest version and try again", key.kind.plural(), key.name)]
    Conflict {
        /// The object.
        key: Key,
    },
    /// A write that was meant for another object of that name (409).
    #[error("Operation cannot be fulfilled on {} \"{}\": {message}", key.kind.plural(), key.name)]
    Precondition {
        /// The object.
        key: Key,
        /// What differs.
        message: String,
    },
    /// What nobody may do (403).
    #[error("{} \"{}\" is forbidden: {message}", key.kind.plural(), key.name)]
    Forbidden {
        /// The object.
        key: Key,
        /// Why.
        message: String,
    },
    /// An eviction that a disruption budget does not allow now (429).
    #[error("Cannot evict pod as it would violate the pod's disruption budget.")]
    DisruptionBudget {
        /// The pod.
        key: Key,
        /// Which budget, and how it stands.
        message: String,
        /// When it may be worth asking again, where that can be said.
        retry_after_seconds: Option<u64>,
    },
    /// An eviction of a pod that has more than one disruption budget (500).
    #[error("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")]
    SeveralBudgets {
        /// The pod.
        key: Key,
    },
    /// Fields that break a rule of the API (422).
    #[error("{} \"{}\" is invalid: {}", qualified(key.kind), key.name, listed(causes))]
    Invalid {
        /// The object.
        key: Key,
        /// What is wrong with it, at least one thing.
        causes: Vec<Cause>,
    },
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, `FieldValueForbidden`, …
    pub reason: &'static str,
    /// Path of the field.
    pub field: String,
    /// What is wrong: `Invalid value: -1: must be greater than or equal to 0`.
    pub message: String,
}

impl Error {
    fn one(key: &Key, reason: &'static str, field: &str, message: String) -> Self {
        Self::Invalid { key: key.clone(), causes: vec![Cause { reason, field: field.to_owned(), message }] }
    }

    /// `Invalid value: VALUE: why`, the value as JSON.
    pub(crate) fn invalid_value<T: Serialize + ?Sized>(
        key: &Key,
        field: &str,
        value: &T,
        why: impl std::fmt::Display,
    ) -> Self {
        let value = serde_json::to_string(value).unwrap_or_default();
        Self::one(key, "FieldValueInvalid", field, format!("Invalid value: {value}: {why}"))
    }

    /// `Required value: why`.
    pub(crate) fn required(key: &Key, field: &str, why: &str) -> Self {
        let message = if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Self::one(key, "FieldValueRequired", field, message)
    }

    /// `Forbidden: why`.
    pub(crate) fn forbidden_field(key: &Key, field: &str, why: impl std::fmt::Display) -> Self {
        Self::one(key, "FieldValueForbidden", field, format!("Forbidden: {why}"))
    }

    /// `Internal error: why`.
    pub(crate) fn internal(key: &Key, field: &str, why: &str) -> Self {
        Self::one(key, "InternalError", field, format!("Internal error: {why}"))
    }

    /// The object that it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::NamespaceNotFound { key }
            | Self::AlreadyExists { key }
            | Self::NotFound { key }
            | Self::Conflict { key }
            | Self::Precondition { key, .. }
            | Self::Forbidden { key, .. }
            | Self::DisruptionBudget { key, .. }
            | Self::SeveralBudgets { key }
            | Self::Invalid { key, .. } => key,
        }
    }
}

/// `Deployment.apps`, as the API server names a kind in what it finds invalid.
pub fn qualified(kind: Kind) -> String {
    match kind.plural().split_once('.') {
        Some((_, group)) => format!("{kind}.{group}"),
        None => kind.to_string(),
    }
}

/// One cause as it is, several in brackets (`utilerrors.Aggregate`).
fn listed(causes: &[Cause]) -> String {
    let texts: Vec<_> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
