//! The nodes as objects (`pkg/kubelet/nodestatus`).
//!
//! Their state is written once: each is the machine that this process runs on, and while it runs they are ready.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use crate::address::PodRange;
use crate::node::Machine;

use super::status::HOST_IP;

/// The Kubernetes whose behaviour malha shows.
pub(crate) const VERSION: &str = "v1.34.0";

/// Name of the first node, and what the others' begin with.
pub(crate) const FIRST: &str = "malha";

/// What is fine with a node, and how the kubelet says it.
const CONDITIONS: [(&str, &str, &str, &str); 4] = [
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
];

/// The nodes' names, as minikube names them, with the addresses of their pods.
pub(crate) fn ranges(machine: &Machine) -> impl Iterator<Item = (String, PodRange)> {
    let nodes = u32::from(machine.nodes.count.max(1));
    (0..nodes).map(move |index| {
        let name = if index == 0 { FIRST.to_owned() } else { format!("{FIRST}-m{:02}", index + 1) };
        (name, PodRange::of(index, nodes))
    })
}

/// A node, without its status.
pub(crate) fn node(machine: &Machine, name: &str, range: PodRange) -> Node {
    let mut labels = vec![
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", machine.operating_system.as_str()),
        ("kubernetes.io/arch", machine.architecture.as_str()),
        // By which runtime-class-manager marks the nodes that have the shim.
        ("spin", "true"),
    ];
    if name == FIRST {
        labels.push(("node-role.kubernetes.io/control-plane", ""));
    }
    Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: Some(range.to_string()),
            pod_cidrs: Some(vec![range.to_string()]),
            ..NodeSpec::default()
        }),
        status: None,
    }
}

/// Its lease, which says that the node is there (`kubelet/pkg/nodelease`). A kubelet renews its lease so that others can tell
/// when it is gone; this one goes with the API that would be asked, so no time is said that would have to be renewed.
pub(crate) fn lease(node: &str, uid: &str) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(node.to_owned()),
            namespace: Some("kube-node-lease".to_owned()),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Node".to_owned(),
                name: node.to_owned(),
                uid: uid.to_owned(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec { holder_identity: Some(node.to_owned()), ..LeaseSpec::default() }),
    }
}

/// Its status.
pub(crate) fn status(machine: &Machine, name: &str, range: PodRange, now: &Time) -> NodeStatus {
    let capacity = [
        ("cpu", machine.nodes.processors.to_string()),
        ("memory", format!("{}Ki", machine.nodes.memory / 1024)),
        // As many as have an address, as the kubelet's `--max-pods` should be.
        ("pods", range.pods().to_string()),
    ];
    let capacity = capacity.map(|(name, amount)| (name.to_owned(), Quantity(amount)));
    let address = |type_: &str, address: &str| NodeAddress { type_: type_.to_owned(), address: address.to_owned() };
    let condition = |(type_, status, reason, message): (&str, &str, &str, &str)| NodeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    };
    NodeStatus {
        capacity: Some(capacity.clone().into()),
        allocatable: Some(capacity.into()),
        conditions: Some(CONDITIONS.into_iter().map(condition).collect()),
        addresses: Some(vec![address("InternalIP", HOST_IP), address("Hostname", name)]),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: 0 }) }),
        node_info: Some(NodeSystemInfo {
            architecture: machine.architecture.clone(),
            operating_system: machine.operating_system.clone(),
            os_image: "malha".to_owned(),
            container_runtime_version: machine.runtime.clone(),
            kubelet_version: VERSION.to_owned(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}
