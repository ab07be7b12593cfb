//! Rules of the API that need the object that is there, or that controllers rely on (Kubernetes, `pkg/apis/*/validation`).

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerSpec;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, PodSpec, PodTemplateSpec, Secret};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::error::Error;
use crate::object::{Key, Kind, Object};
use crate::selector;
use crate::store::Store;

/// Marks what malha itself put into the cluster, which the user's own object may replace whatever it says.
pub(crate) const BUILT_IN: &str = "malha/built-in";

const IMMUTABLE: &str = "field is immutable";

/// Rules for a new object.
pub(super) fn create(object: &Object, _store: &Store) -> Result<(), Error> {
    let key = object.key();
    let meta = object.metadata();
    if key.name.is_empty() && meta.generate_name.is_none() {
        return Err(Error::required(&key, "metadata.name", "name or generateName is required"));
    }
    always(&key, object)
}

/// Rules for an object in the place of another.
pub(super) fn update(object: &Object, old: &Object) -> Result<(), Error> {
    let key = object.key();
    let meta = object.metadata();
    if meta.deletion_timestamp.is_some() {
        // What is being deleted may lose finalizers and gain none (`ValidateObjectMetaAccessorUpdate`).
        let before = old.metadata().finalizers.as_deref().unwrap_or_default();
        if let Some(added) = meta.finalizers.iter().flatten().find(|finalizer| !before.contains(finalizer)) {
            let message = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers [{added:?}]"
            );
            return Err(Error::forbidden_field(&key, "metadata.finalizers", message));
        }
    }
    match (object, old) {
        (Object::Deployment(new), Object::Deployment(old)) => {
            same_selector(&key, &selector_of(new), &selector_of(old))?;
        }
        (Object::ReplicaSet(new), Object::ReplicaSet(old)) => {
            let selector = |set: &ReplicaSet| set.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default();
            same_selector(&key, &selector(new), &selector(old))?;
        }
        (Object::RuntimeClass(new), Object::RuntimeClass(old)) if new.handler != old.handler && !built_in(old) => {
            return Err(Error::invalid_value(&key, "handler", &new.handler, IMMUTABLE));
        }
        (Object::PersistentVolumeClaim(new), Object::PersistentVolumeClaim(old)) => claim(&key, new, old)?,
        (Object::Secret(new), Object::Secret(old)) => secret(&key, new, old)?,
        (Object::ConfigMap(new), Object::ConfigMap(old)) => config_map(&key, new, old)?,
        (Object::Pod(new), Object::Pod(old)) => pod(&key, new, old)?,
        _ => {}
    }
    always(&key, object)
}

fn always(key: &Key, object: &Object) -> Result<(), Error> {
    match object {
        Object::Deployment(deployment) => {
            let Some(spec) = &deployment.spec else { return Err(Error::required(key, "spec", "")) };
            replicas(key, spec.replicas)?;
            own_template(key, &spec.selector, Some(&spec.template), "deployment")
        }
        Object::ReplicaSet(set) => {
            let Some(spec) = &set.spec else { return Err(Error::required(key, "spec", "")) };
            replicas(key, spec.replicas)?;
            own_template(key, &spec.selector, spec.template.as_ref(), "replicaset")
        }
        Object::HorizontalPodAutoscaler(scaler) => match &scaler.spec {
            Some(spec) => autoscaler(key, spec),
            None => Err(Error::required(key, "spec", "")),
        },
        Object::Pod(pod) => match &pod.spec {
            Some(spec) if !spec.containers.is_empty() => images(key, spec),
            _ => Err(Error::required(key, "spec.containers", "")),
        },
        _ => Ok(()),
    }
}

/// `validateHorizontalPodAutoscalerSpec`, as far as numbers and the target go.
fn autoscaler(key: &Key, spec: &HorizontalPodAutoscalerSpec) -> Result<(), Error> {
    let (least, most) = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
    if least < 1 {
        return Err(Error::invalid_value(key, "spec.minReplicas", &least, "must be greater than or equal to 1"));
    }
    if most < 1 {
        return Err(Error::invalid_value(key, "spec.maxReplicas", &most, "must be greater than 0"));
    }
    if most < least {
        let why = "must be greater than or equal to `minReplicas`";
        return Err(Error::invalid_value(key, "spec.maxReplicas", &most, why));
    }
    for (field, text) in [("kind", &spec.scale_target_ref.kind), ("name", &spec.scale_target_ref.name)] {
        if text.is_empty() {
            return Err(Error::required(key, &format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
    Ok(())
}

/// `ValidatePersistentVolumeClaimUpdate`. Volumes here do not grow: the size is as fixed as the rest.
fn claim(key: &Key, new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> Result<(), Error> {
    let given = |claim: &PersistentVolumeClaim| {
        let mut spec = claim.spec.clone().unwrap_or_default();
        spec.volume_name = None;
        spec
    };
    let name = |claim: &PersistentVolumeClaim| claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
    if given(new) == given(old) && (name(new) == name(old) || name(old).is_none()) {
        return Ok(());
    }
    Err(Error::forbidden_field(
        key,
        "spec",
        "spec is immutable after creation except resources.requests for bound claims",
    ))
}

fn images(key: &Key, spec: &PodSpec) -> Result<(), Error> {
    for (index, container) in spec.containers.iter().enumerate() {
        if container.image.as_deref().unwrap_or_default().is_empty() {
            return Err(Error::required(key, &format!("spec.containers[{index}].image"), ""));
        }
    }
    Ok(())
}

fn replicas(key: &Key, replicas: Option<i32>) -> Result<(), Error> {
    match replicas {
        Some(number @ ..0) => {
            Err(Error::invalid_value(key, "spec.replicas", &number, "must be greater than or equal to 0"))
        }
        _ => Ok(()),
    }
}

fn own_template(
    key: &Key,
    wanted: &LabelSelector,
    template: Option<&PodTemplateSpec>,
    what: &str,
) -> Result<(), Error> {
    let expressions = wanted.match_expressions.iter().flatten().count();
    if wanted.match_labels.iter().flatten().count() + expressions == 0 {
        let message = format!("empty selector is invalid for {what}");
        return Err(Error::invalid_value(key, "spec.selector", wanted, message));
    }
    let labels = template.and_then(|template| template.metadata.as_ref()?.labels.as_ref());
    if selector::matches(wanted, labels) {
        return Ok(());
    }
    let (labels, message) = (labels.cloned().unwrap_or_default(), "`selector` does not match template `labels`");
    Err(Error::invalid_value::<BTreeMap<_, _>>(key, "spec.template.metadata.labels", &labels, message))
}

fn selector_of(deployment: &Deployment) -> LabelSelector {
    deployment.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default()
}

fn same_selector(key: &Key, new: &LabelSelector, old: &LabelSelector) -> Result<(), Error> {
    if new == old { Ok(()) } else { Err(Error::invalid_value(key, "spec.selector", new, IMMUTABLE)) }
}

fn built_in(class: &RuntimeClass) -> bool {
    class.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(BUILT_IN))
}

fn secret(key: &Key, new: &Secret, old: &Secret) -> Result<(), Error> {
    if new.type_ != old.type_ {
        return Err(Error::invalid_value(key, "type", &new.type_, IMMUTABLE));
    }
    if old.immutable == Some(true) {
        if new.immutable != Some(true) {
            return Err(Error::forbidden_field(key, "immutable", "field is immutable when `immutable` is set"));
        }
        if new.data != old.data {
            return Err(Error::forbidden_field(key, "data", "field is immutable when `immutable` is set"));
        }
    }
    Ok(())
}

fn config_map(key: &Key, new: &ConfigMap, old: &ConfigMap) -> Result<(), Error> {
    if old.immutable == Some(true) {
        let changed = [
            (new.immutable != Some(true), "immutable"),
            (new.data != old.data, "data"),
            (new.binary_data != old.binary_data, "binaryData"),
        ];
        if let Some((_, field)) = changed.into_iter().find(|(changed, _)| *changed) {
            return Err(Error::forbidden_field(key, field, "field is immutable when `immutable` is set"));
        }
    }
    Ok(())
}

/// Of a pod's spec only a few fields may change (`ValidatePodUpdate`).
fn pod(key: &Key, new: &Pod, old: &Pod) -> Result<(), Error> {
    let fixed = |pod: &Pod| {
        let mut spec = pod.spec.clone().unwrap_or_default();
        spec.active_deadline_seconds = None;
        spec.termination_grace_period_seconds = None;
        spec.tolerations = None;
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            container.image = None;
        }
        spec
    };
    if fixed(new) == fixed(old) {
        return Ok(());
    }
    let message = "pod updates may not change fields other than `spec.containers[*].image`,\
                   `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                   existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                   previously negative)";
    debug_assert_eq!(key.kind, Kind::Pod);
    Err(Error::forbidden_field(key, "spec", message))
}
