//! What a pod's `status` says at each step of its life (Kubernetes, "Pod Lifecycle").

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::node::StartError;

use super::NODE;

/// Address of the only node.
pub(crate) const HOST_IP: &str = "127.0.0.1";

/// The pod on its node, its container not running: because it is being created, or for a reason.
pub(crate) fn waiting(pod: &Pod, ip: Option<Ipv4Addr>, why: Option<&StartError>, now: &Time) -> Pod {
    let waiting = ContainerStateWaiting {
        reason: Some(why.map_or_else(|| "ContainerCreating".to_owned(), |why| why.reason.clone())),
        message: why.map(|why| why.message.clone()),
    };
    let state = ContainerState { waiting: Some(waiting), ..ContainerState::default() };
    with(pod, ip, "Pending", &state, false, now)
}

/// The pod running and ready.
pub(crate) fn running(pod: &Pod, ip: Ipv4Addr, now: &Time) -> Pod {
    let running = ContainerStateRunning { started_at: Some(now.clone()) };
    let state = ContainerState { running: Some(running), ..ContainerState::default() };
    with(pod, Some(ip), "Running", &state, true, now)
}

fn with(pod: &Pod, ip: Option<Ipv4Addr>, phase: &str, state: &ContainerState, ready: bool, now: &Time) -> Pod {
    let mut pod = pod.clone();
    let mut status = pod.status.take().unwrap_or_default();
    let spec = pod.spec.get_or_insert_default();
    spec.node_name = Some(NODE.to_owned());
    status.container_statuses = Some(
        spec.containers
            .iter()
            .map(|container| ContainerStatus {
                name: container.name.clone(),
                image: container.image.clone().unwrap_or_default(),
                ready,
                started: Some(ready),
                state: Some(state.clone()),
                ..ContainerStatus::default()
            })
            .collect(),
    );
    let before = status.conditions.take().unwrap_or_default();
    let condition = |type_: &str, holds: bool| {
        let value = if holds { "True" } else { "False" };
        let same = before.iter().find(|old| old.type_ == type_ && old.status == value);
        PodCondition {
            type_: type_.to_owned(),
            status: value.to_owned(),
            reason: (!holds).then(|| "ContainersNotReady".to_owned()),
            message: (!holds).then(|| {
                let names: Vec<_> = spec.containers.iter().map(|container| container.name.as_str()).collect();
                format!("containers with unready status: [{}]", names.join(" "))
            }),
            last_transition_time: same.map_or_else(|| Some(now.clone()), |old| old.last_transition_time.clone()),
            ..PodCondition::default()
        }
    };
    status.conditions = Some(vec![
        condition("PodScheduled", true),
        condition("Initialized", true),
        condition("ContainersReady", ready),
        condition("Ready", ready),
    ]);
    status.phase = Some(phase.to_owned());
    status.host_ip = Some(HOST_IP.to_owned());
    status.host_ips = Some(vec![HostIP { ip: HOST_IP.to_owned() }]);
    status.pod_ip = ip.map(|ip| ip.to_string());
    status.pod_ips = ip.map(|ip| vec![PodIP { ip: ip.to_string() }]);
    status.start_time.get_or_insert_with(|| now.clone());
    pod.status = Some(status);
    pod
}
