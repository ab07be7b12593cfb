//! The next step of a rolling update (`pkg/controller/deployment/rolling.go`): new pods as far as `maxSurge` lets, then
//! old pods away as far as `maxUnavailable` lets, first those that serve nobody anyway.

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::Rollout;
use super::sets::{available, replicas};
use super::strategy::{max_surge, max_unavailable, rolls, wanted};

/// Takes the step and writes the status.
pub(super) fn step(rollout: &mut Rollout<'_>) {
    let Some(new) = rollout.new_or_made() else { return };
    if !grow(rollout, new) && !shrink(rollout, new) && rollout.was_complete() {
        rollout.forget_old();
    }
    rollout.write_progress();
}

/// How many replicas the set of the current template gets now (`NewRSNewReplicas`).
pub(super) fn new_replicas(rollout: &Rollout<'_>, new: &ReplicaSet) -> i32 {
    let wanted = wanted(&rollout.deployment);
    if !rolls(&rollout.deployment) {
        return wanted;
    }
    let room = wanted + max_surge(&rollout.deployment) - rollout.total(replicas);
    if room <= 0 {
        return replicas(new);
    }
    replicas(new) + room.min(wanted - replicas(new))
}

/// `reconcileNewReplicaSet`.
fn grow(rollout: &mut Rollout<'_>, new: usize) -> bool {
    let set = &rollout.sets[new].set;
    let wanted = wanted(&rollout.deployment);
    let to = if replicas(set) > wanted { wanted } else { new_replicas(rollout, set) };
    rollout.scale(new, to)
}

/// `reconcileOldReplicaSets`.
fn shrink(rollout: &mut Rollout<'_>, new: usize) -> bool {
    let old = rollout.active(&rollout.old_sets());
    if old.is_empty() {
        return false;
    }
    let least = wanted(&rollout.deployment) - max_unavailable(&rollout.deployment);
    // New pods that are not available yet must not be counted as if they served.
    let coming = replicas(&rollout.sets[new].set) - available(&rollout.sets[new].set);
    let most = rollout.total(replicas) - least - coming;
    if most <= 0 {
        return false;
    }
    let unhealthy = take(rollout, &old, most, |set| replicas(set) - available(set));
    let spare = rollout.total(available) - least;
    let serving = if spare > 0 { take(rollout, &old, spare, replicas) } else { 0 };
    unhealthy + serving > 0
}

/// Takes up to `most` pods away, from the oldest sets first, from each up to what `from` says; how many.
fn take(rollout: &mut Rollout<'_>, old: &[usize], most: i32, from: fn(&ReplicaSet) -> i32) -> i32 {
    let mut taken = 0;
    for index in old {
        let set = &rollout.sets[*index].set;
        let count = from(set).min(most - taken).min(replicas(set));
        if count > 0 {
            let to = replicas(set) - count;
            rollout.scale(*index, to);
            taken += count;
        }
    }
    taken
}
