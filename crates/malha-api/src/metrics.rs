//! `metrics.k8s.io`: what `kubectl top` shows (kubernetes-sigs/metrics-server `pkg/api`, `pkg/storage`).
//!
//! Processor time is a rate between two looks. Nobody looks while nobody asks: each question is answered from the look
//! before, if that is a second or more ago, and is itself the look for the next one. The first question, and one that
//! comes long after the last, is answered with what the pods have used since they started.

use std::collections::HashMap;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use malha_cluster::{Key, Kind, Object, PodUsage};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::cluster::read;
use crate::request::{Form, Place, Target};
use crate::respond::Body;
use crate::select::Selector;
use crate::status::Failure;
use crate::time::timestamp;
use crate::verbs::Call;

/// The group.
pub(crate) const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";
/// Looks that are closer together say nothing of a rate.
const LEAST: Duration = Duration::from_secs(1);
/// A look that is older says nothing of now (metrics-server's own resolution is 15 s).
const MOST: Duration = Duration::from_mins(1);

/// A look at what all pods have used.
#[derive(Clone, Debug)]
struct Look {
    at: Duration,
    pods: HashMap<Key, PodUsage>,
}

/// The last two looks that were far enough apart.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<(Option<Look>, Option<Look>)>);

/// What a pod uses now.
#[derive(Clone, Debug, PartialEq)]
struct Rate {
    /// Thousandths of a thousandth of a thousandth of a processor.
    nanocores: u64,
    memory: u64,
    window: Duration,
    container: String,
}

impl Samples {
    /// What each pod uses, by what it has used now and at the look before.
    fn rates(&self, now: Duration, used: Vec<PodUsage>, started: impl Fn(&Key) -> Duration) -> HashMap<Key, Rate> {
        let look = Look { at: now, pods: used.into_iter().map(|usage| (usage.pod.clone(), usage)).collect() };
        let mut kept = self.0.lock();
        // The newer of the two if it is old enough, or else the one before.
        let usable = |look: &&Look| (LEAST..=MOST).contains(&now.saturating_sub(look.at));
        let (newer, older) = (kept.1.as_ref(), kept.0.as_ref());
        let before = newer.filter(usable).or(older.filter(usable)).cloned();
        if newer.is_none_or(|newer| now.saturating_sub(newer.at) >= LEAST) {
            let newer = kept.1.replace(look.clone());
            kept.0 = newer;
        }
        drop(kept);
        let rate = |(key, usage): (Key, PodUsage)| {
            let same = before.as_ref().and_then(|before| {
                let then = before.pods.get(&key).filter(|then| then.uid == usage.uid)?;
                Some((now.saturating_sub(before.at), usage.usage.cpu_time.saturating_sub(then.usage.cpu_time)))
            });
            let (window, used) = same.unwrap_or_else(|| (started(&key), usage.usage.cpu_time));
            let nanocores = used.as_nanos() * 1_000_000_000 / window.as_nanos().max(1);
            let nanocores = u64::try_from(nanocores).unwrap_or(u64::MAX);
            (key, Rate { nanocores, memory: usage.usage.memory, window, container: usage.container })
        };
        look.pods.into_iter().map(rate).collect()
    }
}

/// A question about metrics.
pub(crate) fn answer(call: &Call<'_>, place: &Place) -> Result<Response<Body>, Failure> {
    let kind = match place.plural.as_str() {
        "nodes" if place.namespace.is_none() => Kind::Node,
        "pods" if place.namespace.is_some() || place.name.is_none() => Kind::Pod,
        _ => return Err(Failure::no_resource()),
    };
    if place.version != VERSION || place.subresource.is_some() {
        return Err(Failure::no_resource());
    }
    if call.parts.method != Method::GET && call.parts.method != Method::HEAD || call.params.flag("watch") {
        return Err(Failure::method());
    }
    // Metrics have no columns of their own: clients that like tables better take them as they are.
    Form::negotiate(call.parts)?;
    let control = call.shared.control.as_ref();
    let used = control.usage();
    // Selectors and names are those of the pods and nodes themselves.
    let target = Place { group: String::new(), version: "v1".to_owned(), name: None, ..place.clone() }.target()?;
    let selector = Selector::read(&target, call.params)?;
    let (objects, pods): (Vec<Object>, Vec<Object>) = read(control, |store| {
        let objects = store.of_kind(kind, place.namespace.as_deref());
        let wanted = |object: &&Object| place.name.is_none() || object.metadata().name == place.name;
        let objects = objects.filter(|object| selector.selects(object)).filter(wanted).cloned().collect();
        (objects, store.of_kind(Kind::Pod, None).cloned().collect())
    });
    let clock = call.shared.world.clock;
    let started: HashMap<Key, Duration> = pods.iter().map(|pod| (pod.key(), age(pod, clock.since_epoch()))).collect();
    let rates = call.shared.metrics.rates(clock.elapsed(), used, |key| started.get(key).copied().unwrap_or(LEAST));
    let now = Time(Timestamp::from_second(timestamp(clock.now()).as_second()).unwrap_or_default());
    let shown: Vec<Value> = objects
        .iter()
        .filter_map(|object| match kind {
            Kind::Node => Some(node(object, &rates, &now)),
            _ => rates.get(&object.key()).map(|rate| pod(object, rate, &now)),
        })
        .collect();
    let value = if let Some(name) = &place.name {
        shown.into_iter().next().ok_or_else(|| not_found(&target, name))?
    } else {
        let of = if kind == Kind::Node { "NodeMetricsList" } else { "PodMetricsList" };
        json!({"kind": of, "apiVersion": format!("{GROUP}/{VERSION}"), "metadata": {}, "items": shown})
    };
    Ok(call.json(StatusCode::OK, &value))
}

fn not_found(target: &Target, name: &str) -> Failure {
    let plural = target.resource.plural;
    let mut failure = Failure::not_found(target.resource, name);
    failure.message = format!("{plural}.{GROUP} \"{name}\" not found");
    failure.details.insert("group".to_owned(), GROUP.into());
    failure
}

/// How long a pod has run, at least the least window.
fn age(pod: &Object, now: Duration) -> Duration {
    let Object::Pod(pod) = pod else { return LEAST };
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let running =
        containers.into_iter().flatten().find_map(|one| one.state.as_ref()?.running.as_ref()?.started_at.as_ref());
    let since = running.or_else(|| status?.start_time.as_ref());
    let since = since.and_then(|time| u64::try_from(time.0.as_second()).ok()).map(Duration::from_secs);
    since.map_or(LEAST, |since| now.saturating_sub(since)).max(LEAST)
}

fn usage(nanocores: u64, memory: u64) -> Value {
    json!({"cpu": format!("{nanocores}n"), "memory": format!("{}Ki", memory >> 10)})
}

fn measured(kind: &str, object: &Object, window: Duration, now: &Time) -> Map<String, Value> {
    let meta = object.metadata();
    let metadata = json!({
        "name": meta.name, "namespace": meta.namespace, "labels": meta.labels, "creationTimestamp": now,
    });
    let mut metadata = metadata;
    if let Some(fields) = metadata.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    let window = format!("{:.3}s", window.as_secs_f64());
    Map::from_iter([
        ("kind".to_owned(), kind.into()),
        ("apiVersion".to_owned(), format!("{GROUP}/{VERSION}").into()),
        ("metadata".to_owned(), metadata),
        ("timestamp".to_owned(), json!(now)),
        ("window".to_owned(), window.into()),
    ])
}

fn pod(object: &Object, rate: &Rate, now: &Time) -> Value {
    let mut value = measured("PodMetrics", object, rate.window, now);
    let container = json!({"name": rate.container, "usage": usage(rate.nanocores, rate.memory)});
    value.insert("containers".to_owned(), json!([container]));
    Value::Object(value)
}

/// The only node runs all pods; what malha itself uses is not among its figures.
fn node(object: &Object, rates: &HashMap<Key, Rate>, now: &Time) -> Value {
    let window = rates.values().map(|rate| rate.window).max().unwrap_or(LEAST);
    let mut value = measured("NodeMetrics", object, window, now);
    let nanocores = rates.values().map(|rate| rate.nanocores).sum();
    let memory = rates.values().map(|rate| rate.memory).sum();
    value.insert("usage".to_owned(), usage(nanocores, memory));
    Value::Object(value)
}

#[cfg(test)]
mod tests {
    use malha_cluster::Usage;

    use super::*;

    fn used(uid: &str, millis: u64) -> Vec<PodUsage> {
        vec![PodUsage {
            pod: Key::new(Kind::Pod, "default", "p"),
            uid: uid.to_owned(),
            container: "app".to_owned(),
            usage: Usage { cpu_time: Duration::from_millis(millis), memory: 1 << 20, requests: 0 },
        }]
    }

    #[test]
    fn a_rate_is_between_two_questions_a_second_apart() {
        let samples = Samples::default();
        let ask = |at: u64, uid: &str, millis: u64| {
            let rates = samples.rates(Duration::from_millis(at), used(uid, millis), |_| Duration::from_secs(100));
            let rate = &rates[&Key::new(Kind::Pod, "default", "p")];
            (rate.nanocores / 1_000_000, rate.window)
        };
        let seconds = Duration::from_secs;
        // In 100 s of life 1 s of work: 10 thousandths.
        assert_eq!(ask(0, "a", 1_000), (10, seconds(100)));
        // Too early for a rate.
        assert_eq!(ask(500, "a", 1_500), (15, seconds(100)));
        assert_eq!(ask(2_000, "a", 2_000), (500, seconds(2)));
        // Two clients that ask at once get the same.
        assert_eq!(ask(2_000, "a", 2_000), (500, seconds(2)));
        // Another pod of that name.
        assert_eq!(ask(4_000, "b", 100), (1, seconds(100)));
        // Nobody asked for long.
        assert_eq!(ask(400_000, "b", 200), (2, seconds(100)));
    }
}
