//! Rules of Kubernetes' own kinds.
//!
//! Source: `pkg/apis/core/validation` and `pkg/apis/apps/validation` of kubernetes/kubernetes 1.34.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, PodSpec, Secret, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Checker, quantity, workload};
use crate::names;
use crate::path::FieldPath;

const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];

pub(super) fn config_map(checker: &mut Checker<'_>, map: &ConfigMap) {
    let text = map.data.iter().flatten().map(|(key, _)| ("data", key));
    let binary = map.binary_data.iter().flatten().map(|(key, _)| ("binaryData", key));
    for (field, key) in text.chain(binary) {
        checker.key(&FieldPath::root().field(field).field(key), key, names::DATA_KEY);
    }
    for key in map.binary_data.iter().flatten().map(|(key, _)| key) {
        if map.data.iter().flatten().any(|(other, _)| other == key) {
            checker.error_at_key(FieldPath::root().field("binaryData").field(key), "the key is in `data` too");
        }
    }
}

pub(super) fn secret(checker: &mut Checker<'_>, secret: &Secret) {
    let data = secret.data.iter().flatten().map(|(key, _)| ("data", key));
    let text = secret.string_data.iter().flatten().map(|(key, _)| ("stringData", key));
    for (field, key) in data.chain(text) {
        checker.key(&FieldPath::root().field(field).field(key), key, names::DATA_KEY);
    }
    if secret.type_.as_deref() == Some("kubernetes.io/tls") {
        for key in ["tls.crt", "tls.key"] {
            let has = secret.data.as_ref().is_some_and(|data| data.contains_key(key))
                || secret.string_data.as_ref().is_some_and(|text| text.contains_key(key));
            if !has {
                checker.error(FieldPath::root().field("data").field(key), "required, and not set");
            }
        }
    }
}

pub(super) fn service(checker: &mut Checker<'_>, service: &Service) {
    let Some(spec) = &service.spec else {
        checker.error("spec", "required, and not set");
        return;
    };
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    checker.word("spec.type", kind, &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]);
    let ports = spec.ports.as_deref().unwrap_or_default();
    let headless = spec.cluster_ip.as_deref() == Some("None");
    if ports.is_empty() && kind != "ExternalName" && !headless {
        checker.error("spec.ports", "required, and not set");
    }
    if kind == "ExternalName" {
        checker.required("spec.externalName", spec.external_name.as_deref().unwrap_or_default());
    }
    checker.labels(&FieldPath::parse("spec.selector"), spec.selector.as_ref());
    let at = |index: usize, field: &str| FieldPath::parse("spec.ports").item(index).field(field);
    for (index, port) in ports.iter().enumerate() {
        let name = port.name.as_deref().unwrap_or_default();
        if name.is_empty() && ports.len() > 1 {
            checker.error(at(index, "name"), "required when a Service has several ports, and not set");
        } else if !name.is_empty() {
            checker.name(at(index, "name"), name, names::LABEL);
        }
        checker.port(at(index, "port"), port.port.into());
        checker.word(at(index, "protocol"), port.protocol.as_deref().unwrap_or("TCP"), PROTOCOLS);
        target_port(checker, &at(index, "targetPort"), port.target_port.as_ref());
        if let Some(node_port) = port.node_port.filter(|port| *port != 0) {
            if kind == "ClusterIP" || kind == "ExternalName" {
                checker.error(at(index, "nodePort"), format!("may not be set in a Service of type {kind}"));
            } else if !(30000..=32767).contains(&node_port) {
                let message = format!("{node_port} is outside the range of node ports");
                checker.error(at(index, "nodePort"), message).help("allowed: 30000 to 32767");
            }
        }
        let same = |other: &&k8s_openapi::api::core::v1::ServicePort| {
            other.port == port.port
                && other.protocol.as_deref().unwrap_or("TCP") == port.protocol.as_deref().unwrap_or("TCP")
        };
        if ports[..index].iter().any(|other| same(&other)) {
            checker.error(at(index, "port"), format!("port {} is used twice", port.port));
        }
    }
    checker.unique(
        "port name",
        ports.iter().enumerate().map(|(index, port)| (at(index, "name"), port.name.as_deref().unwrap_or_default())),
    );
}

/// A port by number or by the name that the container gives it.
fn target_port(checker: &mut Checker<'_>, path: &FieldPath, port: Option<&IntOrString>) {
    match port {
        Some(IntOrString::Int(number)) => checker.port(path, (*number).into()),
        Some(IntOrString::String(name)) => checker.name(path, name, names::PORT_NAME),
        None => {}
    }
}

pub(super) fn deployment(checker: &mut Checker<'_>, deployment: &Deployment) {
    let Some(spec) = &deployment.spec else {
        checker.error("spec", "required, and not set");
        return;
    };
    if let Some(replicas) = spec.replicas.filter(|replicas| *replicas < 0) {
        checker.error("spec.replicas", format!("{replicas} is negative"));
    }
    let selector = spec.selector.match_labels.as_ref();
    checker.labels(&FieldPath::parse("spec.selector.matchLabels"), selector);
    let expressions = spec.selector.match_expressions.as_deref().unwrap_or_default();
    if selector.is_none_or(std::collections::BTreeMap::is_empty) && expressions.is_empty() {
        checker
            .error("spec.selector", "required, and not set")
            .help("write the labels of the template under `spec.selector.matchLabels`");
    }
    let labels = spec.template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
    checker.labels(&FieldPath::parse("spec.template.metadata.labels"), labels);
    for (key, value) in selector.into_iter().flatten() {
        let has = labels.and_then(|labels| labels.get(key));
        if has == Some(value) {
            continue;
        }
        let path = FieldPath::parse("spec.selector.matchLabels").field(key);
        let help = match has {
            Some(other) => format!("the template says `{key}: {other}`"),
            None => format!("add `{key}: {value}` to spec.template.metadata.labels"),
        };
        checker.error(&path, "`selector` does not match template `labels`").help(help);
    }
    if let Some(kind) = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) {
        checker.word("spec.strategy.type", kind, &["RollingUpdate", "Recreate"]);
    }
    workload::rollout(checker, spec);
    match &spec.template.spec {
        Some(pod) => pod_spec(checker, pod),
        None => {
            checker.error("spec.template.spec", "required, and not set");
        }
    }
}

fn pod_spec(checker: &mut Checker<'_>, pod: &PodSpec) {
    let root = FieldPath::parse("spec.template.spec");
    if let Some(policy) = pod.restart_policy.as_deref() {
        checker.word(root.field("restartPolicy"), policy, &["Always"]);
    }
    if let Some(policy) = pod.dns_policy.as_deref() {
        checker.word(root.field("dnsPolicy"), policy, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    }
    if let Some(class) = pod.runtime_class_name.as_deref() {
        checker.name(root.field("runtimeClassName"), class, names::SUBDOMAIN);
    }
    let grace = pod.termination_grace_period_seconds.unwrap_or(30);
    if grace < 0 {
        checker.error(root.field("terminationGracePeriodSeconds"), format!("{grace} is negative"));
    }
    if pod.containers.is_empty() {
        checker.error(root.field("containers"), "required, and not set");
    }
    let volumes: Vec<_> = pod.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    let at = |index: usize| root.field("containers").item(index);
    for (index, item) in pod.containers.iter().enumerate() {
        container(checker, &at(index), item, &volumes);
        workload::asked_and_told(checker, &at(index), item, grace);
    }
    checker.unique(
        "container name",
        pod.containers.iter().enumerate().map(|(index, item)| (at(index).field("name"), item.name.as_str())),
    );
    checker.unique(
        "port name",
        pod.containers.iter().enumerate().flat_map(|(index, item)| {
            let ports = item.ports.iter().flatten().enumerate();
            let path = at(index).field("ports");
            ports.map(move |(port, item)| (path.item(port).field("name"), item.name.as_deref().unwrap_or_default()))
        }),
    );
    checker.unique(
        "volume name",
        volumes.iter().enumerate().map(|(index, name)| (root.field("volumes").item(index).field("name"), *name)),
    );
}

fn container(checker: &mut Checker<'_>, path: &FieldPath, container: &Container, volumes: &[&str]) {
    checker.name(path.field("name"), &container.name, names::LABEL);
    checker.required(path.field("image"), container.image.as_deref().unwrap_or_default());
    if let Some(policy) = container.image_pull_policy.as_deref() {
        checker.word(path.field("imagePullPolicy"), policy, &["Always", "IfNotPresent", "Never"]);
    }
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let path = path.field("ports").item(index);
        checker.port(path.field("containerPort"), port.container_port.into());
        checker.word(path.field("protocol"), port.protocol.as_deref().unwrap_or("TCP"), PROTOCOLS);
        if let Some(name) = port.name.as_deref() {
            checker.name(path.field("name"), name, names::PORT_NAME);
        }
    }
    for (index, variable) in container.env.iter().flatten().enumerate() {
        env(checker, &path.field("env").item(index), variable);
    }
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = path.field("volumeMounts").item(index);
        if !volumes.contains(&mount.name.as_str()) {
            let message = format!("there is no volume `{}` in this pod", mount.name);
            let help = if volumes.is_empty() {
                "the pod has no volumes".to_owned()
            } else {
                format!("allowed: {}", volumes.join(", "))
            };
            checker.error(path.field("name"), message).help(help);
        }
        checker.required(path.field("mountPath"), &mount.mount_path);
    }
    resources(checker, path, container);
}

fn env(checker: &mut Checker<'_>, path: &FieldPath, variable: &EnvVar) {
    checker.name(path.field("name"), &variable.name, names::ENV_NAME);
    let Some(source) = &variable.value_from else { return };
    let path_from = path.field("valueFrom");
    if variable.value.as_deref().is_some_and(|value| !value.is_empty()) {
        checker.error(&path_from, "may not be set beside a `value`").help("keep one of them");
    }
    let mut sources = 0;
    if let Some(secret) = &source.secret_key_ref {
        sources += 1;
        checker.required(path_from.field("secretKeyRef").field("name"), &secret.name);
        checker.required(path_from.field("secretKeyRef").field("key"), &secret.key);
    }
    if let Some(map) = &source.config_map_key_ref {
        sources += 1;
        checker.required(path_from.field("configMapKeyRef").field("name"), &map.name);
        checker.required(path_from.field("configMapKeyRef").field("key"), &map.key);
    }
    sources += usize::from(source.field_ref.is_some())
        + usize::from(source.resource_field_ref.is_some())
        + usize::from(source.file_key_ref.is_some());
    if sources != 1 {
        checker
            .error(&path_from, "must name one source")
            .help("one of secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef, fileKeyRef");
    }
}

fn resources(checker: &mut Checker<'_>, path: &FieldPath, container: &Container) {
    let Some(resources) = &container.resources else { return };
    let path = path.field("resources");
    let empty = std::collections::BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&empty);
    let requests = resources.requests.as_ref().unwrap_or(&empty);
    for (field, list) in [("limits", limits), ("requests", requests)] {
        for (name, text) in list {
            let place = path.field(field).field(name);
            match quantity::milli(&text.0) {
                None => checker
                    .error(&place, format!("`{}` is not a quantity", text.0))
                    .help("a number with an optional suffix: m, k, M, G, Ki, Mi, Gi"),
                Some(value) if value < 0 => {
                    checker.error(&place, format!("`{}` is negative", text.0));
                }
                Some(_) => {}
            }
        }
    }
    for (name, request) in requests {
        let Some(limit) = limits.get(name) else { continue };
        if let (Some(asked), Some(most)) = (quantity::milli(&request.0), quantity::milli(&limit.0))
            && asked > most
        {
            // The field and the words of `ValidateResourceRequirements` (kubernetes, `pkg/apis/core/validation`).
            let most = &limit.0;
            let message =
                format!("Invalid value: {:?}: must be less than or equal to {name} limit of {most}", request.0);
            let requests = path.field("requests");
            checker.error_inside(&requests, &requests.field(name), message);
        }
    }
}
