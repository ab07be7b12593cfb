//! `05-shifting.yml`

use super::of_version;
use crate::support::{Cluster, Manifests, get};

/// Half of 400 is 200, with a standard deviation of 10.
#[tokio::test(start_paused = true)]
async fn half_of_the_answers_are_of_the_next_version() {
    let cluster = Manifests::step("05-shifting.yml").start().await;
    let mut next = 0;
    for _ in 0..400 {
        let answer = cluster.gateway(get("/posts/1").bearer(Cluster::admin())).await;
        match (answer.status, answer.header("x-app-version")) {
            (200, Some("0.0.1")) => {}
            (200, Some("0.0.2")) => next += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((140..=260).contains(&next), "{next} of 400");
    assert_eq!(of_version(&cluster, "posts", "0.0.2").len(), next);
}

/// Half of 100 is 50, with a standard deviation of 5.
#[tokio::test(start_paused = true)]
async fn composition_is_shifted_too() {
    let cluster = Manifests::step("05-shifting.yml").start().await;
    for _ in 0..100 {
        let answer = cluster.gateway(get("/composition").bearer(Cluster::nocomments())).await;
        assert_eq!(answer.items().len(), 100);
    }
    let [first, next] = ["0.0.1", "0.0.2"].map(|version| of_version(&cluster, "posts", version).len());
    assert_eq!(first + next, 100);
    assert!((20..=80).contains(&next), "{next} of 100");
}

/// 200 of 400, with a standard deviation of 10; by pods it would be 300.
#[tokio::test(start_paused = true)]
async fn weights_count_and_not_pods() {
    let cluster =
        Manifests::step("05-shifting.yml").edit("05-shifting.yml", "replicas: 1", "replicas: 3").start().await;
    let mut next = 0;
    for _ in 0..400 {
        let answer = cluster.gateway(get("/posts/healthz")).await;
        next += u32::from(answer.header("x-app-version") == Some("0.0.2"));
    }
    assert!((140..=260).contains(&next), "{next} of 400");
}

/// "Try" of the workshop: a tenth of 400 is 40, with a standard deviation of 6.
#[tokio::test(start_paused = true)]
async fn a_canary_gets_a_tenth() {
    let weight = |subset: &str, weight: u32| {
        format!("subset: {subset}\n            port:\n              number: 80\n          weight: {weight}")
    };
    let cluster = Manifests::step("05-shifting.yml")
        .edit("05-shifting.yml", &weight("v1", 50), &weight("v1", 90))
        .edit("05-shifting.yml", &weight("v2", 50), &weight("v2", 10))
        .start()
        .await;
    let mut next = 0;
    for _ in 0..400 {
        let answer = cluster.gateway(get("/posts/1").bearer(Cluster::admin())).await;
        next += u32::from(answer.header("x-app-version") == Some("0.0.2"));
    }
    assert!((4..=76).contains(&next), "{next} of 400");
}
