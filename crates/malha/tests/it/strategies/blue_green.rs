//! `blue-green`

use super::assert_all_of;
use super::stage::{Stage, wait};

#[tokio::test(start_paused = true)]
async fn all_requests_change_over_at_one_moment_and_back_at_another() {
    let mut stage = Stage::of("blue-green").await;
    wait(1).await;
    stage.types("scale deployment/relay-v2 --replicas 3").await;
    stage.types("rollout status deployment/relay-v2").await;
    wait(1).await;
    let switched = stage.types("patch service relay").await;
    wait(2).await;
    let back = stage.types("patch service relay").await;
    wait(2).await;
    let seen = stage.ends().await;
    assert_all_of("0.0.1", &seen[..switched]);
    assert_all_of("0.0.2", &seen[switched..back]);
    assert_all_of("0.0.1", &seen[back..]);
}
