//! `recreate`

use std::time::Duration;

use super::assert_all_of;
use super::load::Seen;
use super::stage::{Stage, wait};

/// Claims that nobody answers at first, and then this version alone.
#[track_caller]
fn assert_down_and_then(version: &str, seen: &[Seen]) {
    let down = seen.iter().take_while(|seen| seen.status == 503 && seen.version.is_none()).count();
    let (down, up) = seen.split_at(down);
    assert_all_of(version, up);
    // Six seconds of `preStop`, as far as clients that ask every 25 ms can tell. Here a pod starts in no time.
    let long = up[0].at - down[0].at;
    assert!((Duration::from_millis(5_900)..=Duration::from_millis(6_100)).contains(&long), "{long:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_answers_between_the_old_pods_and_the_new_ones() {
    let mut stage = Stage::of("recreate").await;
    wait(1).await;
    let release = stage.types("set image").await;
    stage.types("rollout status").await;
    wait(1).await;
    let back = stage.types("rollout undo").await;
    stage.types("rollout status").await;
    wait(1).await;
    let seen = stage.ends().await;
    // What was under way when the pods were told to end is among these.
    assert_all_of("0.0.1", &seen[..release]);
    assert_down_and_then("0.0.2", &seen[release..back]);
    assert_down_and_then("0.0.1", &seen[back..]);
}
