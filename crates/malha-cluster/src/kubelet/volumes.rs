//! What a container finds at `/.spin`: the only folder of a container that malha has, since components see no other file.

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use crate::node::{StateMount, Volume};

/// Where Spin keeps its stores: below the working directory, which is `/` in the containerd shim.
const STATE: &str = "/.spin";

/// What is mounted there. The pod is one whose volumes malha has.
pub(crate) fn state(pod: &Pod, container: &Container) -> Result<StateMount, String> {
    let is_state = |mount: &&VolumeMount| mount.mount_path.trim_end_matches('/') == STATE;
    let Some(mount) = container.volume_mounts.iter().flatten().find(is_state) else {
        let security = container.security_context.as_ref();
        let read_only = security.and_then(|security| security.read_only_root_filesystem).unwrap_or(false);
        return Ok(if read_only { StateMount::ReadOnly } else { StateMount::Root });
    };
    if mount.sub_path_expr.as_ref().is_some_and(|expression| !expression.is_empty()) {
        return Err(format!("malha has no part for subPathExpr of the mount at {STATE}; write a subPath"));
    }
    let inside = mount.sub_path.as_deref().unwrap_or_default();
    if inside.starts_with('/') || inside.split('/').any(|part| part == "..") {
        return Err(format!("subPath \"{inside}\" of the mount at {STATE} leaves its volume"));
    }
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let volume = volumes
        .into_iter()
        .find(|volume| volume.name == mount.name)
        .ok_or_else(|| format!("the pod has no volume \"{}\", which is mounted at {STATE}", mount.name))?;
    let claim = volume.persistent_volume_claim.as_ref();
    if mount.read_only == Some(true) || claim.is_some_and(|claim| claim.read_only == Some(true)) {
        return Ok(StateMount::ReadOnly);
    }
    Ok(match claim {
        Some(claim) => StateMount::Volume {
            volume: Volume::Claim {
                namespace: pod.metadata.namespace.clone().unwrap_or_default(),
                name: claim.claim_name.clone(),
            },
            path: inside.to_owned(),
        },
        None => StateMount::Volume {
            volume: Volume::Pod(pod.metadata.uid.clone().unwrap_or_default()),
            path: format!("{}/{inside}", volume.name),
        },
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, SecurityContext};

    use crate::fixtures;

    use super::*;

    fn found(change: impl FnOnce(&mut Pod)) -> Result<StateMount, String> {
        let mut pod = fixtures::pod("p");
        pod.metadata.uid = Some("u".to_owned());
        let volume = |name: &str| k8s_openapi::api::core::v1::Volume { name: name.to_owned(), ..Default::default() };
        let mut claimed = volume("data");
        claimed.persistent_volume_claim =
            Some(PersistentVolumeClaimVolumeSource { claim_name: "shows".to_owned(), read_only: None });
        pod.spec.as_mut().unwrap().volumes = Some(vec![volume("scratch"), claimed]);
        change(&mut pod);
        let container = pod.spec.as_ref().unwrap().containers[0].clone();
        state(&pod, &container)
    }

    fn mount(name: &str, path: &str, sub_path: Option<&str>) -> VolumeMount {
        VolumeMount {
            name: name.to_owned(),
            mount_path: path.to_owned(),
            sub_path: sub_path.map(str::to_owned),
            ..VolumeMount::default()
        }
    }

    fn mounted(name: &str, path: &str, sub_path: Option<&str>) -> Result<StateMount, String> {
        found(|pod| {
            pod.spec.as_mut().unwrap().containers[0].volume_mounts = Some(vec![mount(name, path, sub_path)]);
        })
    }

    #[test]
    fn what_is_mounted_at_spins_folder_decides() {
        let own = |path: &str| StateMount::Volume { volume: Volume::Pod("u".into()), path: path.into() };
        let claim = |path: &str| StateMount::Volume {
            volume: Volume::Claim { namespace: "default".into(), name: "shows".into() },
            path: path.into(),
        };
        for (got, want) in [
            (mounted("scratch", "/.spin", None), own("scratch/")),
            (mounted("scratch", "/.spin/", Some("a/b")), own("scratch/a/b")),
            (mounted("data", "/.spin", None), claim("")),
            (mounted("data", "/.spin", Some("a")), claim("a")),
            (mounted("data", "/tmp", None), StateMount::Root),
        ] {
            assert_eq!(got, Ok(want));
        }
        let read_only = |pod: &mut Pod| {
            let security = SecurityContext { read_only_root_filesystem: Some(true), ..SecurityContext::default() };
            pod.spec.as_mut().unwrap().containers[0].security_context = Some(security);
        };
        assert_eq!(found(read_only), Ok(StateMount::ReadOnly));
        assert!(mounted("data", "/.spin", Some("../other")).unwrap_err().contains("leaves its volume"));
        assert!(mounted("gone", "/.spin", None).unwrap_err().contains("no volume \"gone\""));
    }
}
