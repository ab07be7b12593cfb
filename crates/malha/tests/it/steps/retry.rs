//! `04-retry.yml`

use std::collections::BTreeMap;

use super::timed;
use crate::support::{Cluster, Manifests, assert_problem, get};

/// The statuses that posts answered, by request.
fn tries(cluster: &Cluster) -> BTreeMap<String, Vec<u64>> {
    let mut tries: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in cluster.log("posts") {
        let id = line["request_id"].as_str().unwrap().to_owned();
        tries.entry(id).or_default().push(line["status"].as_u64().unwrap());
    }
    tries
}

/// Four tries fail once in sixteen times: of 400 requests 25, with a standard deviation of 4.8. A single try answers half
/// of them: 200, with one of 10.
#[tokio::test(start_paused = true)]
async fn retries_hide_nearly_all_of_the_failures() {
    let cluster = Manifests::step("04-retry.yml").start().await;
    let mut failed = 0;
    for _ in 0..400 {
        let answer = cluster.gateway(get("/posts/1").bearer(Cluster::admin()).header("x-fail", "1")).await;
        match answer.status {
            200 => {}
            503 => {
                assert_problem(&answer, 503);
                failed += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!((1..=54).contains(&failed), "{failed} of 400");

    let tries = tries(&cluster);
    assert_eq!(tries.len(), 400, "all tries of a request have its identifier");
    for statuses in tries.values() {
        let (last, before) = statuses.split_last().unwrap();
        assert!(before.iter().all(|status| *status == 503), "what was answered is not asked again: {statuses:?}");
        assert!(statuses.len() == 4 || (statuses.len() < 4 && *last == 200), "{statuses:?}");
    }
    assert_eq!(tries.values().filter(|statuses| **statuses == [503; 4]).count(), failed);
    let at_once = tries.values().filter(|statuses| statuses.len() == 1).count();
    assert!((140..=260).contains(&at_once), "{at_once} of 400");
}

/// Of 160 requests 10 fail, with a standard deviation of 3.1.
#[tokio::test(start_paused = true)]
async fn composition_asks_posts_again_too() {
    let cluster = Manifests::step("04-retry.yml").start().await;
    let mut failed = 0;
    for _ in 0..160 {
        let answer = cluster.gateway(get("/composition").bearer(Cluster::nocomments()).header("x-fail", "1")).await;
        match answer.status {
            200 => {}
            502 => failed += 1,
            other => panic!("{other}"),
        }
    }
    assert!((1..=28).contains(&failed), "{failed} of 160");
    assert_eq!(cluster.log("composition").len(), 160, "nobody asks composition again");
    assert_eq!(tries(&cluster).values().filter(|statuses| **statuses == [503; 4]).count(), failed);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_given_up_after_three_seconds() {
    let cluster = Manifests::step("04-retry.yml").start().await;
    let (answer, seconds) = timed(&cluster, get("/posts").header("x-sleep-fail", "1")).await;
    assert_eq!((answer.status, answer.text(), seconds), (504, "upstream request timeout", 3));
    assert_eq!(answer.header("server"), Some("istio-envoy"));

    let call = get("/composition").bearer(Cluster::admin()).header("x-sleep-fail", "1");
    let (answer, seconds) = timed(&cluster, call).await;
    assert_problem(&answer, 504);
    assert_eq!(seconds, 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_failure_of_the_service_is_not_asked_again() {
    let cluster = Manifests::step("04-retry.yml").start().await;
    for (path, status) in [("/posts", 401), ("/posts/9999", 404)] {
        let call = if status == 401 { get(path) } else { get(path).bearer(Cluster::admin()) };
        assert_eq!(cluster.gateway(call).await.status, status);
    }
    assert!(tries(&cluster).values().all(|statuses| statuses.len() == 1));
}

/// "Try" of the workshop: 200 of 400 fail, with a standard deviation of 10.
#[tokio::test(start_paused = true)]
async fn with_what_istio_does_by_itself_half_of_them_fail_again() {
    let words = ("retryOn: 5xx", "retryOn: connect-failure,refused-stream");
    let cluster = Manifests::step("04-retry.yml").edit("04-retry.yml", words.0, words.1).start().await;
    let mut failed = 0;
    for _ in 0..400 {
        let answer = cluster.gateway(get("/posts/1").bearer(Cluster::admin()).header("x-fail", "1")).await;
        failed += u32::from(answer.status == 503);
    }
    assert!((140..=260).contains(&failed), "{failed} of 400");
    assert!(tries(&cluster).values().all(|statuses| statuses.len() == 1));
}
