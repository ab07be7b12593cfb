//! What happened, for people: Kubernetes' Events, the last of them.

use std::collections::VecDeque;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::object::Key;

/// How many are kept.
const KEPT: usize = 1_000;

/// Whether something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// All is well.
    Normal,
    /// Someone should look.
    Warning,
}

/// One thing that happened to an object, once or several times.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Normal or a warning.
    pub kind: EventKind,
    /// One word: `SuccessfulCreate`, `Failed`, …
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// What it is about.
    pub object: Key,
    /// When it first happened.
    pub first: Time,
    /// When it last happened.
    pub last: Time,
    /// How often it happened.
    pub count: u32,
}

/// The last events, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Events(VecDeque<Event>);

impl Events {
    /// Adds an event, or counts up the same one if it is among the latest.
    pub(crate) fn add(&mut self, kind: EventKind, reason: &str, message: String, object: Key, now: Time) {
        let same = |event: &&mut Event| event.object == object && event.reason == reason && event.message == message;
        if let Some(event) = self.0.iter_mut().rev().take(64).find(same) {
            event.count += 1;
            event.last = now;
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Event {
            kind,
            reason: reason.to_owned(),
            message,
            object,
            first: now.clone(),
            last: now,
            count: 1,
        });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Event> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::object::Kind;

    #[test]
    fn repetition_is_counted_and_the_oldest_are_forgotten() {
        let mut events = Events::default();
        let key = Key::new(Kind::Pod, "default", "p");
        let mut add = |message: String, second| {
            let now = Time(Timestamp::from_second(second).unwrap());
            events.add(EventKind::Warning, "Failed", message, key.clone(), now);
        };
        add("no".into(), 1);
        add("no".into(), 2);
        for n in 0..KEPT - 1 {
            add(n.to_string(), 3);
        }
        let first = events.iter().next().unwrap().clone();
        assert_eq!((first.count, events.iter().count()), (2, KEPT));
        assert_ne!(first.first, first.last);
        events.add(EventKind::Normal, "Started", String::new(), key, first.last);
        assert_eq!(events.iter().next().unwrap().message, "0");
    }
}
