//! What becomes of path and authority on the way upstream (Istio, `HTTPRewrite`; Envoy,
//! `RouteEntryImplBase::finalizeRequestHeaders`).

use std::borrow::Cow;
use std::fmt;

use http::uri::PathAndQuery;
use regex::bytes::Captures;

use crate::condition::{Condition, PathMatch};
use crate::headers::HeaderChanges;
use crate::path::split_query;
use crate::text::Pattern;

/// Changes of path and authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The path.
    pub path: Option<PathRewrite>,
    /// The authority: that of `rewrite`, else what the rule's own `headers` set `host` to.
    pub authority: Option<String>,
}

impl Rewrite {
    /// The authorities that a request gets one after the other; it goes on with the last. A destination's own counts
    /// where the rule has none (Istio, `processDestination`), or, among several, comes before it (Envoy,
    /// `WeightedClusterEntry::finalizeRequestHeaders`): so it can end up in `x-envoy-original-host`.
    pub fn authorities<'a>(&'a self, destination: &'a HeaderChanges, weighted: bool) -> [Option<&'a str>; 2] {
        let (own, rule) = (destination.authority.as_deref(), self.authority.as_deref());
        [own.filter(|_| weighted || rule.is_none()), rule]
    }
}

/// A change of the path. The query stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// Replaces what the condition matched: the prefix, or for an exact or regex match the whole path (Envoy,
    /// `prefix_rewrite`).
    Matched(String),
    /// Replaces every match of an expression (Envoy, `regex_rewrite`).
    Regex {
        /// What is replaced.
        pattern: Pattern,
        /// What replaces it.
        substitution: Substitution,
    },
}

/// A path that is none. Envoy sends it as it is, and the other side's proxy answers 400; here no such request can be
/// built, so the caller answers 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPath;

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rewritten path does not begin with / or has characters that no path has")
    }
}

impl std::error::Error for InvalidPath {}

impl PathRewrite {
    /// The new path and query; `condition` is what the request met. `None` changes nothing, not even
    /// `x-envoy-original-path`; else that is the old path and query, also where the new one is the same.
    ///
    /// Like Envoy, this replaces and nothing more: `/api` → `/` turns `/api/x` into `//x`. Write `/api/` → `/`.
    ///
    /// # Errors
    /// What comes out is no path.
    pub fn apply(&self, condition: &Condition, path_and_query: &str) -> Result<Option<PathAndQuery>, InvalidPath> {
        let (path, query) = split_query(path_and_query);
        let new = match self {
            Self::Matched(to) => Cow::Owned(replace_matched(condition, path, to).into_bytes()),
            Self::Regex { pattern, substitution } => substitution.replace_all(pattern, path),
        };
        if new.is_empty() {
            return Ok(None);
        }
        if !new.starts_with(b"/") {
            return Err(InvalidPath);
        }
        let mut new = new.into_owned();
        new.extend_from_slice(query.as_bytes());
        PathAndQuery::from_maybe_shared(new).map(Some).map_err(|_| InvalidPath)
    }
}

/// `path` with `to` in place of what `condition` matched.
pub(crate) fn replace_matched(condition: &Condition, path: &str, to: &str) -> String {
    let rest = match &condition.path {
        Some(PathMatch::Prefix(prefix)) => path.get(prefix.len()..),
        Some(PathMatch::Exact(_) | PathMatch::Regex(_)) => None,
        None => path.get(1..),
    };
    format!("{to}{}", rest.unwrap_or_default())
}

/// What replaces a match, in RE2's words (`RE2::Rewrite`): `\0` is the match, `\1` to `\9` are its groups, `\\` is `\`.
/// Text from an escape that is none of these on is lost, as RE2 loses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    parts: Vec<Part>,
    /// The highest group that is asked for. Where the expression has fewer, nothing is replaced.
    highest: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Substitution {
    /// Reads it. Every text is one, as it is for Envoy.
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character != '\\' {
                plain.push(character);
                continue;
            }
            match characters.next() {
                Some('\\') => plain.push('\\'),
                Some(digit @ '0'..='9') => {
                    parts.extend((!plain.is_empty()).then(|| Part::Text(std::mem::take(&mut plain))));
                    parts.push(Part::Group(digit as usize - '0' as usize));
                }
                _ => break,
            }
        }
        parts.extend((!plain.is_empty()).then_some(Part::Text(plain)));
        let groups = parts.iter().map(|part| if let Part::Group(group) = part { *group } else { 0 });
        let highest = groups.max().unwrap_or(0);
        Self { parts, highest }
    }

    /// `text` with every match of `pattern` replaced (`RE2::GlobalReplace`).
    fn replace_all<'a>(&self, pattern: &Pattern, text: &'a str) -> Cow<'a, [u8]> {
        let expression = pattern.search();
        if self.highest >= expression.captures_len() {
            return Cow::Borrowed(text.as_bytes());
        }
        expression.replace_all(text.as_bytes(), |captures: &Captures<'_>| {
            let mut out = Vec::new();
            for part in &self.parts {
                match part {
                    Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                    Part::Group(group) => {
                        out.extend_from_slice(captures.get(*group).map_or(b"" as &[u8], |group| group.as_bytes()));
                    }
                }
            }
            out
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Condition {
        Condition::path_only(PathMatch::Prefix(text.into()))
    }

    fn regex(pattern: &str, substitution: &str) -> PathRewrite {
        PathRewrite::Regex { pattern: Pattern::new(pattern).unwrap(), substitution: Substitution::new(substitution) }
    }

    fn applied(rewrite: &PathRewrite, condition: &Condition, from: &str) -> Result<Option<String>, InvalidPath> {
        Ok(rewrite.apply(condition, from)?.map(|path| path.to_string()))
    }

    #[test]
    fn a_rewrite_replaces_the_prefix_or_the_whole_path_and_keeps_the_query() {
        let exact = |text: &str| Condition::path_only(PathMatch::Exact(text.into()));
        let pattern = |text: &str| Condition::path_only(PathMatch::Regex(Pattern::new(text).unwrap()));
        for (condition, to, from, want) in [
            (prefix("/api/"), "/", "/api/x?q=1", "/x?q=1"),
            (prefix("/api"), "/", "/api/x", "//x"),
            (Condition::default(), "/v2/", "/x", "/v2/x"),
            (prefix("/api"), "/v2", "/api/x", "/v2/x"),
            (Condition { ignore_path_case: true, ..prefix("/api") }, "/v2", "/API/x", "/v2/x"),
            (exact("/composition"), "/", "/composition?a", "/?a"),
            (exact("/a"), "/b", "/a", "/b"),
            (pattern("/a.*"), "/b", "/a/x?y", "/b?y"),
            (prefix("/q"), "/new?z=1", "/q/r?old=2", "/new?z=1/r?old=2"),
        ] {
            let rewrite = PathRewrite::Matched(to.into());
            assert_eq!(applied(&rewrite, &condition, from), Ok(Some(want.into())), "{from}");
        }
    }

    /// All tried with Envoy 1.40.
    #[test]
    fn a_regex_rewrite_is_re2s() {
        for (pattern, substitution, from, want) in [
            (r"/rx/(\w+)/(.*)", r"/\2/\1", "/rx/ab/c/d?q=1", Some("/c/d/ab?q=1")),
            (".*", r"\0", "/empty?q", Some("/empty?q")),
            ("/gone(.*)", r"\1", "/gone?q", None),
            ("/group9", r"/\3", "/group9/a?b", Some("/group9/a?b")),
            ("/badesc", r"/x\y", "/badesc/a", Some("/x/a")),
            ("/trail", r"/x\", "/trail/a", Some("/x/a")),
            ("x*", "-", "/xxax", Some("-/-a-")),
            ("/none", "/x", "/a?b", Some("/a?b")),
            ("a", "$1", "/a", Some("/$1")),
            ("(z)?/", r"/\1b", "/", Some("/b")),
        ] {
            let got = applied(&regex(pattern, substitution), &Condition::default(), from);
            if want.is_some_and(|path| !path.starts_with('/')) {
                assert_eq!(got, Err(InvalidPath), "Envoy would write {want:?}");
            } else {
                assert_eq!(got, Ok(want.map(str::to_owned)), "{pattern} on {from}");
            }
        }
        assert_eq!(Substitution::new(r"a\\b").parts, [Part::Text(r"a\b".into())]);
    }

    #[test]
    fn what_is_no_path_is_not_sent() {
        for to in ["x", "/a b", "/a\n", "http://elsewhere/"] {
            assert_eq!(applied(&PathRewrite::Matched(to.into()), &prefix("/a"), "/a/b"), Err(InvalidPath), "{to}");
        }
        assert_eq!(applied(&regex("/gone(.*)", r"\1"), &prefix("/gone"), "/gonexx"), Err(InvalidPath));
    }

    #[test]
    fn the_rules_authority_has_the_last_word() {
        let of = |authority: Option<&str>| authority.map(str::to_owned);
        for (rule, destination, weighted, want) in [
            (None, None, true, [None, None]),
            (Some("a"), Some("b"), false, [None, Some("a")]),
            (Some("a"), Some("b"), true, [Some("b"), Some("a")]),
            (None, Some("b"), false, [Some("b"), None]),
        ] {
            let destination = HeaderChanges { authority: of(destination), ..HeaderChanges::default() };
            let rewrite = Rewrite { path: None, authority: of(rule) };
            assert_eq!(rewrite.authorities(&destination, weighted), want);
        }
    }

    proptest! {
        #[test]
        fn a_prefix_goes_and_everything_else_stays(
            prefix_text in "/[a-c/]{0,4}", rest in "[a-c/]{0,4}", query in "([?][a-c?=]{0,3})?", to in "/[x-z/]{0,4}"
        ) {
            let from = format!("{prefix_text}{rest}{query}");
            let got = applied(&PathRewrite::Matched(to.clone()), &prefix(&prefix_text), &from);
            prop_assert_eq!(got, Ok(Some(format!("{to}{rest}{query}"))));
        }

        #[test]
        fn any_rewrite_gives_a_path_or_says_no(
            pattern in "[a-c/.*+?()\\\\]{0,6}", substitution in "[a-c/\\\\0-9é ]{0,6}", from in "\\PC{0,12}", to: String
        ) {
            let mut rewrites = vec![PathRewrite::Matched(to)];
            if let Ok(pattern) = Pattern::new(&pattern) {
                rewrites.push(PathRewrite::Regex { pattern, substitution: Substitution::new(&substitution) });
            }
            for rewrite in rewrites {
                if let Ok(Some(path)) = rewrite.apply(&prefix("/é"), &from) {
                    prop_assert!(path.as_str().starts_with('/'));
                }
            }
        }
    }
}
