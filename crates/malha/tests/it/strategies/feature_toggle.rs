//! `feature-toggle`

use super::load::Seen;
use super::stage::{Stage, wait};
use super::{assert_all_of, assert_none_lost};

/// What the README switches on.
const MESSAGE: &str = "Olá!";

fn is_on(seen: &Seen) -> bool {
    match &seen.body["service1"]["feature_message"] {
        message if message == MESSAGE => true,
        message if message.is_null() => false,
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_setting_comes_with_new_pods_and_not_before() {
    let mut stage = Stage::of("feature-toggle").await;
    wait(1).await;
    stage.types("patch configmap relay").await;
    wait(5).await;
    let restart = stage.types("rollout restart").await;
    stage.types("rollout status").await;
    let on = stage.begun();
    wait(1).await;
    stage.types("patch configmap relay").await;
    wait(5).await;
    let back = stage.types("rollout restart").await;
    stage.types("rollout status").await;
    let off = stage.begun();
    wait(7).await;
    let seen = stage.ends().await;
    assert_none_lost(&seen);
    assert_all_of("0.0.1", &seen);
    assert!(!seen[..restart].iter().any(is_on));
    assert!(seen[on..back].iter().all(is_on));
    assert!(!seen[off..].iter().any(is_on));
    for rollout in [&seen[restart..on], &seen[back..off]] {
        let count = rollout.iter().filter(|seen| is_on(seen)).count();
        assert!((1..rollout.len()).contains(&count), "{count} of {}", rollout.len());
    }
}
