//! Changes to headers (Istio, `Headers.HeaderOperations`; Envoy, `HeaderParser`).

use http::{HeaderName, HeaderValue};

/// What is changed. Envoy takes away first and adds then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Replaces what is there.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Appends to what is there.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Takes away.
    pub remove: Vec<HeaderName>,
}
