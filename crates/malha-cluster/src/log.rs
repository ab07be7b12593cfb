//! What a container printed, for those who read it later or as it comes.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

/// A line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was complete.
    pub time: SystemTime,
    /// The text.
    pub text: Arc<str>,
}

/// The lines from a place on that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// The place of the next line: where to read on.
    pub next: u64,
    /// No line comes any more.
    pub ended: bool,
}

/// The log of one run of a container. Lines have places 0, 1, 2, …; the oldest are dropped when there are too many bytes.
pub trait Log: Send + Sync + 'static {
    /// What is kept of the lines from place `from` on.
    fn read(&self, from: u64) -> LogPage;

    /// Changes with every line, and when the log has ended.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// The log of a container that prints nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silence;

impl Log for Silence {
    fn read(&self, _from: u64) -> LogPage {
        LogPage { ended: true, ..LogPage::default() }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}
