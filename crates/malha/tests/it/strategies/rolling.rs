//! `rolling`

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::stage::{Stage, wait};
use super::{VERSIONS, assert_all_of, assert_none_lost, of};

/// The fewest pods that were there for requests at any time from now on.
fn fewest_ready(stage: &Stage) -> Arc<AtomicUsize> {
    let (cluster, fewest) = (stage.running.cluster().clone(), Arc::new(AtomicUsize::new(usize::MAX)));
    let (mut versions, least) = (cluster.versions(), Arc::clone(&fewest));
    tokio::spawn(async move {
        while versions.changed().await.is_ok() {
            least.fetch_min(cluster.pods().iter().filter(|pod| pod.ready).count(), Ordering::Relaxed);
        }
    });
    fewest
}

#[tokio::test(start_paused = true)]
async fn both_versions_answer_for_a_while_and_none_is_lost() {
    let mut stage = Stage::of("rolling").await;
    let fewest = fewest_ready(&stage);
    wait(1).await;
    let release = stage.types("set image").await;
    stage.types("rollout status").await;
    let released = stage.begun();
    wait(1).await;
    let back = stage.types("rollout undo").await;
    stage.types("rollout status").await;
    let gone_back = stage.begun();
    // Until the last of the old pods is gone.
    wait(7).await;
    let seen = stage.ends().await;
    assert_none_lost(&seen);
    assert_all_of("0.0.1", &seen[..release]);
    assert_all_of("0.0.2", &seen[released..back]);
    assert_all_of("0.0.1", &seen[gone_back..]);
    for rollout in [&seen[release..released], &seen[back..gone_back]] {
        let answered = VERSIONS.map(|version| of(version, rollout));
        assert!(answered.iter().all(|count| *count > rollout.len() / 5), "{answered:?}");
    }
    assert_eq!(fewest.load(Ordering::Relaxed), 3);
}
