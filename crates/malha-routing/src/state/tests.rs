use std::time::Duration;

use http::{HeaderMap, StatusCode};
use malha_world::Chance;
use proptest::prelude::*;

use super::*;
use crate::cluster::Upstream;
use crate::traffic::{Balancer, Limits, Outlier};

type Endpoints = Vec<Arc<Endpoint<u32>>>;

fn endpoints(count: u32) -> Endpoints {
    let endpoint =
        |number| Endpoint { address: format!("10.244.0.{number}:80"), port: 80, upstream: Upstream::Pod(number) };
    (0..count).map(|number| Arc::new(endpoint(number))).collect()
}

fn cluster(endpoints: &[Arc<Endpoint<u32>>], policy: &Arc<TrafficPolicy>) -> Arc<Cluster<u32>> {
    let host = |endpoint: &Arc<_>| Host { endpoint: Arc::clone(endpoint), weight: 1, resident: None };
    Arc::new(Cluster {
        name: "outbound|80||posts.default.svc.cluster.local".into(),
        service: "posts.default.svc.cluster.local".into(),
        port: 80,
        hosts: endpoints.iter().map(host).collect(),
        policy: Arc::clone(policy),
    })
}

fn policy(balancer: Balancer, outlier: Option<Outlier>) -> Arc<TrafficPolicy> {
    Arc::new(TrafficPolicy { balancer, outlier, ..TrafficPolicy::default() })
}

fn strict() -> Outlier {
    Outlier { consecutive_5xx: 1, max_ejection_percent: 100, ..Outlier::default() }
}

fn number(pick: &Pick<u32>) -> u32 {
    match pick.host().endpoint.upstream {
        Upstream::Pod(number) => number,
        Upstream::Address(..) => unreachable!("all are pods"),
    }
}

fn fail(pick: &Pick<u32>, now: Moment) {
    let (status, headers) = (StatusCode::INTERNAL_SERVER_ERROR, &HeaderMap::new());
    pick.report(&Outcome::Response { status, headers }, now);
}

/// The hosts that ten picks choose.
fn chosen(state: &ClusterState<u32>, now: Moment) -> Vec<u32> {
    let mut chance = Chance::seeded(1).stream();
    let picks = (0..10).filter_map(|_| state.pick(None, &[], now, &mut chance));
    let mut numbers: Vec<_> = picks.map(|pick| number(&pick)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn pick(state: &ClusterState<u32>, wanted: u32, now: Moment) -> Pick<u32> {
    let mut chance = Chance::seeded(7).stream();
    let picks = std::iter::repeat_with(|| state.pick(None, &[], now, &mut chance).unwrap());
    picks.take(1000).find(|pick| number(pick) == wanted).unwrap()
}

const START: Moment = Moment::ZERO;

#[test]
fn an_ejected_host_is_not_chosen_and_then_is_again() {
    let state = ClusterState::new(&cluster(&endpoints(2), &policy(Balancer::RoundRobin, Some(strict()))), START);
    assert_eq!(chosen(&state, START), [0, 1]);
    let first = pick(&state, 0, START);
    fail(&first, START);
    assert!(!first.healthy(START));
    assert_eq!(chosen(&state, START), [1]);
    fail(&pick(&state, 1, START), START);
    assert_eq!(chosen(&state, START), [1], "balancers are told once a second");
    assert_eq!(chosen(&state, Duration::from_secs(1)), [0; 0], "503, no healthy upstream");
    assert_eq!(chosen(&state, Duration::from_secs(30)), [0], "and of each that comes back too");
    assert_eq!(chosen(&state, Duration::from_secs(31)), [0, 1]);
    assert!(first.healthy(Duration::from_secs(30)));
}

#[test]
fn below_the_panic_threshold_ejections_are_disregarded() {
    let outlier = Some(Outlier { min_health_percent: 60, ..strict() });
    let state = ClusterState::new(&cluster(&endpoints(2), &policy(Balancer::Random, outlier)), START);
    fail(&pick(&state, 0, START), START);
    assert_eq!(chosen(&state, START), [0, 1]);
}

#[test]
fn a_retry_passes_over_hosts_that_were_tried_while_there_are_others() {
    let state = ClusterState::new(&cluster(&endpoints(2), &policy(Balancer::RoundRobin, None)), START);
    let mut chance = Chance::seeded(1).stream();
    for _ in 0..50 {
        let first = state.pick(None, &[], START, &mut chance).unwrap();
        let tried = [first];
        let second = state.pick(None, &tried, START, &mut chance).unwrap();
        assert_ne!(number(&tried[0]), number(&second));
        // Both were tried: one of them it is.
        assert!(state.pick(None, &[tried[0].clone(), second], START, &mut chance).is_some());
    }
}

#[test]
fn hosts_that_stay_keep_their_accounts() {
    let (endpoints, policy) = (endpoints(3), policy(Balancer::LeastRequest, Some(strict())));
    let state = ClusterState::new(&cluster(&endpoints, &policy), START);
    let (first, second) = (pick(&state, 0, START), pick(&state, 1, START));
    fail(&first, START);
    let Admission::Go(ticket) = second.admit(START) else { panic!("there is no limit") };
    state.align(&cluster(&endpoints[..2], &policy));
    assert_eq!(chosen(&state, START), [1]);
    assert_eq!(pick(&state, 1, START).active(), 1);
    drop(ticket);
    assert_eq!(pick(&state, 1, START).active(), 0);
    // The same words in another place are the same policy.
    state.align(&cluster(&endpoints, &Arc::new(TrafficPolicy::clone(&policy))));
    assert_eq!(chosen(&state, START), [1, 2]);
}

#[test]
fn another_policy_is_another_cluster() {
    let endpoints = endpoints(2);
    let state = ClusterState::new(&cluster(&endpoints, &policy(Balancer::RoundRobin, Some(strict()))), START);
    fail(&pick(&state, 0, START), START);
    state.align(&cluster(&endpoints, &policy(Balancer::Random, Some(strict()))));
    assert_eq!(chosen(&state, START), [0, 1]);
}

#[test]
fn a_host_that_left_and_came_back_is_a_new_one() {
    let (endpoints, policy) = (endpoints(2), policy(Balancer::RoundRobin, Some(strict())));
    let state = ClusterState::new(&cluster(&endpoints, &policy), START);
    fail(&pick(&state, 0, START), START);
    state.align(&cluster(&endpoints[1..], &policy));
    state.align(&cluster(&endpoints, &policy));
    assert_eq!(chosen(&state, START), [0, 1]);
}

#[test]
fn a_request_with_an_older_snapshot_does_not_bring_it_back() {
    let (endpoints, policy) = (endpoints(2), policy(Balancer::RoundRobin, None));
    let (old, new) = (cluster(&endpoints, &policy), cluster(&endpoints[1..], &policy));
    let state = ClusterState::new(&old, START);
    state.align(&new);
    state.align(&old);
    assert_eq!(chosen(&state, START), [1]);
    assert!(Arc::ptr_eq(&state.cluster(), &new));
}

#[test]
fn what_a_retry_may_cost_is_of_the_cluster() {
    let limits = Limits { retries: 1, ..Limits::default() };
    let policy = Arc::new(TrafficPolicy { limits, ..TrafficPolicy::default() });
    let state = ClusterState::new(&cluster(&endpoints(1), &policy), START);
    let first = state.retries().begin();
    assert!(first.is_some() && state.retries().begin().is_none());
}

#[test]
fn each_cluster_is_remembered_until_it_is_gone() {
    let proxy = ProxyState::default();
    let policy = policy(Balancer::RoundRobin, Some(strict()));
    let cluster = cluster(&endpoints(1), &policy);
    let state = proxy.cluster(&cluster, START);
    assert!(Arc::ptr_eq(&state, &proxy.cluster(&cluster, START)));
    proxy.retain(|name| name == &*cluster.name);
    assert!(Arc::ptr_eq(&state, &proxy.cluster(&cluster, START)));
    proxy.retain(|_| false);
    assert!(!Arc::ptr_eq(&state, &proxy.cluster(&cluster, START)));
}

#[test]
fn many_threads_leave_nothing_behind() {
    let policy = Arc::new(TrafficPolicy {
        limits: Limits { connections: 2, pending: 3, requests: 4, retries: 1, ..Limits::default() },
        outlier: Some(strict()),
        ..TrafficPolicy::default()
    });
    let endpoints = endpoints(3);
    let state = ClusterState::new(&cluster(&endpoints, &policy), START);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (state, endpoints, policy) = (&state, &endpoints, &policy);
            scope.spawn(move || {
                let mut chance = Chance::seeded(seed).stream();
                for round in 0..500_u64 {
                    let now = Duration::from_secs(round);
                    if round % 50 == 0 {
                        state.align(&cluster(&endpoints[usize::from(round % 100 == 0)..], policy));
                    }
                    let Some(pick) = state.pick(None, &[], now, &mut chance) else { continue };
                    match pick.admit(now) {
                        Admission::Go(ticket) if chance.next_u32().is_multiple_of(2) => ticket.finish(now),
                        // Dropped: cut short, or gives up.
                        Admission::Go(_) | Admission::Wait(_) | Admission::Overflow => fail(&pick, now),
                    }
                }
            });
        }
    });
    let end = Duration::from_secs(10_000);
    assert_eq!(chosen(&state, end), [0, 1, 2][3 - state.cluster().hosts.len()..]);
    for host in chosen(&state, end) {
        assert_eq!(pick(&state, host, end).active(), 0);
    }
}

proptest! {
    #[test]
    fn a_pick_is_a_member_and_follows_from_seed_and_history(
        seed: u64,
        steps in prop::collection::vec((0_u8..4, 0_usize..6, 0_u64..40), 0..60),
    ) {
        let (all, policy) = (endpoints(6), policy(Balancer::LeastRequest, Some(strict())));
        let run = || {
            let state = ClusterState::new(&cluster(&all, &policy), START);
            let mut chance = Chance::seeded(seed).stream();
            let (mut now, mut members, mut history) = (START, 0..6, Vec::new());
            for (step, which, wait) in &steps {
                now += Duration::from_secs(*wait);
                if *step == 0 {
                    members = *which..6;
                    state.align(&cluster(&all[members.clone()], &policy));
                }
                let pick = state.pick(None, &[], now, &mut chance);
                if let Some(pick) = &pick {
                    assert!(members.contains(&(number(pick) as usize)) && pick.healthy(now));
                    if *step == 1 {
                        fail(pick, now);
                    }
                }
                history.push(pick.map(|pick| number(&pick)));
            }
            history
        };
        prop_assert_eq!(run(), run());
    }
}
