//! The cluster's furniture: namespaces, nodes, runtime classes, accounts, and what pods are configured with.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, Node, NodeSystemInfo, PersistentVolumeClaim, Secret, ServiceAccount,
};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::common::{age, name, or};

pub(super) fn namespace(namespace: &Namespace, now: Timestamp) -> Vec<Value> {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    vec![name(&namespace.metadata), json!(phase), age(&namespace.metadata, now)]
}

pub(super) fn node(node: &Node, now: Timestamp) -> Vec<Value> {
    let default = NodeSystemInfo::default();
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref()).unwrap_or(&default);
    let unknown = |text: &str| json!(or(Some(text), "<unknown>"));
    vec![
        name(&node.metadata),
        json!(state(node)),
        json!(or(Some(&roles(node)), "<none>")),
        age(&node.metadata, now),
        json!(info.kubelet_version),
        json!(address(node, "InternalIP")),
        json!(address(node, "ExternalIP")),
        unknown(&info.os_image),
        unknown(&info.kernel_version),
        unknown(&info.container_runtime_version),
    ]
}

/// `Ready`, `NotReady,SchedulingDisabled`.
fn state(node: &Node) -> String {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = match conditions.iter().rfind(|condition| condition.type_ == "Ready") {
        Some(condition) if condition.status == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let closed = node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
    if closed { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

/// Roles are labels: `node-role.kubernetes.io/ROLE`, or `kubernetes.io/role: ROLE`.
fn roles(node: &Node) -> String {
    let labels = node.metadata.labels.iter().flatten();
    let roles: BTreeSet<&str> = labels
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None => (key == "kubernetes.io/role").then_some(value.as_str()),
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.into_iter().collect::<Vec<_>>().join(",")
}

fn address<'a>(node: &'a Node, kind: &str) -> &'a str {
    let addresses = node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    addresses.iter().find(|address| address.type_ == kind).map_or("<none>", |address| address.address.as_str())
}

pub(super) fn runtime_class(class: &RuntimeClass, now: Timestamp) -> Vec<Value> {
    vec![name(&class.metadata), json!(class.handler), age(&class.metadata, now)]
}

pub(super) fn lease(lease: &Lease, now: Timestamp) -> Vec<Value> {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    vec![name(&lease.metadata), json!(holder), age(&lease.metadata, now)]
}

pub(super) fn service_account(account: &ServiceAccount, now: Timestamp) -> Vec<Value> {
    let secrets = account.secrets.as_ref().map_or(0, Vec::len);
    vec![name(&account.metadata), json!(secrets), age(&account.metadata, now)]
}

pub(super) fn config_map(map: &ConfigMap, now: Timestamp) -> Vec<Value> {
    let keys = map.data.as_ref().map_or(0, BTreeMap::len) + map.binary_data.as_ref().map_or(0, BTreeMap::len);
    vec![name(&map.metadata), json!(keys), age(&map.metadata, now)]
}

/// `printPersistentVolumeClaim`.
pub(super) fn claim(claim: &PersistentVolumeClaim, now: Timestamp) -> Vec<Value> {
    const MODES: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let (spec, status) = (claim.spec.clone().unwrap_or_default(), claim.status.clone().unwrap_or_default());
    let phase = match claim.metadata.deletion_timestamp {
        Some(_) => "Terminating",
        None => status.phase.as_deref().unwrap_or_default(),
    };
    let volume = spec.volume_name.unwrap_or_default();
    let has = |mode: &str| status.access_modes.iter().flatten().any(|known| known == mode);
    let modes: Vec<_> = MODES.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    let capacity = status.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
    let shown = |text: &str| if volume.is_empty() { String::new() } else { text.to_owned() };
    vec![
        name(&claim.metadata),
        json!(phase),
        json!(volume),
        json!(shown(capacity.map_or("", |capacity| &capacity.0))),
        json!(shown(&modes.join(","))),
        json!(spec.storage_class_name.unwrap_or_default()),
        json!(spec.volume_attributes_class_name.as_deref().unwrap_or("<unset>")),
        age(&claim.metadata, now),
        json!(spec.volume_mode.as_deref().unwrap_or("<unset>")),
    ]
}

pub(super) fn secret(secret: &Secret, now: Timestamp) -> Vec<Value> {
    let keys = secret.data.as_ref().map_or(0, BTreeMap::len);
    vec![
        name(&secret.metadata),
        json!(secret.type_.as_deref().unwrap_or_default()),
        json!(keys),
        age(&secret.metadata, now),
    ]
}
