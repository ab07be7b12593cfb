//! Pods. A pod's status is more than its phase: what keeps its containers from running is shown in its place.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStatus, Pod, PodCondition};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;
use super::common::{Row, age, name, or};

pub(super) fn row(pod: &Pod, now: Timestamp) -> Row {
    let summary = summary(pod);
    let restarts = match summary.restarts.last {
        Some(last) if summary.restarts.count != 0 => {
            format!("{} ({} ago)", summary.restarts.count, since(Some(last), now))
        }
        _ => summary.restarts.count.to_string(),
    };
    let status = pod.status.as_ref();
    let address = status.and_then(|status| status.pod_ips.as_ref()?.first()).map(|address| address.ip.as_str());
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let nominated = status.and_then(|status| status.nominated_node_name.as_deref());
    let cells = vec![
        name(&pod.metadata),
        json!(format!("{}/{}", summary.ready, summary.total)),
        json!(summary.status),
        json!(restarts),
        age(&pod.metadata, now),
        json!(or(address, "<none>")),
        json!(or(node, "<none>")),
        json!(or(nominated, "<none>")),
        json!(gates(pod)),
    ];
    Row { cells, conditions: completed(pod) }
}

/// Rows of pods that have ended say so: kubectl can leave them out.
fn completed(pod: &Pod) -> Option<Value> {
    let (reason, message) = match pod.status.as_ref()?.phase.as_deref()? {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

fn conditions(pod: &Pod) -> &[PodCondition] {
    pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

fn holds(pod: &Pod, kind: &str) -> bool {
    conditions(pod).iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

fn gates(pod: &Pod) -> String {
    let gates = pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates.iter().filter(|gate| holds(pod, &gate.condition_type)).count();
    format!("{open}/{}", gates.len())
}

#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i32,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &ContainerStatus) {
        self.count += container.restart_count;
        let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let ended = ended.and_then(|ended| ended.finished_at.as_ref()).map(|time| time.0);
        self.last = self.last.max(ended);
    }
}

struct Summary {
    ready: usize,
    total: usize,
    status: String,
    restarts: Restarts,
}

fn summary(pod: &Pod) -> Summary {
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let reason = status.and_then(|status| status.reason.as_deref()).unwrap_or_default();
    let mut summary = Summary {
        ready: 0,
        total: spec.map_or(0, |spec| spec.containers.len()),
        status: if reason.is_empty() { phase } else { reason }.to_owned(),
        restarts: Restarts::default(),
    };
    let gated = |one: &PodCondition| one.type_ == "PodScheduled" && one.reason.as_deref() == Some("SchedulingGated");
    if conditions(pod).iter().any(gated) {
        "SchedulingGated".clone_into(&mut summary.status);
    }

    let first = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let sidecars: BTreeMap<&str, &Container> = first
        .iter()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"))
        .map(|container| (container.name.as_str(), container))
        .collect();
    summary.total += sidecars.len();
    let mut sidecar_restarts = Restarts::default();
    let initializing = initialize(pod, &sidecars, &mut summary, &mut sidecar_restarts, first.len());
    if !initializing || holds(pod, "Initialized") {
        summary.restarts = sidecar_restarts;
        run(pod, &mut summary);
    }

    if pod.metadata.deletion_timestamp.is_some() {
        if reason == "NodeLost" {
            "Unknown".clone_into(&mut summary.status);
        } else if !matches!(phase, "Failed" | "Succeeded") {
            "Terminating".clone_into(&mut summary.status);
        }
    }
    summary
}

/// Containers that run before the others; says whether they still do.
fn initialize(
    pod: &Pod,
    sidecars: &BTreeMap<&str, &Container>,
    summary: &mut Summary,
    sidecar_restarts: &mut Restarts,
    count: usize,
) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    for (index, container) in statuses.iter().enumerate() {
        summary.restarts.add(container);
        let sidecar = sidecars.contains_key(container.name.as_str());
        if sidecar {
            sidecar_restarts.add(container);
        }
        let state = container.state.clone().unwrap_or_default();
        if state.terminated.as_ref().is_some_and(|ended| ended.exit_code == 0) {
            continue;
        }
        if sidecar && container.started == Some(true) {
            summary.ready += usize::from(container.ready);
            continue;
        }
        summary.status = match (&state.terminated, &state.waiting) {
            (Some(_), _) => format!("Init:{}", ended(&state)),
            (None, Some(waiting)) if !matches!(waiting.reason.as_deref(), None | Some("" | "PodInitializing")) => {
                format!("Init:{}", waiting.reason.as_deref().unwrap_or_default())
            }
            _ => format!("Init:{index}/{count}"),
        };
        return true;
    }
    false
}

fn run(pod: &Pod, summary: &mut Summary) {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let mut running = false;
    // The first container has the last word.
    for container in statuses.iter().rev() {
        summary.restarts.add(container);
        let state = container.state.clone().unwrap_or_default();
        let waiting =
            state.waiting.as_ref().and_then(|waiting| waiting.reason.clone()).filter(|reason| !reason.is_empty());
        if let Some(reason) = waiting {
            summary.status = reason;
        } else if state.terminated.is_some() {
            summary.status = ended(&state);
        } else if container.ready && state.running.is_some() {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.status == "Completed" && running {
        let ready = if holds(pod, "Ready") { "Running" } else { "NotReady" };
        ready.clone_into(&mut summary.status);
    }
}

/// How a container ended: its reason, or else its signal or exit code.
fn ended(state: &ContainerState) -> String {
    let Some(ended) = &state.terminated else { return String::new() };
    match (ended.reason.as_deref(), ended.signal) {
        (Some(reason), _) if !reason.is_empty() => reason.to_owned(),
        (_, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", ended.exit_code),
    }
}
