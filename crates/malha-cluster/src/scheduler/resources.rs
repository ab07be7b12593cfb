//! Room for what a pod requests (plugins `NodeResourcesFit` and `NodeResourcesBalancedAllocation`; component-helpers
//! `resource`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity;

use super::hosts::Host;
use super::{BEST, Refusal};

/// Amounts by resource: thousandths of a core, bytes, pieces.
pub(super) type Requests = BTreeMap<String, u64>;

/// For the score a container that requests nothing counts for this much (`DefaultMilliCPURequest`, `DefaultMemoryRequest`).
const RECKONED: [(&str, u64); 2] = [("cpu", 100), ("memory", 200 << 20)];

/// What nodes here do not say that they have: nothing is written to a disk.
const UNCOUNTED: &str = "ephemeral-storage";

/// What a pod requests: its containers together, or an init container if that is more; and the overhead of its sandbox.
pub(super) fn of(pod: &Pod) -> Requests {
    sum(pod, |container| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        requests.map(amounts).unwrap_or_default()
    })
}

/// The same for the score.
pub(super) fn reckoned(pod: &Pod) -> Requests {
    sum(pod, |container| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let mut requests = requests.map(amounts).unwrap_or_default();
        for (name, amount) in RECKONED {
            requests.entry(name.to_owned()).or_insert(amount);
        }
        requests
    })
}

fn sum(pod: &Pod, each: impl Fn(&Container) -> Requests) -> Requests {
    let Some(spec) = &pod.spec else { return Requests::new() };
    let mut all = Requests::new();
    spec.containers.iter().for_each(|container| add(&mut all, &each(container)));
    for container in spec.init_containers.iter().flatten() {
        for (name, amount) in each(container) {
            let before = all.entry(name).or_default();
            *before = amount.max(*before);
        }
    }
    if let Some(overhead) = &spec.overhead {
        add(&mut all, &amounts(overhead));
    }
    all
}

/// A list of quantities as numbers. What is no quantity counts for nothing: validation refuses it.
fn amounts(list: &BTreeMap<String, Quantity>) -> Requests {
    let read = |(name, Quantity(text)): (&String, &Quantity)| {
        let amount = if name == "cpu" { quantity::millicores(text) } else { quantity::bytes(text) };
        (name.clone(), amount.unwrap_or(0))
    };
    list.iter().map(read).collect()
}

/// Adds amounts to others.
pub(super) fn add(all: &mut Requests, more: &Requests) {
    for (name, amount) in more {
        let sum = all.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

/// Whether the node has room.
pub(super) fn fits(host: &Host<'_>, requests: &Requests) -> Result<(), Vec<Refusal>> {
    let room = allocatable(host);
    let has = |name: &str| room.get(name).copied().unwrap_or(0);
    let mut reasons = Vec::new();
    if host.pods.len() as u64 >= has("pods") {
        reasons.push(Refusal::Occupied("Too many pods".to_owned()));
    }
    for (name, amount) in requests.iter().filter(|(name, amount)| **amount > 0 && *name != UNCOUNTED) {
        let used = host.requested.get(name).copied().unwrap_or(0);
        if *amount > has(name).saturating_sub(used) {
            let reason = format!("Insufficient {name}");
            // More than the whole node: that others leave does not help.
            reasons.push(if *amount > has(name) { Refusal::Unfit(reason) } else { Refusal::Occupied(reason) });
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

fn allocatable(host: &Host<'_>) -> Requests {
    let list = host.node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    list.map(amounts).unwrap_or_default()
}

/// The more of a node is left the better (`leastResourceScorer`).
pub(super) fn least_allocated(hosts: &[&Host<'_>], pod: &Pod) -> Vec<i64> {
    let wanted = reckoned(pod);
    let score = |host: &&Host<'_>| {
        let room = allocatable(host);
        let shares = RECKONED.iter().filter_map(|(name, _)| {
            let room = room.get(*name).copied().filter(|room| *room > 0)?;
            let used = |list: &Requests| list.get(*name).copied().unwrap_or(0);
            let left = room.saturating_sub(used(&host.reckoned).saturating_add(used(&wanted)));
            Some(i64::try_from(u128::from(left) * u128::from(BEST.unsigned_abs()) / u128::from(room)).unwrap_or(0))
        });
        let shares: Vec<i64> = shares.collect();
        i64::try_from(shares.len())
            .ok()
            .filter(|count| *count > 0)
            .map_or(0, |count| shares.iter().sum::<i64>() / count)
    };
    hosts.iter().map(score).collect()
}

/// The closer a node's shares of processor and memory are the better (`balancedResourceScorer`). A pod that requests neither is
/// not scored.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "shares of at most 1, as scores to 100"
)]
pub(super) fn balanced(hosts: &[&Host<'_>], pod: &Pod) -> Vec<i64> {
    let wanted = of(pod);
    if RECKONED.iter().all(|(name, _)| wanted.get(*name).copied().unwrap_or(0) == 0) {
        return Vec::new();
    }
    let score = |host: &&Host<'_>| {
        let room = allocatable(host);
        let share = |name: &str| {
            let used = |list: &Requests| list.get(name).copied().unwrap_or(0);
            let room = used(&room);
            if room == 0 {
                return 0.0;
            }
            (used(&host.requested).saturating_add(used(&wanted)) as f64 / room as f64).min(1.0)
        };
        // Of two values the standard deviation is half their distance.
        let deviation = (share("cpu") - share("memory")).abs() / 2.0;
        ((1.0 - deviation) * BEST as f64) as i64
    };
    hosts.iter().map(score).collect()
}
