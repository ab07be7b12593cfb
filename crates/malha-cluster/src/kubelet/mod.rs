//! The kubelet's decisions: whether a pod can run here, with what, and what its status says.
//!
//! | module | what it decides |
//! | --- | --- |
//! | `worker` | a pod's life: start, restarts and back-off, its end in stages |
//! | `supported` | whether malha has a part for all of it |
//! | `env` | its environment |
//! | `volumes` | what is mounted where Spin keeps its stores |
//! | `probes` | when it is asked how it is, and what its answers mean |
//! | `status` | what its status says |
//! | `machine` | the nodes as objects |
//!
//! Nothing here has effects; [`crate::Cluster`] carries them out with a [`crate::Node`].

pub(crate) mod backoff;
pub(crate) mod env;
pub(crate) mod machine;
pub(crate) mod probes;
pub(crate) mod status;
mod supported;
mod volumes;
pub(crate) mod worker;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::node::{Limits, PodRequest, StartError};
use crate::pilot::{owner, service_account};
use crate::quantity;
use crate::store::Store;

pub(crate) use supported::supported;

/// What the node is to start. The pod is one that [`supported()`] let pass.
pub(crate) fn request(store: &Store, pod: &Pod, ip: Ipv4Addr) -> Result<PodRequest, StartError> {
    let config_error = |message: String| StartError::new("CreateContainerConfigError", message);
    let container = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.containers.first())
        .ok_or_else(|| config_error("the pod has no container".to_owned()))?;
    let ports = container.ports.iter().flatten();
    Ok(PodRequest {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        ip,
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        service_account: service_account(pod).to_owned(),
        workload: owner(store, pod),
        container: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        may_pull: container.image_pull_policy.as_deref() != Some("Never"),
        env: env::resolve(store, pod, container, ip).map_err(config_error)?,
        ports: ports
            .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
            .filter_map(|port| u16::try_from(port.container_port).ok())
            .collect(),
        limits: limits(container).map_err(config_error)?,
        state: volumes::state(pod, container).map_err(config_error)?,
    })
}

/// `resources` as numbers. A request that is not given is the limit (Kubernetes, "Resource Management for Pods").
fn limits(container: &Container) -> Result<Limits, String> {
    let Some(resources) = &container.resources else { return Ok(Limits::default()) };
    let cpu = amount(resources.limits.as_ref(), "cpu", quantity::millicores)?;
    Ok(Limits {
        memory: amount(resources.limits.as_ref(), "memory", quantity::bytes)?,
        cpu,
        cpu_request: amount(resources.requests.as_ref(), "cpu", quantity::millicores)?.or(cpu),
    })
}

fn amount(
    list: Option<&BTreeMap<String, Quantity>>,
    resource: &str,
    read: fn(&str) -> Option<u64>,
) -> Result<Option<u64>, String> {
    let Some(Quantity(text)) = list.and_then(|list| list.get(resource)) else { return Ok(None) };
    read(text)
        .map(Some)
        .ok_or_else(|| format!("`{text}` is not a quantity of {resource}; write one such as `128M` or `100m`"))
}
