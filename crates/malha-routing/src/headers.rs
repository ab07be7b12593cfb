//! Changes to headers (Istio, `Headers.HeaderOperations` and `TranslateHeadersOperations` in
//! `pilot/pkg/networking/core/route/route.go`; Envoy, `HeaderParser::evaluateHeaders`).
//!
//! Of a rule with several destinations, the changes of the destination come first and then those of the rule; the rule
//! with one destination has both in one, as if written [together](HeaderChanges::and).

use http::{HeaderMap, HeaderName, HeaderValue};
use malha_policy::inline::{self, Side};

use crate::template::{Exchange, HeaderValueTemplate};

/// What is changed. Envoy takes away first, makes all new values of what is left, then replaces and then adds. A value
/// that comes out empty changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Replaces what is there.
    pub set: Vec<(HeaderName, HeaderValueTemplate)>,
    /// Adds to what is there.
    pub add: Vec<(HeaderName, HeaderValueTemplate)>,
    /// Takes away.
    pub remove: Vec<HeaderName>,
    /// What a request's `host` was set to. Not a header to Envoy: see [`Rewrite::authority`](crate::Rewrite::authority).
    pub authority: Option<String>,
}

impl HeaderChanges {
    /// Changes of requests or responses, in the order in which Istio writes them: by name. `host` and names that begin
    /// with `:` are nobody's to change; setting or adding `host` or `:authority` gives the authority.
    ///
    /// # Errors
    /// A sentence that says which name or value is none, or has an operator that malha does not know.
    pub fn new<'a>(
        set: impl IntoIterator<Item = (&'a str, &'a str)>,
        add: impl IntoIterator<Item = (&'a str, &'a str)>,
        remove: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let (set, set_authority) = values(set)?;
        let (add, added_authority) = values(add)?;
        let remove = remove.into_iter().filter(|name| !is_internal(name)).map(header_name).collect::<Result<_, _>>()?;
        Ok(Self { set, add, remove, authority: set_authority.or(added_authority) })
    }

    /// These changes and then `others`, as one.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.set.extend(others.set);
        self.add.extend(others.add);
        self.remove.extend(others.remove);
        self.authority = self.authority.or(others.authority);
        self
    }

    /// Whether nothing is changed; the authority does not count.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Changes the headers of a request.
    pub fn apply_to_request(&self, headers: &mut HeaderMap, exchange: &Exchange<'_>) {
        self.apply(headers, exchange, Side::Request);
    }

    /// Changes the headers of a response.
    pub fn apply_to_response(&self, headers: &mut HeaderMap, exchange: &Exchange<'_>) {
        self.apply(headers, exchange, Side::Response);
    }

    fn apply(&self, headers: &mut HeaderMap, exchange: &Exchange<'_>, side: Side) {
        for name in &self.remove {
            headers.remove(name);
        }
        // All values are made before the first takes its place, for they may speak of one another. Those that do not speak
        // of anything are at hand.
        if self.set.iter().chain(&self.add).all(|(_, template)| template.is_literal()) {
            let make = |(name, template): &'_ (HeaderName, HeaderValueTemplate)| {
                Some((name.clone(), template.make(exchange, &HeaderMap::new(), side)?))
            };
            replace(headers, self.set.iter().filter_map(make));
            add(headers, side, self.add.iter().filter_map(make));
            return;
        }
        let make = |changes: &'_ [(HeaderName, HeaderValueTemplate)]| -> Vec<(HeaderName, HeaderValue)> {
            let made =
                changes.iter().map(|(name, template)| Some((name.clone(), template.make(exchange, headers, side)?)));
            made.flatten().collect()
        };
        let (replacements, additions) = (make(&self.set), make(&self.add));
        replace(headers, replacements);
        add(headers, side, additions);
    }
}

fn replace(headers: &mut HeaderMap, values: impl IntoIterator<Item = (HeaderName, HeaderValue)>) {
    for (name, value) in values {
        headers.insert(name, value);
    }
}

fn add(headers: &mut HeaderMap, side: Side, values: impl IntoIterator<Item = (HeaderName, HeaderValue)>) {
    for (name, value) in values {
        inline::add(headers, side, &name, value);
    }
}

type Values = Vec<(HeaderName, HeaderValueTemplate)>;

/// Names and values in Istio's order, and the authority that is among them.
fn values<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(Values, Option<String>), String> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|(name, _)| *name);
    let mut authority = None;
    let mut out = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        if is_authority(name) {
            authority = (!value.is_empty()).then(|| value.to_owned());
        }
        if !is_internal(name) {
            let template = HeaderValueTemplate::new(value).map_err(|problem| format!("header `{name}`: {problem}"))?;
            out.push((header_name(name)?, template));
        }
    }
    Ok((out, authority))
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{}` is no name of a header", name.escape_debug()))
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

fn is_internal(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Entries<'a> = &'a [(&'a str, &'a str)];

    fn map(lines: Entries<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(header_name(name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn changes<'a>(set: Entries<'a>, add: Entries<'a>, remove: &[&'a str]) -> HeaderChanges {
        HeaderChanges::new(set.iter().copied(), add.iter().copied(), remove.iter().copied()).unwrap()
    }

    /// All tried with Envoy 1.40.
    #[test]
    fn what_goes_goes_first_then_what_is_set_and_then_what_is_added() {
        for (set, add, remove, before, after) in [
            (
                &[("x-a", "2")] as Entries<'_>,
                &[] as Entries<'_>,
                &[] as &[&str],
                &[("x-a", "o"), ("x-a", "p")] as Entries<'_>,
                &[("x-a", "2")] as Entries<'_>,
            ),
            (&[], &[("x-a", "n")], &[], &[("x-a", "o")], &[("x-a", "o"), ("x-a", "n")]),
            (&[("x-a", "s")], &[("x-a", "n")], &["x-a"], &[("x-a", "o")], &[("x-a", "s"), ("x-a", "n")]),
            (&[("x-b", "%REQ(x-a)%")], &[], &["X-A"], &[("x-a", "o"), ("x-b", "was")], &[("x-b", "was")]),
            (&[("x-a", "new"), ("x-b", "%REQ(x-a)%")], &[], &[], &[("x-a", "o")], &[("x-a", "new"), ("x-b", "o")]),
            (&[("x-a", "")], &[("x-b", "")], &[], &[("x-a", "was")], &[("x-a", "was")]),
            (&[], &[("accept", "z")], &[], &[("accept", "o")], &[("accept", "o,z")]),
            (&[("via", "y")], &[("via", "z")], &[], &[], &[("via", "y,z")]),
            (&[("host", "h"), (":path", "/")], &[("HOST", "h")], &["host", ":path"], &[("x", "y")], &[("x", "y")]),
        ] {
            let mut headers = map(before);
            changes(set, add, remove).apply_to_request(&mut headers, &Exchange::default());
            assert_eq!(headers, map(after), "set {set:?}, add {add:?}, remove {remove:?}");
        }
    }

    #[test]
    fn an_inline_header_of_responses_is_none_of_requests() {
        for (side, want) in
            [(Side::Request, &[("etag", "a"), ("etag", "b")] as Entries<'_>), (Side::Response, &[("etag", "a,b")])]
        {
            let mut headers = map(&[("etag", "a")]);
            changes(&[], &[("etag", "b")], &[]).apply(&mut headers, &Exchange::default(), side);
            assert_eq!(headers, map(want), "{side:?}");
        }
    }

    #[test]
    fn the_authority_is_set_before_it_is_added() {
        for (set, add, want) in [
            (&[("Host", "a")] as Entries<'_>, &[(":authority", "b")] as Entries<'_>, Some("a")),
            (&[], &[("host", "b")], Some("b")),
            (&[("host", "")], &[], None),
            (&[("x", "y")], &[], None),
        ] {
            assert_eq!(changes(set, add, &[]).authority.as_deref(), want);
        }
    }

    #[test]
    fn names_and_values_that_are_none_are_refused() {
        let new = |set: Entries<'static>, remove: &'static [&'static str]| {
            HeaderChanges::new(set.iter().copied(), [], remove.iter().copied()).map(|_| ())
        };
        assert_eq!(new(&[("a b", "")], &[]), Err("`a b` is no name of a header".into()));
        assert_eq!(new(&[("x-a", "%NO%")], &[]), Err("header `x-a`: malha does not know `%NO%`".into()));
        assert_eq!(new(&[], &["é"]), Err("`é` is no name of a header".into()));
    }

    #[test]
    fn changes_of_one_destination_are_those_of_the_rule_and_come_later() {
        let rule = changes(&[("x-l", "rule")], &[("x-m", "rule")], &["x-r"]);
        let destination = changes(&[("x-l", "dest"), ("host", "d")], &[("x-m", "dest")], &["x-s"]);
        let mut headers = map(&[("x-r", "1"), ("x-s", "1"), ("x-m", "o")]);
        let both = rule.and(destination);
        both.apply_to_request(&mut headers, &Exchange::default());
        assert_eq!(headers, map(&[("x-l", "dest"), ("x-m", "o"), ("x-m", "rule"), ("x-m", "dest")]));
        assert_eq!(both.authority.as_deref(), Some("d"));
        assert!(!both.is_empty() && HeaderChanges::default().is_empty());
    }

    fn entries() -> impl Strategy<Value = Vec<(String, String)>> {
        prop::collection::vec(("x-[a-d]", "[a-z]{1,3}"), 0..4)
    }

    proptest! {
        #[test]
        fn a_header_that_is_not_named_stays(set in entries(), add in entries(), remove in prop::collection::vec("x-[a-d]", 0..3)) {
            fn pairs(entries: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
                entries.iter().map(|(name, value)| (name.as_str(), value.as_str()))
            }
            let changes = HeaderChanges::new(pairs(&set), pairs(&add), remove.iter().map(String::as_str)).unwrap();
            let mut headers = map(&[("x-a", "1"), ("x-b", "2"), ("x-z", "3"), ("x-z", "4")]);
            changes.apply_to_request(&mut headers, &Exchange::default());
            let values = |name: &str| headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>();
            prop_assert_eq!(values("x-z"), ["3", "4"]);
            for (name, value) in &set {
                let last = set.iter().rfind(|(other, _)| other == name).map(|(_, value)| value);
                prop_assert!(last != Some(value) || values(name).first() == Some(value));
            }
            for name in &remove {
                let named = |entries: &[(String, String)]| entries.iter().filter(|(other, _)| other == name).count();
                let left = named(&add) + usize::from(named(&set) > 0);
                prop_assert_eq!(values(name).len(), left);
            }
        }
    }
}
