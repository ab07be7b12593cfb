//! What the API server fills in where a manifest says nothing (Kubernetes, `pkg/apis/*/v1/defaults.go`).
//!
//! What is filled in is what a cluster shows for the same manifest: `kubectl get -o yaml` and `kubectl diff` look at it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStrategy, ReplicaSet, RollingUpdateDeployment};
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricSpec, MetricTarget, ResourceMetricSource};
use k8s_openapi::api::core::v1::{
    Container, HTTPGetAction, Lifecycle, LifecycleHandler, Namespace, NamespaceSpec, NamespaceStatus,
    PersistentVolumeClaim, PersistentVolumeClaimStatus, PodSpec, PodStatus, PodTemplateSpec, Probe, Secret, Service,
    ServiceSpec, Toleration,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionCondition, CustomResourceDefinitionStatus,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::controllers::autoscaler::{Direction, filled};
use crate::controllers::claim;
use crate::kubelet::status;
use crate::object::Object;
use crate::resource::Resource;

/// Every namespace has its own name as a label (`NamespaceDefaultLabelName`).
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// Percent of the CPU that pods request, at which an autoscaler that names no metric aims (`DefaultCPUUtilization`).
const CPU_UTILIZATION: i32 = 80;

/// Fills in the defaults of an object's kind.
pub(super) fn fill(object: &mut Object) {
    match object {
        Object::Namespace(object) => namespace(Arc::make_mut(object)),
        Object::Secret(object) => secret(Arc::make_mut(object)),
        Object::Service(object) => service(Arc::make_mut(object)),
        Object::PersistentVolumeClaim(object) => claim(Arc::make_mut(object)),
        Object::Deployment(object) => deployment(Arc::make_mut(object)),
        Object::ReplicaSet(object) => replica_set(Arc::make_mut(object)),
        Object::Pod(object) => {
            let pod = Arc::make_mut(object);
            let spec = pod.spec.get_or_insert_default();
            pod_spec(spec);
            admitted(spec);
            // `PrepareForCreate` of a pod; it keeps what it has.
            let class = status::qos(&spec.containers).to_owned();
            let phase = Some("Pending".to_owned());
            or(&mut pod.status, PodStatus { phase, qos_class: Some(class), ..PodStatus::default() });
        }
        Object::HorizontalPodAutoscaler(object) => autoscaler(Arc::make_mut(object)),
        Object::CustomResourceDefinition(object) => definition(Arc::make_mut(object)),
        _ => {}
    }
}

/// Sets a field that is not there.
fn or<T>(field: &mut Option<T>, value: impl Into<T>) {
    field.get_or_insert_with(|| value.into());
}

fn namespace(namespace: &mut Namespace) {
    if let Some(name) = namespace.metadata.name.clone() {
        namespace.metadata.labels.get_or_insert_default().insert(NAMESPACE_LABEL.to_owned(), name);
    }
    if namespace.metadata.deletion_timestamp.is_none() {
        namespace.spec = Some(NamespaceSpec { finalizers: Some(vec!["kubernetes".to_owned()]) });
        or(&mut namespace.status, NamespaceStatus { phase: Some("Active".to_owned()), conditions: None });
    }
}

/// Also what admission adds: the default class, and what protects a claim that is in use.
fn claim(claim: &mut PersistentVolumeClaim) {
    if claim.metadata.deletion_timestamp.is_none() {
        let finalizers = claim.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|known| known == claim::PROTECTION) {
            finalizers.push(claim::PROTECTION.to_owned());
        }
    }
    let spec = claim.spec.get_or_insert_default();
    or(&mut spec.volume_mode, "Filesystem");
    or(&mut spec.storage_class_name, claim::CLASS);
    let pending = || PersistentVolumeClaimStatus { phase: Some("Pending".to_owned()), ..Default::default() };
    claim.status.get_or_insert_with(pending);
}

fn secret(secret: &mut Secret) {
    or(&mut secret.type_, "Opaque");
}

fn service(service: &mut Service) {
    let spec: &mut ServiceSpec = service.spec.get_or_insert_default();
    or(&mut spec.session_affinity, "None");
    or(&mut spec.type_, "ClusterIP");
    let kind = spec.type_.clone().unwrap_or_default();
    for port in spec.ports.iter_mut().flatten() {
        or(&mut port.protocol, "TCP");
        let same = IntOrString::Int(port.port);
        let target = port.target_port.get_or_insert_with(|| same.clone());
        if matches!(target, IntOrString::Int(0)) || matches!(target, IntOrString::String(name) if name.is_empty()) {
            *target = same;
        }
    }
    if kind == "ExternalName" {
        return;
    }
    or(&mut spec.internal_traffic_policy, "Cluster");
    or(&mut spec.ip_families, ["IPv4".to_owned()]);
    or(&mut spec.ip_family_policy, "SingleStack");
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        or(&mut spec.external_traffic_policy, "Cluster");
    } else {
        spec.external_traffic_policy = None;
    }
    if kind == "LoadBalancer" {
        or(&mut spec.allocate_load_balancer_node_ports, true);
    } else {
        spec.allocate_load_balancer_node_ports = None;
    }
}

fn deployment(deployment: &mut Deployment) {
    let spec = deployment.spec.get_or_insert_default();
    or(&mut spec.replicas, 1);
    or(&mut spec.revision_history_limit, 10);
    or(&mut spec.progress_deadline_seconds, 600);
    let strategy: &mut DeploymentStrategy = spec.strategy.get_or_insert_default();
    or(&mut strategy.type_, "RollingUpdate");
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let rolling: &mut RollingUpdateDeployment = strategy.rolling_update.get_or_insert_default();
        or(&mut rolling.max_unavailable, IntOrString::String("25%".to_owned()));
        or(&mut rolling.max_surge, IntOrString::String("25%".to_owned()));
    }
    template(&mut spec.template);
}

fn replica_set(set: &mut ReplicaSet) {
    let spec = set.spec.get_or_insert_default();
    or(&mut spec.replicas, 1);
    if let Some(inner) = &mut spec.template {
        template(inner);
    }
}

fn template(template: &mut PodTemplateSpec) {
    pod_spec(template.spec.get_or_insert_default());
}

fn pod_spec(spec: &mut PodSpec) {
    or(&mut spec.restart_policy, "Always");
    or(&mut spec.dns_policy, "ClusterFirst");
    or(&mut spec.scheduler_name, "default-scheduler");
    or(&mut spec.termination_grace_period_seconds, 30);
    spec.security_context.get_or_insert_default();
    if let Some(account) = spec.service_account_name.clone() {
        // The old name of the field (`deprecatedServiceAccount`).
        spec.service_account = Some(account);
    }
    spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()).for_each(container);
}

fn container(container: &mut Container) {
    or(&mut container.termination_message_path, "/dev/termination-log");
    or(&mut container.termination_message_policy, "File");
    let image = container.image.as_deref().unwrap_or_default();
    let policy = if latest(image) { "Always" } else { "IfNotPresent" };
    or(&mut container.image_pull_policy, policy);
    container.ports.iter_mut().flatten().for_each(|port| or(&mut port.protocol, "TCP"));
    for source in container.env.iter_mut().flatten().filter_map(|variable| variable.value_from.as_mut()) {
        if let Some(field) = &mut source.field_ref {
            or(&mut field.api_version, "v1");
        }
    }
    let resources = container.resources.get_or_insert_default();
    // A limit without a request is the request.
    if let Some(limits) = resources.limits.clone() {
        let requests: &mut BTreeMap<_, _> = resources.requests.get_or_insert_default();
        for (name, amount) in limits {
            requests.entry(name).or_insert(amount);
        }
    }
    for probe in [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe] {
        probe.iter_mut().for_each(fill_probe);
    }
    if let Some(Lifecycle { post_start, pre_stop, .. }) = &mut container.lifecycle {
        for handler in [post_start, pre_stop].into_iter().flatten() {
            let LifecycleHandler { http_get, .. } = handler;
            http_get.iter_mut().for_each(fill_http_get);
        }
    }
}

/// No tag, or the tag `latest` (`parsers.ParseImageName`).
fn latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn fill_probe(probe: &mut Probe) {
    or(&mut probe.timeout_seconds, 1);
    or(&mut probe.period_seconds, 10);
    or(&mut probe.success_threshold, 1);
    or(&mut probe.failure_threshold, 3);
    probe.http_get.iter_mut().for_each(fill_http_get);
}

fn fill_http_get(action: &mut HTTPGetAction) {
    or(&mut action.path, "/");
    or(&mut action.scheme, "HTTP");
}

/// What the controllers of definitions say of one (apiextensions-apiserver `pkg/controller/status`, `.../establish`): names that
/// nobody else has are accepted, and a kind that malha serves is established. Kinds of one's own are never served.
fn definition(crd: &mut CustomResourceDefinition) {
    let spec = &crd.spec;
    let served = Resource::named(&spec.group, &spec.names.plural).is_some();
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| CustomResourceDefinitionCondition {
        type_: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        ..CustomResourceDefinitionCondition::default()
    };
    let established = if served {
        condition("Established", true, "InitialNamesAccepted", "the initial names have been accepted")
    } else {
        condition("Established", false, "UnsupportedByMalha", "malha serves no kinds of one's own")
    };
    let status = CustomResourceDefinitionStatus {
        accepted_names: Some(spec.names.clone()),
        conditions: Some(vec![condition("NamesAccepted", true, "NoConflicts", "no conflicts found"), established]),
        stored_versions: Some(
            spec.versions.iter().filter(|version| version.storage).map(|version| version.name.clone()).collect(),
        ),
    };
    // A definition that was written out of a cluster says there what held in that one.
    if !served || crd.status.as_ref().is_none_or(|status| status.conditions.iter().flatten().next().is_none()) {
        crd.status = Some(status);
    }
}

/// What the admission plugins of every cluster add to a pod itself, not to its template: `ServiceAccount`,
/// `DefaultTolerationSeconds`, `Priority`.
fn admitted(spec: &mut PodSpec) {
    or(&mut spec.service_account_name, "default");
    spec.service_account.clone_from(&spec.service_account_name);
    or(&mut spec.enable_service_links, true);
    or(&mut spec.preemption_policy, "PreemptLowerPriority");
    or(&mut spec.priority, 0);
    let tolerations: &mut Vec<Toleration> = spec.tolerations.get_or_insert_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !tolerations.iter().any(|toleration| toleration.key.as_deref() == Some(key)) {
            tolerations.push(Toleration {
                key: Some(key.to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some("NoExecute".to_owned()),
                toleration_seconds: Some(300),
                value: None,
            });
        }
    }
}

fn autoscaler(autoscaler: &mut HorizontalPodAutoscaler) {
    let spec = autoscaler.spec.get_or_insert_default();
    or(&mut spec.min_replicas, 1);
    if let Some(behavior) = &mut spec.behavior {
        behavior.scale_up = Some(filled(behavior.scale_up.as_ref(), Direction::Up));
        behavior.scale_down = Some(filled(behavior.scale_down.as_ref(), Direction::Down));
    }
    if spec.metrics.iter().flatten().next().is_none() {
        let target = MetricTarget {
            type_: "Utilization".to_owned(),
            average_utilization: Some(CPU_UTILIZATION),
            ..MetricTarget::default()
        };
        let resource = Some(ResourceMetricSource { name: "cpu".to_owned(), target });
        spec.metrics = Some(vec![MetricSpec { type_: "Resource".to_owned(), resource, ..MetricSpec::default() }]);
    }
}
