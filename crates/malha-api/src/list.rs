//! Lists: a picture of one version, in pages if the client wants (API concepts, "Retrieving large results sets in chunks").
//!
//! A page after the first is cut from the picture of the first, which is made again from what is there now and the changes
//! since. When those are forgotten, the list has expired, as in a cluster whose etcd was compacted.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use malha_cluster::{Expired, Kind, Object, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::request::Params;
use crate::select::Selector;
use crate::status::Failure;

/// What of a list is asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    selector: Selector,
    namespace: Option<String>,
    limit: usize,
    from: From,
}

#[derive(Debug)]
enum From {
    /// What is there now, which must not be older than this.
    Now { at_least: u64 },
    /// What was there at a version.
    Exactly(u64),
    /// The picture of a version after a key; without a version what is there now, after that key.
    After(Option<u64>, (String, String)),
}

/// Objects of a list, and its metadata.
#[derive(Debug, PartialEq)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Object>,
    pub(crate) meta: Map<String, Value>,
}

/// What a token says, as the API server writes it (apiserver `pkg/storage/continue.go`).
#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    /// -1: whatever is there now.
    rv: i64,
    start: String,
}

fn token(version: Option<u64>, (namespace, name): (&str, &str)) -> String {
    let rv = version.map_or(-1, |version| i64::try_from(version).unwrap_or(i64::MAX));
    let start = if namespace.is_empty() { format!("{name}\0") } else { format!("{namespace}/{name}\0") };
    let token = Token { v: "meta.k8s.io/v1".to_owned(), rv, start };
    // Text and numbers are JSON.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
}

fn read_token(text: &str) -> Option<From> {
    let token: Token = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let version = match token.rv {
        -1 => None,
        rv => Some(u64::try_from(rv).ok()?),
    };
    let start = token.start.strip_suffix('\0').filter(|_| token.v == "meta.k8s.io/v1")?;
    let (namespace, name) = start.split_once('/').unwrap_or(("", start));
    Some(From::After(version, (namespace.to_owned(), name.to_owned())))
}

/// A `resourceVersion` of the query; none, empty and `0` are 0.
pub(crate) fn version_of(params: &Params) -> Result<u64, Failure> {
    let Some(text) = params.get("resourceVersion") else { return Ok(0) };
    text.parse().map_err(|_| {
        let message = format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
        Failure::bad_request(format!("resourceVersion: {message}"))
    })
}

impl Wanted {
    pub(crate) fn read(selector: Selector, namespace: Option<String>, params: &Params) -> Result<Self, Failure> {
        let limit = usize::try_from(params.number("limit")?.unwrap_or(0)).unwrap_or(0);
        let matching = params.get("resourceVersionMatch");
        let given = params.get("resourceVersion");
        let refuse = |message: &str| {
            let cause = ("FieldValueForbidden", "resourceVersionMatch", format!("Forbidden: {message}"));
            Err(Failure::invalid_options("ListOptions", &[cause]))
        };
        if let Some(text) = params.get("continue") {
            if matching.is_some() {
                return refuse("resourceVersionMatch is forbidden when continue is provided");
            }
            if given.is_some_and(|given| given != "0") {
                let message = "specifying resource version is not allowed when using continue";
                return Err(Failure::bad_request(message));
            }
            let from =
                read_token(text).ok_or_else(|| Failure::bad_request(format!("continue key is not valid: {text}")))?;
            return Ok(Self { selector, namespace, limit, from });
        }
        let version = version_of(params)?;
        let from = match matching {
            Some(_) if given.is_none() => {
                return refuse("resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            None | Some("NotOlderThan") => From::Now { at_least: version },
            Some("Exact") if version == 0 => {
                return refuse("resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"");
            }
            Some("Exact") => From::Exactly(version),
            Some(other) => {
                let message = format!("Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\"");
                let cause = ("FieldValueNotSupported", "resourceVersionMatch", message);
                return Err(Failure::invalid_options("ListOptions", &[cause]));
            }
        };
        Ok(Self { selector, namespace, limit, from })
    }

    /// Cuts it out of what is there. Only takes handles of objects: be it under a lock.
    pub(crate) fn cut(&self, store: &Store, kind: Kind) -> Result<Page, Failure> {
        let current = store.version();
        let (version, after) = match &self.from {
            From::Now { at_least } if *at_least > current => return Err(too_large(*at_least, current)),
            From::Now { .. } => (current, None),
            From::Exactly(version) => (*version, None),
            From::After(version, after) => (version.unwrap_or(current), Some(after)),
        };
        if version > current {
            return Err(too_large(version, current));
        }
        let namespace = self.namespace.as_deref();
        let then;
        let mut objects: Box<dyn Iterator<Item = &Object>> = if version == current {
            Box::new(store.of_kind(kind, namespace))
        } else {
            then = at(store, kind, version).map_err(|expired| match after {
                Some((namespace, name)) => Self::expired(namespace, name),
                None => Failure::expired(expired.to_string()),
            })?;
            Box::new(then.values())
        };
        if let Some((namespace, name)) = after {
            objects = Box::new(objects.filter(move |object| place(object) > (namespace.as_str(), name.as_str())));
        }
        let mut objects = objects.filter(|object| self.selector.selects(object)).peekable();
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let page: Vec<Object> = objects.by_ref().take(limit).cloned().collect();
        let mut meta = Map::from_iter([("resourceVersion".to_owned(), Value::from(version.to_string()))]);
        if objects.peek().is_some()
            && let Some(last) = page.last()
        {
            meta.insert("continue".to_owned(), token(Some(version), place(last)).into());
            if self.selector.is_empty() {
                meta.insert("remainingItemCount".to_owned(), objects.count().into());
            }
        }
        Ok(Page { objects: page, meta })
    }

    /// 410 with a token that goes on in what is there now.
    fn expired(namespace: &str, name: &str) -> Failure {
        let mut failure = Failure::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
             the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
             Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
             deleted between the time the first chunk was returned and now may show up in the list.",
        );
        failure.metadata.insert("continue".to_owned(), token(None, (namespace, name)).into());
        failure
    }
}

/// Where an object stands in a list.
fn place(object: &Object) -> (&str, &str) {
    let meta = object.metadata();
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

/// The objects of a kind as they were at a version.
fn at(store: &Store, kind: Kind, version: u64) -> Result<BTreeMap<(String, String), Object>, Expired> {
    let owned = |object: &Object| {
        let (namespace, name) = place(object);
        (namespace.to_owned(), name.to_owned())
    };
    let since: Vec<_> = store.since(version)?.filter(|change| change.object.kind() == kind).collect();
    let mut objects: BTreeMap<_, _> = store.of_kind(kind, None).map(|object| (owned(object), object.clone())).collect();
    for change in since.into_iter().rev() {
        match &change.before {
            Some(before) => objects.insert(owned(before), before.clone()),
            None => objects.remove(&owned(&change.object)),
        };
    }
    Ok(objects)
}

/// 504: a version that nobody has seen yet (apiserver `pkg/storage/errors.go`).
fn too_large(asked: u64, current: u64) -> Failure {
    let message = format!("Too large resource version: {asked}, current: {current}");
    let mut failure = Failure::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", format!("Timeout: {message}"));
    failure.details.insert("retryAfterSeconds".to_owned(), 1.into());
    failure.details.insert(
        "causes".to_owned(),
        json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]),
    );
    failure
}
