//! `07-circuit-breaker.yml`

use super::{timed, wait};
use crate::support::{Answer, Call, Cluster, Manifests, assert_problem, get};

fn compose() -> Call {
    get("/composition").bearer(Cluster::admin())
}

fn hanging() -> Call {
    compose().header("x-sleep-fail", "1")
}

#[tokio::test(start_paused = true)]
async fn composition_is_slow_once_and_then_fast_for_a_minute() {
    let cluster = Manifests::step("07-circuit-breaker.yml").start().await;
    let (answer, seconds) = timed(&cluster, hanging()).await;
    assert_problem(&answer, 504);
    assert_eq!((seconds, cluster.log("posts").len()), (5, 1));

    for call in [hanging(), compose(), hanging()] {
        let (answer, seconds) = timed(&cluster, call).await;
        assert_problem(&answer, 502);
        assert_eq!(seconds, 0);
        let message = cluster.log("composition").pop().unwrap()["message"].clone();
        assert_eq!(message, "posts unavailable: status 503");
    }
    assert_eq!(cluster.log("posts").len(), 1, "nobody asked it again");

    wait(55).await;
    assert_eq!(cluster.gateway(compose()).await.status, 502);
    wait(10).await;
    assert_eq!(cluster.gateway(compose()).await.status, 200);
}

/// It was well for some intervals in between, so that the second ejection is no longer than the first (Envoy,
/// `DetectorImpl::checkHostForUneject`).
#[tokio::test(start_paused = true)]
async fn a_minute_later_it_is_slow_again_and_then_fast_again() {
    let cluster = Manifests::step("07-circuit-breaker.yml").start().await;
    for _ in 0..2 {
        assert_eq!(timed(&cluster, hanging()).await.1, 5);
        let (answer, seconds) = timed(&cluster, hanging()).await;
        assert_eq!((answer.status, seconds), (502, 0));
        wait(62).await;
    }
    assert_eq!(cluster.log("posts").len(), 2);
    assert_eq!(cluster.gateway(compose()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn each_proxy_has_an_account_of_its_own() {
    let cluster = Manifests::step("07-circuit-breaker.yml").start().await;
    assert_eq!(cluster.gateway(hanging()).await.status, 504);
    assert_eq!(cluster.gateway(compose()).await.status, 502);
    let posts = || get("/posts").bearer(Cluster::admin());
    assert_eq!(cluster.gateway(posts()).await.status, 200, "the gateway has seen no failure");

    let failed = async || -> Answer {
        loop {
            let answer = cluster.gateway(posts().header("x-fail", "1")).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    assert_problem(&failed().await, 503);
    for _ in 0..3 {
        let answer = cluster.gateway(posts()).await;
        assert_eq!((answer.status, answer.text()), (503, "no healthy upstream"));
        assert_eq!(answer.header("server"), Some("istio-envoy"));
    }
    // Load balancers have no proxy that could keep one.
    assert_eq!(cluster.service("posts", posts()).await.status, 200);
    wait(62).await;
    assert_eq!(cluster.gateway(posts()).await.status, 200);
}

/// "Try" of the workshop.
#[tokio::test(start_paused = true)]
async fn of_two_pods_the_other_answers() {
    let step = Manifests::step("07-circuit-breaker.yml");
    let cluster = step.edit("01-posts.yml", "replicas: 1", "replicas: 2").start().await;
    assert_eq!(timed(&cluster, hanging()).await.0.status, 504);
    for _ in 0..10 {
        let (answer, seconds) = timed(&cluster, compose()).await;
        assert_eq!((answer.status, seconds), (200, 0));
    }
    // The second failure leaves nobody.
    assert_eq!(timed(&cluster, hanging()).await.1, 5);
    assert_eq!(cluster.gateway(compose()).await.status, 502);
}
