//! What a pod's `status` says (Kubernetes, "Pod Lifecycle"; `pkg/kubelet/kubelet_pods.go`, `pkg/kubelet/status/generate.go`).

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateTerminated, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Address of every node: each is this machine, and so a node port answers there whichever node is asked for.
pub(crate) const HOST_IP: &str = "127.0.0.1";

/// A pod as its kubelet sees it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) phase: &'static str,
    pub(crate) ip: Option<Ipv4Addr>,
    pub(crate) state: ContainerState,
    /// How the last run ended.
    pub(crate) last: Option<ContainerStateTerminated>,
    pub(crate) ready: bool,
    pub(crate) started: bool,
    pub(crate) restarts: i32,
    /// Of the run that is, or was last.
    pub(crate) container_id: Option<String>,
}

/// The pod with the status that follows.
pub(crate) fn of(pod: &Pod, view: &View, now: &Time) -> Pod {
    let mut pod = pod.clone();
    let mut status = pod.status.take().unwrap_or_default();
    let spec = pod.spec.get_or_insert_default();
    status.phase = Some(view.phase.to_owned());
    status.qos_class.get_or_insert_with(|| qos(&spec.containers).to_owned());
    status.observed_generation = pod.metadata.generation;
    status.host_ip = Some(HOST_IP.to_owned());
    status.host_ips = Some(vec![HostIP { ip: HOST_IP.to_owned() }]);
    status.start_time.get_or_insert_with(|| now.clone());
    status.pod_ip = view.ip.map(|ip| ip.to_string());
    status.pod_ips = view.ip.map(|ip| vec![PodIP { ip: ip.to_string() }]);
    status.container_statuses = Some(containers(&spec.containers, view));
    status.conditions = Some(conditions(&status, &spec.containers, view, pod.metadata.generation, now));
    pod.status = Some(status);
    pod
}

fn containers(specs: &[Container], view: &View) -> Vec<ContainerStatus> {
    let status = |container: &Container| ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: view.container_id.as_ref().map(|_| container.image.clone().unwrap_or_default()).unwrap_or_default(),
        container_id: view.container_id.clone(),
        ready: view.ready,
        started: Some(view.started),
        restart_count: view.restarts,
        state: Some(view.state.clone()),
        last_state: Some(ContainerState { terminated: view.last.clone(), ..ContainerState::default() }),
        ..ContainerStatus::default()
    };
    specs.iter().map(status).collect()
}

/// In the order in which the kubelet writes them, the others' after its own.
fn conditions(
    status: &PodStatus,
    specs: &[Container],
    view: &View,
    generation: Option<i64>,
    now: &Time,
) -> Vec<PodCondition> {
    let before = status.conditions.as_deref().unwrap_or_default();
    let condition = |type_: &str, holds: bool, why: Option<(&str, String)>| {
        let value = if holds { "True" } else { "False" };
        let same = before.iter().find(|old| old.type_ == type_ && old.status == value);
        let (reason, message) = why.filter(|_| !holds).unzip();
        PodCondition {
            type_: type_.to_owned(),
            status: value.to_owned(),
            reason: reason.map(str::to_owned),
            message,
            observed_generation: generation,
            last_transition_time: same.map_or_else(|| Some(now.clone()), |old| old.last_transition_time.clone()),
            ..PodCondition::default()
        }
    };
    let names: Vec<_> = specs.iter().map(|container| container.name.as_str()).collect();
    let unready = || match view.phase {
        "Succeeded" => Some(("PodCompleted", String::new())),
        "Failed" => Some(("PodFailed", String::new())),
        _ => Some(("ContainersNotReady", format!("containers with unready status: [{}]", names.join(" ")))),
    };
    let over = matches!(view.phase, "Succeeded" | "Failed");
    let mut conditions = vec![
        condition("PodReadyToStartContainers", view.ip.is_some() && !over, None),
        condition("Initialized", true, None),
        condition("Ready", view.ready, unready()),
        condition("ContainersReady", view.ready, unready()),
        condition("PodScheduled", true, None),
    ];
    for condition in &mut conditions {
        condition.message.take_if(|message| message.is_empty());
    }
    let own: Vec<String> = conditions.iter().map(|condition| condition.type_.clone()).collect();
    conditions.extend(before.iter().filter(|old| !own.contains(&old.type_)).cloned());
    conditions
}

/// How dear a pod is when memory gets short (`GetPodQOS`).
pub(crate) fn qos(containers: &[Container]) -> &'static str {
    let amount = |container: &Container, limits: bool, name: &str| {
        let resources = container.resources.as_ref()?;
        let list = if limits { resources.limits.as_ref() } else { resources.requests.as_ref() };
        list?.get(name).map(|quantity| quantity.0.clone()).filter(|text| text != "0")
    };
    let any = |container: &Container| {
        ["cpu", "memory"]
            .iter()
            .any(|name| [true, false].iter().any(|limits| amount(container, *limits, name).is_some()))
    };
    let all = |container: &Container| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = amount(container, true, name);
            limit.is_some() && amount(container, false, name).is_none_or(|request| Some(request) == limit)
        })
    };
    if !containers.iter().any(any) {
        "BestEffort"
    } else if containers.iter().all(all) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pods_class_follows_from_its_requests_and_limits() {
        for (resources, want) in [
            (json!({}), "BestEffort"),
            (json!({"limits": {"cpu": "0"}}), "BestEffort"),
            (json!({"limits": {"cpu": "1"}}), "Burstable"),
            (json!({"requests": {"memory": "1Mi"}, "limits": {"cpu": "1", "memory": "2Mi"}}), "Burstable"),
            (json!({"limits": {"cpu": "1", "memory": "2Mi"}}), "Guaranteed"),
        ] {
            let container = serde_json::from_value(json!({"name": "app", "resources": resources})).unwrap();
            assert_eq!(qos(&[container]), want, "{resources}");
        }
    }
}
