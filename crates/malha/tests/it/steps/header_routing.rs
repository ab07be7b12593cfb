//! `09-header-routing.yml`

use super::of_version;
use crate::support::{Cluster, Manifests, get};

/// The header's value, and which version answers.
const GROUPS: [(Option<&str>, &str); 6] = [
    (Some("b"), "0.0.2"),
    (Some("a"), "0.0.1"),
    (None, "0.0.1"),
    (Some(""), "0.0.1"),
    (Some("B"), "0.0.1"),
    (Some("bb"), "0.0.1"),
];

#[tokio::test(start_paused = true)]
async fn the_header_decides_which_version_answers() {
    let cluster = Manifests::step("09-header-routing.yml").start().await;
    for (group, version) in GROUPS {
        for path in ["/posts", "/posts/1", "/posts/healthz"] {
            let call = get(path).bearer(Cluster::admin());
            let call = group.iter().fold(call, |call, group| call.header("X-Group", *group));
            let answer = cluster.gateway(call).await;
            assert_eq!((answer.status, answer.header("x-app-version")), (200, Some(version)), "{group:?} {path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_goes_through_composition() {
    let cluster = Manifests::step("09-header-routing.yml").start().await;
    for (count, (group, version)) in (1..).zip(GROUPS) {
        let call = get("/composition").bearer(Cluster::admin());
        let call = group.iter().fold(call, |call, group| call.header("x-group", *group));
        assert_eq!(cluster.gateway(call).await.items().len(), 100, "{group:?}");
        let answered = ["0.0.1", "0.0.2"].map(|version| of_version(&cluster, "posts", version).len());
        assert_eq!(answered[0] + answered[1], count);
        let expected = GROUPS[..count].iter().filter(|(_, of)| *of == version).count();
        assert_eq!(of_version(&cluster, "posts", version).len(), expected, "{group:?}");
    }
}
