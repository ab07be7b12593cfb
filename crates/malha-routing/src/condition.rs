//! Whether a rule is for a request (Istio, `HTTPMatchRequest`; Envoy, `config.route.v3.RouteMatch`).
//!
//! What is in one condition is all required. Port, gateways and the caller's namespace are not here: they decide at which
//! entrance a rule stands at all.

use http::HeaderName;
use malha_policy::inline::{self, Side};
use serde_json::Value;

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
    /// What is looked at.
    pub name: Field,
    /// Its value. Of several lines one has to be so, but for headers that Envoy keeps as one line: these are joined.
    pub value: TextMatch,
    /// Whether this must not be so (`withoutHeaders`). A header that is missing counts as an empty one then, but for
    /// [`TextMatch::Present`], as Istio writes it.
    pub inverted: bool,
}

/// A header, or what HTTP/2 writes as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A header.
    Header(HeaderName),
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`, and `host`, which is the same to Envoy.
    Authority,
    /// `:path`, with its query.
    Path,
}

impl Field {
    /// From its name; `None` for what no request can have (`:status`) and what is no name.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            ":method" => Some(Self::Method),
            ":scheme" => Some(Self::Scheme),
            ":authority" | "host" => Some(Self::Authority),
            ":path" => Some(Self::Path),
            name => HeaderName::from_bytes(name.as_bytes()).ok().map(Self::Header),
        }
    }

    /// Its name, in lower case.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Header(name) => name.as_str(),
            Self::Method => ":method",
            Self::Scheme => ":scheme",
            Self::Authority => ":authority",
            Self::Path => ":path",
        }
    }
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

impl PathMatch {
    fn matches(&self, path: &str, ignore_case: bool) -> bool {
        let (path, bytes) = (path, path.as_bytes());
        match self {
            Self::Exact(want) if ignore_case => path.eq_ignore_ascii_case(want),
            Self::Exact(want) => path == want,
            Self::Prefix(want) if ignore_case => {
                bytes.get(..want.len()).is_some_and(|start| start.eq_ignore_ascii_case(want.as_bytes()))
            }
            Self::Prefix(want) => path.starts_with(want.as_str()),
            Self::Regex(pattern) => pattern.is_full_match(path),
        }
    }
}

impl Condition {
    /// A condition on the path alone.
    pub fn path_only(path: PathMatch) -> Self {
        Self { path: Some(path), ..Self::default() }
    }

    /// Whether `head` is meant.
    pub fn matches(&self, head: &Head<'_>) -> bool {
        let (path, query) = split_query(head.path_and_query);
        self.path_matches(path) && self.rest_matches(query, head)
    }

    /// Whether the path without its query is meant. What has no path is never meant.
    pub(crate) fn path_matches(&self, path: &str) -> bool {
        match &self.path {
            _ if path.is_empty() => false,
            Some(want) => want.matches(path, self.ignore_path_case),
            None => path.starts_with('/'),
        }
    }

    /// Whether everything but the path is as it has to be; `query` is that of `head`, with its `?`.
    pub(crate) fn rest_matches(&self, query: &str, head: &Head<'_>) -> bool {
        let fits = |want: &Option<TextMatch>, text: &str| want.as_ref().is_none_or(|want| want.matches(text));
        fits(&self.method, head.method.as_str())
            && fits(&self.scheme, head.scheme)
            && fits(&self.authority, head.authority)
            && self.headers.iter().all(|header| header.matches(head))
            && self.query.iter().all(|parameter| parameter.matches(query))
            && self.claims.iter().all(|claim| claim.matches(head.claims))
            && self.source_labels.iter().all(|(name, value)| head.source.get(name) == Some(value))
    }
}

impl HeaderMatch {
    /// Envoy, `HeaderUtility::matchHeaders`.
    fn matches(&self, head: &Head<'_>) -> bool {
        let found = match &self.name {
            Field::Header(name) => {
                inline::any_value(head.headers, Side::Request, name, |value| self.value.matches(value))
            }
            Field::Method => Some(self.value.matches(head.method.as_str())),
            Field::Scheme => Some(self.value.matches(head.scheme)),
            Field::Authority => Some(self.value.matches(head.authority)),
            Field::Path if head.path_and_query.is_empty() => None,
            Field::Path => Some(self.value.matches(head.path_and_query)),
        };
        let missing = || self.inverted && self.value != TextMatch::Present && self.value.matches("");
        found.unwrap_or_else(missing) != self.inverted
    }
}

impl QueryMatch {
    /// Envoy compares names and values as they are written, and the first of several (`QueryParamsMulti`).
    fn matches(&self, query: &str) -> bool {
        parameter(query, &self.name).is_some_and(|value| self.value.matches(value))
    }
}

/// The first value of a parameter of `query`, which may begin with `?`; not decoded. One without `=` is empty.
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let query = query.strip_prefix('?').unwrap_or(query);
    if query.is_empty() {
        return None;
    }
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| *key == name)
        .map(|(_, v)| v)
}

/// Claims that Istio splits at blanks before anybody looks at them (`JwtProvider.normalize_payload_in_metadata`).
const LISTS_OF_WORDS: [&str; 2] = ["scope", "permission"];

impl ClaimMatch {
    /// Istio writes "is this text, or is a list with this text in it" (`MetadataMatcherForJWTClaims`).
    fn matches(&self, claims: Option<&Value>) -> bool {
        let found = claims.and_then(|claims| self.path.iter().try_fold(claims, |value, name| value.get(name)));
        let text = |value: &Value| value.as_str().is_some_and(|text| self.value.matches(text));
        let met = match (found, self.path.as_slice()) {
            (Some(Value::String(words)), [name]) if LISTS_OF_WORDS.contains(&name.as_str()) => {
                words.split(' ').filter(|word| !word.is_empty()).any(|word| self.value.matches(word))
            }
            (Some(Value::Array(items)), _) => items.iter().any(text),
            (Some(value), _) => text(value),
            (None, _) => false,
        };
        met != self.inverted
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::text::Pattern;
    use crate::workload::Labels;

    fn exact(text: &str) -> TextMatch {
        TextMatch::Exact(text.into())
    }

    fn regex(text: &str) -> TextMatch {
        TextMatch::Regex(Pattern::new(text).unwrap())
    }

    /// A request, as far as a case is about it.
    struct Request {
        method: Method,
        target: &'static str,
        headers: HeaderMap,
        claims: Option<Value>,
        source: Labels,
    }

    impl Request {
        fn to(target: &'static str) -> Self {
            Self { method: Method::GET, target, headers: HeaderMap::new(), claims: None, source: Labels::new() }
        }

        fn with(mut self, lines: &[(&'static str, &'static [u8])]) -> Self {
            for (name, value) in lines {
                self.headers.append(*name, HeaderValue::from_bytes(value).unwrap());
            }
            self
        }

        fn meets(&self, condition: &Condition) -> bool {
            condition.matches(&Head {
                method: &self.method,
                scheme: "http",
                authority: "posts:80",
                path_and_query: self.target,
                headers: &self.headers,
                claims: self.claims.as_ref(),
                source: &self.source,
            })
        }
    }

    #[test]
    fn paths_are_compared_without_their_query() {
        let path = |path| Some(path);
        for (want, ignore_case, target, meets) in [
            (path(PathMatch::Exact("/a".into())), false, "/a?b", true),
            (path(PathMatch::Exact("/a".into())), false, "/A", false),
            (path(PathMatch::Exact("/CaSe".into())), true, "/cAsE?X", true),
            (path(PathMatch::Exact("/a".into())), false, "/a/", false),
            (path(PathMatch::Prefix("/posts".into())), false, "/postsx", true),
            (path(PathMatch::Prefix("/posts".into())), false, "/post", false),
            (path(PathMatch::Prefix("/Posts".into())), true, "/pOSTS/1", true),
            (path(PathMatch::Prefix("/é".into())), true, "/", false),
            (path(PathMatch::Prefix("/a?b".into())), false, "/a?b", false),
            (path(PathMatch::Regex(Pattern::new("/RX").unwrap())), true, "/rx", false),
            (path(PathMatch::Regex(Pattern::new("/[a-c]+").unwrap())), false, "/abc?d", true),
            (path(PathMatch::Regex(Pattern::new(".*").unwrap())), false, "", false),
            (path(PathMatch::Prefix(String::new())), false, "*", true),
            (None, false, "/", true),
            (None, false, "*", false),
            (None, false, "", false),
        ] {
            let condition = Condition { path: want, ignore_path_case: ignore_case, ..Condition::default() };
            assert_eq!(Request::to(target).meets(&condition), meets, "{condition:?} on {target}");
        }
    }

    /// All tried with Envoy 1.40.
    #[test]
    fn headers_are_compared_as_envoy_does_it() {
        type Lines = &'static [(&'static str, &'static [u8])];
        let two: Lines = &[("x-k", b"a"), ("x-k", b"b")];
        let accept: Lines = &[("accept", b"a"), ("accept", b"b")];
        for (name, value, inverted, lines, meets) in [
            ("X-K", exact("v"), false, &[("x-k", b"v" as &[u8])] as Lines, true),
            ("x-k", exact("v"), false, &[("x-k", b"V")], false),
            ("x-k", exact("v"), false, &[], false),
            ("x-k", exact(""), false, &[], false),
            ("x-k", exact("b"), false, two, true),
            ("x-k", exact("a,b"), false, two, false),
            ("accept", exact("a,b"), false, accept, true),
            ("accept", exact("a"), false, accept, false),
            ("x-k", regex("a."), false, &[("x-k", b"a\xff")], true),
            ("x-k", TextMatch::Present, false, &[("x-k", b"")], true),
            ("x-k", TextMatch::Present, false, &[], false),
            ("x-k", TextMatch::Present, true, &[], true),
            ("x-k", TextMatch::Present, true, &[("x-k", b"")], false),
            ("x-k", exact("v"), true, &[], true),
            ("x-k", exact("v"), true, &[("x-k", b"")], true),
            ("x-k", exact("v"), true, &[("x-k", b"v")], false),
            ("x-k", exact("b"), true, two, false),
            ("x-k", exact("a,b"), true, two, true),
            ("x-k", regex(".*"), true, &[], false),
            ("x-k", exact(""), true, &[], false),
            ("Host", exact("posts:80"), false, &[], true),
            (":authority", exact("posts"), false, &[], false),
            (":method", exact("GET"), false, &[], true),
            (":scheme", exact("http"), true, &[], false),
            (":path", exact("/p?q"), false, &[], true),
            (":path", exact("/p"), false, &[], false),
        ] {
            let header = HeaderMatch { name: Field::parse(name).unwrap(), value, inverted };
            let condition = Condition { headers: vec![header], ..Condition::default() };
            assert_eq!(Request::to("/p?q").with(lines).meets(&condition), meets, "{condition:?} on {lines:?}");
        }
        assert_eq!((Field::parse(":status"), Field::parse("a b"), Field::parse("")), (None, None, None));
    }

    /// All tried with Envoy 1.40.
    #[test]
    fn query_parameters_are_neither_decoded_nor_more_than_the_first() {
        for (name, value, target, meets) in [
            ("q", exact("a b"), "/?q=a%20b", false),
            ("q", exact("a%20b"), "/?q=a%20b", true),
            ("q", exact("1"), "/?q=1&q=2", true),
            ("q", exact("1"), "/?q=2&q=1", false),
            ("q", exact(""), "/?q", true),
            ("q", exact(""), "/?q=", true),
            ("q", exact("a=b"), "/?q=a=b", true),
            ("q", TextMatch::Present, "/?a&q&", true),
            ("q", TextMatch::Present, "/?%71=1", false),
            ("q", TextMatch::Present, "/q", false),
            ("", TextMatch::Present, "/?", false),
        ] {
            let condition = Condition { query: vec![QueryMatch { name: name.into(), value }], ..Condition::default() };
            assert_eq!(Request::to(target).meets(&condition), meets, "{condition:?} on {target}");
        }
    }

    #[test]
    fn claims_are_texts_or_lists_of_texts() {
        let claims = json!({"sub": "me", "n": 1, "scope": "read write", "a": {"b": ["x", "y"], "scope": "p q"}});
        for (path, value, inverted, meets) in [
            (&["sub"] as &[&str], exact("me"), false, true),
            (&["sub"], exact("you"), true, true),
            (&["n"], exact("1"), false, false),
            (&["scope"], exact("write"), false, true),
            (&["scope"], exact("read write"), false, false),
            (&["a", "b"], exact("y"), false, true),
            (&["a", "b"], regex("[xy]{2}"), false, false),
            (&["a", "scope"], exact("p q"), false, true),
            (&["a"], TextMatch::Present, false, false),
            (&["none", "x"], TextMatch::Present, false, false),
            (&["none", "x"], exact("z"), true, true),
        ] {
            let path = path.iter().map(ToString::to_string).collect();
            let condition = Condition { claims: vec![ClaimMatch { path, value, inverted }], ..Condition::default() };
            let request = Request { claims: Some(claims.clone()), ..Request::to("/") };
            assert_eq!(request.meets(&condition), meets, "{condition:?}");
            assert_eq!(Request::to("/").meets(&condition), inverted, "without a token: {condition:?}");
        }
    }

    #[test]
    fn everything_in_a_condition_is_required() {
        let label = |value: &str| vec![("app".to_owned(), value.to_owned())];
        let fits = Condition {
            method: Some(exact("GET")),
            scheme: Some(TextMatch::Prefix("http".into())),
            authority: Some(exact("posts:80")),
            source_labels: label("web"),
            ..Condition::path_only(PathMatch::Prefix("/p".into()))
        };
        let request = Request { source: label("web").into_iter().collect(), ..Request::to("/p") };
        assert!(request.meets(&fits));
        for wrong in [
            Condition { method: Some(exact("get")), ..fits.clone() },
            Condition { scheme: Some(exact("https")), ..fits.clone() },
            Condition { authority: Some(exact("posts")), ..fits.clone() },
            Condition { source_labels: label("api"), ..fits.clone() },
            Condition { path: Some(PathMatch::Exact("/".into())), ..fits },
        ] {
            assert!(!request.meets(&wrong), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_parameter_is_found_where_it_was_written(
            before in prop::collection::vec(("[a-p]{1,3}", "[a-z=]{0,3}"), 0..4), name in "[q-z]{1,3}", value in "[a-z=%+]{0,4}"
        ) {
            let before: String = before.iter().map(|(key, value)| [key, "=", value, "&"].concat()).collect();
            let query = format!("?{before}");
            prop_assert_eq!(parameter(&query, &name), None);
            let query = format!("{query}{name}={value}&{name}=other");
            prop_assert_eq!(parameter(&query, &name), Some(value.as_str()));
        }
    }
}
