//! What happened, for people: Kubernetes' Events, as objects (client-go, `tools/record`).
//!
//! The same thing happening again is counted up. An event is kept for an hour after it last happened, as by
//! kube-apiserver's `--event-ttl`, and there is a limit to their number.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::object::{Key, Kind, Stored};
use crate::store::Store;

/// How long an event is kept.
pub(crate) const KEPT: Duration = Duration::from_hours(1);

/// How many are kept at most.
const MOST: usize = 2_000;

/// Whether something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// All is well.
    Normal,
    /// Someone should look.
    Warning,
}

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Component {
    Scheduler,
    Kubelet,
    Deployments,
    ReplicaSets,
    EndpointSlices,
    Autoscalers,
    Budgets,
    Volumes,
    Garbage,
}

impl Component {
    /// The component whose controller looks at objects of this kind.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Pod | Kind::Node => Self::Kubelet,
            Kind::Deployment => Self::Deployments,
            Kind::ReplicaSet => Self::ReplicaSets,
            Kind::Service => Self::EndpointSlices,
            Kind::HorizontalPodAutoscaler => Self::Autoscalers,
            Kind::PodDisruptionBudget => Self::Budgets,
            Kind::PersistentVolumeClaim => Self::Volumes,
            _ => Self::Garbage,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "default-scheduler",
            Self::Kubelet => "kubelet",
            Self::Deployments => "deployment-controller",
            Self::ReplicaSets => "replicaset-controller",
            Self::EndpointSlices => "endpoint-slice-controller",
            Self::Autoscalers => "horizontal-pod-autoscaler",
            Self::Budgets => "controllermanager",
            Self::Volumes => "persistentvolume-controller",
            Self::Garbage => "garbage-collector-controller",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Happening {
    /// The object that it happened to.
    pub(crate) about: Key,
    /// Which part of it: `spec.containers{app}`.
    pub(crate) part: Option<String>,
    pub(crate) from: Component,
    pub(crate) kind: EventKind,
    /// One word: `SuccessfulCreate`, `Failed`, …
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
}

/// Which events there are.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The event of what happened already.
    known: HashMap<Happening, Key>,
    /// When each was to be forgotten last it was looked at, the oldest first.
    queue: VecDeque<(Duration, Happening)>,
    /// Somebody comes to forget.
    watched: bool,
}

impl Events {
    /// Writes an event, or counts up the one that there is.
    pub(crate) fn add(&mut self, store: &mut Store, happening: Happening) {
        let now = store.now();
        let event = self.known.get(&happening).and_then(|key| store.get::<Event>(&key.namespace, &key.name)).cloned();
        if let Some(event) = event {
            let mut event = Event::clone(&event);
            event.count = Some(event.count.unwrap_or(1) + 1);
            event.last_timestamp = Some(now);
            // Nobody else writes events that malha wrote; one that was changed all the same is left alone.
            let _ = store.update(event.into_object());
            return;
        }
        let object = store.find(&happening.about);
        let node = (happening.from == Component::Kubelet).then(|| node_of(store, &happening.about)).flatten();
        // What belongs to no namespace has its events in `default`.
        let namespace = Some(happening.about.namespace.as_str()).filter(|name| !name.is_empty()).unwrap_or("default");
        if store.get::<k8s_openapi::api::core::v1::Namespace>("", namespace).is_none_or(|namespace| {
            // Nothing new is written into a namespace that goes.
            namespace.metadata.deletion_timestamp.is_some()
        }) {
            return;
        }
        let mut moment = store.since_epoch().as_nanos();
        let named = |moment: u128| Key::new(Kind::Event, namespace, format!("{}.{moment:x}", happening.about.name));
        while store.find(&named(moment)).is_some() {
            moment += 1;
        }
        let key = named(moment);
        let event = Event {
            metadata: ObjectMeta {
                name: Some(key.name.clone()),
                namespace: Some(key.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(happening.about.kind.api_version().to_owned()),
                kind: Some(happening.about.kind.name().to_owned()),
                name: Some(happening.about.name.clone()),
                namespace: Some(happening.about.namespace.clone()).filter(|namespace| !namespace.is_empty()),
                uid: object.map(|object| object.uid().to_owned()),
                resource_version: object.and_then(|object| object.metadata().resource_version.clone()),
                field_path: happening.part.clone(),
            },
            type_: Some(match happening.kind {
                EventKind::Normal => "Normal".to_owned(),
                EventKind::Warning => "Warning".to_owned(),
            }),
            reason: Some(happening.reason.clone()),
            message: Some(happening.message.clone()),
            source: Some(EventSource { component: Some(happening.from.name().to_owned()), host: node.clone() }),
            reporting_component: Some(happening.from.name().to_owned()),
            reporting_instance: Some(node.unwrap_or_default()),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        };
        if store.create(event.into_object()).is_ok() {
            self.known.insert(happening.clone(), key);
            self.queue.push_back((store.since_epoch() + KEPT, happening));
        }
        while self.queue.len() > MOST {
            self.forget_first(store);
        }
    }

    /// Whether there is something to forget and nobody comes for it yet; asked once.
    pub(crate) fn unwatched(&mut self) -> bool {
        !self.queue.is_empty() && !std::mem::replace(&mut self.watched, true)
    }

    /// Forgets what is old enough; in how long there is more to forget.
    pub(crate) fn expire(&mut self, store: &mut Store) -> Option<Duration> {
        self.watched = true;
        loop {
            let Some((until, happening)) = self.queue.front() else {
                self.watched = false;
                return None;
            };
            let now = store.since_epoch();
            if *until > now {
                return Some(until.saturating_sub(now));
            }
            let key = self.known.get(happening);
            let last = key.and_then(|key| store.get::<Event>(&key.namespace, &key.name)?.last_timestamp.clone());
            let last = last.and_then(|time| u64::try_from(time.0.as_second()).ok()).map(Duration::from_secs);
            match last.map(|last| last + KEPT).filter(|until| *until > now) {
                // It has happened again meanwhile.
                Some(until) => {
                    if let Some((_, happening)) = self.queue.pop_front() {
                        self.queue.push_back((until, happening));
                    }
                }
                None => self.forget_first(store),
            }
        }
    }

    fn forget_first(&mut self, store: &mut Store) {
        let Some((_, happening)) = self.queue.pop_front() else { return };
        if let Some(key) = self.known.remove(&happening) {
            // Gone already is as good.
            let _ = store.delete(&key);
        }
    }
}

/// The node whose kubelet speaks about an object: the pod's, or the node itself.
fn node_of(store: &Store, about: &Key) -> Option<String> {
    match about.kind {
        Kind::Node => Some(about.name.clone()),
        _ => store.get::<Pod>(&about.namespace, &about.name)?.spec.as_ref()?.node_name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures;

    use super::*;

    fn happening(message: &str) -> Happening {
        Happening {
            about: Key::new(Kind::Pod, "default", "p"),
            part: Some("spec.containers{app}".into()),
            from: Component::Kubelet,
            kind: EventKind::Warning,
            reason: "Failed".into(),
            message: message.into(),
        }
    }

    fn counts(store: &Store) -> Vec<(String, i32)> {
        let events = store.list::<Event>();
        events.map(|event| (event.message.clone().unwrap_or_default(), event.count.unwrap_or_default())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn repetition_is_counted_and_an_hour_later_all_is_forgotten() {
        let mut store = fixtures::store();
        let mut pod = fixtures::pod("p");
        pod.spec.as_mut().unwrap().node_name = Some("malha".into());
        store.create(pod.into_object()).unwrap();
        let mut events = Events::default();
        for message in ["a", "a", "b"] {
            events.add(&mut store, happening(message));
        }
        assert_eq!(counts(&store), [("a".into(), 2), ("b".into(), 1)]);
        let event = store.list::<Event>().next().unwrap();
        assert!(event.metadata.name.as_deref().unwrap().starts_with("p.17979cfe362a"), "{:?}", event.metadata.name);
        assert_eq!(event.source.as_ref().unwrap().host.as_deref(), Some("malha"));
        tokio::time::advance(Duration::from_mins(30)).await;
        events.add(&mut store, happening("b"));
        assert_eq!(events.expire(&mut store), Some(Duration::from_mins(30)));
        tokio::time::advance(Duration::from_mins(30)).await;
        assert_eq!(events.expire(&mut store), Some(Duration::from_mins(30)));
        assert_eq!(counts(&store), [("b".into(), 2)]);
        tokio::time::advance(Duration::from_mins(30)).await;
        assert_eq!(events.expire(&mut store), None);
        assert_eq!(counts(&store), []);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_limit_to_their_number() {
        let mut store = fixtures::store();
        let mut events = Events::default();
        for n in 0..=MOST {
            events.add(&mut store, happening(&n.to_string()));
        }
        assert_eq!(store.list::<Event>().count(), MOST);
        assert!(!counts(&store).contains(&("0".into(), 1)));
    }
}
