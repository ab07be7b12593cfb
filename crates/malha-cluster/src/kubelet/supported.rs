//! Whether malha has a part for all that a pod asks for.

use k8s_openapi::api::core::v1::{Pod, Volume};
use k8s_openapi::api::node::v1::RuntimeClass;

use crate::node::StartError;
use crate::store::Store;

/// Handlers of the containerd shim for Spin: runtime-class-manager's name and spin-operator's.
const HANDLERS: [&str; 2] = ["spin-v2", "spin"];

/// The error says what malha has no part for and what to do; the pod then stays Pending, as it does on a cluster whose
/// nodes cannot make its sandbox. Its reason is not one of Kubernetes: no cluster would stop at it.
pub(crate) fn supported(store: &Store, pod: &Pod) -> Result<(), StartError> {
    problem(store, pod).map_or(Ok(()), |message| Err(StartError::new("UnsupportedByMalha", message)))
}

fn problem(store: &Store, pod: &Pod) -> Option<String> {
    let Some(spec) = &pod.spec else { return Some("the pod has no spec".to_owned()) };
    let Some(class_name) = spec.runtime_class_name.as_deref().filter(|name| !name.is_empty()) else {
        return Some(
            "malha runs Spin applications, and a pod without runtimeClassName is a Linux container; \
             for a Spin application set runtimeClassName: wasmtime-spin-v2, anything else needs a real cluster"
                .to_owned(),
        );
    };
    let Some(class) = store.get::<RuntimeClass>("", class_name) else {
        return Some(format!(
            "RuntimeClass \"{class_name}\" not found; apply it, or use wasmtime-spin-v2, which malha brings along"
        ));
    };
    if !HANDLERS.contains(&class.handler.as_str()) {
        return Some(format!(
            "RuntimeClass \"{class_name}\" has handler \"{}\", and malha has only spin-v2 (Spin applications); \
             use runtimeClassName: wasmtime-spin-v2",
            class.handler
        ));
    }
    let names = |containers: &[k8s_openapi::api::core::v1::Container]| {
        containers.iter().map(|container| container.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    if let Some(init) = spec.init_containers.as_deref().filter(|init| !init.is_empty()) {
        return Some(format!("malha has no part for init containers ({}); remove them", names(init)));
    }
    if spec.containers.len() != 1 {
        return Some(format!(
            "malha runs pods of one container, and this one has {} ({}); give each a Deployment of its own",
            spec.containers.len(),
            names(&spec.containers)
        ));
    }
    let volume = spec.volumes.iter().flatten().find(|volume| !keeps_files(volume))?;
    Some(format!(
        "malha has no part for volume \"{}\": only emptyDir and persistentVolumeClaim can be mounted; pass its content as environment variables \
         (valueFrom, envFrom)",
        volume.name
    ))
}

fn keeps_files(volume: &Volume) -> bool {
    // Kubernetes makes a volume without a source an emptyDir.
    volume.empty_dir.is_some()
        || volume.persistent_volume_claim.is_some()
        || Volume { name: String::new(), ..volume.clone() } == Volume::default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, PodSpec, SecretVolumeSource};

    use crate::fixtures;

    use super::*;

    fn verdict(change: impl FnOnce(&mut PodSpec)) -> Option<String> {
        let mut pod = fixtures::pod("p");
        change(pod.spec.as_mut().unwrap());
        supported(&fixtures::store(), &pod).err().map(|error| error.message)
    }

    #[test]
    fn one_spin_container_with_scratch_space_is_fine() {
        let scratch =
            Volume { name: "tmp".into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
        assert_eq!(verdict(|spec| spec.volumes = Some(vec![scratch])), None);
    }

    #[test]
    fn what_malha_has_no_part_for_is_named() {
        let container = || Container { name: "istio-proxy".into(), ..Container::default() };
        let secret = Volume { name: "keys".into(), secret: Some(SecretVolumeSource::default()), ..Volume::default() };
        for (message, want) in [
            (verdict(|spec| spec.runtime_class_name = None), "is a Linux container"),
            (verdict(|spec| spec.runtime_class_name = Some("gvisor".into())), "RuntimeClass \"gvisor\" not found"),
            (verdict(|spec| spec.runtime_class_name = Some("other".into())), "has handler \"runsc\""),
            (verdict(|spec| spec.init_containers = Some(vec![container()])), "init containers (istio-proxy)"),
            (verdict(|spec| spec.containers.push(container())), "this one has 2 (app, istio-proxy)"),
            (verdict(|spec| spec.volumes = Some(vec![secret])), "no part for volume \"keys\""),
        ] {
            assert!(message.as_ref().is_some_and(|message| message.contains(want)), "{message:?}");
        }
    }
}
