//! Those that a link asks: the next service, and an API outside of the mesh.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use service_kit::forward::passed_on;
use service_kit::host::{Host, Outgoing};
use service_kit::http::Request;

use crate::settings::Settings;

/// Members of an answer, each as it was written: no number is read, so none changes.
pub(crate) type Entries = BTreeMap<String, Box<RawValue>>;

/// The largest answer that is taken, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// Besides the trace, what routes within the mesh may decide by.
const ROUTED_BY: [&str; 4] = ["user-agent", "x-user-agent", "x-group", "end-user"];

/// Someone to ask, by a `GET`.
pub(crate) struct Neighbour(Outgoing);

impl Neighbour {
    /// The next link, if there is one.
    pub(crate) fn next(settings: &Settings, request: &Request) -> Option<Self> {
        let host = Some(settings.next_service.trim()).filter(|host| !host.is_empty())?;
        let port = match settings.next_port.trim() {
            "" | "80" => String::new(),
            port => format!(":{port}"),
        };
        let route = settings.next_route.trim().trim_start_matches('/');
        Some(Self::new(format!("http://{host}{port}/{route}"), passed_on(request, &ROUTED_BY), settings))
    }

    /// The API, if there is one. It is told who asks, and nothing of the client.
    pub(crate) fn remote(settings: &Settings) -> Option<Self> {
        let url = Some(settings.remote_url.trim()).filter(|url| !url.is_empty())?;
        let own = [("accept", "application/json"), ("user-agent", concat!("relay/", env!("CARGO_PKG_VERSION")))];
        let headers = own.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Some(Self::new(url.to_owned(), headers.into(), settings))
    }

    fn new(url: String, headers: Vec<(String, Vec<u8>)>, settings: &Settings) -> Self {
        Self(Outgoing { url, headers, max_body: MAX_BODY, limit: settings.call_timeout })
    }

    /// What a link says, itself and those behind it.
    ///
    /// # Errors
    /// Why there is no such answer, for the log.
    pub(crate) fn entries(&self, host: &impl Host) -> Result<Entries, String> {
        serde_json::from_str(self.value(host)?.get()).map_err(|_| "its answer is not a JSON object".to_owned())
    }

    /// The JSON of a good answer.
    ///
    /// # Errors
    /// Why there is none, for the log.
    pub(crate) fn value(&self, host: &impl Host) -> Result<Box<RawValue>, String> {
        // One at a time: of several, a failure of the first ends the others.
        let answer = host.fetch(std::slice::from_ref(&self.0)).pop().ok_or("it was not called")?;
        let fetched = answer.map_err(|error| error.to_string())?;
        if fetched.status != 200 {
            return Err(format!("status {}", fetched.status));
        }
        serde_json::from_slice(&fetched.body).map_err(|error| format!("its answer is not JSON: {error}"))
    }

    /// Notes in the answer that it is down; what comes back is for the log.
    pub(crate) fn is_down(&self, entries: &mut Entries, reason: &str) -> String {
        entries.extend(down().map(|down| (self.0.url.clone(), down)));
        format!("{} is down: {reason}", self.0.url)
    }
}

/// What is shown in place of whoever does not answer.
pub(crate) fn down() -> Option<Box<RawValue>> {
    RawValue::from_string(r#"{"status":"down"}"#.to_owned()).ok()
}
