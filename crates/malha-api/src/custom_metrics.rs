//! `custom.metrics.k8s.io`: the rate of requests, as prometheus-adapter answers for it
//! (kubernetes-sigs/prometheus-adapter `pkg/custom-provider/provider.go`; kubernetes-sigs/custom-metrics-apiserver
//! `pkg/provider/helpers`, `pkg/provider/errors.go`).

use http::{Method, Response, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use malha_cluster::resource::{RESOURCES, Resource};
use malha_cluster::{Described, Kind, REQUESTS_PER_SECOND, quantity};
use serde_json::{Value, json};

use crate::cluster::read;
use crate::discovery::{CUSTOM_METRICS_GROUP, CUSTOM_METRICS_VERSIONS};
use crate::request::{Form, Place};
use crate::respond::Body;
use crate::select::Selector;
use crate::status::Failure;
use crate::time::timestamp;
use crate::verbs::Call;

/// A name that stands for all.
const ALL: &str = "*";

/// What is asked for.
struct Question {
    resource: &'static Resource,
    /// Of what has one.
    namespace: Option<String>,
    name: String,
    metric: String,
}

/// A question about a metric.
pub(crate) fn answer(call: &Call<'_>, place: &Place) -> Result<Response<Body>, Failure> {
    let version = CUSTOM_METRICS_VERSIONS.iter().find(|version| **version == place.version);
    let (version, question) = version.zip(question(place)).ok_or_else(Failure::no_resource)?;
    if call.parts.method != Method::GET && call.parts.method != Method::HEAD {
        return Err(Failure::method());
    }
    Form::negotiate(call.parts)?;
    let Question { resource, namespace, name, metric } = question;
    let narrower = call.params.get("metricLabelSelector");
    let missing = format!("the server could not find the metric {metric} for {}", resource.kind.plural());
    let not_found = |message: String| Failure::new(StatusCode::NOT_FOUND, "NotFound", message);
    if metric != REQUESTS_PER_SECOND || Described::read(resource.group, resource.plural, "").is_none() {
        return Err(not_found(missing));
    }
    let control = call.shared.control.as_ref();
    let rates = control.request_rates();
    let rate = |name: &str| {
        // No series has a label by which a part of it could be asked for.
        let described = Described::read(resource.group, resource.plural, name).filter(|_| narrower.is_none())?;
        // A namespace is in itself.
        rates.of(namespace.as_deref().unwrap_or(name), described)
    };
    let values: Vec<(String, i64)> = if name == ALL {
        let place = Place {
            group: resource.group.to_owned(),
            version: resource.versions[0].to_owned(),
            namespace: namespace.clone(),
            plural: resource.plural.to_owned(),
            ..Place::default()
        };
        let selector = Selector::read(&place.target()?, call.params)?;
        let names: Vec<String> = read(control, |store| {
            let objects = store.of_kind(resource.kind, namespace.as_deref()).filter(|object| selector.selects(object));
            objects.filter_map(|object| object.metadata().name.clone()).collect()
        });
        names.into_iter().filter_map(|name| rate(&name).map(|value| (name, value))).collect()
    } else {
        let value = rate(&name).ok_or_else(|| not_found(format!("{missing} {name}")))?;
        vec![(name, value)]
    };
    let now = Time(Timestamp::from_second(timestamp(call.shared.world.clock.now()).as_second()).unwrap_or_default());
    let items: Vec<Value> = values
        .iter()
        .map(|(name, value)| item(version, (resource, namespace.as_deref(), name), &metric, *value, &now))
        .collect();
    let list = json!({
        "kind": "MetricValueList",
        "apiVersion": format!("{CUSTOM_METRICS_GROUP}/{version}"),
        "metadata": {},
        "items": items,
    });
    Ok(call.json(StatusCode::OK, &list))
}

/// `namespaces/NAMESPACE/RESOURCE/NAME/METRIC`, and `namespaces/NAME/metrics/METRIC` of namespaces themselves.
fn question(place: &Place) -> Option<Question> {
    let namespace = place.namespace.clone()?;
    match (place.plural.as_str(), &place.name, &place.subresource) {
        ("metrics", Some(metric), None) => {
            let resource = Resource::of(Kind::Namespace)?;
            Some(Question { resource, namespace: None, name: namespace, metric: metric.clone() })
        }
        (plural, Some(name), Some(metric)) => {
            let (plural, group) =
                plural.split_once('.').map_or((plural, None), |(plural, group)| (plural, Some(group)));
            let resource = RESOURCES.iter().find(|resource| {
                let named = resource.plural == plural && group.is_none_or(|group| resource.group == group);
                named && resource.kind.namespaced()
            })?;
            Some(Question { resource, namespace: Some(namespace), name: name.clone(), metric: metric.clone() })
        }
        _ => None,
    }
}

fn item(
    version: &str,
    (resource, namespace, name): (&Resource, Option<&str>, &str),
    metric: &str,
    value: i64,
    now: &Time,
) -> Value {
    let mut object = json!({
        "kind": resource.kind.name(),
        "name": name,
        // As the adapter's library writes it, a slash before the version of the core group.
        "apiVersion": format!("{}/{}", resource.group, resource.versions[0]),
    });
    if let Some(namespace) = namespace {
        object["namespace"] = namespace.into();
    }
    let value = quantity::of_thousandths(value);
    let mut item = json!({"describedObject": object, "timestamp": now, "value": value});
    if version == "v1beta1" {
        item["metricName"] = metric.into();
        item["selector"] = Value::Null;
    } else {
        item["metric"] = json!({"name": metric, "selector": null});
    }
    item
}
