//! Events, in the forms of both of their APIs.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;
use super::common::{name, or};

pub(super) fn row(event: &Event, now: Timestamp) -> Vec<Value> {
    let first = event.first_timestamp.as_ref().map(|time| time.0);
    let first = since(first.or_else(|| event.event_time.as_ref().map(|time| time.0)), now);
    let series = event.series.as_ref();
    let last = match (series, &event.last_timestamp) {
        (Some(series), _) => since(series.last_observed_time.as_ref().map(|time| time.0), now),
        (None, Some(last)) => since(Some(last.0), now),
        (None, None) => first.clone(),
    };
    let count = match series {
        Some(series) => series.count.unwrap_or_default(),
        // An event of the new API that happened once does not count.
        None => event.count.filter(|count| *count != 0).unwrap_or(1),
    };
    let involved = &event.involved_object;
    let kind = involved.kind.as_deref().unwrap_or_default().to_lowercase();
    let object = match involved.name.as_deref() {
        Some(name) if !name.is_empty() => format!("{kind}/{name}"),
        _ => kind,
    };
    vec![
        json!(last),
        json!(event.type_.as_deref().unwrap_or_default()),
        json!(event.reason.as_deref().unwrap_or_default()),
        json!(object),
        json!(involved.field_path.as_deref().unwrap_or_default()),
        json!(source(event)),
        json!(event.message.as_deref().unwrap_or_default().trim()),
        json!(first),
        json!(count),
        name(&event.metadata),
    ]
}

/// `kubelet, malha`.
fn source(event: &Event) -> String {
    let source = event.source.as_ref();
    let component = or(
        source.and_then(|source| source.component.as_deref()),
        event.reporting_component.as_deref().unwrap_or_default(),
    );
    let host =
        or(source.and_then(|source| source.host.as_deref()), event.reporting_instance.as_deref().unwrap_or_default());
    if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") }
}
