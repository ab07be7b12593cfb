//! What came of a request, on both sides of the proxy.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{Case, To};
use crate::client::Answer;
use crate::upstream::Try;

/// One request, and what came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What the request was tagged with.
    pub tag: String,
    /// The response flags in the access log.
    pub flags: String,
    /// The headers that were sent.
    pub sent: Vec<(String, String)>,
    /// The answer, or why there is none.
    pub answer: Result<Answer, String>,
    /// How long it took.
    pub took: Duration,
    /// What the upstreams saw, in its order.
    pub tries: Vec<Try>,
}

/// What a case led to: its groups of requests, each with its exchanges.
pub type Observation = Vec<Vec<Exchange>>;

impl Exchange {
    /// The upstream that saw the last try.
    pub fn upstream(&self) -> Option<&str> {
        self.tries.last().map(|seen| seen.upstream.as_str())
    }

    /// The status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.answer.as_ref().ok().map(|answer| answer.status)
    }

    /// In a form that is the same for both sides if they behave the same. Where the case does not care for the order
    /// of tries, they are sorted.
    pub fn normal(&self, case: &Case, to: Option<&To>) -> Value {
        let mut mask = Mask { case, sent: &self.sent, ids: Vec::new() };
        let answer = match &self.answer {
            Err(why) => json!(why),
            Ok(answer) => json!({
                "status": answer.status,
                "headers": mask.headers(&answer.headers),
                "body": String::from_utf8_lossy(&answer.body),
                "broken": answer.broken,
            }),
        };
        let mut tries: Vec<&Try> = self.tries.iter().collect();
        if matches!(to, Some(To::Any(_))) {
            tries.sort_by(|a, b| a.upstream.cmp(&b.upstream));
        }
        let tries = tries.into_iter().map(|seen| {
            json!({
                "upstream": seen.upstream,
                "line": format!("{} {}", seen.method, seen.path),
                "headers": mask.headers(&seen.headers),
                "body": seen.body,
            })
        });
        let tries = tries.collect::<Vec<_>>();
        json!({"answer": answer, "flags": self.flags, "tries": tries})
    }
}

/// Hides what has to differ: addresses, identities that the proxy draws, times.
struct Mask<'a> {
    case: &'a Case,
    sent: &'a [(String, String)],
    ids: Vec<String>,
}

impl Mask<'_> {
    /// Several headers of one name stay in their order; that of the names means nothing (RFC 9110, 5.3).
    fn headers(&mut self, headers: &[(String, String)]) -> Value {
        let mut masked: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            if name != "date" && !self.case.ignore.contains(name) {
                masked.entry(name).or_default().push(self.value(name, value));
            }
        }
        json!(masked)
    }

    fn value(&mut self, name: &str, value: &str) -> String {
        if self.sent.iter().any(|(sent, text)| sent == name && text == value) {
            return value.to_owned();
        }
        match name {
            "x-request-id" => {
                let index = self.ids.iter().position(|id| id == value).unwrap_or_else(|| {
                    self.ids.push(value.to_owned());
                    self.ids.len() - 1
                });
                format!("<id {}>", index + 1)
            }
            "x-envoy-upstream-service-time" => "<ms>".to_owned(),
            "x-forwarded-for" | "x-envoy-external-address" => self.addresses(name, value),
            _ => value.to_owned(),
        }
    }

    /// A client on this machine may appear as its loopback address or as any other address of the machine.
    fn addresses(&self, name: &str, value: &str) -> String {
        let sent =
            self.sent.iter().filter(|(sent, _)| sent == name).flat_map(|(_, text)| text.split(',').map(str::trim));
        let sent: Vec<&str> = sent.collect();
        let masked = value.split(',').map(|part| if sent.contains(&part.trim()) { part } else { "<client>" });
        masked.collect::<Vec<_>>().join(",")
    }
}
