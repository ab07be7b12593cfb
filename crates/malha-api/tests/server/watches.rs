//! Watches.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use malha_api::Body;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::Harness;
use super::verbs::config;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A watch that is read.
struct Watch {
    body: Body,
    text: Vec<u8>,
}

impl Watch {
    async fn open(harness: &Harness, query: &str) -> Self {
        let response = harness.open(&format!("{MAPS}?watch=true&{query}")).await;
        assert_eq!(response.status(), 200, "{query}");
        Self { body: response.into_body(), text: Vec::new() }
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let data: Bytes = self.body.frame().await?.unwrap().into_data().unwrap();
            self.text.extend_from_slice(&data);
        }
    }

    /// Type and name of the next event.
    async fn said(&mut self) -> (String, String) {
        let event = self.next().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

fn said(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

fn labelled(name: &str, label: &str) -> Value {
    let mut object = config(name, "1");
    object["metadata"]["labels"] = json!({"is": label});
    object
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let harness = Harness::new();
    harness.post(MAPS, &config("a", "1")).await;
    for query in ["", "resourceVersion=0"] {
        let mut watch = Watch::open(&harness, query).await;
        assert_eq!(watch.said().await, said("ADDED", "a"));
        harness.post(MAPS, &config("b", "1")).await;
        assert_eq!(watch.said().await, said("ADDED", "b"));
        harness.delete(&format!("{MAPS}/b")).await;
        assert_eq!(watch.said().await, said("DELETED", "b"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_enters_or_leaves_a_selection_is_new_or_gone() {
    let harness = Harness::new();
    harness.post(MAPS, &labelled("a", "in")).await;
    let version = harness.get(MAPS).await.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut watch = Watch::open(&harness, &format!("labelSelector=is%3Din&resourceVersion={version}")).await;
    let path = format!("{MAPS}/a");
    for label in ["out", "in", "in"] {
        let mut object = labelled("a", label);
        object["data"]["key"] = label.into();
        harness.put(&path, &object).await;
    }
    let mut object = labelled("a", "in");
    object["data"]["key"] = "other".into();
    harness.put(&path, &object).await;
    harness.delete(&path).await;
    let gone = watch.next().await.unwrap();
    // As it was when it was last selected, at the version of the change.
    assert_eq!((&gone["type"], &gone["object"]["metadata"]["labels"]["is"]), (&json!("DELETED"), &json!("in")));
    assert_eq!(gone["object"]["metadata"]["resourceVersion"], (version.parse::<u64>().unwrap() + 1).to_string());
    assert_eq!(watch.said().await, said("ADDED", "a"));
    assert_eq!(watch.said().await, said("MODIFIED", "a"));
    assert_eq!(watch.said().await, said("DELETED", "a"));
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_each_minute_and_at_the_end() {
    let harness = Harness::new();
    let version = harness.get(MAPS).await.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let query = format!("allowWatchBookmarks=true&timeoutSeconds=90&resourceVersion={version}");
    let mut watch = Watch::open(&harness, &query).await;
    // Of another kind: only the version moves on.
    harness.post("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await;
    let start = tokio::time::Instant::now();
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], start.elapsed().as_secs()), (&json!("BOOKMARK"), 60));
    let at = event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(at, harness.cluster.read(malha_cluster::Store::version));
    assert_eq!(event["object"]["kind"], "ConfigMap");
    assert_eq!(watch.said().await.0, "BOOKMARK");
    assert_eq!(start.elapsed().as_secs(), 90);
    assert!(watch.next().await.is_none());
    // Without bookmarks it ends in silence, and without a time after half an hour to an hour.
    let mut watch = Watch::open(&harness, &format!("resourceVersion={at}")).await;
    let start = tokio::time::Instant::now();
    assert!(watch.next().await.is_none());
    assert!((1_800..=3_600).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_says_where_its_beginning_ends() {
    let harness = Harness::new();
    harness.post(MAPS, &config("a", "1")).await;
    let query = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let mut watch = Watch::open(&harness, query).await;
    assert_eq!(watch.said().await, said("ADDED", "a"));
    let end = watch.next().await.unwrap();
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    harness.post(MAPS, &config("b", "1")).await;
    assert_eq!(watch.said().await, said("ADDED", "b"));
    for query in ["sendInitialEvents=true", "resourceVersionMatch=NotOlderThan"] {
        assert_eq!(harness.get(&format!("{MAPS}?watch=true&{query}")).await.failure().0, 422, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_shows_tables_to_those_who_ask() {
    let harness = Harness::new();
    harness.post(MAPS, &config("a", "1")).await;
    harness.post(MAPS, &config("b", "1")).await;
    let request = harness.request(Method::GET, &format!("{MAPS}?watch=true"));
    let request = request.header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let response = harness.api.handle(request.body(http_body_util::Full::<Bytes>::default()).unwrap()).await;
    let mut watch = Watch { body: response.into_body(), text: Vec::new() };
    let first = watch.next().await.unwrap();
    assert!(first["object"]["columnDefinitions"].is_array());
    assert_eq!(first["object"]["rows"][0]["cells"][0], "a");
    let second = watch.next().await.unwrap();
    assert!(second["object"]["columnDefinitions"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_falls_behind_holds_up_nobody_and_is_told() {
    let harness = Harness::new();
    harness.post(MAPS, &config("a", "0")).await;
    let version = harness.get(MAPS).await.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut watch = Watch::open(&harness, &format!("resourceVersion={version}")).await;
    for number in 1..8_300 {
        let object =
            malha_cluster::decode(malha_cluster::Kind::ConfigMap, config("a", &number.to_string())).unwrap().object;
        harness.cluster.write(|registry| registry.update(object, malha_cluster::Part::Whole, false)).unwrap();
    }
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(event["object"]["reason"], "Expired");
    assert!(watch.next().await.is_none());
}

/// Something that somebody does.
#[derive(Clone, Debug)]
enum Deed {
    Create(u8, bool),
    Update(u8, u8, bool),
    Delete(u8),
    /// The reader takes so many events.
    Read(u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0..5_u8, any::<bool>()).prop_map(|(name, label)| Deed::Create(name, label)),
        (0..5_u8, 0..4_u8, any::<bool>()).prop_map(|(name, value, label)| Deed::Update(name, value, label)),
        (0..5_u8).prop_map(Deed::Delete),
        (0..6_u8).prop_map(Deed::Read),
    ]
}

/// The objects as a watch tells of them, and the last version that it told.
#[derive(Default)]
struct Picture {
    objects: BTreeMap<String, Value>,
    last: u64,
    selected: bool,
}

impl Picture {
    /// Takes in an event, which has to fit what was told before.
    fn take(&mut self, event: &Value) {
        let object = &event["object"];
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let version: u64 = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        assert!(version > self.last, "{event} after {}", self.last);
        self.last = version;
        if self.selected {
            assert!(event["type"] == "DELETED" || object["metadata"]["labels"]["is"] == "in", "{event}");
        }
        let old = match event["type"].as_str().unwrap() {
            "ADDED" => {
                assert!(self.objects.insert(name, object.clone()).is_none(), "added twice: {event}");
                return;
            }
            "MODIFIED" => self.objects.insert(name, object.clone()),
            "DELETED" => self.objects.remove(&name),
            other => panic!("{other}"),
        };
        assert!(old.is_some(), "never added: {event}");
    }
}

async fn run(deeds: Vec<Deed>) {
    let harness = Harness::new();
    let version = harness.cluster.read(malha_cluster::Store::version);
    let mut all = Watch::open(&harness, &format!("timeoutSeconds=60&resourceVersion={version}")).await;
    let mut some =
        Watch::open(&harness, &format!("timeoutSeconds=60&labelSelector=is%3Din&resourceVersion={version}")).await;
    let (mut of_all, mut of_some) = (Picture::default(), Picture { selected: true, ..Picture::default() });
    let mut told = 0;
    for deed in deeds {
        let label = |label: bool| if label { "in" } else { "out" };
        match deed {
            Deed::Create(name, is) => drop(harness.post(MAPS, &labelled(&format!("m{name}"), label(is))).await),
            Deed::Update(name, value, is) => {
                let mut object = labelled(&format!("m{name}"), label(is));
                object["data"]["key"] = value.to_string().into();
                harness.put(&format!("{MAPS}/m{name}"), &object).await;
            }
            Deed::Delete(name) => drop(harness.delete(&format!("{MAPS}/m{name}")).await),
            Deed::Read(count) => {
                for _ in 0..count {
                    // Nothing to read is nothing to wait for.
                    let Ok(event) = tokio::time::timeout(Duration::from_millis(1), all.next()).await else { break };
                    of_all.take(&event.unwrap());
                    told += 1;
                }
            }
        }
    }
    let changes = harness.cluster.read(malha_cluster::Store::version) - version;
    while let Some(event) = all.next().await {
        of_all.take(&event);
        told += 1;
    }
    while let Some(event) = some.next().await {
        of_some.take(&event);
    }
    assert_eq!(told, changes, "every change is told");
    let list = harness.get(MAPS).await.json();
    let there = |selected: bool| -> Vec<(String, Value)> {
        let items = list["items"].as_array().unwrap().iter();
        let items = items.filter(|item| !selected || item["metadata"]["labels"]["is"] == "in");
        items.map(|item| (item["metadata"]["name"].as_str().unwrap().to_owned(), item["data"].clone())).collect()
    };
    let picture = |picture: Picture| -> Vec<(String, Value)> {
        picture.objects.into_iter().map(|(name, object)| (name, object["data"].clone())).collect()
    };
    assert_eq!(picture(of_all), there(false));
    assert_eq!(picture(of_some), there(true));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_change_is_told_once_and_in_order(deeds in proptest::collection::vec(deed(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(deeds));
    }
}
