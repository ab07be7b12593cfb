//! `HorizontalPodAutoscaler` of autoscaling/v1 in terms of v2, which is stored, and back (Kubernetes,
//! `pkg/apis/autoscaling/v1/conversion.go`): `kubectl autoscale` writes v1 up to kubectl 1.32.
//!
//! v1 knows one target, the use of the CPU. What else v2 has is in annotations, in v1's own words for metrics.

use serde_json::{Map, Value as Json, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// v2 to v1.
pub(crate) fn to_v1(object: &mut Json) {
    let spec = object["spec"].take();
    let status = object["status"].take();
    let metrics = spec["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
    let current = status["currentMetrics"].as_array().map(Vec::as_slice).unwrap_or_default();
    let others: Vec<_> = metrics.iter().filter(|metric| cpu(metric, "target").is_none()).map(target_v1).collect();
    let notes = [
        (METRICS, (!others.is_empty()).then(|| others.into())),
        (CURRENT_METRICS, (!current.is_empty()).then(|| current.iter().map(current_v1).collect())),
        (
            CONDITIONS,
            Some(status["conditions"].clone()).filter(|all| all.as_array().is_some_and(|all| !all.is_empty())),
        ),
        (
            BEHAVIOR,
            spec.get("behavior").filter(|behavior| !behavior.is_null()).map(|behavior| renamed(behavior, upper)),
        ),
    ];
    annotate(object, notes);
    let mut new = kept(&spec, &["scaleTargetRef", "minReplicas", "maxReplicas"]);
    set(&mut new, "targetCPUUtilizationPercentage", metrics.iter().find_map(|metric| cpu(metric, "target")));
    object["spec"] = new;
    let mut new = kept(&status, &["observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"]);
    set(&mut new, "currentCPUUtilizationPercentage", current.iter().find_map(|metric| cpu(metric, "current")));
    match status {
        Json::Null => drop(object.as_object_mut().and_then(|object| object.remove("status"))),
        _ => object["status"] = new,
    }
}

/// v1 to v2. Annotations that are not what they should be are as if they were not there.
pub(crate) fn from_v1(object: &mut Json) {
    let note = |name: &str| {
        let text = object["metadata"]["annotations"][name].as_str()?;
        serde_json::from_str::<Json>(text).ok()
    };
    let list = |name: &str| match note(name) {
        Some(Json::Array(list)) => list,
        _ => Vec::new(),
    };
    let (metrics, current, conditions) = (list(METRICS), list(CURRENT_METRICS), list(CONDITIONS));
    let behavior = note(BEHAVIOR).map(|behavior| renamed(&behavior, lower));
    annotate(object, [(METRICS, None), (CURRENT_METRICS, None), (CONDITIONS, None), (BEHAVIOR, None)]);
    object["apiVersion"] = "autoscaling/v2".into();

    let (spec, status) = (object["spec"].take(), object["status"].take());
    let mut all = Vec::new();
    if let Some(percent) = spec.get("targetCPUUtilizationPercentage").filter(|percent| !percent.is_null()) {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        all.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    all.extend(metrics.iter().map(target_v2));
    let mut new = kept(&spec, &["scaleTargetRef", "minReplicas", "maxReplicas"]);
    set(&mut new, "metrics", (!all.is_empty()).then(|| all.into()));
    set(&mut new, "behavior", behavior);
    object["spec"] = new;

    let Json::Object(_) = status else {
        object.as_object_mut().and_then(|object| object.remove("status"));
        return;
    };
    let mut new = kept(&status, &["observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"]);
    let percent = status.get("currentCPUUtilizationPercentage").filter(|percent| !percent.is_null());
    let current = match percent {
        Some(percent) if current.is_empty() => {
            vec![json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}})]
        }
        _ => current.iter().map(current_v2).collect(),
    };
    set(&mut new, "currentMetrics", (!current.is_empty()).then(|| current.into()));
    set(&mut new, "conditions", (!conditions.is_empty()).then(|| conditions.into()));
    object["status"] = new;
}

/// The percentage of a metric of v2 that is the use of the CPU.
fn cpu(metric: &Json, part: &str) -> Option<Json> {
    let resource = &metric["resource"];
    let percent = &resource[part]["averageUtilization"];
    (metric["type"] == "Resource" && resource["name"] == "cpu" && !percent.is_null()).then(|| percent.clone())
}

/// Where a type of metric has its values in v1, and where in v2.
type Pairs = &'static [(&'static str, &'static [&'static str])];

/// The values of a metric that is wanted.
fn targets(kind: &str) -> Pairs {
    match kind {
        "Resource" => &[
            ("name", &["name"]),
            ("targetAverageUtilization", &["target", "averageUtilization"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
        "ContainerResource" => &[
            ("name", &["name"]),
            ("container", &["container"]),
            ("targetAverageUtilization", &["target", "averageUtilization"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
        "Pods" => &[
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
        "Object" => &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("averageValue", &["target", "averageValue"]),
        ],
        "External" => &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
        _ => &[],
    }
}

/// The values of a metric that was measured.
fn currents(kind: &str) -> Pairs {
    match kind {
        "Resource" => &[
            ("name", &["name"]),
            ("currentAverageUtilization", &["current", "averageUtilization"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
        "ContainerResource" => &[
            ("name", &["name"]),
            ("container", &["container"]),
            ("currentAverageUtilization", &["current", "averageUtilization"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
        "Pods" => &[
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
        "Object" => &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("averageValue", &["current", "averageValue"]),
        ],
        "External" => &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
        _ => &[],
    }
}

fn target_v1(metric: &Json) -> Json {
    flat(metric, targets)
}

fn current_v1(metric: &Json) -> Json {
    flat(metric, currents)
}

fn target_v2(metric: &Json) -> Json {
    let mut deep = deep(metric, targets);
    if let Some(target) = deep.1.get_mut("target") {
        let has = |field: &str| target.get(field).is_some_and(|value| !value.is_null());
        let kind = match () {
            () if has("averageUtilization") => "Utilization",
            () if has("averageValue") => "AverageValue",
            () => "Value",
        };
        target["type"] = kind.into();
    }
    whole(metric, deep)
}

fn current_v2(metric: &Json) -> Json {
    whole(metric, deep(metric, currents))
}

/// The name of the field that holds a metric: `containerResource` of the type `ContainerResource`.
fn holder(metric: &Json) -> (&str, String) {
    let kind = metric["type"].as_str().unwrap_or_default();
    (kind, lower(kind))
}

fn flat(metric: &Json, pairs: fn(&str) -> Pairs) -> Json {
    let (kind, holder) = holder(metric);
    let mut values = Map::new();
    for (name, path) in pairs(kind) {
        let value = path.iter().fold(&metric[&holder], |value, part| &value[*part]);
        if !value.is_null() {
            values.insert((*name).to_owned(), value.clone());
        }
    }
    json!({"type": kind, holder: values})
}

fn deep(metric: &Json, pairs: fn(&str) -> Pairs) -> (String, Json) {
    let (kind, holder) = holder(metric);
    let mut values = json!({});
    for (name, path) in pairs(kind) {
        let value = &metric[&holder][*name];
        if !value.is_null() {
            *path.iter().fold(&mut values, |values, part| &mut values[*part]) = value.clone();
        }
    }
    (holder, values)
}

fn whole(metric: &Json, (holder, values): (String, Json)) -> Json {
    json!({"type": metric["type"], holder: values})
}

fn kept(object: &Json, fields: &[&str]) -> Json {
    let fields = fields.iter().filter_map(|field| Some(((*field).to_owned(), object.get(*field)?.clone())));
    Json::Object(fields.collect())
}

fn set(object: &mut Json, field: &str, value: Option<Json>) {
    if let Some(value) = value {
        object[field] = value;
    }
}

/// Writes the notes, and takes away those that are none.
fn annotate(object: &mut Json, notes: [(&str, Option<Json>); 4]) {
    for (name, value) in notes {
        match value {
            Some(value) => object["metadata"]["annotations"][name] = value.to_string().into(),
            None => {
                if let Some(Json::Object(annotations)) = object.pointer_mut("/metadata/annotations") {
                    annotations.remove(name);
                }
            }
        }
    }
    let meta = object.get_mut("metadata").and_then(Json::as_object_mut);
    if let Some(meta) = meta.filter(|meta| meta.get("annotations").is_some_and(|notes| *notes == json!({}))) {
        meta.remove("annotations");
    }
}

/// How it scales is noted as Go names the fields of a type that has no names for JSON: with a capital.
fn renamed(value: &Json, name: fn(&str) -> String) -> Json {
    match value {
        Json::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            Json::Object(fields.map(|(field, value)| (name(field), renamed(value, name))).collect())
        }
        Json::Array(items) => items.iter().map(|item| renamed(item, name)).collect(),
        other => other.clone(),
    }
}

fn upper(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn lower(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_has_one_target_and_notes_the_rest() {
        let v2 = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a", "annotations": {"mine": "stays"}},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
                "minReplicas": 1, "maxReplicas": 10,
                "metrics": [
                    {"type": "Resource", "resource": {
                        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 20},
                    }},
                    {"type": "Pods", "pods": {
                        "metric": {"name": "requests"}, "target": {"type": "AverageValue", "averageValue": "10"},
                    }},
                ],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
            },
            "status": {
                "currentReplicas": 1, "desiredReplicas": 2,
                "currentMetrics": [
                    {"type": "Resource", "resource": {
                        "name": "cpu", "current": {"averageUtilization": 30, "averageValue": "3m"},
                    }},
                ],
                "conditions": [{"type": "AbleToScale", "status": "True"}],
            },
        });
        let mut v1 = v2.clone();
        to_v1(&mut v1);
        v1["apiVersion"] = "autoscaling/v1".into();
        assert_eq!(
            v1["spec"],
            json!({
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
                "minReplicas": 1, "maxReplicas": 10, "targetCPUUtilizationPercentage": 20,
            })
        );
        assert_eq!(
            v1["status"],
            json!({"currentReplicas": 1, "desiredReplicas": 2, "currentCPUUtilizationPercentage": 30})
        );
        let notes = &v1["metadata"]["annotations"];
        assert_eq!(notes["mine"], "stays");
        assert_eq!(notes[METRICS], r#"[{"pods":{"metricName":"requests","targetAverageValue":"10"},"type":"Pods"}]"#);
        assert_eq!(notes[BEHAVIOR], r#"{"ScaleDown":{"StabilizationWindowSeconds":5}}"#);
        let mut back = v1;
        from_v1(&mut back);
        assert_eq!(back, v2);
    }

    #[test]
    fn what_kubectl_autoscale_writes_is_a_metric_of_the_cpu() {
        let mut object = json!({
            "apiVersion": "autoscaling/v1", "metadata": {"name": "a"},
            "spec": {"maxReplicas": 10, "targetCPUUtilizationPercentage": 20},
        });
        from_v1(&mut object);
        let target = json!({"type": "Utilization", "averageUtilization": 20});
        assert_eq!(
            object,
            json!({
                "apiVersion": "autoscaling/v2", "metadata": {"name": "a"},
                "spec": {"maxReplicas": 10, "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": target}},
                ]},
            })
        );
    }
}
