//! Whether a rule is for a request (Istio, `HTTPMatchRequest`; Envoy, `config.route.v3.RouteMatch`).
//!
//! What is in one condition is all required. Port, gateways and the caller's namespace are not here: they decide at which
//! entrance a rule stands at all.

use http::HeaderName;

use crate::path::split_query;
use crate::request::Head;
use crate::text::{Pattern, TextMatch};

/// A condition on the path, which is compared without its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// The beginning of the path. Not segment-aware: `/posts` matches `/postsx`, as in Envoy.
    Prefix(String),
    /// The whole path matches.
    Regex(Pattern),
}

/// What a request has to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its path. `None` is the prefix `/`, as Istio writes it for Envoy, and so leaves out what has no path (`CONNECT`,
    /// `OPTIONS *`).
    pub path: Option<PathMatch>,
    /// Whether exact paths and prefixes are compared without regard to ASCII case.
    pub ignore_path_case: bool,
    /// Its scheme.
    pub scheme: Option<TextMatch>,
    /// Its method.
    pub method: Option<TextMatch>,
    /// Its authority, with the port.
    pub authority: Option<TextMatch>,
    /// Its headers.
    pub headers: Vec<HeaderMatch>,
    /// Its query parameters.
    pub query: Vec<QueryMatch>,
    /// Claims of its token.
    pub claims: Vec<ClaimMatch>,
    /// Labels of the workload whose proxy decides.
    pub source_labels: Vec<(String, String)>,
}

/// A condition on a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Its name.
    pub name: HeaderName,
    /// Its value; several lines of a name count as one, joined by commas.
    pub value: TextMatch,
    /// Whether this must not be so (`withoutHeaders`).
    pub inverted: bool,
}

/// A condition on a query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryMatch {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: TextMatch,
}

/// A condition on a claim (`@request.auth.claims.a.b`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimMatch {
    /// Names from the outside in.
    pub path: Vec<String>,
    /// Its value, or that of one of its items.
    pub value: TextMatch,
    /// Whether this must not be so.
    pub inverted: bool,
}

impl Condition {
    /// A condition that every path fulfils.
    pub fn path_only(path: PathMatch) -> Self {
        Self { path: Some(path), ..Self::default() }
    }

    /// Whether `head` is meant.
    pub fn matches(&self, head: &Head<'_>) -> bool {
        let (path, _) = split_query(head.path_and_query);
        self.path_matches(path)
    }

    fn path_matches(&self, path: &str) -> bool {
        match &self.path {
            Some(PathMatch::Exact(want)) => path == want,
            Some(PathMatch::Prefix(want)) => path.starts_with(want.as_str()),
            Some(PathMatch::Regex(pattern)) => pattern.is_full_match(path),
            None => path.starts_with('/'),
        }
    }
}
