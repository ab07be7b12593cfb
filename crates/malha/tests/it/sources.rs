//! `POSTS_SOURCE` and `COMMENTS_SOURCE`: the same collections from somewhere else.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use malha_runtime::CallError;
use malha_world::World;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::{Cluster, LonePod, Manifests, NOW, Reply, assert_problem, get};

const URL: &str = "http://elsewhere.example/items";

/// Each service, its variable and its filter.
const SERVICES: [(&str, &str, &str); 2] =
    [("posts", "POSTS_SOURCE", "userId"), ("comments", "COMMENTS_SOURCE", "postId")];

/// The largest answer that is taken.
const LARGEST: usize = 512 * 1024;

#[tokio::test(start_paused = true)]
async fn a_source_takes_the_place_of_the_data_in_the_component() {
    for (service, variable, filter) in SERVICES {
        let all = json!([{"id": 7, filter: 1}, {"id": 8, filter: 2}]);
        let pod = LonePod::start(service, &[(variable, URL)], &[(URL, Reply::new(200, all.to_string()).after(2))]);
        for (path, expected) in [
            (format!("/{service}"), all.clone()),
            (format!("/{service}/8"), all[1].clone()),
            (format!("/{service}?{filter}=1"), json!([all[0]])),
        ] {
            let answer = pod.send(get(&path).bearer(Cluster::admin())).await;
            assert_eq!((answer.status, answer.json()), (200, expected), "{path}");
        }
        let answer = pod.send(get(format!("/{service}/1")).bearer(Cluster::admin())).await;
        assert_problem(&answer, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_never_sees_the_token() {
    let pod = LonePod::start("posts", &[("POSTS_SOURCE", URL)], &[(URL, Reply::new(200, "[]"))]);
    assert_eq!(pod.send(get("/posts").bearer(Cluster::admin())).await.status, 200);
    let asked = pod.asked();
    assert_eq!((asked[0].0.as_str(), asked[0].1.get("authorization")), (URL, None));
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_the_source_for_whom_may_not_read() {
    let pod = LonePod::start("posts", &[("POSTS_SOURCE", URL)], &[(URL, Reply::new(200, "[]"))]);
    assert_eq!(pod.send(get("/posts")).await.status, 401);
    assert!(pod.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_a_bad_gateway_and_a_late_one_a_timeout() {
    for (service, variable, _) in SERVICES {
        for (case, reply, status, seconds) in [
            ("refused", Reply::error(CallError::ConnectionRefused), 502, 0),
            ("cut", Reply::error(CallError::ConnectionTerminated), 502, 0),
            ("error", Reply::new(500, "oops"), 502, 0),
            ("moved", Reply::new(301, ""), 502, 0),
            ("no JSON", Reply::new(200, "<html>"), 502, 0),
            ("no array", Reply::new(200, r#"{"items":[]}"#), 502, 0),
            ("half an array", Reply::new(200, r#"[{"id":1}"#), 502, 0),
            ("no UTF-8", Reply::new(200, *b"[\"\xff\"]"), 502, 0),
            ("too much", Reply::new(200, padded(LARGEST + 1)), 502, 0),
            ("as much as is taken", Reply::new(200, padded(LARGEST)), 200, 0),
            ("its own timeout", Reply::new(504, ""), 504, 0),
            ("in time", Reply::new(200, "[]").after(2), 200, 2),
            ("late", Reply::new(200, "[]").after(4), 504, 3),
        ] {
            let pod = LonePod::start(service, &[(variable, URL)], &[(URL, reply)]);
            let start = Instant::now();
            let answer = pod.send(get(format!("/{service}")).bearer(Cluster::admin())).await;
            assert_eq!((answer.status, start.elapsed().as_secs()), (status, seconds), "{service}: {case}");
            if status != 200 {
                assert_problem(&answer, status);
                let message = pod.last_log()["message"].as_str().unwrap().to_owned();
                assert!(message.starts_with(&variable.to_lowercase()), "{case}: {message}");
            }
        }
    }
}

/// An empty JSON array, that long.
fn padded(length: usize) -> String {
    format!("[{}]", " ".repeat(length - 2))
}

#[tokio::test(start_paused = true)]
async fn a_source_in_the_mesh_is_reached_by_its_name() {
    // The key set is JSON, but no array: the 502 and its reason show that it was read.
    let url = "http://auth-service/.well-known/jwks.json";
    let cluster = Manifests::base().env("posts", "POSTS_SOURCE", url).start().await;
    assert_problem(&cluster.gateway(get("/posts").bearer(Cluster::admin())).await, 502);
    assert_eq!(cluster.log("auth")[0]["path"], "/.well-known/jwks.json");
    let message = cluster.log("posts")[0]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("posts_source: its answer is not a JSON array"), "{message}");
}

/// Sockets wait in real time, so the clock is not paused here.
#[tokio::test]
async fn a_source_outside_of_the_mesh_is_reached_over_a_socket() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/posts", socket.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = socket.accept().await.unwrap();
        let items = service_fn(async |_| Ok::<_, http::Error>(Response::new(Full::new(Bytes::from(r#"[{"id":42}]"#)))));
        http1::Builder::new().serve_connection(TokioIo::new(stream), items).await.unwrap();
    });
    let cluster = Manifests::base().env("posts", "POSTS_SOURCE", &url).start_in(World::simulated(NOW, 1)).await;
    let answer = cluster.gateway(get("/posts/42").bearer(Cluster::admin())).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"id": 42})), "{:?}", cluster.log("posts"));
}
