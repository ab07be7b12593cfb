//! The columns of each kind's table.

use malha_cluster::Kind;
use serde_json::{Value, json};

use crate::schema::crds;

/// A column: name, type, priority, what it shows.
pub(super) type Column = (&'static str, &'static str, u8, &'static str);

const AGE: Column = ("Age", "string", 0, "Time since the object was created.");
const CONTAINERS: Column = ("Containers", "string", 1, "Names of the containers in the template.");
const IMAGES: Column = ("Images", "string", 1, "Images of the containers in the template.");
const SELECTOR: Column = ("Selector", "string", 1, "Which pods it selects.");
const NAME: Column = ("Name", "string", 0, "Name of the object.");

const PODS: &[Column] = &[
    NAME,
    ("Ready", "string", 0, "Containers that are ready, of all."),
    ("Status", "string", 0, "What the pod's containers are doing."),
    ("Restarts", "string", 0, "How often containers were restarted, and when last."),
    AGE,
    ("IP", "string", 1, "Address of the pod."),
    ("Node", "string", 1, "Where it runs."),
    ("Nominated Node", "string", 1, "Where it will run once others have made room."),
    ("Readiness Gates", "string", 1, "Further conditions for being ready that hold, of all."),
];
const SERVICES: &[Column] = &[
    NAME,
    ("Type", "string", 0, "How the service is reached."),
    ("Cluster-IP", "string", 0, "Its address inside of the cluster."),
    ("External-IP", "string", 0, "Its addresses outside of the cluster."),
    ("Port(s)", "string", 0, "Its ports, with the node's ports where there are any."),
    AGE,
    SELECTOR,
];
const DEPLOYMENTS: &[Column] = &[
    NAME,
    ("Ready", "string", 0, "Pods that are ready, of those that are wanted."),
    ("Up-to-date", "string", 0, "Pods of the current template."),
    ("Available", "string", 0, "Pods that have been ready long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const REPLICA_SETS: &[Column] = &[
    NAME,
    ("Desired", "integer", 0, "Pods that are wanted."),
    ("Current", "integer", 0, "Pods that there are."),
    ("Ready", "integer", 0, "Pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const AUTOSCALERS: &[Column] = &[
    NAME,
    ("Reference", "string", 0, "What is scaled."),
    ("Targets", "string", 0, "Metrics as they are and as they should be."),
    ("MinPods", "string", 0, "Fewest pods."),
    ("MaxPods", "string", 0, "Most pods."),
    ("Replicas", "string", 0, "Pods that there are."),
    AGE,
];
const BUDGETS: &[Column] = &[
    NAME,
    ("Min Available", "string", 0, "Pods that must stay."),
    ("Max Unavailable", "string", 0, "Pods that may be missing."),
    ("Allowed Disruptions", "integer", 0, "Pods that may be evicted now."),
    AGE,
];
const EVENTS: &[Column] = &[
    ("Last Seen", "string", 0, "Time since it happened last."),
    ("Type", "string", 0, "`Normal` or `Warning`."),
    ("Reason", "string", 0, "What happened, in a word."),
    ("Object", "string", 0, "To what."),
    ("Subobject", "string", 1, "To which part of it."),
    ("Source", "string", 1, "Who says so."),
    ("Message", "string", 0, "What happened."),
    ("First Seen", "string", 1, "Time since it happened first."),
    ("Count", "string", 1, "How often it happened."),
    ("Name", "string", 1, "Name of the object."),
];
const NODES: &[Column] = &[
    NAME,
    ("Status", "string", 0, "Whether it is ready, and takes pods."),
    ("Roles", "string", 0, "What it is for."),
    AGE,
    ("Version", "string", 0, "Version of its kubelet."),
    ("Internal-IP", "string", 1, "Its address inside of the cluster."),
    ("External-IP", "string", 1, "Its address outside of the cluster."),
    ("OS-Image", "string", 1, "Its operating system."),
    ("Kernel-Version", "string", 1, "Version of its kernel."),
    ("Container-Runtime", "string", 1, "What runs its containers."),
];
const ENDPOINT_SLICES: &[Column] = &[
    NAME,
    ("AddressType", "string", 0, "Kind of its addresses."),
    ("Ports", "string", 0, "Its ports."),
    ("Endpoints", "string", 0, "Its addresses."),
    AGE,
];
const ENDPOINTS: &[Column] = &[NAME, ("Endpoints", "string", 0, "Addresses with ports."), AGE];
const NAMESPACES: &[Column] = &[NAME, ("Status", "string", 0, "Whether it is there to stay."), AGE];
const SECRETS: &[Column] =
    &[NAME, ("Type", "string", 0, "What is in it."), ("Data", "string", 0, "How many keys it has."), AGE];
const CONFIG_MAPS: &[Column] = &[NAME, ("Data", "string", 0, "How many keys it has."), AGE];
const CLAIMS: &[Column] = &[
    NAME,
    ("Status", "string", 0, "Whether it has its volume."),
    ("Volume", "string", 0, "Its volume."),
    ("Capacity", "string", 0, "How much fits."),
    ("Access Modes", "string", 0, "Who may mount it."),
    ("StorageClass", "string", 0, "What makes its volume."),
    ("VolumeAttributesClass", "string", 0, "How its volume behaves."),
    AGE,
    ("VolumeMode", "string", 1, "Whether it holds files."),
];
const SERVICE_ACCOUNTS: &[Column] = &[NAME, ("Secrets", "string", 0, "How many secrets it may use."), AGE];
const RUNTIME_CLASSES: &[Column] = &[NAME, ("Handler", "string", 0, "What runs pods of the class."), AGE];
const LEASES: &[Column] = &[NAME, ("Holder", "string", 0, "Who has it."), AGE];
const DEFINITIONS: &[Column] = &[NAME, ("Created At", "date", 0, "When the object was created.")];

/// The columns of one of Kubernetes' own kinds.
fn builtin(kind: Kind) -> Option<&'static [Column]> {
    Some(match kind {
        Kind::Pod => PODS,
        Kind::Service => SERVICES,
        Kind::Deployment => DEPLOYMENTS,
        Kind::ReplicaSet => REPLICA_SETS,
        Kind::HorizontalPodAutoscaler => AUTOSCALERS,
        Kind::PodDisruptionBudget => BUDGETS,
        Kind::Event => EVENTS,
        Kind::Node => NODES,
        Kind::EndpointSlice => ENDPOINT_SLICES,
        Kind::Endpoints => ENDPOINTS,
        Kind::Namespace => NAMESPACES,
        Kind::Secret => SECRETS,
        Kind::ConfigMap => CONFIG_MAPS,
        Kind::PersistentVolumeClaim => CLAIMS,
        Kind::ServiceAccount => SERVICE_ACCOUNTS,
        Kind::Lease => LEASES,
        Kind::RuntimeClass => RUNTIME_CLASSES,
        Kind::CustomResourceDefinition => DEFINITIONS,
        _ => return None,
    })
}

/// `columnDefinitions`.
pub(super) fn definitions(kind: Kind) -> Vec<Value> {
    let definition = |(name, kind, priority, description): Column| {
        let format = if name == "Name" { "name" } else { "" };
        json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
    };
    if let Some(columns) = builtin(kind) {
        return columns.iter().copied().map(definition).collect();
    }
    let custom = crds::columns(kind).iter().map(|column| (column.name, column.kind, 0, column.description));
    std::iter::once(NAME).chain(custom).map(definition).collect()
}
