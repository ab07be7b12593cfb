//! `canary-weight`

use super::load::Seen;
use super::stage::{Stage, wait};
use super::{assert_all_of, assert_none_lost, assert_share, of};

/// Whether the service that relay asked was of this version.
fn next_is(seen: &Seen, version: &str) -> bool {
    assert_eq!(seen.body["service2"]["status"], "up", "{seen:?}");
    seen.body["service2"]["version"] == version
}

#[tokio::test(start_paused = true)]
async fn weights_decide_at_the_edge_and_within_the_mesh() {
    let mut stage = Stage::of("canary-weight").await;
    wait(10).await;
    let half = stage.types("patch virtualservice relay").await;
    wait(10).await;
    let all = stage.types("patch virtualservice relay").await;
    wait(1).await;
    let back = stage.types("patch virtualservice relay").await;
    wait(1).await;
    let seen = stage.ends().await;
    assert_none_lost(&seen);
    let next = |seen: &[Seen]| seen.iter().filter(|seen| next_is(seen, "0.0.2")).count();
    assert_share(of("0.0.2", &seen[..half]), half, 0.1);
    // The two draw for themselves.
    let (first, canary): (Vec<_>, Vec<_>) = seen[half..all].iter().cloned().partition(|seen| seen.is("0.0.1"));
    assert_share(canary.len(), all - half, 0.5);
    assert_share(next(&first), first.len(), 0.3);
    assert_share(next(&canary), canary.len(), 0.3);
    assert_all_of("0.0.2", &seen[all..back]);
    assert_all_of("0.0.1", &seen[back..]);
    assert_share(next(&seen), seen.len(), 0.3);
}
