//! Rules of how a Deployment rolls out, and of what is asked and told of its containers.
//!
//! Source: `validateDeploymentStrategy`, `ValidateDeploymentSpec` (`pkg/apis/apps/validation`), `validateProbe`,
//! `validateHandler`, `validateLifecycle` (`pkg/apis/core/validation`) of kubernetes/kubernetes 1.34.

use k8s_openapi::api::apps::v1::DeploymentSpec;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Checker;
use crate::path::FieldPath;

/// `progressDeadlineSeconds` where none is written.
const PROGRESS_DEADLINE: i32 = 600;

pub(super) fn rollout(checker: &mut Checker<'_>, spec: &DeploymentSpec) {
    let least = spec.min_ready_seconds.unwrap_or(0);
    if least < 0 {
        checker.error("spec.minReadySeconds", format!("{least} is negative"));
    }
    let deadline = spec.progress_deadline_seconds.unwrap_or(PROGRESS_DEADLINE);
    if deadline < 0 {
        checker.error("spec.progressDeadlineSeconds", format!("{deadline} is negative"));
    } else if deadline <= least {
        let message = format!("Invalid value: {deadline}: must be greater than minReadySeconds");
        checker.error("spec.progressDeadlineSeconds", message);
    }
    let Some(strategy) = &spec.strategy else { return };
    let Some(rolling) = &strategy.rolling_update else { return };
    let path = FieldPath::parse("spec.strategy.rollingUpdate");
    if strategy.type_.as_deref() == Some("Recreate") {
        checker.error(&path, "Forbidden: may not be specified when strategy `type` is 'Recreate'");
        return;
    }
    let surge = amount(checker, &path.field("maxSurge"), rolling.max_surge.as_ref());
    let unavailable = amount(checker, &path.field("maxUnavailable"), rolling.max_unavailable.as_ref());
    let path = path.field("maxUnavailable");
    if surge == Some(0) && unavailable == Some(0) {
        let value = rolling.max_unavailable.as_ref().map(written).unwrap_or_default();
        checker.error(&path, format!("Invalid value: {value}: may not be 0 when `maxSurge` is 0"));
    }
    if let (Some(value @ IntOrString::String(_)), Some(101..)) = (&rolling.max_unavailable, unavailable) {
        checker.error(&path, format!("Invalid value: {}: must not be greater than 100%", written(value)));
    }
}

/// A number of pods, or a percentage of them.
pub(super) fn amount(checker: &mut Checker<'_>, path: &FieldPath, value: Option<&IntOrString>) -> Option<i64> {
    match value? {
        IntOrString::Int(number) if *number < 0 => {
            checker.error(path, format!("{number} is negative"));
            None
        }
        IntOrString::Int(number) => Some((*number).into()),
        IntOrString::String(text) => {
            let number = text.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            let number = number.and_then(|digits| digits.parse().ok());
            if number.is_none() {
                let message = format!(
                    "Invalid value: {text:?}: a valid percent string must be a numeric string followed by an ending '%'"
                );
                checker.error(path, message).help("a number of pods, or a percentage: 25%");
            }
            number
        }
    }
}

pub(super) fn written(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => format!("{text:?}"),
    }
}

/// The probes and the handlers of a container whose pod has `grace` seconds to end.
pub(super) fn asked_and_told(checker: &mut Checker<'_>, path: &FieldPath, container: &Container, grace: i64) {
    for (field, found, once) in [
        ("livenessProbe", &container.liveness_probe, true),
        ("readinessProbe", &container.readiness_probe, false),
        ("startupProbe", &container.startup_probe, true),
    ] {
        if let Some(found) = found {
            probe(checker, &path.field(field), found, once);
        }
    }
    let Some(lifecycle) = &container.lifecycle else { return };
    for (field, found) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        if let Some(found) = found {
            handler(checker, &path.field("lifecycle").field(field), found, grace);
        }
    }
}

/// `once`: one success is enough, as nothing is to be won by more.
fn probe(checker: &mut Checker<'_>, path: &FieldPath, probe: &Probe, once: bool) {
    let handlers = [
        ("exec", probe.exec.is_some()),
        ("httpGet", probe.http_get.is_some()),
        ("tcpSocket", probe.tcp_socket.is_some()),
        ("grpc", probe.grpc.is_some()),
    ];
    one_of(checker, path, &handlers);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        if let Some(value @ ..0) = value {
            checker.error(path.field(field), format!("{value} is negative"));
        }
    }
    // 0 is the default, 1.
    if let (true, Some(value @ 2..)) = (once, probe.success_threshold) {
        checker.error(path.field("successThreshold"), format!("Invalid value: {value}: must be 1"));
    }
}

fn handler(checker: &mut Checker<'_>, path: &FieldPath, handler: &LifecycleHandler, grace: i64) {
    let handlers = [
        ("exec", handler.exec.is_some()),
        ("httpGet", handler.http_get.is_some()),
        ("tcpSocket", handler.tcp_socket.is_some()),
        ("sleep", handler.sleep.is_some()),
    ];
    one_of(checker, path, &handlers);
    // A grace period that is wrong is complained about itself.
    if let Some(sleep) = handler.sleep.as_ref().filter(|sleep| grace >= 0 && !(0..=grace).contains(&sleep.seconds)) {
        let message = format!(
            "Invalid value: {}: must be non-negative and less than terminationGracePeriodSeconds ({grace})",
            sleep.seconds
        );
        checker.error(path.field("sleep"), message);
    }
}

fn one_of(checker: &mut Checker<'_>, path: &FieldPath, handlers: &[(&str, bool)]) {
    let mut set = handlers.iter().filter(|(_, set)| *set).map(|(field, _)| *field);
    if set.next().is_none() {
        checker.error(path, "Required value: must specify a handler type");
    }
    for field in set {
        checker.error(path.field(field), "Forbidden: may not specify more than 1 handler type");
    }
}
