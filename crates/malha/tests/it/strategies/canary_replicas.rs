//! `canary-replicas`

use super::stage::{Stage, wait};
use super::{assert_all_of, assert_none_lost, assert_share, of};

#[tokio::test(start_paused = true)]
async fn the_share_follows_the_numbers_of_pods() {
    let mut stage = Stage::of("canary-replicas").await;
    wait(5).await;
    let three_to_one = 0..stage.begun();
    stage.types("scale deployment/relay-v1 --replicas 9").await;
    stage.types("rollout status deployment/relay-v1").await;
    let begin = stage.begun();
    wait(10).await;
    let nine_to_one = begin..stage.begun();
    stage.types("scale deployment/relay-v2 --replicas 3").await;
    stage.types("rollout status deployment/relay-v2").await;
    let begin = stage.begun();
    wait(5).await;
    let nine_to_three = begin..stage.begun();
    let only_next = stage.types("scale deployment/relay-v1 --replicas 0").await;
    wait(7).await;
    let seen = stage.ends().await;
    assert_none_lost(&seen);
    for (stretch, share) in [(three_to_one, 0.25), (nine_to_one, 0.1), (nine_to_three, 0.25)] {
        let seen = &seen[stretch];
        assert_share(of("0.0.2", seen), seen.len(), share);
    }
    assert_all_of("0.0.2", &seen[only_next..]);
}
