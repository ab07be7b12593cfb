//! Watches: each change once, in order, for as long as the client listens (API concepts, "Efficient detection of changes";
//! apiserver `pkg/endpoints/handlers/watch.go`, `pkg/storage/cacher`).
//!
//! A watch is a place in the store's history that its reader moves on. Nobody writes to it and nothing is queued for it: a
//! slow reader holds up nobody, and one that has fallen behind all that is remembered is told so (410).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use malha_cluster::{Change, ChangeKind, ControlPlane, Expired, Object, Store};
use rand::Rng as _;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::api::Shared;
use crate::cluster::read;
use crate::list::version_of;
use crate::request::{Params, Target};
use crate::select::Selector;
use crate::status::Failure;
use crate::view::View;

/// Between two bookmarks (`cacher.go`, `defaultBookmarkFrequency`).
const BOOKMARK: Duration = Duration::from_mins(1);
/// A watch without `timeoutSeconds` lasts at least so long, and up to twice that (`--min-request-timeout`).
const MIN_TIME: Duration = Duration::from_mins(30);
/// As many events as are made ready at a time.
const BATCH: usize = 256;

/// A change, as a watch sees it.
#[derive(Clone, Debug)]
struct Event {
    kind: &'static str,
    object: Object,
}

/// Where a watch stands.
struct Watch {
    control: Arc<dyn ControlPlane>,
    view: View,
    selector: Selector,
    kind: malha_cluster::Kind,
    /// All changes up to this version were shown.
    seen: u64,
    /// To be shown.
    ready: VecDeque<Event>,
    /// The version that a bookmark marks the end of the beginning with, once `ready` is empty.
    initial: Option<u64>,
    bookmarks: bool,
    versions: Receiver<u64>,
    closing: Receiver<bool>,
    end: Instant,
    bookmark: Instant,
    first: bool,
    over: bool,
}

/// The events of a watch, a line each.
pub(crate) fn start(
    shared: &Shared,
    target: &Target,
    params: &Params,
    selector: Selector,
    view: View,
) -> Result<impl Stream<Item = Bytes> + Send + 'static + use<>, Failure> {
    let from = version_of(params)?;
    let initial = params.flag_of("sendInitialEvents");
    check_options(params, initial)?;
    let bookmarks = params.flag("allowWatchBookmarks");
    let time = match params.number("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
        // Spread, so that watches that began together do not end together.
        _ => MIN_TIME + MIN_TIME.mul_f64(f64::from(shared.chance.lock().next_u32()) / f64::from(u32::MAX)),
    };
    let now = Instant::now();
    let mut watch = Watch {
        control: Arc::clone(&shared.control),
        view,
        selector,
        kind: target.resource.kind,
        seen: from,
        ready: VecDeque::new(),
        initial: None,
        bookmarks,
        versions: shared.control.versions(),
        closing: shared.closing.subscribe(),
        end: now.checked_add(time).unwrap_or(now + 2 * MIN_TIME),
        bookmark: now + BOOKMARK,
        first: true,
        over: false,
    };
    // Without a version a watch begins with all there is; a streamed list always does.
    if initial.unwrap_or(from == 0) {
        read(shared.control.as_ref(), |store| watch.begin(store, target.namespace.as_deref()));
        watch.initial = (initial == Some(true) && bookmarks).then_some(watch.seen);
    } else if from == 0 {
        watch.seen = read(shared.control.as_ref(), Store::version);
    } else {
        read(shared.control.as_ref(), |store| store.since(from).map(drop))
            .map_err(|expired| Failure::expired(expired.to_string()))?;
    }
    Ok(unfold(watch, |mut watch| async move { Some((watch.next().await?, watch)) }))
}

/// `meta/internalversion/validation`, `ValidateListOptions`.
fn check_options(params: &Params, initial: Option<bool>) -> Result<(), Failure> {
    let matching = params.get("resourceVersionMatch");
    let forbidden = |field: &str, message: &str| {
        Err(Failure::invalid_options("ListOptions", &[("FieldValueForbidden", field, format!("Forbidden: {message}"))]))
    };
    match (initial, matching) {
        (None, Some(_)) => forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        (Some(_), other) if other != Some("NotOlderThan") => {
            forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        }
        _ => Ok(()),
    }
}

impl Watch {
    /// Takes all there is as new.
    fn begin(&mut self, store: &Store, namespace: Option<&str>) {
        self.seen = store.version();
        let all = store.of_kind(self.kind, namespace).filter(|object| self.selector.selects(object));
        self.ready = all.map(|object| Event { kind: "ADDED", object: object.clone() }).collect();
    }

    /// The next lines; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.over {
                return None;
            }
            if !self.ready.is_empty() {
                return Some(self.lines());
            }
            if let Some(version) = self.initial.take() {
                self.bookmark = Instant::now() + BOOKMARK;
                return Some(line("BOOKMARK", &self.view.bookmark(version, true)));
            }
            // What is marked as seen here cannot be missed: it is looked at after.
            let current = *self.versions.borrow_and_update();
            if current > self.seen
                && let Err(expired) = self.advance()
            {
                self.over = true;
                let status = Failure::expired(expired.to_string()).status();
                return Some(line("ERROR", &status));
            }
            if !self.ready.is_empty() {
                continue;
            }
            let bookmark = if self.bookmarks { self.bookmark } else { self.end };
            tokio::select! {
                changed = self.versions.changed() => self.over |= changed.is_err(),
                () = sleep_until(bookmark.min(self.end)) => {
                    let ends = Instant::now() >= self.end;
                    self.over |= ends;
                    if self.bookmarks {
                        self.bookmark = Instant::now() + BOOKMARK;
                        return Some(line("BOOKMARK", &self.view.bookmark(self.seen, false)));
                    }
                }
                closed = self.closing.wait_for(|closing| *closing) => {
                    drop(closed);
                    self.over = true;
                }
            }
        }
    }

    /// Looks at the changes since, as many as are made ready at a time.
    fn advance(&mut self) -> Result<(), Expired> {
        let (kind, selector, seen) = (self.kind, &self.selector, self.seen);
        let (events, seen) = read(self.control.as_ref(), |store| {
            let mut events = VecDeque::new();
            let mut seen = seen;
            for change in store.since(seen)? {
                if events.len() == BATCH {
                    return Ok((events, seen));
                }
                seen = seen.max(change.version);
                if change.object.kind() == kind {
                    events.extend(event(change, selector));
                }
            }
            Ok((events, seen))
        })?;
        (self.ready, self.seen) = (events, seen);
        Ok(())
    }

    /// As many events as fit in one write, a line each.
    fn lines(&mut self) -> Bytes {
        const BYTES: usize = 64 << 10;
        let mut text = Vec::new();
        while text.len() < BYTES
            && let Some(event) = self.ready.pop_front()
        {
            let object = self.view.event(&event.object, self.first);
            self.first = false;
            text.extend_from_slice(&line(event.kind, &object));
        }
        text.into()
    }
}

/// What a change is to who selects: an object that comes in is new, and one that falls out is gone.
fn event(change: &Change, selector: &Selector) -> Option<Event> {
    let before = change.before.as_ref().filter(|before| selector.selects(before));
    let after = (change.kind != ChangeKind::Deleted && selector.selects(&change.object)).then_some(&change.object);
    match (before, after) {
        (None, None) => None,
        (None, Some(object)) => Some(Event { kind: "ADDED", object: object.clone() }),
        (Some(_), Some(object)) => Some(Event { kind: "MODIFIED", object: object.clone() }),
        (Some(_), None) if change.kind == ChangeKind::Deleted => {
            Some(Event { kind: "DELETED", object: change.object.clone() })
        }
        // As it was when it was last selected, at the version of the change.
        (Some(before), None) => {
            let mut object = before.clone();
            object.metadata_mut().resource_version = Some(change.version.to_string());
            Some(Event { kind: "DELETED", object })
        }
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut text = json!({"type": kind, "object": object}).to_string();
    text.push('\n');
    text.into()
}
