//! The next step of a rollout that stops the old pods before it starts the new ones
//! (`pkg/controller/deployment/recreate.go`).

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use crate::controllers::uid;

use super::Rollout;
use super::sets::pods;
use super::strategy::wanted;

/// Takes the step and writes the status.
pub(super) fn step(rollout: &mut Rollout<'_>) {
    rollout.note_revision();
    let active = rollout.active(&rollout.old_sets());
    for index in &active {
        rollout.scale(*index, 0);
    }
    if active.is_empty() && !old_pods_run(rollout) {
        let Some(new) = rollout.new_or_made() else { return };
        rollout.scale(new, wanted(&rollout.deployment));
        if rollout.was_complete() {
            rollout.forget_old();
        }
    }
    rollout.write_progress();
}

/// Whether an old pod is there that has not ended, be it on its way out (`oldPodsRunning`).
fn old_pods_run(rollout: &Rollout<'_>) -> bool {
    rollout.old_sets().into_iter().map(|index| &rollout.sets[index].set).any(|set: &ReplicaSet| {
        let ended = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Failed" | "Succeeded"))
        };
        pods(set) > 0 || rollout.store.owned::<Pod>(uid(set)).any(|pod| !ended(pod))
    })
}
