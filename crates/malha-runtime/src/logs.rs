//! What guests print: a ring of lines for each pod, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use malha_world::Clock;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Bytes that a pod's ring takes.
const CAPACITY: usize = 256 << 10;

/// A longer line is cut here and goes on in the next, as containerd does at 16 KiB.
const LINE: usize = 16 << 10;

/// Where a line was printed. Both arrive in the same log, as with the containerd shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was complete.
    pub time: SystemTime,
    /// Where it was printed.
    pub stream: LogStream,
    /// The text; what is not UTF-8 is replaced.
    pub text: Arc<str>,
}

/// The log of a pod. Its lines have places 0, 1, 2, …
#[derive(Debug)]
pub struct Logs {
    clock: Clock,
    ring: Mutex<Ring>,
    /// The place of the next line, for those who wait for it. Made for the first of them: most logs nobody follows.
    followers: OnceLock<watch::Sender<u64>>,
}

/// The lines of a log from a place on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Those that are kept, oldest first.
    pub lines: Vec<LogLine>,
    /// Where to read on.
    pub next: u64,
    /// Lines between the place asked for and the oldest that is kept.
    pub missed: u64,
    /// No line comes any more.
    pub ended: bool,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// The place of the oldest line that is kept.
    first: u64,
    ended: bool,
}

impl Logs {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, ring: Mutex::default(), followers: OnceLock::new() })
    }

    /// The lines that are kept, oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        self.ring.lock().lines.iter().cloned().collect()
    }

    /// The lines from place `from` on.
    pub fn read(&self, from: u64) -> LogPage {
        let ring = self.ring.lock();
        let skipped = usize::try_from(from.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        LogPage {
            lines: ring.lines.iter().skip(skipped).cloned().collect(),
            next: ring.next(),
            missed: ring.first.saturating_sub(from),
            ended: ring.ended,
        }
    }

    /// Changes with every line, and at the end.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.followers.get_or_init(|| watch::Sender::new(0)).subscribe()
    }

    /// The place of the next line.
    pub fn next(&self) -> u64 {
        self.ring.lock().next()
    }

    /// No line comes any more: the pod is stopped.
    pub(crate) fn end(&self) {
        self.ring.lock().ended = true;
        self.tell();
    }

    pub(crate) fn push(&self, stream: LogStream, text: &[u8]) {
        let line = LogLine { time: self.clock.now(), stream, text: String::from_utf8_lossy(text).into() };
        {
            let mut ring = self.ring.lock();
            ring.bytes += weight(&line);
            ring.lines.push_back(line);
            while ring.bytes > CAPACITY {
                let Some(oldest) = ring.lines.pop_front() else { break };
                ring.bytes -= weight(&oldest);
                ring.first += 1;
            }
        }
        self.tell();
    }

    fn tell(&self) {
        if let Some(followers) = self.followers.get() {
            followers.send_modify(|changes| *changes += 1);
        }
    }
}

impl Ring {
    fn next(&self) -> u64 {
        self.first + u64::try_from(self.lines.len()).unwrap_or(u64::MAX)
    }
}

/// What a line takes in memory, about.
fn weight(line: &LogLine) -> usize {
    size_of::<LogLine>() + 2 * size_of::<usize>() + line.text.len()
}

/// Joins what one request prints into lines, so that lines of concurrent requests never mix.
#[derive(Debug)]
pub(crate) struct LineWriter {
    logs: Arc<Logs>,
    stream: LogStream,
    partial: Vec<u8>,
}

impl LineWriter {
    pub(crate) fn new(logs: Arc<Logs>, stream: LogStream) -> Self {
        Self { logs, stream, partial: Vec::new() }
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            if self.partial.is_empty() {
                self.push(&bytes[..end]);
            } else {
                self.partial.extend_from_slice(&bytes[..end]);
                let line = std::mem::take(&mut self.partial);
                self.push(&line);
            }
            bytes = &bytes[end + 1..];
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() >= LINE {
            let line = std::mem::take(&mut self.partial);
            self.push(&line);
        }
    }

    fn push(&self, line: &[u8]) {
        if line.is_empty() {
            self.logs.push(self.stream, line);
        }
        for piece in line.chunks(LINE) {
            self.logs.push(self.stream, piece);
        }
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.push(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(logs: &Logs) -> Vec<String> {
        logs.lines().iter().map(|line| line.text.to_string()).collect()
    }

    #[test]
    fn pieces_become_lines_and_the_last_needs_no_end() {
        let logs = Logs::new(Clock::anchored(0));
        let mut writer = LineWriter::new(Arc::clone(&logs), LogStream::Stdout);
        writer.write(b"one\ntw");
        writer.write(b"o\nthree");
        assert_eq!(texts(&logs), ["one", "two"]);
        drop(writer);
        assert_eq!(texts(&logs), ["one", "two", "three"]);
    }

    #[test]
    fn the_ring_forgets_the_oldest() {
        let logs = Logs::new(Clock::anchored(0));
        let mut writer = LineWriter::new(Arc::clone(&logs), LogStream::Stderr);
        for n in 0..100 {
            writer.write(format!("{n:016384}\n").as_bytes());
        }
        let texts = texts(&logs);
        assert!((CAPACITY / LINE - 2..CAPACITY / LINE).contains(&texts.len()), "{}", texts.len());
        assert!(texts.last().unwrap().ends_with("99"));
    }

    #[test]
    fn a_reader_goes_on_where_it_was_and_learns_what_it_missed() {
        let logs = Logs::new(Clock::anchored(0));
        let mut changes = logs.changes();
        logs.push(LogStream::Stdout, b"one");
        assert!(changes.has_changed().unwrap());
        let page = logs.read(0);
        assert_eq!((page.lines.len(), page.next, page.missed, page.ended), (1, 1, 0, false));
        for _ in 0..CAPACITY / LINE + 2 {
            logs.push(LogStream::Stdout, &vec![b'a'; LINE]);
        }
        logs.end();
        let page = logs.read(page.next);
        assert!(page.missed > 0 && page.ended);
        assert_eq!(page.missed + u64::try_from(page.lines.len()).unwrap(), page.next - 1);
        changes.mark_unchanged();
        assert_eq!(logs.read(page.next).lines, []);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let logs = Logs::new(Clock::anchored(0));
        LineWriter::new(Arc::clone(&logs), LogStream::Stdout).write(&vec![b'a'; 3 * LINE]);
        assert_eq!(logs.lines().len(), 3);
    }
}
