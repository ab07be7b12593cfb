//! relay: a link of a chain. It says who it is, adds what the next service says, and says of a neighbour that does not
//! answer that it is down. Whatever becomes of the others, its own answer is 200.

mod database;
mod neighbours;
mod settings;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use service_kit::health;
use service_kit::host::Host;
use service_kit::http::{Request, Response, is_read};
use service_kit::problem::method_not_allowed;

pub use database::Database;
use neighbours::{Entries, Neighbour};
use settings::Settings;

/// The name of the service in its log, and in the paths of its health.
const NAME: &str = "relay";

/// What a service says of itself: one member of the answer.
#[derive(Serialize)]
struct Service<'a> {
    name: &'a str,
    version: &'static str,
    hostname: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    feature_message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    db_data: Option<Box<RawValue>>,
    #[serde(rename = "API_Data", skip_serializing_if = "Option::is_none")]
    api_data: Option<Box<RawValue>>,
}

/// Answers one request; `open` gives the database, should one be wanted. The version is on every answer, so that a canary
/// is seen from outside.
pub fn answer<D: Database>(request: &Request, host: &impl Host, open: impl FnOnce() -> Result<D, String>) -> Response {
    health::answer(NAME, request)
        .unwrap_or_else(|| {
            if is_read(request) { relay(request, host, open) } else { method_not_allowed(&request.method, "GET, HEAD") }
        })
        .with_header("x-app-version", service_kit::VERSION)
}

/// The answer on every path: whoever routes to a relay decides by path who is asked, not what.
fn relay<D: Database>(request: &Request, host: &impl Host, open: impl FnOnce() -> Result<D, String>) -> Response {
    let (settings, mut remarks) = Settings::read(host);
    host.sleep(settings.sleep_time);
    let mut entries = Entries::new();
    if let Some(next) = Neighbour::next(&settings, request) {
        match next.entries(host) {
            Ok(found) => entries = found,
            Err(reason) => remarks.push(next.is_down(&mut entries, &reason)),
        }
    }
    let mut api_data = None;
    if let Some(remote) = Neighbour::remote(&settings) {
        match remote.value(host) {
            Ok(found) => api_data = Some(found),
            Err(reason) => remarks.push(remote.is_down(&mut entries, &reason)),
        }
    }
    let mut db_data = None;
    if settings.database {
        match open().and_then(|database| database::any_show(&database)) {
            Ok(show) => db_data = Some(show),
            Err(reason) => {
                db_data = neighbours::down();
                remarks.push(format!("the database is down: {reason}"));
            }
        }
    }
    let own = Service {
        name: &settings.service_name,
        version: service_kit::VERSION,
        hostname: &settings.hostname,
        status: "up",
        feature_message: &settings.feature_message,
        db_data,
        api_data,
    };
    let response = Response::json(merged(&settings.service_key, &own, &entries));
    if remarks.is_empty() { response } else { response.with_log_message(remarks.join("; ")) }
}

/// One object of all that is known. Of two services with one key, the nearer is shown.
fn merged(key: &str, own: &Service, others: &Entries) -> Vec<u8> {
    // Strings and JSON that was read always serialise.
    let own = serde_json::value::to_raw_value(own).unwrap_or_default();
    let mut all: BTreeMap<&str, &RawValue> = others.iter().map(|(key, value)| (key.as_str(), &**value)).collect();
    all.insert(key, &own);
    serde_json::to_vec(&all).unwrap_or_default()
}

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, clippy::same_length_and_capacity, reason = "in what http_component writes around the handler")]
mod component {
    use spin_sdk::http::{IncomingRequest, ResponseOutparam};

    #[spin_sdk::http_component]
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        service_kit::wasi::serve(super::NAME, request, out, |request, host| {
            super::answer(request, host, super::database::open)
        });
    }
}

#[cfg(test)]
mod tests;
