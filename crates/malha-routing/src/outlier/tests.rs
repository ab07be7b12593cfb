use http::{HeaderMap, StatusCode};
use proptest::prelude::*;

use super::*;

struct Scene {
    detector: Detector,
    accounts: Vec<Arc<Account>>,
}

fn seconds(seconds: u64) -> Moment {
    Duration::from_secs(seconds)
}

impl Scene {
    fn new(hosts: usize, rules: Outlier) -> Self {
        let accounts: Vec<_> = (0..hosts).map(|_| Arc::default()).collect();
        let detector = Detector::new(rules, Moment::ZERO);
        detector.align(&accounts);
        Self { detector, accounts }
    }

    fn status(&self, host: usize, status: u16, now: u64) {
        let headers = HeaderMap::new();
        let outcome = Outcome::Response { status: StatusCode::from_u16(status).unwrap(), headers: &headers };
        self.detector.report(&self.accounts[host], &outcome, seconds(now));
    }

    fn statuses(&self, host: usize, statuses: &[u16]) {
        for status in statuses {
            self.status(host, *status, 0);
        }
    }

    /// Whether it is ejected, balancers told or not.
    fn ejected(&self, host: usize, now: u64) -> bool {
        self.detector.tick(seconds(now));
        self.detector.ledger.lock().records[host].ejected_at.is_some()
    }

    /// Whether balancers leave it out.
    fn left_out(&self, host: usize, now: Moment) -> bool {
        self.detector.tick(now);
        self.accounts[host].ejected.load(Ordering::Relaxed)
    }

    fn count(&self, now: u64) -> usize {
        (0..self.accounts.len()).filter(|host| self.ejected(*host, now)).count()
    }
}

fn all() -> Outlier {
    Outlier { max_ejection_percent: 100, ..Outlier::default() }
}

#[test]
fn failures_in_a_row_eject_and_a_success_begins_anew() {
    let gateway = Outlier { consecutive_5xx: 0, consecutive_gateway: 3, ..all() };
    let both = Outlier { consecutive_5xx: 4, consecutive_gateway: 2, ..all() };
    let codes = |codes: &[u16]| Outlier { error_codes: codes.to_vec(), consecutive_5xx: 2, ..all() };
    for (rules, statuses, ejected) in [
        (all(), &[500, 503, 599, 504, 500][..], true),
        (all(), &[500; 4], false),
        (all(), &[500, 500, 500, 404, 500, 500], false),
        (all(), &[200, 500, 500, 500, 500, 500, 200], true),
        (gateway.clone(), &[502, 503, 504], true),
        (gateway.clone(), &[503, 500, 503, 503], false),
        (gateway, &[500; 9], false),
        (both.clone(), &[503, 503], true),
        (both, &[500, 503, 500, 503], true),
        (Outlier { consecutive_5xx: 0, ..all() }, &[503; 20], false),
        (codes(&[429, 503]), &[429, 429], true),
        (codes(&[429, 503]), &[429, 503], true),
        (codes(&[429, 503]), &[429, 500, 429], false),
        (codes(&[429, 503]), &[500, 500], false),
    ] {
        let scene = Scene::new(1, rules.clone());
        scene.statuses(0, statuses);
        assert_eq!(scene.ejected(0, 0), ejected, "{statuses:?} {rules:?}");
    }
}

#[test]
fn failures_of_the_connection_are_answers_of_503_and_504_unless_they_are_told_apart() {
    let failures =
        [Outcome::ConnectFailure, Outcome::Refused, Outcome::Reset { sent: true }, Outcome::Timeout { sent: true }];
    let gateway = Outlier { consecutive_5xx: 0, consecutive_gateway: 1, ..all() };
    let split = Outlier { consecutive_5xx: 1, consecutive_gateway: 1, consecutive_local: Some(2), ..all() };
    for outcome in failures {
        let scene = Scene::new(1, gateway.clone());
        scene.detector.report(&scene.accounts[0], &outcome, Moment::ZERO);
        assert!(scene.ejected(0, 0), "{outcome:?}");

        let scene = Scene::new(1, split.clone());
        scene.detector.report(&scene.accounts[0], &outcome, Moment::ZERO);
        Detector::connected(&scene.accounts[0]);
        scene.detector.report(&scene.accounts[0], &outcome, Moment::ZERO);
        assert!(!scene.ejected(0, 0), "a connection between them: {outcome:?}");
        scene.detector.report(&scene.accounts[0], &outcome, Moment::ZERO);
        assert!(scene.ejected(0, 0), "{outcome:?}");
    }
    let scene = Scene::new(1, gateway);
    scene.detector.report(&scene.accounts[0], &Outcome::Overflow, Moment::ZERO);
    assert!(!scene.ejected(0, 0), "an overflow is not the host's fault");
}

#[test]
fn the_share_of_ejected_hosts_is_strict() {
    for (hosts, percent, most) in [
        (9, 10, 0),
        (10, 10, 1),
        (19, 10, 1),
        (20, 10, 2),
        (2, 49, 0),
        (2, 50, 1),
        (3, 100, 3),
        (3, 99, 2),
        (1, 200, 1),
    ] {
        let scene =
            Scene::new(hosts, Outlier { consecutive_5xx: 1, max_ejection_percent: percent, ..Outlier::default() });
        for host in 0..hosts {
            scene.status(host, 500, 0);
        }
        assert_eq!(scene.count(0), most, "{percent} % of {hosts}");
    }
}

#[test]
fn a_refused_ejection_counts_from_the_beginning() {
    let scene = Scene::new(2, Outlier { consecutive_5xx: 2, max_ejection_percent: 50, ..Outlier::default() });
    scene.statuses(0, &[500, 500]);
    scene.statuses(1, &[500, 500]);
    assert!(scene.ejected(0, 0) && !scene.ejected(1, 0));
    assert!(!scene.ejected(0, 30));
    // The place is free now, but one failure is one.
    scene.status(1, 500, 31);
    assert!(!scene.ejected(1, 31));
    scene.status(1, 500, 31);
    assert!(scene.ejected(1, 31));
}

#[test]
fn hosts_come_back_at_a_tick_and_not_in_between() {
    let rules = Outlier { consecutive_5xx: 1, interval: seconds(10), base_ejection: seconds(25), ..all() };
    let scene = Scene::new(1, rules);
    scene.status(0, 500, 7);
    // 7 + 25 = 32, and the first tick after that is at 40.
    assert!(scene.ejected(0, 32) && scene.ejected(0, 39));
    assert!(!scene.ejected(0, 40));
}

#[test]
fn each_ejection_lasts_a_base_longer_and_each_healthy_interval_takes_one_off() {
    let rules = Outlier { consecutive_5xx: 1, interval: seconds(1), base_ejection: seconds(10), ..all() };
    let length = |scene: &Scene, from: u64| {
        scene.status(0, 500, from);
        (0..1000).find(|length| !scene.ejected(0, from + length)).unwrap()
    };
    let scene = Scene::new(1, rules);
    assert_eq!(length(&scene, 0), 10);
    // At once again: the tick that brought it back takes nothing off.
    assert_eq!(length(&scene, 10), 20);
    assert_eq!(length(&scene, 30), 30);
    // Healthy at 61 and 62, which takes two off.
    assert_eq!(length(&scene, 62), 20);
    // Long forgotten.
    assert_eq!(length(&scene, 500), 10);
}

#[test]
fn no_ejection_is_longer_than_300_seconds_or_its_base() {
    for (base, longest) in [(100, 300), (400, 400)] {
        let rules = Outlier { consecutive_5xx: 1, interval: seconds(1), base_ejection: seconds(base), ..all() };
        let scene = Scene::new(1, rules);
        let mut now = 0;
        for _ in 0..8 {
            scene.status(0, 500, now);
            let from = now;
            while scene.ejected(0, now) {
                now += 1;
            }
            assert!(now - from <= longest, "{base}");
        }
        assert_eq!(scene.detector.ledger.lock().records[0].multiplier, u32::try_from(longest / base + 1).unwrap());
    }
}

#[test]
fn a_host_that_comes_back_begins_with_no_failures() {
    let rules = Outlier { consecutive_5xx: 3, consecutive_gateway: 2, ..all() };
    let scene = Scene::new(1, rules);
    scene.statuses(0, &[503, 503]);
    assert!(scene.ejected(0, 0) && !scene.ejected(0, 30));
    scene.status(0, 503, 30);
    assert!(!scene.ejected(0, 30));
}

#[test]
fn a_host_that_leaves_makes_room_for_another_ejection() {
    let scene = Scene::new(4, Outlier { consecutive_5xx: 1, max_ejection_percent: 34, ..Outlier::default() });
    scene.status(0, 500, 0);
    scene.status(1, 500, 0);
    assert_eq!(scene.count(0), 1);
    scene.detector.align(&scene.accounts[1..]);
    scene.status(1, 500, 0);
    // Balancers were told a moment before.
    assert!(!scene.left_out(1, seconds(0)) && scene.left_out(1, seconds(1)));
    // What is said of one who has left has no effect.
    scene.status(0, 200, 0);
    assert_eq!(scene.detector.ledger.lock().records.len(), 3);
}

proptest! {
    #[test]
    fn never_more_are_ejected_than_allowed_and_looking_often_changes_nothing(
        hosts in 1_usize..12,
        percent in 0_u32..=100,
        events in prop::collection::vec((0_usize..12, prop::sample::select(&[200_u16, 500, 503, 504]), 0_u64..9), 1..120),
    ) {
        let rules = Outlier {
            consecutive_5xx: 2,
            consecutive_gateway: 1,
            interval: seconds(4),
            base_ejection: seconds(5),
            max_ejection_percent: percent,
            ..Outlier::default()
        };
        let (watched, alone) = (Scene::new(hosts, rules.clone()), Scene::new(hosts, rules));
        let mut now = 0;
        for (host, status, wait) in events {
            for _ in 0..wait {
                now += 1;
                watched.count(now);
            }
            for scene in [&watched, &alone] {
                scene.status(host % hosts, status, now);
            }
            let count = watched.count(now);
            prop_assert!(count * 100 <= percent as usize * hosts);
            for host in 0..hosts {
                prop_assert_eq!(watched.ejected(host, now), alone.ejected(host, now));
            }
        }
        // After the longest ejection all are back.
        prop_assert_eq!(watched.count(now + 310), 0);
        let multipliers = |scene: &Scene| -> Vec<u32> {
            scene.detector.ledger.lock().records.iter().map(|record| record.multiplier).collect()
        };
        alone.count(now + 310);
        prop_assert_eq!(multipliers(&watched), multipliers(&alone));
    }
}

#[test]
fn balancers_are_told_at_once_and_then_once_a_second() {
    let scene = Scene::new(3, Outlier { consecutive_5xx: 1, ..all() });
    let told = |millis: u64| [0, 1, 2].map(|host| scene.left_out(host, Duration::from_millis(millis)));
    let fail = |host: usize, millis: u64| {
        let headers = HeaderMap::new();
        let outcome = Outcome::Response { status: StatusCode::BAD_GATEWAY, headers: &headers };
        scene.detector.report(&scene.accounts[host], &outcome, Duration::from_millis(millis));
    };
    fail(0, 5000);
    assert_eq!(told(5000), [true, false, false]);
    fail(1, 5300);
    assert_eq!(told(6299), [true, false, false]);
    fail(2, 6299);
    assert_eq!(told(6300), [true, true, true], "all that happened since");
    // All come back with the tick at 40 s: one of them at once.
    assert_eq!(told(40_000), [false, true, true]);
    assert_eq!(told(40_999), [false, true, true]);
    assert_eq!(told(41_000), [false, false, false]);
}
