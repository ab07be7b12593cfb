//! When to look at something again although nothing changes: a back-off that ends, a probe that is due, a deadline.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::controllers::Task;

/// What is due when.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Task)>);

impl Timers {
    /// Adds a look at a time.
    pub(crate) fn add(&mut self, at: Instant, task: Task) {
        self.0.insert((at, task));
    }

    /// When the next look is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes out what is due by now.
    pub(crate) fn due(&mut self, now: Instant) -> impl Iterator<Item = Task> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.0.first()
            && *at <= now
        {
            due.extend(self.0.pop_first().map(|(_, task)| task));
        }
        due.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::object::{Key, Kind};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_due_comes_in_order_and_once() {
        let pod = |name: &str| Task::Pod(Key::new(Kind::Pod, "default", name));
        let (mut timers, now) = (Timers::default(), Instant::now());
        let later = now + Duration::from_secs(5);
        timers.add(later, pod("b"));
        timers.add(later, pod("b"));
        timers.add(now, pod("a"));
        assert_eq!(timers.next(), Some(now));
        assert_eq!(timers.due(now).collect::<Vec<_>>(), [pod("a")]);
        assert_eq!(timers.due(later).collect::<Vec<_>>(), [pod("b")]);
        assert_eq!(timers.next(), None);
    }
}
