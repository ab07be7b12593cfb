//! What becomes of path and authority on the way upstream (Istio, `HTTPRewrite`).

use crate::condition::{Condition, PathMatch};
use crate::path::split_query;
use crate::text::Pattern;

/// Changes of path and authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The path.
    pub path: Option<PathRewrite>,
    /// The authority.
    pub authority: Option<String>,
}

/// A change of the path. The query stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// Replaces what the condition matched: the prefix, or for an exact or regex match the whole path (Envoy,
    /// `prefix_rewrite`, and Istio's regex for the rest).
    Matched(String),
    /// Replaces every match of an expression (Envoy, `regex_rewrite`); `\1` stands for the first group.
    Regex {
        /// What is replaced.
        pattern: Pattern,
        /// What replaces it.
        substitution: String,
    },
}

impl PathRewrite {
    /// The new path and query; `condition` is what the request met.
    ///
    /// Like Envoy, this replaces and nothing more: `/api` → `/` turns `/api/x` into `//x`. Write `/api/` → `/`.
    pub fn apply(&self, condition: &Condition, path_and_query: &str) -> String {
        let (path, query) = split_query(path_and_query);
        match self {
            Self::Matched(to) => {
                let matched = match &condition.path {
                    Some(PathMatch::Prefix(prefix)) => prefix.len(),
                    Some(PathMatch::Exact(_) | PathMatch::Regex(_)) => path.len(),
                    None => 1,
                };
                format!("{to}{}{query}", path.get(matched..).unwrap_or_default())
            }
            Self::Regex { pattern, substitution } => {
                let new = pattern.regex().replace_all(path, substitution.as_str());
                format!("{new}{query}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_replaces_the_prefix_or_the_whole_path_and_keeps_the_query() {
        let prefix = |text: &str| Condition::path_only(PathMatch::Prefix(text.into()));
        let exact = |text: &str| Condition::path_only(PathMatch::Exact(text.into()));
        for (condition, to, from, want) in [
            (prefix("/api/"), "/", "/api/x?q=1", "/x?q=1"),
            (prefix("/api"), "/", "/api/x", "//x"),
            (Condition::default(), "/v2/", "/x", "/v2/x"),
            (prefix("/api"), "/v2", "/api/x", "/v2/x"),
            (exact("/composition"), "/", "/composition?a", "/?a"),
            (exact("/a"), "/b", "/a", "/b"),
        ] {
            assert_eq!(PathRewrite::Matched(to.into()).apply(&condition, from), want, "{from}");
        }
    }
}
