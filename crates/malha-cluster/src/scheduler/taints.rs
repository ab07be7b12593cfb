//! Nodes that keep pods away (plugins `NodeUnschedulable` and `TaintToleration`; `ToleratesTaint` of the core API).

use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};

use super::hosts::Host;
use super::{Refusal, normalized};

/// The taint of a cordoned node (`TaintNodeUnschedulable`).
pub(crate) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Whether the node is not cordoned, or the pod does not mind.
pub(super) fn schedulable(host: &Host<'_>, pod: &Pod) -> Result<(), Vec<Refusal>> {
    if host.node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true) {
        return Ok(());
    }
    let taint = Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    if tolerated(pod, &taint) {
        return Ok(());
    }
    Err(vec![Refusal::Unfit("node(s) were unschedulable".to_owned())])
}

/// Whether the pod tolerates the taints that keep pods away.
pub(super) fn fits(host: &Host<'_>, pod: &Pod) -> Result<(), Vec<Refusal>> {
    match untolerated(host, pod) {
        None => Ok(()),
        Some(taint) => {
            let value = taint.value.as_deref().unwrap_or_default();
            let text = format!("node(s) had untolerated taint {{{}: {value}}}", taint.key);
            Err(vec![Refusal::Unfit(text)])
        }
    }
}

/// The first taint that keeps the pod away.
pub(super) fn untolerated<'a>(host: &Host<'a>, pod: &Pod) -> Option<&'a Taint> {
    taints(host).find(|taint| taint.effect != "PreferNoSchedule" && !tolerated(pod, taint))
}

/// The fewer taints a node has that would rather keep the pod away the better.
pub(super) fn score(hosts: &[&Host<'_>], pod: &Pod) -> Vec<i64> {
    let count = |host: &&Host<'_>| {
        let unwelcome = taints(host).filter(|taint| taint.effect == "PreferNoSchedule" && !tolerated(pod, taint));
        i64::try_from(unwelcome.count()).unwrap_or(i64::MAX)
    };
    normalized(&hosts.iter().map(count).collect::<Vec<_>>(), true)
}

fn taints<'a>(host: &Host<'a>) -> impl Iterator<Item = &'a Taint> + use<'a> {
    host.node.spec.iter().flat_map(|spec| spec.taints.iter().flatten())
}

/// Whether a pod tolerates a taint.
fn tolerated(pod: &Pod, taint: &Taint) -> bool {
    let mut tolerations = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
    tolerations.any(|toleration| tolerates(toleration, taint))
}

/// Whether a toleration is for a taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is = |given: Option<&String>, own: &str| given.is_none_or(|given| given.is_empty() || given == own);
    is(toleration.effect.as_ref(), &taint.effect)
        && is(toleration.key.as_ref(), &taint.key)
        && match toleration.operator.as_deref() {
            Some("Exists") => true,
            None | Some("" | "Equal") => {
                toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
            }
            Some(_) => false,
        }
}
