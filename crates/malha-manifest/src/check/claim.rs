//! Claims of storage (Kubernetes, `pkg/apis/core/validation`, `ValidatePersistentVolumeClaimSpec`).

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::{Checker, quantity};
use crate::path::FieldPath;

/// Who may mount a volume at a time.
const MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", ALONE];

/// One pod.
const ALONE: &str = "ReadWriteOncePod";

pub(super) fn claim(checker: &mut Checker<'_>, claim: &PersistentVolumeClaim) {
    let Some(spec) = &claim.spec else {
        checker.error("spec", "required, and not set");
        return;
    };
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    if modes.is_empty() {
        checker.error("spec.accessModes", "at least 1 access mode is required").help("write `[ReadWriteOnce]`");
    }
    for (index, mode) in modes.iter().enumerate() {
        let path = FieldPath::parse("spec.accessModes").item(index);
        if !MODES.contains(&mode.as_str()) {
            checker.error(path, format!("`{mode}` is not an access mode")).help(format!("one of {}", MODES.join(", ")));
        } else if mode == ALONE && modes.len() > 1 {
            checker.error(path, format!("may not use {ALONE} with other access modes"));
        } else if mode == ALONE {
            checker.warning(path, "malha does not keep a second pod off the volume");
        }
    }
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let path = FieldPath::parse("spec.resources.requests.storage");
    match requests.and_then(|requests| requests.get("storage")) {
        None => {
            checker.error(path, "required, and not set").help("write how much, such as `1Gi`");
        }
        Some(storage) => match quantity::milli(&storage.0) {
            None => {
                checker.error(path, format!("`{}` is not a quantity", storage.0)).help("write one such as `1Gi`");
            }
            Some(..=0) => {
                checker.error(path, "must be greater than zero");
            }
            Some(_) => {}
        },
    }
    if spec.volume_mode.as_deref().is_some_and(|mode| mode != "Filesystem") {
        checker
            .error("spec.volumeMode", "malha has folders for volumes, and no block devices")
            .help("write `Filesystem`, or leave it out");
    }
}
