//! `06-fault.yml`

use std::collections::BTreeMap;

use super::timed;
use crate::support::{Cluster, Manifests, get};

/// A quarter of 400 is 100, with a standard deviation of 8.7.
#[tokio::test(start_paused = true)]
async fn delay_and_abort_come_alone_together_and_not_at_all() {
    let cluster = Manifests::step("06-fault.yml").start().await;
    let mut counts = BTreeMap::<(u16, u64), u32>::new();
    for _ in 0..400 {
        let (answer, seconds) = timed(&cluster, get("/comments/1").bearer(Cluster::admin())).await;
        if answer.status == 500 {
            assert_eq!(answer.text(), "fault filter abort");
            assert_eq!(answer.header("server"), Some("istio-envoy"));
        }
        *counts.entry((answer.status, seconds)).or_default() += 1;
    }
    let cases: Vec<_> = counts.keys().copied().collect();
    assert_eq!(cases, [(200, 0), (200, 5), (500, 0), (500, 5)]);
    assert!(counts.values().all(|count| (48..=152).contains(count)), "{counts:?}");
    let asked = usize::try_from(counts[&(200, 0)] + counts[&(200, 5)]).unwrap();
    assert_eq!(cluster.log("comments").len(), asked, "comments never hears of what is aborted");
}

/// Of 160 compositions 40 are whole and 40 lack comments at once, with standard deviations of 5.5; 80 lack them after
/// three seconds, with one of 6.3.
#[tokio::test(start_paused = true)]
async fn composition_does_without_comments_that_are_late_or_fail() {
    let cluster = Manifests::step("06-fault.yml").start().await;
    let mut counts = BTreeMap::<(bool, u64), u32>::new();
    for _ in 0..160 {
        let (answer, seconds) = timed(&cluster, get("/composition").bearer(Cluster::admin())).await;
        let whole = answer.header("x-degraded").is_none();
        assert_eq!(answer.items()[0].get("comments").is_some(), whole);
        *counts.entry((whole, seconds)).or_default() += 1;
    }
    let cases: Vec<_> = counts.keys().copied().collect();
    assert_eq!(cases, [(false, 0), (false, 3), (true, 0)]);
    for (case, count) in &counts {
        let range = if *case == (false, 3) { 43..=117 } else { 8..=72 };
        assert!(range.contains(count), "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_services_are_left_alone() {
    let cluster = Manifests::step("06-fault.yml").start().await;
    for _ in 0..20 {
        let (answer, seconds) = timed(&cluster, get("/posts/1").bearer(Cluster::admin())).await;
        assert_eq!((answer.status, seconds), (200, 0));
    }
}
