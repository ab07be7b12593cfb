//! posts and comments: all, one, or those that belong to something.

use serde_json::{Value, json};

use crate::support::{Call, Cluster, Manifests, assert_problem, delete, get};

/// A service, and what of its data can be counted on.
struct Collection {
    name: &'static str,
    members: &'static [&'static str],
    count: usize,
    filter: &'static str,
    /// The last id that the filter finds, and how many each finds.
    groups: usize,
    each: usize,
}

const COLLECTIONS: [Collection; 2] = [
    Collection {
        name: "posts",
        members: &["userId", "id", "title", "body"],
        count: 100,
        filter: "userId",
        groups: 10,
        each: 10,
    },
    Collection {
        name: "comments",
        members: &["postId", "id", "name", "email", "body"],
        count: 500,
        filter: "postId",
        groups: 100,
        each: 5,
    },
];

async fn read(cluster: &Cluster, path: String) -> crate::support::Answer {
    cluster.gateway(get(path).bearer(Cluster::admin())).await
}

#[tokio::test(start_paused = true)]
async fn a_collection_has_all_its_items_with_all_their_members() {
    let cluster = Cluster::start().await;
    for Collection { name, members, count, .. } in COLLECTIONS {
        let answer = read(&cluster, format!("/{name}")).await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let items = answer.items();
        let ids: Vec<_> = items.iter().map(|item| item["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, (1..=count as u64).collect::<Vec<_>>(), "{name}");
        let mut expected = members.to_vec();
        expected.sort_unstable();
        for item in &items {
            assert_eq!(item.as_object().unwrap().keys().collect::<Vec<_>>(), expected, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_finds_the_same_item_as_the_list() {
    let cluster = Cluster::start().await;
    for Collection { name, count, .. } in COLLECTIONS {
        let items = read(&cluster, format!("/{name}")).await.items();
        for id in [1, count] {
            let answer = read(&cluster, format!("/{name}/{id}")).await;
            assert_eq!((answer.status, answer.json()), (200, items[id - 1].clone()), "{name}/{id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_finds_what_belongs_together() {
    let cluster = Cluster::start().await;
    for Collection { name, filter, groups, each, .. } in COLLECTIONS {
        for (group, expected) in [(1, each), (groups, each), (groups + 1, 0)] {
            let items = read(&cluster, format!("/{name}?{filter}={group}")).await.items();
            assert_eq!(items.len(), expected, "{name}?{filter}={group}");
            assert!(items.iter().all(|item| item[filter] == json!(group)), "{items:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_makes_no_sense_is_a_problem() {
    let cluster = Cluster::start().await;
    for Collection { name, filter, count, .. } in COLLECTIONS {
        for (path, status) in [
            (format!("/{name}/{}", count + 1), 404),
            (format!("/{name}/4294967295"), 404),
            (format!("/{name}/"), 404),
            (format!("/{name}/1/2"), 404),
            (format!("/{name}/0"), 400),
            (format!("/{name}/01"), 400),
            (format!("/{name}/-1"), 400),
            (format!("/{name}/one"), 400),
            (format!("/{name}/4294967296"), 400),
            (format!("/{name}?{filter}="), 400),
            (format!("/{name}?{filter}=x"), 400),
            (format!("/{name}?{filter}=1&{filter}=2"), 400),
            (format!("/{name}?{}=1", filter.to_lowercase()), 400),
        ] {
            let answer = read(&cluster, path.clone()).await;
            assert_eq!(answer.status, status, "{path}");
            assert_problem(&answer, status);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_collection_is_only_read() {
    let cluster = Cluster::start().await;
    for Collection { name, .. } in COLLECTIONS {
        let answer = cluster.gateway(delete(format!("/{name}/1")).bearer(Cluster::admin())).await;
        assert_problem(&answer, 405);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        let head = cluster.gateway(Call::new("HEAD", format!("/{name}")).bearer(Cluster::admin())).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_of_posts_tells_its_version() {
    let cluster = Cluster::start().await;
    for (call, status) in [
        (get("/posts").bearer(Cluster::admin()), 200),
        (get("/posts/1").bearer(Cluster::admin()), 200),
        (get("/posts"), 401),
        (get("/posts/nothing/here").bearer(Cluster::admin()), 404),
        (get("/posts").header("x-sleep-fail", "1"), 504),
        (get("/posts/healthz"), 200),
    ] {
        let answer = cluster.gateway(call.clone()).await;
        assert_eq!((answer.status, answer.header("x-app-version")), (status, Some("0.0.1")), "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_its_key_a_service_refuses_to_work_and_logs_why() {
    for service in ["posts", "comments", "composition"] {
        let cluster = Manifests::base().without_env(service, "JWT_PUBLIC_KEY").start().await;
        let answer = cluster.gateway(get(format!("/{service}")).bearer(Cluster::admin())).await;
        assert_problem(&answer, 503);
        assert!(!answer.text().contains("jwt_public_key"), "{}", answer.text());
        let log: Vec<Value> = cluster.log(service);
        let expected = "the variable jwt_public_key is not set: no token can be verified";
        assert_eq!((&log[0]["level"], &log[0]["message"]), (&json!("error"), &json!(expected)), "{service}");
    }
}
