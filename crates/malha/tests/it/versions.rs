//! Two versions of one application, side by side.

use crate::support::{Cluster, Manifests, get};

#[tokio::test(start_paused = true)]
async fn another_version_says_so_on_every_answer_and_in_info() {
    let cluster = Manifests::base().edit("01-posts.yml", "workshop:0.0.1", "workshop:0.0.2").start().await;
    let answer = cluster.gateway(get("/posts").bearer(Cluster::admin())).await;
    assert_eq!((answer.status, answer.header("x-app-version")), (200, Some("0.0.2")));
    assert_eq!(cluster.log("posts")[0]["version"], "0.0.2");
    for (service, version) in [("posts", "0.0.2"), ("comments", "0.0.1")] {
        let info = cluster.service(service, get(format!("/{service}/info"))).await;
        assert_eq!(info.json()["version"], version, "{service}");
    }
}
