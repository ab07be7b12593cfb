//! What a Deployment reads off its replica sets, and which of them is the one of its template
//! (`pkg/controller/deployment/util`).

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use super::HASH_LABEL;

/// Replicas that a set is to have.
pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Pods that there are.
pub(super) fn pods(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

/// Pods that are ready.
pub(super) fn ready(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
}

/// Pods that have been ready for `minReadySeconds`.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// Whether it is to have pods at all.
pub(super) fn active(set: &ReplicaSet) -> bool {
    replicas(set) > 0
}

/// The sum over sets.
pub(super) fn total<'a>(sets: impl IntoIterator<Item = &'a ReplicaSet>, count: fn(&ReplicaSet) -> i32) -> i32 {
    sets.into_iter().map(count).sum()
}

/// Oldest first (`ReplicaSetsByCreationTimestamp`).
pub(super) fn age(set: &ReplicaSet) -> (Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>, String) {
    (set.metadata.creation_timestamp.clone(), set.metadata.name.clone().unwrap_or_default())
}

/// Whether a set is of this template, whatever its `pod-template-hash` (`EqualIgnoreHash`).
pub(super) fn of_template(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let mut own = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    if let Some(labels) = own.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
        labels.remove(HASH_LABEL);
    }
    own == *template || meaning(&own) == meaning(template)
}

/// A list that is empty means as much as one that is not there (`apiequality.Semantic`).
fn meaning(template: &PodTemplateSpec) -> Option<Value> {
    fn prune(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(prune);
                fields.retain(|name, value| match value {
                    Value::Null => false,
                    Value::Array(items) => !items.is_empty(),
                    Value::Object(map) => {
                        !(map.is_empty() && matches!(name.as_str(), "labels" | "annotations" | "nodeSelector"))
                    }
                    _ => true,
                });
            }
            Value::Array(items) => items.iter_mut().for_each(prune),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(template).ok()?;
    if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    prune(&mut value);
    Some(value)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::ReplicaSetSpec;

    use crate::fixtures;

    use super::*;

    #[test]
    fn an_empty_list_makes_no_other_template() {
        let template = fixtures::deployment("posts", 1, "workshop:0.0.1").spec.unwrap().template;
        let mut stored = template.clone();
        stored.metadata.as_mut().unwrap().labels.as_mut().unwrap().insert(HASH_LABEL.into(), "abc".into());
        let set = ReplicaSet {
            spec: Some(ReplicaSetSpec { template: Some(stored), ..ReplicaSetSpec::default() }),
            ..ReplicaSet::default()
        };
        let mut asked = template;
        assert!(of_template(&set, &asked));
        asked.spec.as_mut().unwrap().containers[0].env = Some(Vec::new());
        assert!(of_template(&set, &asked));
        asked.spec.as_mut().unwrap().containers[0].image = Some("workshop:0.0.2".into());
        assert!(!of_template(&set, &asked));
    }
}
