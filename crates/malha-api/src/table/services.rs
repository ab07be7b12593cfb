//! Services.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::common::{age, labels, name, or};

pub(super) fn row(service: &Service, now: Timestamp) -> Vec<Value> {
    let default = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&default);
    let address = spec.cluster_ips.as_ref().and_then(|all| all.first()).or(spec.cluster_ip.as_ref());
    let ports: Vec<String> = spec.ports.iter().flatten().map(port).collect();
    vec![
        name(&service.metadata),
        json!(spec.type_.as_deref().unwrap_or_default()),
        json!(or(address.map(String::as_str), "<none>")),
        json!(external(service, spec)),
        json!(or(Some(&ports.join(",")), "<none>")),
        age(&service.metadata, now),
        json!(labels(spec.selector.as_ref())),
    ]
}

/// `80/TCP`, `80:31234/TCP`.
fn port(port: &ServicePort) -> String {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    match port.node_port {
        Some(node) if node > 0 => format!("{}:{node}/{protocol}", port.port),
        _ => format!("{}/{protocol}", port.port),
    }
}

fn external(service: &Service, spec: &ServiceSpec) -> String {
    let own = spec.external_ips.as_deref().unwrap_or_default();
    match spec.type_.as_deref() {
        Some("ClusterIP" | "NodePort") => or(Some(&own.join(",")), "<none>").to_owned(),
        Some("LoadBalancer") => {
            let mut all = given(service);
            all.extend(own.iter().cloned());
            or(Some(&all.join(",")), "<pending>").to_owned()
        }
        Some("ExternalName") => spec.external_name.clone().unwrap_or_default(),
        _ => "<unknown>".to_owned(),
    }
}

/// What the load balancer has given, in order.
fn given(service: &Service) -> Vec<String> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let all: BTreeSet<&String> = ingress
        .iter()
        .filter_map(|one| one.ip.as_ref().or(one.hostname.as_ref()))
        .filter(|address| !address.is_empty())
        .collect();
    all.into_iter().cloned().collect()
}
