//! The way in and the way within: routes of the gateway, load balancers, names of Services.

use crate::support::{Answer, Cluster, Manifests, assert_problem, get, post};

/// Whether a pod answered, rather than the gateway by itself.
fn came_from_a_pod(answer: &Answer) -> bool {
    answer.header("x-envoy-upstream-service-time").is_some()
}

#[tokio::test(start_paused = true)]
async fn what_no_route_takes_is_not_found_by_the_gateway_itself() {
    let cluster = Cluster::start().await;
    for path in [
        "/",
        "/auth/x",
        "/auth/healthz",
        "/Auth",
        "/composition/info",
        "/composition/",
        "/nothing",
        "/api/posts",
        "/.well-known/spin/health",
    ] {
        let answer = cluster.gateway(get(path).bearer(Cluster::admin())).await;
        assert_eq!((answer.status, answer.text()), (404, ""), "{path}");
        assert_eq!(answer.header("server"), Some("istio-envoy"), "{path}");
        assert!(!came_from_a_pod(&answer), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn prefixes_do_not_end_at_a_slash() {
    let cluster = Cluster::start().await;
    // Istio's prefix takes both to the pod; Spin's route `/posts/...` does not.
    for path in ["/postsx", "/comments-archive"] {
        let answer = cluster.gateway(get(path).bearer(Cluster::admin())).await;
        assert_eq!((answer.status, came_from_a_pod(&answer)), (404, true), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn routes_lead_to_their_service() {
    let cluster = Cluster::start().await;
    for (call, service, path) in [
        (post("/auth"), "auth", "/auth"),
        (post("/auth?next=1"), "auth", "/auth"),
        (get("/.well-known/jwks.json"), "auth", "/.well-known/jwks.json"),
        (get("/posts/info"), "posts", "/posts/info"),
        (get("/posts/7"), "posts", "/posts/7"),
        (get("/comments?postId=1"), "comments", "/comments"),
        // Rewritten: composition answers at its root.
        (get("/composition"), "composition", "/"),
    ] {
        let answer = cluster.gateway(call.clone()).await;
        assert!(came_from_a_pod(&answer), "{call:?}");
        assert_eq!(answer.header("server"), Some("istio-envoy"));
        assert_eq!(cluster.log(service).last().unwrap()["path"], path, "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_leads_to_all_of_its_service() {
    let cluster = Cluster::start().await;
    for service in ["auth", "posts", "comments", "composition"] {
        let answer = cluster.service(service, get("/.well-known/spin/health")).await;
        assert_eq!((answer.status, answer.text()), (200, "OK"), "{service}");
        let answer = cluster.service(service, get("/.well-known/spin/other")).await;
        assert_eq!((answer.status, answer.text()), (404, ""), "{service}");
        let answer = cluster.service(service, get(format!("/{service}/healthz"))).await;
        assert_eq!((answer.status, answer.text()), (200, r#"{"status":"ok"}"#), "{service}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_has_one_service_only() {
    let cluster = Cluster::start().await;
    for (service, other) in [("auth", "posts"), ("posts", "comments"), ("comments", "auth")] {
        let answer = cluster.service(service, get(format!("/{other}/healthz"))).await;
        assert_eq!((answer.status, answer.text()), (404, ""), "{other} at {service}");
    }
    // composition owns the route `/...`, so it answers for itself.
    assert_problem(&cluster.service("composition", get("/posts/healthz")).await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_service_without_pods_has_no_healthy_upstream() {
    let cluster = Manifests::base().scaled_to_zero("posts").start().await;
    let answer = cluster.gateway(get("/posts")).await;
    assert_eq!((answer.status, answer.text()), (503, "no healthy upstream"));
    assert_eq!(answer.header("server"), Some("istio-envoy"));
}

#[tokio::test(start_paused = true)]
async fn services_call_each_other_by_every_name_that_kubernetes_gives_them() {
    for name in [
        "posts-service",
        "posts-service.default",
        "posts-service.default.svc",
        "posts-service.default.svc.cluster.local",
        "posts-service:80",
    ] {
        let url = format!("http://{name}/posts");
        let cluster = Manifests::base().edit("01-composition.yml", "http://posts-service/posts", &url).start().await;
        let answer = cluster.gateway(get("/composition").bearer(Cluster::admin())).await;
        assert_eq!(answer.items().len(), 100, "{name}");
        assert_eq!(cluster.log("posts").len(), 1, "{name}");
    }
}

/// `.invalid` is a name that nobody has (RFC 6761 section 6.4).
#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_has_is_a_bad_gateway() {
    let cluster = Manifests::base()
        .edit("01-composition.yml", "http://posts-service/posts", "http://posts-service.invalid/posts")
        .start()
        .await;
    assert_problem(&cluster.gateway(get("/composition").bearer(Cluster::admin())).await, 502);
    let message = cluster.log("composition")[0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("DestinationNotFound"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn the_gateway_replaces_request_ids_and_a_sidecar_keeps_them() {
    let cluster = Cluster::start().await;
    let call = get("/composition").bearer(Cluster::admin()).header("x-request-id", "forged");
    assert_eq!(cluster.gateway(call).await.status, 200);
    let ids = ["composition", "posts", "comments"].map(|service| cluster.log(service)[0]["request_id"].clone());
    assert_ne!(ids[0], "forged");
    assert_eq!(ids[0].as_str().unwrap().len(), 36);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}
