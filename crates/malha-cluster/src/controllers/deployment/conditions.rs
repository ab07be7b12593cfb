//! A Deployment's status: counts, and the conditions that `kubectl rollout status` waits for
//! (`pkg/controller/deployment/sync.go`, `calculateStatus`; `progress.go`; `util`).

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::sets::{available, pods, ready, replicas, total};
use super::strategy::{max_unavailable, wanted};

/// Whether a rollout comes along.
pub(super) const PROGRESSING: &str = "Progressing";
/// Whether enough pods are available.
const AVAILABLE: &str = "Available";
/// Why a replica set cannot make or delete pods.
pub(super) const FAILURE: &str = "ReplicaFailure";

const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const DONE: &str = "NewReplicaSetAvailable";
const PAUSED: &str = "DeploymentPaused";

pub(super) fn condition(type_: &str, status: &str, reason: &str, message: String, now: &Time) -> DeploymentCondition {
    DeploymentCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    }
}

pub(super) fn find<'a>(status: &'a DeploymentStatus, type_: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

/// Sets a condition, unless it stands already for the same reason.
pub(super) fn set(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    if let Some(current) = find(status, &condition.type_)
        && current.status == condition.status
    {
        if current.reason == condition.reason {
            return;
        }
        condition.last_transition_time.clone_from(&current.last_transition_time);
    }
    remove(status, &condition.type_.clone());
    status.conditions.get_or_insert_default().push(condition);
}

pub(super) fn remove(status: &mut DeploymentStatus, type_: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != type_);
    }
    status.conditions.take_if(|conditions| conditions.is_empty());
}

/// `progressDeadlineSeconds`; the largest number means none.
pub(super) fn deadline(deployment: &Deployment) -> Option<i64> {
    let seconds = deployment.spec.as_ref().map_or(600, |spec| spec.progress_deadline_seconds.unwrap_or(600));
    (seconds != i32::MAX).then_some(i64::from(seconds))
}

/// A deadline does not run while the Deployment is paused (`checkPausedConditions`).
pub(super) fn note_pause(deployment: &mut Deployment, now: &Time) {
    if deadline(deployment).is_none() {
        return;
    }
    let paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
    let status = deployment.status.get_or_insert_default();
    let reason = find(status, PROGRESSING).and_then(|condition| condition.reason.as_deref());
    let noted = reason == Some(PAUSED);
    if reason == Some(TIMED_OUT) || paused == noted {
        return;
    }
    let (reason, message) =
        if paused { (PAUSED, "Deployment is paused") } else { ("DeploymentResumed", "Deployment is resumed") };
    set(status, condition(PROGRESSING, "Unknown", reason, message.to_owned(), now));
}

/// What there is, counted, and whether that is enough (`calculateStatus`).
pub(super) fn counted(
    deployment: &Deployment,
    sets: &[&ReplicaSet],
    new: Option<&ReplicaSet>,
    now: &Time,
) -> DeploymentStatus {
    // Zero is not written, as in Kubernetes (`omitempty`).
    let some = |count: i32| (count != 0).then_some(count);
    let sum = |count| total(sets.iter().copied(), count);
    let enough = sum(available) >= wanted(deployment) - max_unavailable(deployment);
    let old = deployment.status.clone().unwrap_or_default();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(sum(pods)),
        updated_replicas: some(new.map_or(0, pods)),
        ready_replicas: some(sum(ready)),
        available_replicas: some(sum(available)),
        unavailable_replicas: some((sum(replicas) - sum(available)).max(0)),
        collision_count: old.collision_count,
        // A field of the feature gate DeploymentReplicaSetTerminatingReplicas, which 1.34 has off.
        terminating_replicas: None,
        conditions: old.conditions,
    };
    let (holds, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut status, condition(AVAILABLE, holds, reason, message.to_owned(), now));
    status
}

/// The rollout is done (`DeploymentComplete`).
pub(super) fn complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = wanted(deployment);
    [status.updated_replicas, status.replicas, status.available_replicas].map(Option::unwrap_or_default) == [wanted; 3]
        && status.observed_generation >= deployment.metadata.generation
}

/// More new pods, fewer old ones, or more of them fit for work than before (`DeploymentProgressing`).
fn progressing(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let count = |number: Option<i32>| number.unwrap_or_default();
    let left = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    new.updated_replicas > old.updated_replicas
        || left(new) < left(old)
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

/// The status of a rollout with its progress (`syncRolloutStatus`), and in how many seconds to look again for want of
/// any.
pub(super) fn of_rollout(
    deployment: &Deployment,
    sets: &[&ReplicaSet],
    new: Option<&ReplicaSet>,
    now: &Time,
) -> (DeploymentStatus, Option<i64>) {
    let old = deployment.status.clone().unwrap_or_default();
    let mut status = counted(deployment, sets, new, now);
    let deadline = deadline(deployment);
    let current = find(&old, PROGRESSING);
    let done = status.replicas == status.updated_replicas
        && current.is_some_and(|condition| condition.reason.as_deref() == Some(DONE));
    let name = new.map(|set| ("ReplicaSet", set.metadata.name.as_deref()));
    let (kind, name) = name.unwrap_or(("Deployment", deployment.metadata.name.as_deref()));
    let says = |what: &str| format!("{kind} \"{}\" {what}", name.unwrap_or_default());
    match deadline {
        None => remove(&mut status, PROGRESSING),
        Some(_) if done => {}
        Some(_) if complete(deployment, &status) => {
            set(&mut status, condition(PROGRESSING, "True", DONE, says("has successfully progressed."), now));
        }
        Some(_) if progressing(&old, &status) => {
            let mut next = condition(PROGRESSING, "True", "ReplicaSetUpdated", says("is progressing."), now);
            if let Some(current) = current.filter(|current| current.status == "True") {
                next.last_transition_time.clone_from(&current.last_transition_time);
            }
            // Each step of progress renews the time from which the deadline runs, also for the same reason.
            remove(&mut status, PROGRESSING);
            set(&mut status, next);
        }
        Some(seconds) if timed_out(&status, seconds, now) => {
            set(&mut status, condition(PROGRESSING, "False", TIMED_OUT, says("has timed out progressing."), now));
        }
        Some(_) => {}
    }
    match new.into_iter().chain(sets.iter().copied()).find_map(failure) {
        Some(failure) => set(&mut status, failure),
        None => remove(&mut status, FAILURE),
    }
    // No progress, no end: the deadline is all that is left to wait for (`requeueStuckDeployment`).
    let again = deadline.zip(find(&status, PROGRESSING)).and_then(|(seconds, condition)| {
        let over = complete(deployment, &status) || condition.reason.as_deref() == Some(TIMED_OUT);
        let since = condition.last_update_time.as_ref().filter(|_| !over)?;
        Some((since.0.as_second() + seconds - now.0.as_second()).max(0) + 1)
    });
    (status, again)
}

fn timed_out(status: &DeploymentStatus, seconds: i64, now: &Time) -> bool {
    let Some(condition) = find(status, PROGRESSING) else { return false };
    match condition.reason.as_deref() {
        Some(DONE) => false,
        Some(TIMED_OUT) => true,
        _ => condition.last_update_time.as_ref().is_some_and(|since| since.0.as_second() + seconds < now.0.as_second()),
    }
}

/// A replica set's failure, as its Deployment's.
fn failure(set: &ReplicaSet) -> Option<DeploymentCondition> {
    let conditions = set.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let failure = conditions.into_iter().find(|condition| condition.type_ == FAILURE)?.clone();
    Some(DeploymentCondition {
        type_: failure.type_,
        status: failure.status,
        reason: failure.reason,
        message: failure.message,
        last_update_time: failure.last_transition_time.clone(),
        last_transition_time: failure.last_transition_time,
    })
}
