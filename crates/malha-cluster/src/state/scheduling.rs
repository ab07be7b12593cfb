//! The scheduler's part of the state: what it decides is written down, and said.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodCondition};

use crate::events::{Component, EventKind, Happening};
use crate::object::{Key, Stored};
use crate::scheduler::{self, Decision};

use super::State;

impl<P: Clone> State<P> {
    /// Finds nodes for the pods that have none.
    pub(super) fn schedule(&mut self) {
        if self.closed {
            return;
        }
        for (key, decision) in scheduler::decide(&self.registry.store) {
            self.bind(&key, &decision);
        }
    }

    /// Binds a pod to its node, or says why not; nothing if that is known.
    fn bind(&mut self, key: &Key, decision: &Decision) {
        let store = &mut self.registry.store;
        let Some(pod) = store.get::<Pod>(&key.namespace, &key.name).map(Arc::clone) else { return };
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let before = conditions.into_iter().find(|condition| condition.type_ == "PodScheduled");
        let (value, reason, message) = match decision {
            Ok(_) => ("True", None, None),
            Err(why) => ("False", Some("Unschedulable".to_owned()), Some(why.clone())),
        };
        if decision.is_err() && before.is_some_and(|before| before.message == message) {
            return;
        }
        let since =
            before.filter(|before| before.status == value).and_then(|before| before.last_transition_time.clone());
        let condition = PodCondition {
            type_: "PodScheduled".to_owned(),
            status: value.to_owned(),
            reason,
            message,
            observed_generation: pod.metadata.generation,
            last_transition_time: Some(since.unwrap_or_else(|| store.now())),
            ..PodCondition::default()
        };
        let mut bound = Pod::clone(&pod);
        let conditions = bound.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.retain(|condition| condition.type_ != "PodScheduled");
        conditions.push(condition);
        let (kind, reason, message) = match decision {
            Ok(node) => {
                bound.spec.get_or_insert_default().node_name = Some(node.clone());
                let message = format!("Successfully assigned {}/{} to {node}", key.namespace, key.name);
                (EventKind::Normal, "Scheduled", message)
            }
            Err(why) => (EventKind::Warning, "FailedScheduling", why.clone()),
        };
        // The pod is there, and as it was a moment ago.
        let _ = store.update(bound.into_object());
        let (about, reason) = (key.clone(), reason.to_owned());
        let from = Component::Scheduler;
        self.events.add(&mut self.registry.store, Happening { about, part: None, from, kind, reason, message });
    }
}
