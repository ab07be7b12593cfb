//! Eviction: a deletion that asks the pod's disruption budget first (Kubernetes, `pkg/registry/core/pod/storage/eviction.go`).

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};

use crate::controllers::disruption::{ALLOWED, say, selects};
use crate::controllers::{disrupted, name, ready};
use crate::error::Error;
use crate::object::{Key, Stored};
use crate::store::Store;

use super::deletion::{self, Deleted, Deletion};

/// Most pods of a budget that may be on their way out unnoticed by its controller (`MaxDisruptedPodSize`).
const MOST: usize = 2_000;

/// Seconds after which it may be worth asking again, where that can be said.
const RETRY: u64 = 10;

/// Evicts a pod, if its budget lets it go.
pub(super) fn evict(store: &mut Store, key: &Key, deletion: &Deletion) -> Result<Deleted, Error> {
    let pod = store.get::<Pod>(&key.namespace, &key.name).map(Arc::clone);
    let pod = pod.ok_or_else(|| Error::NotFound { key: key.clone() })?;
    // What was asked for under conditions is not done under others, and no budget pays for it.
    deletion::check(key, &pod.metadata, deletion)?;
    let budget = if ignores_budgets(&pod) { None } else { budget(store, key, &pod)? };
    if let Some(budget) = budget.filter(|budget| !free(&pod, budget)) {
        spend(store, key, &pod, &budget, deletion.dry_run)?;
    }
    if !deletion.dry_run {
        let why = ("EvictionByEvictionAPI", "Eviction API: evicting");
        let marked = disrupted(&pod, why, &store.now());
        store.update(marked.into_object())?;
    }
    deletion::delete(store, key, &Deletion { resource_version: None, ..deletion.clone() })
}

/// Whether the pod disturbs nobody any more, or does not serve yet (`canIgnorePDB`).
fn ignores_budgets(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed" | "Pending")) || pod.metadata.deletion_timestamp.is_some()
}

/// The pod's budget, of which there may be one.
fn budget(store: &Store, key: &Key, pod: &Pod) -> Result<Option<PodDisruptionBudget>, Error> {
    let budgets = store.list_in::<PodDisruptionBudget>(&key.namespace);
    let mut own = budgets.filter(|budget| budget.spec.as_ref().is_some_and(|spec| selects(spec, pod)));
    let first = own.next().map(|budget| PodDisruptionBudget::clone(budget));
    match own.next() {
        Some(_) => Err(Error::SeveralBudgets { key: key.clone() }),
        None => Ok(first),
    }
}

/// Whether a pod that is not healthy goes without being counted (`unhealthyPodEvictionPolicy`).
fn free(pod: &Pod, budget: &PodDisruptionBudget) -> bool {
    let policy = budget.spec.as_ref().and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref());
    let status = budget.status.clone().unwrap_or_default();
    !ready(pod)
        && (policy == Some("AlwaysAllow")
            || (status.current_healthy >= status.desired_healthy && status.desired_healthy > 0))
}

/// Takes one disruption off the budget, if there is one left (`checkAndDecrement`).
fn spend(store: &mut Store, key: &Key, pod: &Pod, budget: &PodDisruptionBudget, dry_run: bool) -> Result<(), Error> {
    let mut status = budget.status.clone().unwrap_or_default();
    let refuse = |message: String, retry: Option<u64>| {
        Err(Error::DisruptionBudget { key: key.clone(), message, retry_after_seconds: retry })
    };
    if status.observed_generation.unwrap_or(0) < budget.metadata.generation.unwrap_or(0) {
        let message = format!("The disruption budget {} is still being processed by the server.", name(budget));
        return refuse(message, Some(RETRY));
    }
    if status.disrupted_pods.as_ref().is_some_and(|pods| pods.len() > MOST) {
        let message = "DisruptedPods map too big - too many evictions not confirmed by PDB controller".to_owned();
        return Err(Error::Forbidden { key: budget.clone().into_object().key(), message });
    }
    if status.disruptions_allowed <= 0 {
        return refuse(denied(name(budget), &status), None);
    }
    if dry_run {
        return Ok(());
    }
    let now = store.now();
    status.disruptions_allowed -= 1;
    if status.disruptions_allowed == 0 {
        say(&mut status, None, &now);
    }
    status.disrupted_pods.get_or_insert_default().insert(name(pod).to_owned(), now);
    let budget = PodDisruptionBudget { status: Some(status), ..budget.clone() };
    store.update(budget.into_object()).map(drop)
}

/// Why a budget lets nothing go.
fn denied(budget: &str, status: &PodDisruptionBudgetStatus) -> String {
    let mut conditions = status.conditions.iter().flatten();
    let why = conditions.find(|one| one.type_ == ALLOWED && one.status == "False" && !one.message.is_empty());
    match why {
        Some(why) if why.reason == "SyncFailed" => format!(
            "The disruption budget {budget} does not allow evicting pods currently because it failed sync: {}",
            why.message
        ),
        _ => format!(
            "The disruption budget {budget} needs {} healthy pods and has {} currently",
            status.desired_healthy, status.current_healthy
        ),
    }
}
