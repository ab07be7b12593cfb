//! A case as it is written: see README.md for what each field means.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::yaml;

/// A case: manifests, what the upstreams do, requests, and what is right.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Case {
    /// Folder and file name without its ending.
    #[serde(skip)]
    pub id: String,
    /// What is shown, as a sentence.
    pub about: String,
    /// Where the requests enter the mesh.
    #[serde(default)]
    pub vantage: Vantage,
    /// What each upstream does. `a`, `b` and `c` are there in any case.
    #[serde(default)]
    pub upstreams: BTreeMap<String, Script>,
    /// Services with other endpoints than the one of their name.
    #[serde(default)]
    pub services: BTreeMap<String, Vec<Member>>,
    /// Rules of one `VirtualService` for any host.
    #[serde(default)]
    pub http: Option<Vec<Value>>,
    /// Specs of `DestinationRules`.
    #[serde(default)]
    pub destination_rules: Vec<Value>,
    /// Specs of `RequestAuthentications` at the gateway.
    #[serde(default)]
    pub request_authentications: Vec<Value>,
    /// Specs of `AuthorizationPolicies` at the gateway.
    #[serde(default)]
    pub authorization_policies: Vec<Value>,
    /// Whole objects.
    #[serde(default)]
    pub manifests: Vec<Value>,
    /// What a sidecar does with hosts that the mesh does not know.
    #[serde(default)]
    pub outbound_traffic_policy: Option<String>,
    /// Whose sidecar it is.
    #[serde(default)]
    pub pod: PodOfCase,
    /// Tokens by name, for `${token.NAME}`.
    #[serde(default)]
    pub tokens: BTreeMap<String, Token>,
    /// Headers that differ for a reason, on either side of the proxy.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Parts of what malha says of the manifests: that they are refused, as Istio does too, or that something in them is
    /// probably not meant.
    #[serde(default)]
    pub says: Vec<String>,
    /// Groups of requests, one after the other.
    pub requests: Vec<Request>,
}

/// Where requests enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Vantage {
    /// From outside, at the ingress gateway.
    #[default]
    Gateway,
    /// From a pod, at its own sidecar.
    Sidecar,
}

/// The pod that the requests of a case come from, where a sidecar takes them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PodOfCase {
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Default for PodOfCase {
    fn default() -> Self {
        Self { namespace: "default".to_owned(), labels: BTreeMap::new() }
    }
}

/// An endpoint of a service.
#[derive(Clone, Debug)]
pub struct Member {
    /// The upstream that it is.
    pub upstream: String,
    /// Its labels, for subsets.
    pub labels: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            upstream: String,
            labels: BTreeMap<String, String>,
        }
        match Value::deserialize(deserializer)? {
            Value::String(upstream) => Ok(Self { upstream, labels: BTreeMap::new() }),
            other => {
                let Whole { upstream, labels } = serde_json::from_value(other).map_err(de::Error::custom)?;
                Ok(Self { upstream, labels })
            }
        }
    }
}

/// What an upstream does.
#[derive(Clone, Debug)]
pub enum Script {
    /// Nothing listens there.
    Refuse,
    /// Answers in this order; the last one again and again.
    Answers(Vec<Reply>),
}

impl Default for Script {
    fn default() -> Self {
        Self::Answers(vec![Reply::default()])
    }
}

impl<'de> Deserialize<'de> for Script {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let replies = match Value::deserialize(deserializer)? {
            Value::String(word) if word == "refuse" => return Ok(Self::Refuse),
            Value::Null => return Ok(Self::default()),
            Value::Array(list) => list,
            other => vec![other],
        };
        replies.into_iter().map(reply).collect::<Result<_, _>>().map(Self::Answers).map_err(de::Error::custom)
    }
}

fn reply(value: Value) -> Result<Reply, serde_json::Error> {
    match value {
        Value::Number(status) => Ok(Reply { status: serde_json::from_value(status.into())?, ..Reply::default() }),
        Value::String(word) => Ok(Reply { end: Some(serde_json::from_value(word.into())?), ..Reply::default() }),
        other => serde_json::from_value(other),
    }
}

/// What an upstream does with one request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body; by default the upstream's name.
    pub body: Option<String>,
    /// Headers beside `content-type: text/plain` and `x-upstream: NAME`.
    pub headers: BTreeMap<String, Texts>,
    /// How long it takes to begin.
    #[serde(deserialize_with = "span")]
    pub delay: Duration,
    /// How it fails, if it does.
    pub end: Option<End>,
    /// Trailers, over HTTP/2.
    pub trailers: BTreeMap<String, String>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            status: 200,
            body: None,
            headers: BTreeMap::new(),
            delay: Duration::ZERO,
            end: None,
            trailers: BTreeMap::new(),
        }
    }
}

/// How an upstream fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// Closes the connection instead of answering.
    Close,
    /// Closes it half-way through the body.
    CloseInBody,
    /// Never answers.
    Stall,
}

/// A value or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Null => Vec::new(),
            Value::Array(list) => list.into_iter().map(text).collect(),
            other => vec![text(other)],
        }))
    }
}

/// A JWT.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Token {
    /// What it claims.
    pub claims: Value,
    /// Seconds from now to `exp`, unless the claims have one.
    #[serde(default)]
    pub expires_in: Option<i64>,
    /// Seconds from now to `nbf`.
    #[serde(default)]
    pub not_before_in: Option<i64>,
    /// Which key signs: `trusted` is the one in `${jwks}`, any other word is another key.
    #[serde(default = "trusted")]
    pub key: String,
    /// The key's name in the header.
    #[serde(default)]
    pub kid: Option<String>,
}

fn trusted() -> String {
    "trusted".to_owned()
}

/// A group of like requests, and what is right.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "what a case's file says, not a state")]
pub struct Request {
    /// The path of a GET.
    #[serde(default)]
    pub get: Option<String>,
    /// The path of a POST.
    #[serde(default)]
    pub post: Option<String>,
    /// Another method.
    #[serde(default)]
    pub method: Option<String>,
    /// The path of another method.
    #[serde(default)]
    pub path: Option<String>,
    /// The whole message instead, byte for byte.
    #[serde(default)]
    pub raw: Option<String>,
    /// Whether it comes over HTTP/2, which the client knows to be spoken.
    #[serde(default)]
    pub http2: bool,
    /// Trailers, over HTTP/2.
    #[serde(default)]
    pub trailers: BTreeMap<String, String>,
    /// The TLS that it comes over, if it does.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// `Host`.
    #[serde(default = "shop")]
    pub host: String,
    /// The port of the gateway or of the service, as the manifests number it.
    #[serde(default = "eighty")]
    pub port: u16,
    /// Headers beside `host`.
    #[serde(default)]
    pub headers: BTreeMap<String, Texts>,
    /// The body, if it has one.
    #[serde(default)]
    pub body: Option<String>,
    /// How often it is sent.
    #[serde(default = "one")]
    pub times: u32,
    /// In which way it is sent several times.
    #[serde(default)]
    pub send: Sending,
    /// How long to wait between them.
    #[serde(default, deserialize_with = "span")]
    pub every: Duration,
    /// The next group does not wait for the answers.
    #[serde(default)]
    pub background: bool,
    /// How long to wait before the first.
    #[serde(default, deserialize_with = "span")]
    pub after: Duration,
    /// What each answer has to be.
    #[serde(default)]
    pub answer: Answer,
    /// Which upstreams see it, once for each try.
    #[serde(default)]
    pub to: Option<To>,
    /// What the last of them has to see.
    #[serde(default)]
    pub seen: Seen,
    /// What is right for malha instead, where it differs on purpose.
    #[serde(default)]
    pub malha: Option<Deliberate>,
    /// How many come out how.
    #[serde(default)]
    pub counts: BTreeMap<String, Count>,
    /// Which part of them comes out how, by chance.
    #[serde(default)]
    pub shares: BTreeMap<String, f64>,
    /// The longer a request is tried, the longer the pauses, on an average of all of them.
    #[serde(default)]
    pub pauses_grow: bool,
    /// All of them end at the same upstream.
    #[serde(default)]
    pub sticky: bool,
    /// Milliseconds from which on an answer is `slow`.
    #[serde(default = "slow")]
    pub slow: u64,
}

/// What a client brings to a handshake.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server that it asks for, whose name the certificate has to have.
    pub name: String,
    /// The protocols that it offers. Where the server takes `h2`, it is that.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// Its own certificate, by name.
    #[serde(default)]
    pub certificate: Option<String>,
}

/// What malha does differently on purpose: its own answer and tries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deliberate {
    /// Why it does.
    pub because: String,
    /// What each answer has to be.
    #[serde(default)]
    pub answer: Answer,
    /// Which upstreams see it.
    #[serde(default)]
    pub to: Option<To>,
    /// What the last of them has to see.
    #[serde(default)]
    pub seen: Seen,
}

/// How the requests of a group follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sending {
    /// Each after the answer to the one before, on a connection of its own.
    #[default]
    InTurn,
    /// Each after the answer to the one before, on the same connection.
    OnOneConnection,
    /// All at once.
    Together,
}

fn shop() -> String {
    "shop.test".to_owned()
}

fn eighty() -> u16 {
    80
}

fn one() -> u32 {
    1
}

fn slow() -> u64 {
    80
}

/// What an answer has to be.
#[derive(Debug, Default)]
pub struct Answer {
    /// The status.
    pub status: Option<u16>,
    /// The body.
    pub body: Option<String>,
    /// Headers with their values in order; none: the header must not be there.
    pub headers: BTreeMap<String, Texts>,
    /// How long it takes, in milliseconds: at least, at most.
    pub took: Option<[u64; 2]>,
    /// The response flags in the access log, as `URX,UF`; `-` for none.
    pub flags: Option<String>,
    /// The answer does not end as its head promised.
    pub broken: bool,
    /// There is none, for this reason.
    pub none: Option<String>,
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            status: Option<u16>,
            body: Option<String>,
            #[serde(default)]
            headers: BTreeMap<String, Texts>,
            took: Option<[u64; 2]>,
            flags: Option<String>,
            #[serde(default)]
            broken: bool,
            none: Option<String>,
        }
        match Value::deserialize(deserializer)? {
            Value::Number(status) => Ok(Self {
                status: Some(serde_json::from_value(status.into()).map_err(de::Error::custom)?),
                ..Self::default()
            }),
            other => {
                let Whole { status, body, headers, took, flags, broken, none } =
                    serde_json::from_value(other).map_err(de::Error::custom)?;
                Ok(Self { status, body, headers, took, flags, broken, none })
            }
        }
    }
}

/// Which upstreams see a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// In this order.
    Order(Vec<String>),
    /// In any order, so often.
    Any(BTreeMap<String, usize>),
}

impl<'de> Deserialize<'de> for To {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) => Ok(Self::Order(vec![name])),
            list @ Value::Array(_) => serde_json::from_value(list).map(Self::Order).map_err(de::Error::custom),
            map => serde_json::from_value(map).map(Self::Any).map_err(de::Error::custom),
        }
    }
}

impl To {
    /// How many tries that are.
    pub fn tries(&self) -> usize {
        match self {
            Self::Order(names) => names.len(),
            Self::Any(counts) => counts.values().sum(),
        }
    }
}

/// What an upstream has to see.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Seen {
    /// The method.
    pub method: Option<String>,
    /// Path and query.
    pub path: Option<String>,
    /// Headers, `host` among them.
    pub headers: BTreeMap<String, Texts>,
    /// The body.
    pub body: Option<String>,
    /// Milliseconds between the tries: at least, at most.
    pub gaps: Vec<[u64; 2]>,
}

/// How many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u32, pub u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_array() {
            serde_json::from_value(value).map(|[least, most]: [u32; 2]| Self(least, most)).map_err(de::Error::custom)
        } else {
            serde_json::from_value(value).map(|count: u32| Self(count, count)).map_err(de::Error::custom)
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == self.1 { write!(f, "{}", self.0) } else { write!(f, "{} to {}", self.0, self.1) }
    }
}

impl Request {
    /// Method and path.
    pub fn line(&self) -> (&str, &str) {
        match (&self.get, &self.post) {
            (Some(path), _) => ("GET", path),
            (None, Some(path)) => ("POST", path),
            (None, None) => (self.method.as_deref().unwrap_or("GET"), self.path.as_deref().unwrap_or("/")),
        }
    }
}

/// `150ms`, `2s`.
fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    seconds(&text).map(Duration::from_secs_f64).ok_or_else(|| de::Error::custom(format!("no duration: {text}")))
}

/// The seconds that a duration of Go's has: `1m30s`, `0.5s`.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let end = rest[unit..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |length| unit + length);
        let scale = match &rest[unit..end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        total += rest[..unit].parse::<f64>().ok()? * scale;
        rest = &rest[end..];
    }
    Some(total)
}

/// Every case below a folder, in the order of their names.
pub fn load(folder: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for field in sorted(folder)? {
        for file in sorted(&field)? {
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let mut case: Case = yaml::parse(&text)
                .and_then(|value| Ok(serde_json::from_value(value)?))
                .with_context(|| file.display().to_string())?;
            let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            case.id = format!("{}/{}", name(&field), name(&file));
            cases.push(case);
        }
    }
    Ok(cases)
}

fn sorted(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
