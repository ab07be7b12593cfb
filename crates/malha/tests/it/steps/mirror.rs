//! `08-mirror.yml`

use serde_json::Value;

use super::{of_version, timed, wait};
use crate::support::{Call, Cluster, Manifests, get};

/// Which requests a version of posts answered, in order of their identifiers.
fn requests(cluster: &Cluster, version: &str) -> Vec<(Value, Value)> {
    let lines = of_version(cluster, "posts", version).into_iter();
    let mut requests: Vec<_> = lines.map(|line| (line["request_id"].clone(), line["path"].clone())).collect();
    requests.sort_by_key(|(id, _)| id.to_string());
    requests
}

#[tokio::test(start_paused = true)]
async fn the_next_version_gets_a_copy_and_clients_see_none_of_it() {
    let cluster = Manifests::step("08-mirror.yml").start().await;
    for call in [get("/posts"), get("/posts/7"), get("/posts?userId=3"), get("/posts/info")] {
        let answer = cluster.gateway(call.bearer(Cluster::admin())).await;
        assert_eq!((answer.status, answer.header("x-app-version")), (200, Some("0.0.1")));
    }
    for _ in 0..3 {
        let answer = cluster.gateway(get("/composition").bearer(Cluster::admin())).await;
        assert_eq!((answer.status, answer.header("x-degraded")), (200, None));
    }
    wait(1).await;
    let first = requests(&cluster, "0.0.1");
    assert_eq!(first.len(), 7);
    assert_eq!(requests(&cluster, "0.0.2"), first);
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_next_version_are_nobodys_business() {
    let ask = async |cluster: &Cluster, call: Call| timed(cluster, call.bearer(Cluster::admin())).await;
    // None is there.
    let none = Manifests::step("08-mirror.yml").edit("08-mirror.yml", "replicas: 1", "replicas: 0").start().await;
    // It cannot check a token, and answers 503.
    let broken = Manifests::step("08-mirror.yml").edit("08-mirror.yml", "JWT_PUBLIC_KEY", "NOBODY_READS_THIS");
    let broken = broken.start().await;
    for cluster in [&none, &broken] {
        for _ in 0..10 {
            let (answer, seconds) = ask(cluster, get("/posts/1")).await;
            assert_eq!((answer.status, answer.header("x-app-version"), seconds), (200, Some("0.0.1"), 0));
        }
    }
    wait(1).await;
    assert!(of_version(&none, "posts", "0.0.2").is_empty());
    let statuses: Vec<_> = of_version(&broken, "posts", "0.0.2").iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [503; 10]);
}
