//! The routes of a virtual host, in order of precedence: the first whose condition is met wins.
//!
//! Envoy tries one after the other. Here an index says which of many routes can have the path at all, so that the time
//! does not grow with their number but for those that share a path, and those whose path is an expression. Which route
//! is found is the same.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::condition::{Condition, PathMatch};
use crate::path::split_query;
use crate::request::Head;
use crate::route::Route;

/// So few routes are tried one after the other.
const FEW: usize = 16;

/// Routes, ready to be searched.
#[derive(Debug)]
pub struct RouteTable<P> {
    routes: Vec<Route<P>>,
    /// `None`: there are [`FEW`].
    index: Option<Index>,
}

impl<P> RouteTable<P> {
    /// The routes, first things first.
    pub fn new(routes: Vec<Route<P>>) -> Self {
        let index = (routes.len() > FEW).then(|| Index::new(routes.iter().map(|route| &route.condition)));
        Self { routes, index }
    }

    /// The first route that is for `head`. Allocates nothing but for a condition on a header that came in several lines.
    pub fn find(&self, head: &Head<'_>) -> Option<&Route<P>> {
        let (path, query) = split_query(head.path_and_query);
        let is_for = |route: &Route<P>| route.condition.path_matches(path) && route.condition.rest_matches(query, head);
        match &self.index {
            None => self.routes.iter().find(|route| is_for(route)),
            Some(index) => self.routes.get(index.first(path, |at| self.routes.get(at).is_some_and(is_for))?),
        }
    }

    /// All of them, in order.
    pub fn routes(&self) -> &[Route<P>] {
        &self.routes
    }
}

/// Which routes can have a path.
#[derive(Debug)]
struct Index {
    /// Exact paths and prefixes.
    literal: Paths,
    /// Those that are compared without regard to case, in lower case.
    folded: Paths,
    /// All other routes, in order.
    others: Vec<usize>,
}

impl Index {
    fn new<'a>(conditions: impl Iterator<Item = &'a Condition>) -> Self {
        let (mut literal, mut folded, mut others) = (Listing::new(), Listing::new(), Vec::new());
        for (at, condition) in conditions.enumerate() {
            let (text, is_prefix) = match &condition.path {
                Some(PathMatch::Exact(text)) => (text.as_str(), false),
                Some(PathMatch::Prefix(text)) => (text.as_str(), true),
                None => ("/", true),
                Some(PathMatch::Regex(_)) => {
                    others.push(at);
                    continue;
                }
            };
            let fold = condition.ignore_path_case && condition.path.is_some();
            let (listing, text) =
                if fold { (&mut folded, text.to_ascii_lowercase()) } else { (&mut literal, text.to_owned()) };
            let (exact, prefix) = listing.entry(text.into_bytes()).or_default();
            if is_prefix { prefix } else { exact }.push(at);
        }
        Self { literal: Paths::new(literal, false), folded: Paths::new(folded, true), others }
    }

    /// The first of the routes that can have `path` of which `is_for` is true.
    fn first(&self, path: &str, is_for: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = None;
        // Each list is in order: the first that fits is the best of it, and behind the best so far nobody looks.
        let mut search = |list: &[usize]| {
            let before = list.iter().copied().take_while(|at| best.is_none_or(|best| *at < best));
            best = before.into_iter().find(|at| is_for(*at)).or(best);
        };
        self.literal.candidates(path.as_bytes(), &mut search);
        self.folded.candidates(path.as_bytes(), &mut search);
        search(&self.others);
        best
    }
}

/// By path: routes with this exact path, and routes with this prefix; each in order.
type Listing = BTreeMap<Vec<u8>, (Vec<usize>, Vec<usize>)>;

/// Exact paths and prefixes, sorted.
///
/// All texts between a prefix of a path and the path itself, in the order of the alphabet, begin with that prefix. So of
/// the texts that are not behind the path, the last one begins with each of its prefixes: they are this text itself, the
/// longest other text that this one begins with, and so on.
#[derive(Debug)]
struct Paths {
    texts: Vec<Text>,
    /// What [`Text`]s refer to.
    routes: Vec<usize>,
    /// Whether texts are in lower case, and paths are compared as if they were.
    fold: bool,
}

#[derive(Debug)]
struct Text {
    bytes: Box<[u8]>,
    /// The longest other text that this one begins with.
    parent: Option<usize>,
    exact: Range<usize>,
    prefix: Range<usize>,
}

impl Paths {
    fn new(listing: Listing, fold: bool) -> Self {
        let mut texts: Vec<Text> = Vec::with_capacity(listing.len());
        let mut routes = Vec::new();
        // Texts that the present one begins with, as far as it is known: the shortest first.
        let mut open: Vec<usize> = Vec::new();
        for (text, (exact, prefix)) in listing {
            while open.last().is_some_and(|last| !text.starts_with(&texts[*last].bytes)) {
                open.pop();
            }
            let parent = open.last().copied();
            open.push(texts.len());
            let mut take = |list: Vec<usize>| {
                let start = routes.len();
                routes.extend(list);
                start..routes.len()
            };
            texts.push(Text { bytes: text.into(), parent, exact: take(exact), prefix: take(prefix) });
        }
        Self { texts, routes, fold }
    }

    /// Shows `search` all lists of routes that can have `path`.
    fn candidates(&self, path: &[u8], search: &mut impl FnMut(&[usize])) {
        let behind = self.texts.partition_point(|text| self.compare(&text.bytes, path).is_le());
        let Some(mut at) = behind.checked_sub(1) else { return };
        if self.compare(&self.texts[at].bytes, path).is_eq() {
            search(&self.routes[self.texts[at].exact.clone()]);
        }
        let pairs = self.texts[at].bytes.iter().zip(path);
        let common = pairs.take_while(|(mine, its)| **mine == self.folded(**its)).count();
        loop {
            let text = &self.texts[at];
            if text.bytes.len() <= common {
                search(&self.routes[text.prefix.clone()]);
            }
            match text.parent {
                Some(parent) => at = parent,
                None => return,
            }
        }
    }

    fn compare(&self, text: &[u8], path: &[u8]) -> Ordering {
        if self.fold { text.iter().copied().cmp(path.iter().map(u8::to_ascii_lowercase)) } else { text.cmp(path) }
    }

    fn folded(&self, byte: u8) -> u8 {
        if self.fold { byte.to_ascii_lowercase() } else { byte }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
    use proptest::prelude::*;

    use super::*;
    use crate::condition::{Field, HeaderMatch, QueryMatch};
    use crate::headers::HeaderChanges;
    use crate::route::{Action, Answer};
    use crate::text::{Pattern, TextMatch};
    use crate::workload::Labels;

    fn table(conditions: &[Condition]) -> RouteTable<()> {
        let action = Arc::new(Action {
            answer: Answer::Respond { status: StatusCode::OK, body: Bytes::new() },
            fault: None,
            cors: None,
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
        });
        let route = |(at, condition): (usize, &Condition)| Route {
            name: at.to_string(),
            condition: condition.clone(),
            action: Arc::clone(&action),
        };
        RouteTable::new(conditions.iter().enumerate().map(route).collect())
    }

    fn with_head<T>(path_and_query: &str, headers: &HeaderMap, then: impl FnOnce(&Head<'_>) -> T) -> T {
        let (method, source) = (Method::GET, Labels::new());
        then(&Head {
            method: &method,
            scheme: "http",
            authority: "h",
            path_and_query,
            headers,
            claims: None,
            source: &source,
        })
    }

    fn found(table: &RouteTable<()>, path: &str) -> Option<usize> {
        with_head(path, &HeaderMap::new(), |head| Some(table.find(head)?.name.parse().unwrap()))
    }

    fn exact(path: &str) -> Condition {
        Condition::path_only(PathMatch::Exact(path.into()))
    }

    fn prefix(path: &str) -> Condition {
        Condition::path_only(PathMatch::Prefix(path.into()))
    }

    #[test]
    fn the_first_route_wins_whatever_it_asks_for() {
        let regex = |text: &str| Condition::path_only(PathMatch::Regex(Pattern::new(text).unwrap()));
        let mut conditions: Vec<Condition> = (0..FEW).map(|n| exact(&format!("/exact/{n}"))).collect();
        conditions.extend([
            prefix("/a/b"),                                                              // 16
            exact("/a/b/c"),                                                             // 17, hidden
            prefix("/a"),                                                                // 18
            Condition { ignore_path_case: true, ..exact("/Case") },                      // 19
            regex("/r[0-9]+"),                                                           // 20
            prefix("/r1"),                                                               // 21, hidden for /r1
            Condition { method: Some(TextMatch::Exact("POST".into())), ..prefix("/p") }, // 22, another method
            prefix("/p"),                                                                // 23
            Condition::default(),                                                        // 24
            exact("/exact/0"),                                                           // 25, hidden
        ]);
        let table = table(&conditions);
        assert!(table.index.is_some());
        for (path, want) in [
            ("/exact/3?q", Some(3)),
            ("/exact/0", Some(0)),
            ("/exact/", Some(24)),
            ("/a/b", Some(16)),
            ("/a/b/c", Some(16)),
            ("/a/a", Some(18)),
            ("/a", Some(18)),
            ("/CASE", Some(19)),
            ("/r1", Some(20)),
            ("/r1x", Some(21)),
            ("/p/q", Some(23)),
            ("/", Some(24)),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(found(&table, path), want, "{path}");
        }
        assert_eq!(table.routes().len(), conditions.len());
    }

    fn path() -> impl Strategy<Value = String> {
        "/?[abAB/]{0,5}"
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let path = prop_oneof![
            3 => path().prop_map(|path| Some(PathMatch::Exact(path))),
            3 => path().prop_map(|path| Some(PathMatch::Prefix(path))),
            1 => Just(None),
            1 => "/[ab.]{0,3}[*+]?".prop_map(|text| Some(PathMatch::Regex(Pattern::new(&text).unwrap()))),
        ];
        let header = prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)];
        let query = prop_oneof![4 => Just(None), 1 => "[ab]".prop_map(Some)];
        (path, any::<bool>(), header, query).prop_map(|(path, ignore_path_case, header, query)| Condition {
            path,
            ignore_path_case,
            headers: Vec::from_iter(header.map(|inverted| HeaderMatch {
                name: Field::Header(HeaderName::from_static("x-k")),
                value: TextMatch::Exact("v".into()),
                inverted,
            })),
            query: Vec::from_iter(query.map(|name| QueryMatch { name, value: TextMatch::Present })),
            ..Condition::default()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn the_index_finds_what_trying_all_finds(
            conditions in prop::collection::vec(condition(), 0..60),
            requests in prop::collection::vec((path(), "([?][ab]{0,2})?", any::<bool>()), 1..20),
        ) {
            let table = table(&conditions);
            for (path, query, header) in requests {
                let mut headers = HeaderMap::new();
                if header {
                    headers.insert("x-k", HeaderValue::from_static("v"));
                }
                let target = format!("{path}{query}");
                let (got, want) = with_head(&target, &headers, |head| (
                    table.find(head).map(|route| route.name.clone()),
                    conditions.iter().position(|condition| condition.matches(head)).map(|at| at.to_string()),
                ));
                prop_assert_eq!(got, want, "{} of {:?}", target, conditions);
            }
        }

        #[test]
        fn any_path_has_a_decision(paths in prop::collection::vec(".{0,6}", 20..40), asked in ".{0,8}") {
            let conditions: Vec<Condition> = paths.iter().map(|path| prefix(path)).collect();
            let want = conditions.iter().position(|condition| with_head(&asked, &HeaderMap::new(), |head| condition.matches(head)));
            prop_assert_eq!(found(&table(&conditions), &asked), want);
        }
    }
}
