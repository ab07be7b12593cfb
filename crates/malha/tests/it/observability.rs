//! What operators see: health, info, and one JSON line a request.

use serde_json::{Value, json};

use crate::support::{Answer, Call, Cluster, Manifests, get, post};

const SERVICES: [&str; 4] = ["auth", "posts", "comments", "composition"];

async fn page(cluster: &Cluster, service: &str, page: &str) -> Answer {
    cluster.service(service, get(format!("/{service}/{page}"))).await
}

#[tokio::test(start_paused = true)]
async fn every_service_has_health_and_info() {
    let cluster = Cluster::start().await;
    for service in SERVICES {
        let health = page(&cluster, service, "healthz").await;
        assert_eq!((health.status, health.json()), (200, json!({"status": "ok"})), "{service}");
        let info = page(&cluster, service, "info").await;
        assert_eq!((info.status, info.header("content-type")), (200, Some("application/json")), "{service}");
        let mut info = info.json();
        let commit = info.as_object_mut().unwrap().remove("commit").unwrap();
        assert!(commit.as_str().is_some_and(|commit| !commit.is_empty()), "{service}: {commit}");
        assert_eq!(info, json!({"name": service, "version": "0.0.1"}));
    }
}

#[tokio::test(start_paused = true)]
async fn health_needs_no_configuration() {
    let cluster = Manifests::base().without_env("posts", "JWT_PUBLIC_KEY").start().await;
    assert_eq!(page(&cluster, "posts", "healthz").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_one_line_with_these_fields() {
    let cluster = Cluster::start().await;
    let call = get("/posts?userId=1").bearer(Cluster::admin()).headers(&[
        ("x-request-id", "one"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ]);
    // Only a gateway replaces the request's id.
    assert_eq!(cluster.service("posts", call).await.status, 200);
    assert_eq!(
        cluster.log("posts"),
        [json!({
            "@timestamp": "2026-11-18T11:06:40.000Z", "level": "info", "message": "request answered",
            "service": "posts", "version": "0.0.1", "request_id": "one",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "method": "GET", "path": "/posts", "status": 200,
            "duration_ms": 0.0,
        })]
    );
}

#[tokio::test(start_paused = true)]
async fn a_composition_is_one_trace_in_the_logs_of_three_services() {
    let cluster = Cluster::start().await;
    let w3c = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let b3 = ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1");
    let b3_multi = ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124");
    for ((name, value), trace) in [
        (w3c, "0af7651916cd43dd8448eb211c80319c"),
        (b3, "80f198ee56343ba864fe8b2a57d3eff7"),
        (b3_multi, "463ac35c9f6413ad48485a3953bb6124"),
    ] {
        let call = get("/composition").bearer(Cluster::admin()).header(name, value);
        assert_eq!(cluster.gateway(call).await.status, 200);
        for service in ["composition", "posts", "comments"] {
            assert_eq!(cluster.log(service).last().unwrap()["trace_id"], trace, "{service} {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_level_decides_which_lines_there_are() {
    // One request each that is logged as info, warn and error.
    let requests = || -> [Call; 3] {
        [
            get("/posts").bearer(Cluster::admin()),
            get("/posts").bearer("forged"),
            get("/posts").header("x-sleep-fail", "1"),
        ]
    };
    for (level, expected) in [
        ("debug", vec!["info", "warn", "error"]),
        ("info", vec!["info", "warn", "error"]),
        ("warn", vec!["warn", "error"]),
        ("error", vec!["error"]),
        ("nonsense", vec!["info", "warn", "error"]),
    ] {
        let cluster = Manifests::base().edit("01-posts.yml", "value: info", &format!("value: {level}")).start().await;
        for call in requests() {
            cluster.gateway(call).await;
        }
        let levels: Vec<Value> = cluster.log("posts").into_iter().map(|line| line["level"].clone()).collect();
        assert_eq!(levels, expected, "{level}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_in_a_log() {
    let cluster = Cluster::start().await;
    let token = Cluster::admin();
    for call in [
        post("/auth").basic("admin", "hunter2"),
        post("/auth").basic("admin", "admin"),
        get(format!("/posts?token={token}")).bearer(&token),
        get("/composition").bearer(&token),
        get("/comments").bearer(format!("{token}x")),
    ] {
        cluster.gateway(call).await;
    }
    let logs: Vec<Value> = SERVICES.iter().flat_map(|service| cluster.log(service)).collect();
    assert_eq!(logs.len(), 7);
    let text = Value::from(logs).to_string();
    for secret in ["hunter2", "Basic ", "Bearer ", "eyJ", "PRIVATE KEY", token.rsplit_once('.').unwrap().1] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
