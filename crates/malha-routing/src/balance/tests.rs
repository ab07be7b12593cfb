use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use malha_world::Chance;
use proptest::prelude::*;

use super::*;
use crate::cluster::{Endpoint, Upstream};
use crate::traffic::HashKey;

fn hosts(weights: &[u32]) -> Vec<Host<()>> {
    let host = |(number, weight): (usize, &u32)| Host {
        endpoint: Arc::new(Endpoint {
            address: format!("127.0.0.1:{}", 18101 + number),
            port: 80,
            upstream: Upstream::Pod(()),
        }),
        weight: *weight,
        resident: None,
    };
    weights.iter().enumerate().map(host).collect()
}

fn key() -> HashKey {
    HashKey::Header(HeaderName::from_static("x-key"))
}

fn hashing(ring: Ring) -> Balancer {
    Balancer::ConsistentHash { key: key(), ring }
}

/// Hosts that a key's values lead to, the first being `1`.
fn led(balancer: &Balancer, weights: &[u32], values: impl Iterator<Item = Vec<String>>) -> String {
    let hosts = hosts(weights);
    let lineup = Lineup::new(&hosts, |_| true, 0);
    let mut chance = Chance::seeded(1).stream();
    values
        .map(|values| {
            let headers: HeaderMap = values
                .iter()
                .map(|value| (HeaderName::from_static("x-key"), HeaderValue::from_str(value).unwrap()))
                .collect();
            let hash = key().hash(&headers, "/", None).hash.unwrap();
            let index = lineup.draw(balancer, &hosts, |_| 0, &Turns::default(), (hash, 0), &mut chance).unwrap();
            char::from_digit(u32::try_from(index).unwrap() + 1, 10).unwrap()
        })
        .collect()
}

#[test]
fn a_hash_leads_where_a_real_envoy_sends_it() {
    // Of Envoy 1.40, three hosts 127.0.0.1:18101 to 18103, header values key-0 to key-47.
    let ketama = |minimum_size| hashing(Ring::Ketama { minimum_size });
    let maglev = hashing(Ring::Maglev { table_size: 65537 });
    let keys = || (0..48).map(|number| vec![format!("key-{number}")]);
    for (balancer, weights, expected) in [
        (ketama(1024), [1, 1, 1], "211323322111323232113123313322312333331223123233"),
        (ketama(1024), [1, 2, 5], "333323322133333332113333313333332333333313133233"),
        (ketama(10), [1, 1, 1], "213233133123113123323211213233112111132131331211"),
        (maglev.clone(), [1, 1, 1], "131331123121222132332221133133321331311121211123"),
        (maglev, [1, 2, 5], "133333133121323132332221133333321331313122231123"),
    ] {
        assert_eq!(led(&balancer, &weights, keys()), expected, "{balancer:?} {weights:?}");
    }
    let twice = (0..48).map(|number| vec![format!("b{number}"), format!("a{number}")]);
    assert_eq!(led(&ketama(1024), &[1, 1, 1], twice), "213333332133111111221223322332133121112221123233");
    assert_eq!(led(&ketama(1024), &[1, 1, 1], std::iter::once(vec![String::new()])), "2");
}

/// How often each host is drawn, with nothing in flight.
fn counts(balancer: &Balancer, weights: &[u32], draws: u32) -> Vec<u32> {
    let hosts = hosts(weights);
    let lineup = Lineup::new(&hosts, |_| true, 0);
    let (turns, mut chance) = (Turns::default(), Chance::seeded(1).stream());
    let mut counts = vec![0; weights.len()];
    for _ in 0..draws {
        let hash = chance.next_u64();
        counts[lineup.draw(balancer, &hosts, |_| 0, &turns, (hash, 0), &mut chance).unwrap()] += 1;
    }
    counts
}

#[test]
fn round_robin_is_exact_with_and_without_weights() {
    assert_eq!(counts(&Balancer::RoundRobin, &[1, 1, 1], 300), [100, 100, 100]);
    assert_eq!(counts(&Balancer::RoundRobin, &[7, 7], 10), [5, 5]);
    for (count, weight) in counts(&Balancer::RoundRobin, &[1, 2, 5], 800).into_iter().zip([1, 2, 5]) {
        assert!(count.abs_diff(weight * 100) <= 1, "{count} for {weight}");
    }
}

#[test]
fn weights_count_for_least_request_but_not_for_a_random_choice() {
    for (count, weight) in counts(&Balancer::LeastRequest, &[1, 3], 4000).into_iter().zip([1, 3]) {
        assert!(count.abs_diff(weight * 1000) <= 1, "{count} for {weight}");
    }
    // 3,000 expected; six standard deviations are 232.
    assert!((2_768..3_232).contains(&counts(&Balancer::Random, &[1, 3], 6000)[0]));
}

#[test]
fn the_busier_of_two_is_chosen_only_when_drawn_twice() {
    let hosts = hosts(&[1, 1]);
    let lineup = Lineup::new(&hosts, |_| true, 0);
    let (turns, mut chance) = (Turns::default(), Chance::seeded(1).stream());
    let busy = |index| u32::from(index == 0);
    let draw = |_: &u32| lineup.draw(&Balancer::LeastRequest, &hosts, busy, &turns, (0, 0), &mut chance).unwrap() == 0;
    // Both draws name it a quarter of the time: 2,500 expected, six standard deviations are 260.
    assert!((2_240..2_760).contains(&(0..10_000).filter(draw).count()));
}

#[test]
fn with_weights_requests_in_flight_count_against_them() {
    let hosts = hosts(&[4, 1]);
    let lineup = Lineup::new(&hosts, |_| true, 0);
    let (turns, mut chance) = (Turns::default(), Chance::seeded(1).stream());
    // Four, with seven in flight, weighs half; one, with none, weighs one.
    let active = |index| if index == 0 { 7 } else { 0 };
    let mut draw = || lineup.draw(&Balancer::LeastRequest, &hosts, active, &turns, (0, 0), &mut chance).unwrap();
    let first = (0..300).filter(|_| draw() == 0).count();
    assert!((99..=101).contains(&first), "{first}");
}

#[test]
fn another_attempt_leads_elsewhere_on_a_ring() {
    let hosts = hosts(&[1, 1, 1]);
    let lineup = Lineup::new(&hosts, |_| true, 0);
    let (turns, mut chance) = (Turns::default(), Chance::seeded(1).stream());
    for ring in [Ring::Ketama { minimum_size: 1024 }, Ring::Maglev { table_size: 65537 }] {
        let mut draw =
            |attempt| lineup.draw(&hashing(ring), &hosts, |_| 0, &turns, (42, attempt), &mut chance).unwrap();
        let all: std::collections::BTreeSet<_> = (0..50).map(&mut draw).collect();
        assert_eq!(all.len(), 3, "{ring:?}");
        assert_eq!(draw(0), draw(0));
    }
}

#[test]
fn panic_needs_too_few_healthy_hosts_and_is_not_thought_of_above_five_sevenths() {
    for (hosts, healthy, minimum, expected) in [
        (2, 0, 0, false),
        (2, 0, 1, true),
        (2, 1, 50, false),
        (2, 1, 51, true),
        (4, 1, 50, true),
        // 75 % is below 90 %, but 1.4 × 75 % is enough.
        (4, 3, 90, false),
        (4, 3, 1000, false),
        (7, 5, 100, false),
        (10, 7, 100, true),
        (0, 0, 100, false),
    ] {
        assert_eq!(panics(hosts, healthy, minimum), expected, "{healthy} of {hosts}, {minimum} %");
    }
}

#[test]
fn nobody_healthy_is_nobody_and_in_a_panic_everybody() {
    let hosts = hosts(&[1, 1]);
    for (minimum, chosen) in [(0, 0), (50, 2)] {
        assert_eq!(Lineup::new(&hosts, |_| false, minimum).hosts.len(), chosen);
    }
    assert_eq!(Lineup::new(&hosts, |index| index == 1, 50).hosts, [1]);
    assert_eq!(Lineup::new(&hosts, |index| index == 1, 51).hosts, [0, 1]);
}

fn any_balancer() -> impl Strategy<Value = Balancer> {
    prop_oneof![
        Just(Balancer::LeastRequest),
        Just(Balancer::RoundRobin),
        Just(Balancer::Random),
        Just(Balancer::OriginalDestination),
        (0_u64..3000).prop_map(|minimum_size| hashing(Ring::Ketama { minimum_size })),
        (0_u64..60).prop_map(|table_size| hashing(Ring::Maglev { table_size })),
    ]
}

proptest! {
    #[test]
    fn what_is_drawn_is_a_healthy_member_and_follows_from_the_seed(
        balancer in any_balancer(),
        weights in prop::collection::vec((0_u32..20, any::<bool>()), 0..12),
        seed: u64,
        hash: u64,
        attempt in 0_u32..8,
    ) {
        let hosts = hosts(&weights.iter().map(|(weight, _)| *weight).collect::<Vec<_>>());
        let draw = || {
            let lineup = Lineup::new(&hosts, |index| weights[index].1, 0);
            let (turns, mut chance) = (Turns::default(), Chance::seeded(seed).stream());
            let active = |index| u32::try_from(index).unwrap() % 3;
            std::array::from_fn::<_, 4, _>(|_| {
                lineup.draw(&balancer, &hosts, active, &turns, (hash, attempt), &mut chance)
            })
        };
        let drawn = draw();
        prop_assert_eq!(drawn, draw());
        for index in drawn {
            match index {
                Some(index) => prop_assert!(weights[index].1),
                None => prop_assert!(weights.iter().all(|(_, healthy)| !healthy)),
            }
        }
    }

    #[test]
    fn turns_by_weight_are_never_more_than_one_off(weights in prop::collection::vec(1_u32..9, 1..6)) {
        let rounds = 5;
        let total: u32 = weights.iter().sum();
        for (count, weight) in counts(&Balancer::RoundRobin, &weights, total * rounds).into_iter().zip(&weights) {
            prop_assert!(count.abs_diff(weight * rounds) <= 1);
        }
    }
}
