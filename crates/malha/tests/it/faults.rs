//! `X-Fail` and `X-Sleep-Fail`: faults that a client asks for.

use malha_world::World;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Cluster, Manifests, NOW, assert_problem, get};

/// Half of 400 is 200 with a standard deviation of 10. At six of them a fair coin fails this once in 500 million seeds;
/// the world's seed is fixed, so it passes always or never.
#[tokio::test(start_paused = true)]
async fn about_half_of_the_requests_with_x_fail_fail() {
    let cluster = Cluster::start().await;
    let mut failed = 0;
    for _ in 0..400 {
        let answer = cluster.gateway(get("/posts").bearer(Cluster::admin()).header("x-fail", "true")).await;
        match answer.status {
            200 => {}
            503 => {
                assert_problem(&answer, 503);
                failed += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!((140..=260).contains(&failed), "{failed} of 400");
}

#[tokio::test(start_paused = true)]
async fn x_sleep_fail_answers_504_after_five_seconds() {
    let cluster = Cluster::start().await;
    for call in [
        get("/posts").bearer(Cluster::admin()),
        get("/posts"),
        get("/posts/healthz"),
        get("/posts").bearer(Cluster::admin()).header("x-fail", "1"),
        get("/composition").bearer(Cluster::admin()),
    ] {
        let start = Instant::now();
        let answer = cluster.gateway(call.clone().header("x-sleep-fail", "1")).await;
        assert_problem(&answer, 504);
        assert_eq!(start.elapsed().as_secs(), 5, "{call:?}");
    }
    assert_eq!(cluster.log("posts")[0]["duration_ms"], json!(5000.0));
}

#[tokio::test(start_paused = true)]
async fn a_composition_with_x_fail_fails_as_often_as_its_posts() {
    let cluster = Cluster::start().await;
    for _ in 0..20 {
        let answer = cluster.gateway(get("/composition").bearer(Cluster::admin()).header("x-fail", "1")).await;
        let of_posts = cluster.log("posts").pop().unwrap()["status"].clone();
        let expected = if of_posts == 200 { 200 } else { 502 };
        assert_eq!(answer.status, expected, "posts answered {of_posts}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_posts_has_faults() {
    let cluster = Cluster::start().await;
    let start = Instant::now();
    for _ in 0..10 {
        let call = get("/comments").bearer(Cluster::admin()).headers(&[("x-fail", "1"), ("x-sleep-fail", "1")]);
        assert_eq!(cluster.gateway(call).await.status, 200);
    }
    assert_eq!(start.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_history_of_faults() {
    async fn history(seed: u64) -> Vec<u16> {
        let cluster = Manifests::base().start_in(World::simulated(NOW, seed)).await;
        let mut statuses = Vec::new();
        for _ in 0..64 {
            statuses.push(cluster.gateway(get("/posts/1").bearer(Cluster::admin()).header("x-fail", "1")).await.status);
        }
        statuses
    }
    let first = history(1).await;
    assert_eq!(history(1).await, first);
    assert_ne!(history(2).await, first);
}
