//! `shadow`

use std::time::Duration;

use super::assert_all_of;
use super::stage::{Stage, wait};

/// No client waits longer: it is what relay takes for one request, on a clock that counts milliseconds.
const QUICK: Duration = Duration::from_millis(102);

#[tokio::test(start_paused = true)]
async fn the_next_version_gets_a_copy_of_each_and_nobody_its_answers() {
    let mut stage = Stage::of("shadow").await;
    wait(3).await;
    let seen = stage.clients_end().await;
    // Until the last copy is answered too.
    wait(1).await;
    assert_all_of("0.0.1", &seen);
    let copied = stage.logged("relay-v2");
    assert_eq!(copied.len(), seen.len());
    assert_eq!(copied, stage.logged("relay-v1"));
}

#[tokio::test(start_paused = true)]
async fn a_next_version_that_is_slow_or_gone_hurts_nobody() {
    let mut stage = Stage::of("shadow").await;
    stage.types("set env deployment/relay-v2 SLEEP_TIME=60").await;
    stage.types("rollout status deployment/relay-v2").await;
    wait(2).await;
    stage.types("scale deployment/relay-v2 --replicas 0").await;
    wait(2).await;
    stage.types("patch virtualservice relay").await;
    stage.also("kubectl scale deployment/relay-v2 --replicas 1").await;
    stage.also("kubectl rollout status deployment/relay-v2").await;
    wait(2).await;
    // The copies have been taken away.
    assert_eq!(stage.logged("relay-v2").len(), 0);
    let seen = stage.ends().await;
    assert_all_of("0.0.1", &seen);
    let slowest = seen.iter().max_by_key(|seen| seen.took).unwrap();
    assert!(slowest.took <= QUICK, "{slowest:?}");
}
