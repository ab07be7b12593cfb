//! A rule of a virtual host: whom it is for, and what it does (Istio, `HTTPRoute`; Envoy, `config.route.v3.Route`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use rand::{Rng, RngExt};

use crate::cluster::Cluster;
use crate::condition::Condition;
use crate::cors::Cors;
use crate::fault::{Fault, Share};
use crate::headers::HeaderChanges;
use crate::redirect::Redirect;
use crate::retry::RetryPolicy;
use crate::rewrite::Rewrite;

/// A rule with one condition. An Istio rule with several alternatives is as many of these, which share what they do.
#[derive(Debug)]
pub struct Route<P> {
    /// Shown in access logs; empty when the manifest names none.
    pub name: String,
    /// Whom it is for.
    pub condition: Condition,
    /// What it does.
    pub action: Arc<Action<P>>,
}

/// What a rule does.
#[derive(Debug)]
pub struct Action<P> {
    /// Who answers.
    pub answer: Answer<P>,
    /// Faults to inject before anybody answers.
    pub fault: Option<Fault>,
    /// Cross-origin rules.
    pub cors: Option<Cors>,
    /// Changes to the request, after those of the destination.
    pub request_headers: HeaderChanges,
    /// Changes to the response, whoever gave it, after those of the destination.
    pub response_headers: HeaderChanges,
}

/// Who answers.
#[derive(Debug)]
pub enum Answer<P> {
    /// A destination.
    Forward(Forward<P>),
    /// The proxy, with another place to go to.
    Redirect(Redirect),
    /// The proxy, with this.
    Respond {
        /// Status.
        status: StatusCode,
        /// Body; `text/plain` unless the rule's response headers say otherwise.
        body: Bytes,
    },
}

/// How a request is sent on.
#[derive(Debug)]
pub struct Forward<P> {
    /// Never empty.
    pub destinations: Vec<Destination<P>>,
    /// What becomes of path and authority.
    pub rewrite: Rewrite,
    /// Time for everything, all tries together; `None`: no limit.
    pub timeout: Option<Duration>,
    /// Tries after a failure; `None`: none.
    pub retry: Option<RetryPolicy>,
    /// Who gets copies.
    pub mirrors: Vec<Mirror<P>>,
}

/// One of the places a rule sends to.
#[derive(Debug)]
pub struct Destination<P> {
    /// Its share, relative to the other weights of the rule.
    pub weight: u32,
    /// `None`: no such service, port or subset in the mesh. Envoy answers 503 with flag `NC`.
    pub cluster: Option<Arc<Cluster<P>>>,
    /// Changes to the request.
    pub request_headers: HeaderChanges,
    /// Changes to the response.
    pub response_headers: HeaderChanges,
}

/// A place that gets copies of requests, and whose answers nobody waits for.
#[derive(Debug)]
pub struct Mirror<P> {
    /// Of how many requests.
    pub share: Share,
    /// Where to.
    pub cluster: Option<Arc<Cluster<P>>>,
}

impl<P> Forward<P> {
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
    }
}
