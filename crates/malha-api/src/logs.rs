//! `pods/log`: what a container printed (`pkg/registry/core/pod/strategy.go`, `LogLocation`; what the kubelet says of
//! containers that print nothing yet: `pkg/kubelet/kubelet_pods.go`, `validateContainerLogStatus`).

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::unfold;
use http::{Response, StatusCode};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use malha_cluster::{Log, LogLine, Object};
use serde_json::json;
use tokio::sync::watch::Receiver;

use crate::api::Shared;
use crate::cluster::read;
use crate::request::{Params, Target};
use crate::respond::{self, Body};
use crate::status::Failure;
use crate::time::{timestamp, wall};

/// Bytes that are made ready at a time.
const BYTES: usize = 64 << 10;

/// `PodLogOptions`.
#[derive(Debug)]
struct Options {
    follow: bool,
    previous: bool,
    timestamps: bool,
    since: Option<SystemTime>,
    tail: Option<usize>,
    limit: Option<usize>,
}

impl Options {
    fn read(params: &Params, name: &str, now: SystemTime) -> Result<Self, Failure> {
        let mut causes = Vec::new();
        let mut at_least = |field: &'static str, least: i64, words: &str| -> Result<Option<i64>, Failure> {
            let value = params.number(field)?;
            if let Some(value) = value.filter(|value| *value < least) {
                causes.push((field, format!("Invalid value: {value}: {words}")));
            }
            Ok(value)
        };
        let tail = at_least("tailLines", 0, "must be greater than or equal to 0")?;
        let seconds = at_least("sinceSeconds", 1, "must be greater than 0")?;
        let limit = at_least("limitBytes", 1, "must be greater than 0")?;
        let time = params
            .get("sinceTime")
            .map(|text| {
                text.parse::<Timestamp>()
                    .map(wall)
                    .map_err(|error| Failure::bad_request(format!("parsing time {text:?}: {error}")))
            })
            .transpose()?;
        if time.is_some() && seconds.is_some() {
            let message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
            causes.push(("", message.to_owned()));
        }
        if !causes.is_empty() {
            return Err(invalid(name, &causes));
        }
        let ago = seconds.and_then(|seconds| now.checked_sub(Duration::from_secs(seconds.unsigned_abs())));
        Ok(Self {
            follow: params.flag("follow"),
            previous: params.flag("previous"),
            timestamps: params.flag("timestamps"),
            since: time.or(ago),
            tail: tail.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX)),
            limit: limit.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        })
    }
}

fn invalid(name: &str, causes: &[(&str, String)]) -> Failure {
    let listed: Vec<_> = causes.iter().map(|(field, why)| format!("{field}: {why}")).collect();
    let listed = if let [one] = listed.as_slice() { one.clone() } else { format!("[{}]", listed.join(", ")) };
    let message = format!("PodLogOptions \"{name}\" is invalid: {listed}");
    let mut failure = Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
    let causes: Vec<_> = causes
        .iter()
        .map(|(field, why)| json!({"reason": "FieldValueInvalid", "message": why, "field": field}))
        .collect();
    for (field, value) in [("name", name.into()), ("kind", "PodLogOptions".into()), ("causes", causes.into())] {
        failure.details.insert(field.to_owned(), value);
    }
    failure
}

/// The log of a pod's container, as text.
pub(crate) fn answer(shared: &Shared, params: &Params, target: &Target, name: &str) -> Result<Response<Body>, Failure> {
    let key = target.key(name);
    let found = read(shared.control.as_ref(), |store| store.find(&key).cloned());
    let Some(Object::Pod(pod)) = found else { return Err(Failure::not_found(target.resource, name)) };
    let options = Options::read(params, name, shared.world.clock.now())?;
    let container = container(&pod, name, params.get("container"))?;
    let Some(log) = shared.control.log(&key, options.previous) else {
        return Err(Failure::bad_request(why_none(&pod, name, container, options.previous)));
    };
    let reader = Reader::new(log, &options, shared.closing.subscribe());
    Ok(respond::text_stream(unfold(reader, |mut reader| async move { Some((reader.next().await?, reader)) })))
}

/// The container that is asked for: one of the pod's, and the only one if none is named.
fn container<'p>(pod: &'p Pod, name: &str, asked: Option<&'p str>) -> Result<&'p str, Failure> {
    let spec = pod.spec.as_ref();
    let own: Vec<&str> = spec.iter().flat_map(|spec| &spec.containers).map(|one| one.name.as_str()).collect();
    let first: Vec<&str> =
        spec.iter().flat_map(|spec| spec.init_containers.iter().flatten()).map(|one| one.name.as_str()).collect();
    match (asked, own.as_slice()) {
        (Some(asked), _) if own.contains(&asked) || first.contains(&asked) => Ok(asked),
        (Some(asked), _) => Err(Failure::bad_request(format!("container {asked} is not valid for pod {name}"))),
        (None, [only]) if first.is_empty() => Ok(only),
        (None, [only, ..]) if own.len() == 1 => Ok(only),
        (None, _) => {
            let mut message =
                format!("a container name must be specified for pod {name}, choose one of: [{}]", own.join(" "));
            if !first.is_empty() {
                let _ = write!(message, " or one of the init containers: [{}]", first.join(" "));
            }
            Err(Failure::bad_request(message))
        }
    }
}

/// Why a container has no log.
fn why_none(pod: &Pod, name: &str, container: &str, previous: bool) -> String {
    if previous {
        return format!("previous terminated container {container:?} in pod {name:?} not found");
    }
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let Some(ContainerStatus { state: Some(state), .. }) = statuses.into_iter().find(|one| one.name == container)
    else {
        return format!("container {container:?} in pod {name:?} is not available");
    };
    if state.terminated.is_some() {
        return format!("container {container:?} in pod {name:?} is terminated");
    }
    let Some(waiting) = &state.waiting else {
        return format!("container {container:?} in pod {name:?} is waiting to start - no logs yet");
    };
    let reason = match waiting.reason.as_deref().unwrap_or_default() {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        other => other,
    };
    format!("container {container:?} in pod {name:?} is waiting to start: {reason}")
}

/// Where somebody reads a log.
struct Reader {
    log: Arc<dyn Log>,
    changes: Receiver<u64>,
    closing: Receiver<bool>,
    next: u64,
    ready: VecDeque<LogLine>,
    ended: bool,
    follow: bool,
    timestamps: bool,
    since: Option<SystemTime>,
    /// Bytes that may still come.
    left: usize,
}

impl Reader {
    fn new(log: Arc<dyn Log>, options: &Options, closing: Receiver<bool>) -> Self {
        let changes = log.changes();
        let page = log.read(0);
        let skip = options.tail.map_or(0, |tail| page.lines.len().saturating_sub(tail));
        let mut reader = Self {
            log,
            changes,
            closing,
            next: page.next,
            ready: VecDeque::new(),
            ended: page.ended || !options.follow,
            follow: options.follow,
            timestamps: options.timestamps,
            since: options.since,
            left: options.limit.unwrap_or(usize::MAX),
        };
        reader.take(page.lines.into_iter().skip(skip));
        reader
    }

    fn take(&mut self, lines: impl Iterator<Item = LogLine>) {
        let since = self.since;
        self.ready.extend(lines.filter(|line| since.is_none_or(|since| line.time >= since)));
    }

    /// The next lines; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.left == 0 {
                return None;
            }
            if !self.ready.is_empty() {
                return Some(self.text());
            }
            if self.ended || !self.follow {
                return None;
            }
            // A line that comes after this look is a change.
            self.changes.borrow_and_update();
            let page = self.log.read(self.next);
            (self.next, self.ended) = (page.next, page.ended);
            self.take(page.lines.into_iter());
            if !self.ready.is_empty() || self.ended {
                continue;
            }
            let closed = tokio::select! {
                changed = self.changes.changed() => changed.is_err(),
                closing = self.closing.wait_for(|closing| *closing) => closing.is_ok() || closing.is_err(),
            };
            if closed {
                self.ended = true;
            }
        }
    }

    fn text(&mut self) -> Bytes {
        let mut text = Vec::new();
        while text.len() < BYTES
            && let Some(line) = self.ready.pop_front()
        {
            if self.timestamps {
                let time = timestamp(line.time);
                text.extend_from_slice(format!("{time:.9} ").as_bytes());
            }
            text.extend_from_slice(line.text.as_bytes());
            text.push(b'\n');
        }
        text.truncate(self.left);
        self.left -= text.len();
        text.into()
    }
}
