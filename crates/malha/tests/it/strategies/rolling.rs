//! `rolling`

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use k8s_openapi::api::apps::v1::Deployment;

use super::stage::{Stage, wait};
use super::{VERSIONS, assert_all_of, assert_none_lost, of};

/// The fewest pods that were available at any time from now on, those that are ending not among them.
fn fewest_available(stage: &Stage) -> Arc<AtomicI32> {
    let (cluster, fewest) = (stage.running.cluster().clone(), Arc::new(AtomicI32::new(i32::MAX)));
    let (mut versions, least) = (cluster.versions(), Arc::clone(&fewest));
    tokio::spawn(async move {
        while versions.changed().await.is_ok() {
            let status = cluster.read(|store| store.get::<Deployment>("default", "relay").unwrap().status.clone());
            least.fetch_min(status.unwrap().available_replicas.unwrap_or(0), Ordering::Relaxed);
        }
    });
    fewest
}

#[tokio::test(start_paused = true)]
async fn both_versions_answer_for_a_while_and_none_is_lost() {
    let mut stage = Stage::of("rolling").await;
    let fewest = fewest_available(&stage);
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
