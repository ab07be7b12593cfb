//! What can go wrong at the crate's edge, in the API server's words.

use crate::object::Key;

/// Why the cluster did not take a write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Objects live only in namespaces that exist.
    #[error("{key}: namespaces \"{}\" not found", key.namespace)]
    NamespaceNotFound {
        /// The object that was to be written.
        key: Key,
    },
    /// A create of what is there already.
    #[error("{} \"{}\" already exists", key.kind.plural(), key.name)]
    AlreadyExists {
        /// The object in the way.
        key: Key,
    },
    /// An update or delete of what is not there.
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
    /// What nobody may do.
    #[error("{} \"{}\" is forbidden: {message}", key.kind.plural(), key.name)]
    Forbidden {
        /// The object.
        key: Key,
        /// Why.
        message: &'static str,
    },
    /// A field that breaks a rule of the API.
    #[error("{} \"{}\" is invalid: {field}: {message}", key.kind, key.name)]
    Invalid {
        /// The object.
        key: Key,
        /// Path of the field.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    pub(crate) fn invalid(key: &Key, field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { key: key.clone(), field, message: message.into() }
    }
}
