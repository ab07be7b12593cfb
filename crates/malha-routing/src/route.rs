//! Which route of a virtual host a request takes, what becomes of its path, and which destination it goes to.
//!
//! The first rule that matches wins; a rule without conditions has the prefix `/`, as Istio writes it for Envoy, and so
//! leaves out what has no path (`CONNECT`, `OPTIONS *`); the conditions of one match are
//! all required, several matches are alternatives (Istio, `HTTPRoute.match`).

use std::sync::Arc;

use rand::{Rng, RngExt};

use crate::cluster::Cluster;
use crate::path::split_query;

/// A condition on the path, which is compared without its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path, case-sensitive.
    Exact(String),
    /// The beginning of the path. Not segment-aware: `/posts` matches `/postsx`, as in Envoy.
    Prefix(String),
}

/// One alternative of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMatch {
    /// On the path; `None` is the prefix `/`.
    pub path: Option<PathMatch>,
}

impl RouteMatch {
    /// What is left of `path` behind what the condition names; `None` where it is not met.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        match &self.path {
            Some(PathMatch::Exact(want)) => (path == want).then_some(""),
            Some(PathMatch::Prefix(want)) => path.strip_prefix(want.as_str()),
            None => path.strip_prefix('/'),
        }
    }
}

/// What the path becomes on its way upstream (Istio, `HTTPRewrite.uri`; Envoy, `prefix_rewrite`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Replaces what the condition matched: the prefix, or for an exact match the whole path.
    pub path: String,
}

impl Rewrite {
    /// The new path and query; `matched` is the condition that the request met. The query stays as it was.
    ///
    /// Like Envoy, this replaces and nothing more: `/api` → `/` turns `/api/x` into `//x`. Write `/api/` → `/`.
    pub fn apply(&self, matched: &RouteMatch, path_and_query: &str) -> String {
        let (path, query) = split_query(path_and_query);
        let rest = matched.rest(path).unwrap_or_default();
        format!("{}{rest}{query}", self.path)
    }
}

/// One of the places a rule sends to.
#[derive(Debug)]
pub struct Destination<P> {
    /// Its share, relative to the other weights of the rule.
    pub weight: u32,
    /// `None`: no such service, port or subset in the mesh. Envoy answers 503 with flag `NC`.
    pub cluster: Option<Arc<Cluster<P>>>,
}

/// A rule of a virtual host.
#[derive(Debug)]
pub struct Route<P> {
    /// Shown in access logs; empty when the manifest names none.
    pub name: String,
    /// Alternatives; none at all is one without conditions.
    pub matches: Vec<RouteMatch>,
    /// What becomes of the path.
    pub rewrite: Option<Rewrite>,
    /// Never empty.
    pub destinations: Vec<Destination<P>>,
}

impl<P> Route<P> {
    /// The alternative that `path_and_query` meets.
    pub fn matched(&self, path_and_query: &str) -> Option<&RouteMatch> {
        const UNCONDITIONAL: &[RouteMatch] = &[RouteMatch { path: None }];
        let (path, _) = split_query(path_and_query);
        let alternatives = if self.matches.is_empty() { UNCONDITIONAL } else { &self.matches };
        alternatives.iter().find(|alternative| alternative.rest(path).is_some())
    }

    /// Draws the destination by weight.
    pub fn destination(&self, chance: &mut impl Rng) -> &Destination<P> {
        match self.destinations.as_slice() {
            [only] => only,
            all => &all[choose_weighted(all.iter().map(|destination| destination.weight), chance)],
        }
    }
}

/// An index, each with the probability of its weight; the first if all weights are zero. Weights need not add to 100.
pub fn choose_weighted(weights: impl Iterator<Item = u32> + Clone, chance: &mut impl Rng) -> usize {
    let total: u64 = weights.clone().map(u64::from).sum();
    if total == 0 {
        return 0;
    }
    let mut ticket = chance.random_range(0..total);
    for (index, weight) in weights.enumerate() {
        match ticket.checked_sub(u64::from(weight)) {
            Some(rest) => ticket = rest,
            None => return index,
        }
    }
    unreachable!("the ticket is below the sum of the weights")
}

#[cfg(test)]
mod tests {
    use malha_world::Chance;
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> RouteMatch {
        RouteMatch { path: Some(PathMatch::Prefix(text.into())) }
    }

    fn exact(text: &str) -> RouteMatch {
        RouteMatch { path: Some(PathMatch::Exact(text.into())) }
    }

    fn route(matches: Vec<RouteMatch>) -> Route<()> {
        Route { name: String::new(), matches, rewrite: None, destinations: vec![] }
    }

    #[test]
    fn the_query_does_not_count_and_prefixes_ignore_segments() {
        let rule = route(vec![exact("/auth"), prefix("/posts")]);
        for (path, want) in
            [("/auth", true), ("/auth?x=1", true), ("/auth/", false), ("/postsx", true), ("/Posts", false)]
        {
            assert_eq!(rule.matched(path).is_some(), want, "{path}");
        }
    }

    #[test]
    fn a_rule_without_conditions_takes_every_path_and_nothing_else() {
        for matches in [vec![], vec![RouteMatch::default()]] {
            let rule = route(matches);
            for (path, want) in [("/", true), ("/anything?x", true), ("*", false), ("", false)] {
                assert_eq!(rule.matched(path).is_some(), want, "{path}");
            }
        }
    }

    #[test]
    fn a_rewrite_replaces_the_prefix_or_the_whole_path_and_keeps_the_query() {
        for (condition, to, from, want) in [
            (prefix("/api/"), "/", "/api/x?q=1", "/x?q=1"),
            (prefix("/api"), "/", "/api/x", "//x"),
            (RouteMatch::default(), "/v2/", "/x", "/v2/x"),
            (prefix("/api"), "/v2", "/api/x", "/v2/x"),
            (exact("/composition"), "/", "/composition?a", "/?a"),
            (exact("/a"), "/b", "/a", "/b"),
        ] {
            assert_eq!(Rewrite { path: to.into() }.apply(&condition, from), want, "{from}");
        }
    }

    #[test]
    fn weights_need_not_add_to_a_hundred() {
        let mut chance = Chance::seeded(1).stream();
        let first = (0..40_000).filter(|_| choose_weighted([1, 3].into_iter(), &mut chance) == 0).count();
        // 10,000 expected; six standard deviations are 520.
        assert!((9_480..10_520).contains(&first), "{first}");
    }

    proptest! {
        #[test]
        fn a_draw_is_an_index_of_positive_weight(weights in prop::collection::vec(0_u32.., 1..8), seed: u64) {
            let index = choose_weighted(weights.iter().copied(), &mut Chance::seeded(seed).stream());
            prop_assert!(weights[index] > 0 || weights.iter().all(|w| *w == 0));
        }

        #[test]
        fn a_rewritten_path_is_a_path(to in "/[a-z/]{0,9}", from in "/[a-z/]{0,9}", query in "(\\?[a-z]{0,4})?") {
            let path = Rewrite { path: to }.apply(&prefix("/"), &format!("{from}{query}"));
            prop_assert!(path.starts_with('/') && path.ends_with(&query));
        }
    }
}
