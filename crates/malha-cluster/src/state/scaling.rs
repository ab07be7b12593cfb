//! The autoscalers' part of the state: when they are looked at, what pods have used, and what is written then.

use tokio::time::Instant;

use crate::controllers::Task;
use crate::controllers::autoscaler::{PERIOD, Turn};
use crate::object::Key;
use crate::registry::Part;
use crate::requests::RequestRates;
use crate::usage::PodUsage;

use super::State;

impl<P: Clone> State<P> {
    /// Whether it is time to measure what pods use.
    pub(crate) fn samples_due(&self) -> bool {
        self.autoscaling.next_sample().is_some_and(|due| due <= Instant::now())
    }

    /// Takes in what pods have used.
    pub(crate) fn take_samples(&mut self, used: &[PodUsage]) {
        let store = &self.registry.store;
        self.autoscaling.take(used, store, store.since_epoch());
        self.await_samples();
    }

    /// How many requests a second reach the pods. Whoever asks has them measured.
    pub(crate) fn request_rates(&mut self) -> RequestRates {
        let rates = self.autoscaling.request_rates(&self.registry.store, Instant::now());
        self.await_samples();
        rates
    }

    /// Has pods measured when it is time, as long as somebody asks for it.
    pub(super) fn await_samples(&mut self) {
        if let Some(due) = self.autoscaling.next_sample() {
            self.timers.add(due.max(Instant::now()), Task::Samples);
        }
    }

    /// Looks at an autoscaler, if it is time.
    pub(super) fn autoscale(&mut self, key: &Key) {
        if self.closed || self.registry.store.find(key).is_none() {
            self.autoscaling.forget(key);
            return;
        }
        let now = Instant::now();
        match self.autoscaling.turn(key, now) {
            Turn::Later => return,
            Turn::First => self.await_samples(),
            Turn::Now => {
                let Some(mut look) = self.autoscaling.look(&self.registry.store, key) else { return };
                if let Some(target) = look.target() {
                    let result = self.registry.update(target, Part::Whole, false);
                    let result = result.map(drop).map_err(|error| error.to_string());
                    self.autoscaling.rescaled(&mut look, key, result, &self.registry.store);
                }
                let (scaler, events) = look.into_parts();
                // It is there, and as it was a moment ago.
                let _ = self.registry.update(scaler, Part::Status, false);
                for (kind, reason, message) in events {
                    self.tell(Some(key), kind, reason, message);
                }
            }
        }
        self.timers.add(now + PERIOD, Task::Autoscaler(key.clone()));
    }
}
