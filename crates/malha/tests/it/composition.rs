//! composition: posts with their comments, and what is left of them when a service is not there.

use std::sync::Arc;
use std::time::Duration;

use malha_runtime::CallError;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Answer, Call, Cluster, LonePod, Manifests, Reply, assert_problem, get};

const POSTS: &str = "http://posts.example/posts";
const COMMENTS: &str = "http://comments.example/comments";

async fn compose(cluster: &Cluster) -> Answer {
    cluster.gateway(get("/composition").bearer(Cluster::admin())).await
}

/// A composition that calls pretended services.
fn calling(posts: Reply, comments: Reply) -> LonePod {
    let urls = [("APP_URL_POSTS", POSTS), ("APP_URL_COMMENTS", COMMENTS)];
    LonePod::start("composition", &urls, &[(POSTS, posts), (COMMENTS, comments)])
}

/// Sends a request to a lone pod; also says how long the answer took.
async fn timed(pod: &LonePod, token: String) -> (Answer, Duration) {
    let start = Instant::now();
    let answer = pod.send(get("/").bearer(token)).await;
    (answer, start.elapsed())
}

fn good_posts() -> Reply {
    Reply::new(200, r#"[{"id":1,"title":"a"},{"id":2,"title":"b"}]"#)
}

fn good_comments() -> Reply {
    Reply::new(200, r#"[{"postId":2,"id":7}]"#)
}

fn merged() -> Value {
    json!([{"id": 1, "title": "a", "comments": []}, {"id": 2, "title": "b", "comments": [{"postId": 2, "id": 7}]}])
}

fn alone() -> Value {
    json!([{"id": 1, "title": "a"}, {"id": 2, "title": "b"}])
}

#[tokio::test(start_paused = true)]
async fn each_post_comes_with_its_comments() {
    let cluster = Cluster::start().await;
    let comments = cluster.gateway(get("/comments?postId=100").bearer(Cluster::admin())).await.json();
    let answer = compose(&cluster).await;
    assert_eq!(answer.header("x-degraded"), None);
    let posts = answer.items();
    assert_eq!(posts.len(), 100);
    assert!(posts.iter().all(|post| post["comments"].as_array().unwrap().len() == 5));
    assert_eq!(posts[99]["comments"], comments);
}

#[tokio::test(start_paused = true)]
async fn without_the_scope_nobody_asks_for_comments() {
    let cluster = Cluster::start().await;
    let posts = cluster.gateway(get("/posts").bearer(Cluster::nocomments())).await;
    let answer = cluster.gateway(get("/composition").bearer(Cluster::nocomments())).await;
    assert_eq!((answer.status, answer.header("x-degraded"), answer.json()), (200, None, posts.json()));
    assert_eq!(cluster.log("comments"), Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_has_no_endpoint_costs_what_only_it_can_give() {
    let nobody = |service: &str| {
        let file = format!("01-{service}.yml");
        Manifests::base().edit(&file, &format!("    app: {service} # no version"), "    app: nobody # no version")
    };
    for (case, manifests, status) in [
        ("no comments pod", Manifests::base().scaled_to_zero("comments"), 200),
        ("comments-service selects nobody", nobody("comments"), 200),
        ("no posts pod", Manifests::base().scaled_to_zero("posts"), 502),
        ("posts-service selects nobody", nobody("posts"), 502),
    ] {
        let answer = compose(&manifests.start().await).await;
        assert_eq!(answer.status, status, "{case}");
        if status == 200 {
            assert_eq!(answer.header("x-degraded"), Some("comments"), "{case}");
            assert_eq!(answer.json()[99].get("comments"), None, "{case}");
        } else {
            assert_problem(&answer, status);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn posts_and_comments_are_fetched_at_the_same_time() {
    let pod = calling(good_posts().after(2), good_comments().after(2));
    let (answer, elapsed) = timed(&pod, Cluster::admin()).await;
    assert_eq!((answer.status, answer.json()), (200, merged()));
    assert_eq!(elapsed.as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn comments_that_fail_or_dawdle_are_left_out() {
    let big = vec![b' '; 2 * 1024 * 1024 + 1];
    for (case, comments, seconds) in [
        ("refused", Reply::error(CallError::ConnectionRefused), 0),
        ("error", Reply::new(500, "oops"), 0),
        ("forbidden", Reply::new(403, "no"), 0),
        ("no JSON", Reply::new(200, "<html>"), 0),
        ("no array", Reply::new(200, "{}"), 0),
        ("no comments", Reply::new(200, r#"[{"id":1}]"#), 0),
        ("too much", Reply::new(200, big), 0),
        ("late", good_comments().after(4), 3),
    ] {
        let (answer, elapsed) = timed(&calling(good_posts(), comments), Cluster::admin()).await;
        assert_eq!((answer.status, answer.json()), (200, alone()), "{case}");
        assert_eq!(answer.header("x-degraded"), Some("comments"), "{case}");
        assert_eq!(elapsed.as_secs(), seconds, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn posts_that_fail_are_a_bad_gateway_and_late_ones_a_timeout() {
    let big = vec![b' '; 512 * 1024 + 1];
    for (case, posts, status, seconds) in [
        ("refused", Reply::error(CallError::ConnectionRefused), 502, 0),
        ("unknown host", Reply::error(CallError::DestinationNotFound), 502, 0),
        ("error", Reply::new(500, "oops"), 502, 0),
        ("unavailable", Reply::new(503, "no healthy upstream"), 502, 0),
        ("not there", Reply::new(404, ""), 502, 0),
        ("no JSON", Reply::new(200, "<html>"), 502, 0),
        ("no array", Reply::new(200, "{}"), 502, 0),
        ("no UTF-8", Reply::new(200, *b"[\"\xff\"]"), 502, 0),
        ("too much", Reply::new(200, big), 502, 0),
        ("its own timeout", Reply::new(504, "upstream request timeout"), 504, 0),
        ("late", good_posts().after(11), 504, 10),
    ] {
        let (answer, elapsed) = timed(&calling(posts, good_comments()), Cluster::admin()).await;
        assert_eq!(answer.status, status, "{case}");
        assert_problem(&answer, status);
        assert_eq!(elapsed.as_secs(), seconds, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_posts_is_not_kept_waiting_for_comments() {
    let (answer, elapsed) = timed(&calling(Reply::new(500, ""), good_comments().after(2)), Cluster::admin()).await;
    assert_eq!((answer.status, elapsed.as_secs()), (502, 0));
}

#[tokio::test(start_paused = true)]
async fn a_forged_token_buys_no_call() {
    let pod = calling(good_posts(), good_comments());
    let (answer, _) = timed(&pod, "forged".into()).await;
    assert_eq!((answer.status, pod.asked().len()), (401, 0));
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_what_routes_and_traces_need_is_passed_on_and_nothing_else() {
    const PASSED: [(&str, &str); 12] = [
        ("x-fail", "1"),
        ("x-sleep-fail", "1"),
        ("x-group", "b"),
        ("x-request-id", "8b1c5f1e-0000-4000-8000-000000000000"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "vendor=opaque"),
        ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
        ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
        ("x-b3-spanid", "e457b5a2e4d86bd1"),
        ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
        ("x-b3-sampled", "1"),
        ("x-b3-flags", "1"),
    ];
    let pod = calling(good_posts(), good_comments());
    let call = get("/").bearer(Cluster::admin()).headers(&PASSED).headers(&[("cookie", "a=b"), ("x-secret", "c")]);
    assert_eq!(pod.send(call).await.status, 200);
    let asked = pod.asked();
    assert_eq!(asked.iter().map(|(url, _)| url.as_str()).collect::<Vec<_>>(), [POSTS, COMMENTS]);
    for (url, headers) in asked {
        for (name, value) in PASSED {
            assert_eq!(headers[name], value, "{url} {name}");
        }
        assert_eq!(headers["authorization"], format!("Bearer {}", Cluster::admin()), "{url}");
        for name in ["cookie", "x-secret"] {
            assert_eq!(headers.get(name), None, "{url} {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_answers_at_two_paths_and_only_reads() {
    let pod = calling(good_posts(), good_comments());
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/composition", 200),
        ("HEAD", "/", 200),
        ("POST", "/", 405),
        ("GET", "/composition/", 404),
        ("GET", "/other", 404),
    ] {
        let answer = pod.send(Call::new(method, path).bearer(Cluster::admin())).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("allow"), (status == 405).then_some("GET, HEAD"), "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_no_url_is_a_bad_gateway() {
    for url in ["", "posts-service", "/posts", "ftp://posts.example/", "http://", "http:///posts"] {
        let pod = LonePod::start("composition", &[("APP_URL_POSTS", url)], &[]);
        let answer = pod.send(get("/").bearer(Cluster::nocomments())).await;
        assert_eq!(answer.status, 502, "{url}");
        assert_problem(&answer, 502);
        assert!(pod.asked().is_empty(), "{url}");
    }
}

/// Each holds an instance while it waits for two more: nobody may wait for somebody who waits for them.
#[tokio::test(start_paused = true)]
async fn many_at_once_are_all_answered_in_full() {
    let cluster = Arc::new(Cluster::start().await);
    let one = |cluster: Arc<Cluster>| async move { compose(&cluster).await };
    let mut answers: JoinSet<Answer> = (0..200).map(|_| one(Arc::clone(&cluster))).collect();
    let first = compose(&cluster).await.body;
    while let Some(answer) = answers.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.header("x-degraded")), (200, None));
        assert_eq!(answer.body, first);
    }
}
