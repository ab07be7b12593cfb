//! Rules of `DestinationRule` (`ValidateDestinationRule`).

use super::common::{export_to, policy_selector};
use super::traffic;
use crate::check::Checker;
use crate::istio::{DestinationRule, PortTrafficPolicy, TrafficPolicy};
use crate::names;
use crate::path::FieldPath;

pub(in crate::check) fn destination_rule(checker: &mut Checker<'_>, rule: &DestinationRule) {
    let root = FieldPath::parse("spec");
    checker.name(root.field("host"), &rule.host, names::HOST);
    if let Some(policy) = &rule.traffic_policy {
        traffic_policy(checker, &root.field("trafficPolicy"), policy);
    }
    let path = root.field("subsets");
    for (index, subset) in rule.subsets.iter().enumerate() {
        let path = path.item(index);
        checker.name(path.field("name"), &subset.name, names::MESH_LABEL);
        checker.labels(&path.field("labels"), Some(&subset.labels));
        if let Some(policy) = &subset.traffic_policy {
            traffic_policy(checker, &path.field("trafficPolicy"), policy);
        }
    }
    checker.unique(
        "subset name",
        rule.subsets.iter().enumerate().map(|(index, one)| (path.item(index).field("name"), one.name.as_str())),
    );
    export_to(checker, &rule.export_to, false);
    policy_selector(checker, &root.field("workloadSelector"), rule.workload_selector.as_ref());
    let own = checker.namespace();
    let beyond = |name: &String| name != "." && *name != own;
    if rule.workload_selector.is_some() && rule.export_to.iter().any(beyond) {
        let message = "destination rule with workload selector cannot have exportTo beyond current namespace";
        checker.error(root.field("exportTo"), message);
    }
}

/// `validateTrafficPolicy`
fn traffic_policy(checker: &mut Checker<'_>, path: &FieldPath, policy: &TrafficPolicy) {
    if *policy == TrafficPolicy::default() {
        checker.error(path, "traffic policy must have at least one field");
    }
    if policy.tunnel.is_some() && policy.proxy_protocol.is_some() {
        checker.error(path, "tunnel and proxyProtocol must not be set together").help("keep one of them");
    }
    let outlier = policy.outlier_detection.as_ref();
    traffic::load_balancer(checker, &path.field("loadBalancer"), policy.load_balancer.as_ref(), outlier);
    traffic::connection_pool(checker, &path.field("connectionPool"), policy.connection_pool.as_ref());
    traffic::outlier_detection(checker, &path.field("outlierDetection"), outlier);
    traffic::client_tls(checker, &path.field("tls"), policy.tls.as_ref());
    if let Some(tunnel) = &policy.tunnel {
        traffic::tunnel(checker, &path.field("tunnel"), tunnel);
    }
    if let Some(budget) = &policy.retry_budget {
        traffic::retry_budget(checker, &path.field("retryBudget"), budget);
    }
    for (index, port) in policy.port_level_settings.iter().enumerate() {
        port_policy(checker, &path.field("portLevelSettings").item(index), port);
    }
}

/// `validatePortTrafficPolicies`
fn port_policy(checker: &mut Checker<'_>, path: &FieldPath, policy: &PortTrafficPolicy) {
    match policy.port {
        Some(port) => checker.port(path.field("port").field("number"), port.number.into()),
        None => {
            checker.error(path.field("port"), "portTrafficPolicy must have valid port");
        }
    }
    if *policy == (PortTrafficPolicy { port: policy.port, ..PortTrafficPolicy::default() }) {
        checker.error(path, "port traffic policy must have at least one field");
    }
    let outlier = policy.outlier_detection.as_ref();
    traffic::load_balancer(checker, &path.field("loadBalancer"), policy.load_balancer.as_ref(), outlier);
    traffic::connection_pool(checker, &path.field("connectionPool"), policy.connection_pool.as_ref());
    traffic::outlier_detection(checker, &path.field("outlierDetection"), outlier);
    traffic::client_tls(checker, &path.field("tls"), policy.tls.as_ref());
}
