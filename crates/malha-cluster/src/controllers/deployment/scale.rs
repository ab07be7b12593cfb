//! What another size means: for the one set that has pods all of it, in the middle of a rollout to each set its share
//! (`pkg/controller/deployment/sync.go`, `scale`; `util`, `GetReplicaSetProportion`).

use std::cmp::Reverse;

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::Rollout;
use super::revisions::{most, saturated};
use super::sets::{age, pods, replicas};
use super::strategy::{max_surge, rolls, wanted};

/// Scales the sets to what the Deployment wants.
pub(super) fn scale(rollout: &mut Rollout<'_>) {
    let all: Vec<usize> = (0..rollout.sets.len()).collect();
    let active = rollout.active(&all);
    let new = rollout.new_set();
    let only = match active.as_slice() {
        // None has pods: the newest gets them.
        [] => new.or_else(|| rollout.old_sets().last().copied()),
        [only] => Some(*only),
        _ => None,
    };
    if let Some(only) = only {
        // Kubernetes leaves the annotations of a set that has the number already, and waits for ever where they differ.
        rollout.resize(only, wanted(&rollout.deployment));
    } else if new.is_some_and(|new| saturated(&rollout.deployment, &rollout.sets[new].set)) {
        for index in rollout.active(&rollout.old_sets()) {
            rollout.scale(index, 0);
        }
    } else if rolls(&rollout.deployment) {
        share(rollout, active);
    }
}

/// To each set its share of what comes or goes, and what rounding leaves to the largest.
fn share(rollout: &mut Rollout<'_>, mut active: Vec<usize>) {
    let wanted = wanted(&rollout.deployment);
    let allowed = if wanted > 0 { wanted + max_surge(&rollout.deployment) } else { 0 };
    let sum: i32 = active.iter().map(|index| replicas(&rollout.sets[*index].set)).sum();
    let to_add = allowed - sum;
    // Of two of a size, the newer grows first and the older shrinks first.
    let size = |index: &usize| Reverse(replicas(&rollout.sets[*index].set));
    if to_add > 0 {
        active.sort_by_key(|index| (size(index), Reverse(age(&rollout.sets[*index].set))));
    } else {
        active.sort_by_key(|index| (size(index), age(&rollout.sets[*index].set)));
    }
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::new();
    for index in &active {
        let set = &rollout.sets[*index].set;
        let part = proportion(rollout, set, to_add, added);
        sizes.push(replicas(set) + part);
        added += part;
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    for (index, size) in active.into_iter().zip(sizes) {
        rollout.resize(index, size);
    }
}

fn proportion(rollout: &Rollout<'_>, set: &ReplicaSet, to_add: i32, added: i32) -> i32 {
    if to_add == added {
        return 0;
    }
    let fraction = fraction(rollout, set);
    let allowed = to_add - added;
    if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
}

/// How many replicas more the set would have, had it kept its share of the whole (`getReplicaSetFraction`).
fn fraction(rollout: &Rollout<'_>, set: &ReplicaSet) -> i32 {
    let wanted = wanted(&rollout.deployment);
    if wanted == 0 {
        return -replicas(set);
    }
    let whole = most(set).filter(|most| *most > 0).unwrap_or_else(|| rollout.total(pods)).max(1);
    let size = i64::from(wanted + max_surge(&rollout.deployment)) * i64::from(replicas(set));
    // Half rounds away from zero (`math.Round`); nothing here is below zero.
    let whole = i64::from(whole);
    i32::try_from((2 * size + whole) / (2 * whole)).unwrap_or(i32::MAX) - replicas(set)
}
