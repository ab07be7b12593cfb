//! Lists, in one piece and in pages.

use serde_json::{Value, json};

use super::harness::Harness;
use super::verbs::config;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

async fn filled(count: usize) -> Harness {
    let harness = Harness::new();
    for number in 0..count {
        harness.post(MAPS, &config(&format!("m{number}"), "1")).await;
    }
    harness
}

#[tokio::test]
async fn pages_are_of_one_picture_whatever_happens_in_between() {
    let harness = filled(5).await;
    let first = harness.get(&format!("{MAPS}?limit=2")).await.json();
    assert_eq!(names(&first), ["m0", "m1"]);
    assert_eq!((&first["kind"], &first["metadata"]["remainingItemCount"]), (&json!("ConfigMapList"), &json!(3)));
    assert!(first["items"][0].get("kind").is_none());
    harness.delete(&format!("{MAPS}/m3")).await;
    harness.post(MAPS, &config("m2a", "1")).await;
    harness.put(&format!("{MAPS}/m4"), &config("m4", "2")).await;
    let next = first["metadata"]["continue"].as_str().unwrap();
    let second = harness.get(&format!("{MAPS}?limit=2&continue={next}")).await.json();
    assert_eq!(names(&second), ["m2", "m3"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let next = second["metadata"]["continue"].as_str().unwrap();
    let third = harness.get(&format!("{MAPS}?limit=2&continue={next}")).await.json();
    assert_eq!((names(&third), &third["items"][0]["data"]["key"]), (vec!["m4"], &json!("1")));
    assert!(third["metadata"].get("continue").is_none() && third["metadata"].get("remainingItemCount").is_none());
    let now = harness.get(MAPS).await.json();
    assert_eq!(names(&now), ["m0", "m1", "m2", "m2a", "m4"]);
}

#[tokio::test]
async fn a_list_that_is_too_old_says_how_to_go_on() {
    let harness = filled(4).await;
    let first = harness.get(&format!("{MAPS}?limit=2")).await.json();
    let next = first["metadata"]["continue"].as_str().unwrap();
    for number in 0..8_200 {
        let object = config("m0", &number.to_string());
        let object = malha_cluster::decode(malha_cluster::Kind::ConfigMap, object).unwrap().object;
        harness.cluster.write(|registry| registry.update(object, malha_cluster::Part::Whole, false)).unwrap();
    }
    let expired = harness.get(&format!("{MAPS}?limit=2&continue={next}")).await;
    assert_eq!((expired.failure().0, expired.failure().1.as_str()), (410, "Expired"));
    let next = expired.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = harness.get(&format!("{MAPS}?continue={next}")).await.json();
    assert_eq!(names(&rest), ["m2", "m3"]);
    let watch = harness.get(&format!("{MAPS}?watch=1&resourceVersion=1")).await;
    assert_eq!((watch.failure().0, watch.failure().1.as_str()), (410, "Expired"));
}

#[tokio::test]
async fn a_version_that_is_asked_for_is_kept_to() {
    let harness = filled(2).await;
    let then = harness.get(MAPS).await.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    harness.delete(&format!("{MAPS}/m0")).await;
    let list = |query: String| {
        let harness = &harness;
        async move { harness.get(&format!("{MAPS}?{query}")).await }
    };
    let exact = list(format!("resourceVersion={then}&resourceVersionMatch=Exact")).await.json();
    assert_eq!((names(&exact), &exact["metadata"]["resourceVersion"]), (vec!["m0", "m1"], &json!(then)));
    let newer = list(format!("resourceVersion={then}&resourceVersionMatch=NotOlderThan")).await.json();
    assert_eq!(names(&newer), ["m1"]);
    assert_eq!(names(&list("resourceVersion=0".to_owned()).await.json()), ["m1"]);
    let (code, reason, message) = list("resourceVersion=100000".to_owned()).await.failure();
    assert_eq!((code, reason.as_str()), (504, "Timeout"));
    assert!(message.starts_with("Timeout: Too large resource version: 100000, current: "), "{message}");
    for query in [
        "resourceVersionMatch=Exact",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersion=1&resourceVersionMatch=Near",
    ] {
        assert_eq!(list(query.to_owned()).await.failure().0, 422, "{query}");
    }
    for query in ["resourceVersion=x", "limit=x", "continue=x", "labelSelector=a%20b", "fieldSelector=data.key%3Da"] {
        assert_eq!(list(query.to_owned()).await.failure().0, 400, "{query}");
    }
}
