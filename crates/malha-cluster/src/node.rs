//! The kubelet's other side: what really runs pods.

use std::fmt;
use std::future::ready;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::connect::{ConnectError, Connecting, PodStream};
use crate::log::{Log, Silence};
use crate::selector::Labels;
use crate::usage::Usage;

/// Runs pods. The cluster decides which; a node only starts and stops what it is told.
pub trait Node: Send + Sync + 'static {
    /// What answers for a pod on the data plane.
    type Pod: Clone + Send + Sync + 'static;

    /// Starts a pod's container; it takes requests when this returns. It may be started again with the same request
    /// after it was stopped.
    fn start(&self, request: PodRequest) -> impl Future<Output = Result<Self::Pod, StartError>> + Send;

    /// Stops a pod's container at once. It is no endpoint any more in the last published snapshot; requests that are still
    /// under way are cut, as the containerd shim for Spin cuts them.
    fn stop(&self, pod: Self::Pod) -> impl Future<Output = ()> + Send;

    /// Waits until a pod's container ends by itself, and says how; `None` once it was stopped. Here containers run until
    /// they are stopped, unless the node says otherwise.
    fn ended(&self, pod: &Self::Pod) -> impl Future<Output = Option<Exit>> + Send {
        let _ = pod;
        ready(None)
    }

    /// What the pod's container prints: nothing, unless the node says otherwise. It outlives the pod, for whoever reads it.
    fn log(&self, pod: &Self::Pod) -> Arc<dyn Log> {
        let _ = pod;
        Arc::new(Silence)
    }

    /// Answers what comes in on `stream`, a connection to a port of the pod from within the pod's own network: nothing
    /// listens there, unless the node says otherwise.
    fn connect(&self, pod: &Self::Pod, port: u16, stream: Box<dyn PodStream>) -> Connecting {
        let _ = (pod, port, stream);
        Box::pin(ready(Err(ConnectError::Refused)))
    }

    /// Asks a pod over HTTP how it is, for its status. The error says why there is none, as Go's client would: nothing
    /// listens, unless the node says otherwise. Waits as long as it takes: who asks has a limit.
    fn probe(&self, pod: &Self::Pod, request: ProbeRequest) -> impl Future<Output = Result<u16, String>> + Send {
        let _ = pod;
        ready(Err(format!("Get \"{}\": dial tcp {}: connect: connection refused", request.url, request.host)))
    }

    /// What a pod's container has used since it started; `None` where nobody measures it.
    fn usage(&self, pod: &Self::Pod) -> Option<Usage> {
        let _ = pod;
        None
    }

    /// Forgets what a volume holds: whoever it belonged to is gone. The cluster is locked meanwhile, so that what takes long
    /// has to go on by itself. The node keeps nothing, unless it says otherwise.
    fn discard(&self, volume: &Volume) {
        let _ = volume;
    }

    /// What the node is made of.
    fn machine(&self) -> Machine {
        Machine::default()
    }
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code.
    pub code: i32,
    /// In the words of its container runtime: `Completed`, `Error`, …
    pub reason: String,
}

impl Exit {
    /// As the containerd shim for Spin ends when it is told to.
    pub(crate) fn told() -> Self {
        Self { code: 0, reason: "Completed".to_owned() }
    }

    /// As a container ends that is killed: by the kernel, when it has used up its memory.
    pub fn killed() -> Self {
        Self { code: 137, reason: "Error".to_owned() }
    }
}

/// An HTTP request that asks a container how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    /// The whole address, for messages: `http://10.244.0.1:80/health`.
    pub url: String,
    /// Host and port, for `Host` where `headers` has none.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Headers that the probe adds.
    pub headers: Vec<(String, String)>,
}

/// The nodes of a cluster, as they look to the scheduler and to users: how many there are, and how much each has for the
/// requests of pods. Nothing is taken from the machine by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// How many: at least one.
    pub count: u16,
    /// Processors of each.
    pub processors: u64,
    /// Bytes of memory of each.
    pub memory: u64,
}

impl Default for Nodes {
    /// One that is larger than any machine: how many pods fit follows from what is asked for, and not from the laptop at hand.
    fn default() -> Self {
        Self { count: 1, processors: 256, memory: 1 << 40 }
    }
}

/// What a node is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The nodes that it plays.
    pub nodes: Nodes,
    /// As Kubernetes names it: `amd64`, `arm64`.
    pub architecture: String,
    /// As Kubernetes names it: `linux`, `darwin`.
    pub operating_system: String,
    /// What runs the pods, with its version: `malha://0.1.0`.
    pub runtime: String,
}

impl Default for Machine {
    /// The smallest that runs anything.
    fn default() -> Self {
        Self {
            nodes: Nodes::default(),
            architecture: "amd64".to_owned(),
            operating_system: "linux".to_owned(),
            runtime: "malha://0".to_owned(),
        }
    }
}

/// All that a node needs to know to start a pod.
#[derive(Clone, PartialEq, Eq)]
pub struct PodRequest {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Address of the pod.
    pub ip: Ipv4Addr,
    /// Labels of the pod.
    pub labels: Labels,
    /// `spec.serviceAccountName`: with the namespace, who the pod is to others of the mesh.
    pub service_account: String,
    /// What made the pod, as telemetry names it: of a Deployment's pods the Deployment.
    pub workload: String,
    /// Name of its only container.
    pub container: String,
    /// Image of the container, as written.
    pub image: String,
    /// Whether an image that is not there may be got (`imagePullPolicy` other than `Never`).
    pub may_pull: bool,
    /// The container's environment, resolved: literal values, Secrets, `ConfigMaps`, fields, `$(…)` expanded. Names are
    /// unique. May hold secrets: `Debug` shows the names only.
    pub env: Vec<(String, String)>,
    /// `containerPort` of the container's TCP ports. Informational, as in Kubernetes.
    pub ports: Vec<u16>,
    /// What it may use.
    pub limits: Limits,
    /// What the container finds at `/.spin`, where Spin keeps its stores.
    pub state: StateMount,
}

/// A place on the node that keeps files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Volume {
    /// All that `emptyDir`s of the pod with this uid hold: it outlives containers, and goes with the pod.
    Pod(String),
    /// What is behind a claim: it outlives pods.
    Claim {
        /// Namespace of the claim.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// A container's `/.spin`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StateMount {
    /// Nothing is mounted there: part of the container's own file system, which goes with it.
    #[default]
    Root,
    /// It cannot be written to.
    ReadOnly,
    /// A folder of a volume.
    Volume {
        /// The volume.
        volume: Volume,
        /// The folder within it: relative, and without `..`.
        path: String,
    },
}

/// `resources` of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `limits.memory`, in bytes.
    pub memory: Option<u64>,
    /// `limits.cpu`, in thousandths of a core.
    pub cpu: Option<u64>,
    /// `requests.cpu`, in thousandths of a core; the limit where none is given, as Kubernetes defaults it.
    pub cpu_request: Option<u64>,
}

impl fmt::Debug for PodRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("PodRequest")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("uid", &self.uid)
            .field("ip", &self.ip)
            .field("labels", &self.labels)
            .field("service_account", &self.service_account)
            .field("workload", &self.workload)
            .field("container", &self.container)
            .field("image", &self.image)
            .field("may_pull", &self.may_pull)
            .field("env (names)", &names)
            .field("ports", &self.ports)
            .field("limits", &self.limits)
            .field("state", &self.state)
            .finish()
    }
}

/// Why a pod does not start, as `kubectl get pods` (the reason) and `kubectl describe pod` (the message) show it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct StartError {
    /// In Kubernetes' words: `ErrImageNeverPull`, `CreateContainerConfigError`, `RunContainerError`, …
    pub reason: String,
    /// What is wrong, and where it can be said what to do.
    pub message: String,
}

impl StartError {
    /// A reason and a message.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }

    /// The image is not there.
    pub fn image(message: impl Into<String>) -> Self {
        Self::new("ErrImagePull", message)
    }

    /// Whether it is the image that is missing; what that is called depends on the pod's pull policy.
    pub(crate) fn is_image(&self) -> bool {
        matches!(self.reason.as_str(), "ErrImagePull" | "ErrImageNeverPull")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_for_debugging_shows_no_value() {
        let request = PodRequest {
            namespace: "default".into(),
            name: "auth".into(),
            uid: String::new(),
            ip: Ipv4Addr::LOCALHOST,
            labels: Labels::new(),
            service_account: "auth".into(),
            workload: "auth-deployment".into(),
            container: "auth".into(),
            image: "workshop:0.0.1".into(),
            may_pull: true,
            env: vec![("JWT_PRIVATE_KEY".into(), "hunter2".into())],
            ports: vec![80],
            limits: Limits::default(),
            state: StateMount::Root,
        };
        let text = format!("{request:?}");
        assert!(text.contains("JWT_PRIVATE_KEY") && !text.contains("hunter2"), "{text}");
    }
}
