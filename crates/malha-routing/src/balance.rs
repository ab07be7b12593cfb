//! Which endpoint of a cluster gets the request.

use std::sync::Arc;

use rand::{Rng, RngExt};

use crate::cluster::Endpoint;

/// Envoy's `LEAST_REQUEST` with its default `choice_count` of 2, Istio's default: of two endpoints drawn at random the
/// one with fewer requests in flight. `None` when there is no endpoint.
pub fn least_request<'a, P>(endpoints: &'a [Arc<Endpoint<P>>], chance: &mut impl Rng) -> Option<&'a Arc<Endpoint<P>>> {
    match endpoints {
        [] => None,
        [only] => Some(only),
        many => {
            let (a, b) = (&many[chance.random_range(0..many.len())], &many[chance.random_range(0..many.len())]);
            Some(if b.in_flight() < a.in_flight() { b } else { a })
        }
    }
}

#[cfg(test)]
mod tests {
    use malha_world::Chance;

    use super::*;
    use crate::cluster::InFlight;

    fn endpoints(count: u32) -> Vec<Arc<Endpoint<u32>>> {
        (0..count).map(|n| Arc::new(Endpoint::new(format!("10.244.0.{n}:80"), n))).collect()
    }

    #[test]
    fn nobody_is_nobody_and_one_is_always_chosen() {
        let mut chance = Chance::seeded(1).stream();
        assert!(least_request(&endpoints(0), &mut chance).is_none());
        assert_eq!(least_request(&endpoints(1), &mut chance).unwrap().payload, 0);
    }

    #[test]
    fn the_busier_of_two_is_chosen_only_when_drawn_twice() {
        let all = endpoints(2);
        let busy = InFlight::begin(&all[0]);
        let mut chance = Chance::seeded(1).stream();
        let drawn = |chance: &mut _| (0..10_000).filter(|_| least_request(&all, chance).unwrap().payload == 0).count();
        // Both draws name it a quarter of the time: 2,500 expected, six standard deviations are 260.
        assert!((2_240..2_760).contains(&drawn(&mut chance)));
        drop(busy);
        assert_eq!(all[0].in_flight(), 0);
    }
}
