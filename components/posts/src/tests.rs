use serde_json::Value;
use service_kit::host::{FetchError, Host};
use service_kit::http::Response;
use service_kit::testing::{NOW, TestHost, bearer, fetched, request};
use std::time::Duration;

use crate::{POSTS, answer, faults};

fn get(host: &TestHost, target: &str) -> Response {
    answer(&request("GET", target, &[("authorization", &bearer(&["posts"]))]), host)
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn a_hundred_posts_of_ten_users_are_served_as_they_lie_in_the_component() {
    let response = get(&TestHost::trusting(), "/posts");
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    assert_eq!(response.body, POSTS.embedded.as_bytes());
    assert!(matches!(response.body, std::borrow::Cow::Borrowed(_)));
    let posts = json(&response);
    let posts = posts.as_array().unwrap();
    assert_eq!(posts.len(), 100);
    for (index, post) in posts.iter().enumerate() {
        assert_eq!((&post["id"], &post["userId"]), (&(index + 1).into(), &(index / 10 + 1).into()));
        assert!(!post["title"].as_str().unwrap().is_empty() && !post["body"].as_str().unwrap().is_empty());
        assert_eq!(post.as_object().unwrap().len(), 4);
    }
}

#[test]
fn one_post_is_found_by_its_id() {
    let host = TestHost::trusting();
    assert_eq!(json(&get(&host, "/posts/42"))["id"], 42);
    assert_eq!(get(&host, "/posts/101").status, 404);
    for id in ["0", "x", "-1", "1.0", "01", "%31"] {
        assert_eq!(get(&host, &format!("/posts/{id}")).status, 400, "{id}");
    }
    for path in ["/posts/", "/posts/1/", "/posts/1/comments", "/postscript", "/"] {
        assert_eq!(get(&host, path).status, 404, "{path}");
    }
}

#[test]
fn posts_are_filtered_by_their_user() {
    let host = TestHost::trusting();
    let posts = json(&get(&host, "/posts?userId=3"));
    let ids: Vec<u64> = posts.as_array().unwrap().iter().map(|post| post["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (21..=30).collect::<Vec<_>>());
    assert_eq!(json(&get(&host, "/posts?userId=11")), serde_json::json!([]));
    assert_eq!(get(&host, "/posts?userId=x").status, 400);
    assert_eq!(get(&host, "/posts?userid=3").status, 400);
}

#[test]
fn the_version_is_on_every_answer() {
    let host = TestHost::trusting();
    for target in ["/posts", "/posts/101", "/posts/x", "/posts/healthz", "/posts/info", "/nowhere"] {
        assert_eq!(get(&host, target).header("x-app-version"), Some(service_kit::VERSION), "{target}");
    }
    let without_token = answer(&request("GET", "/posts", &[]), &host);
    assert_eq!((without_token.status, without_token.header("x-app-version")), (401, Some(service_kit::VERSION)));
}

#[test]
fn posts_are_only_read_and_only_with_their_scope() {
    let host = TestHost::trusting();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let response = answer(&request(method, "/posts", &[]), &host);
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let header = bearer(&["comments"]);
    assert_eq!(answer(&request("GET", "/posts", &[("authorization", &header)]), &host).status, 403);
    let header = bearer(&["posts"]);
    assert_eq!(answer(&request("HEAD", "/posts", &[("authorization", &header)]), &host).status, 200);
}

#[test]
fn x_fail_fails_by_the_toss_of_a_coin_before_anything_else() {
    let host = TestHost::trusting();
    let fail = request("GET", "/posts/healthz", &[("X-Fail", "true")]);
    assert_eq!(answer(&fail, &host).status, 200);
    host.coin.set(true);
    assert_eq!(answer(&fail, &host).status, 503);
}

#[test]
fn x_sleep_fail_sleeps_and_then_fails() {
    let host = TestHost::trusting();
    let response = answer(&request("GET", "/posts", &[("x-sleep-fail", "")]), &host);
    assert_eq!((response.status, response.header("x-app-version")), (504, Some(service_kit::VERSION)));
    assert_eq!(host.now().0, NOW.0 + faults::SLEEP);
}

#[test]
fn another_source_takes_the_place_of_the_embedded_posts() {
    let url = "https://elsewhere.example/posts";
    let mut host = TestHost::trusting();
    host.variables.insert("posts_source", url.to_owned());
    host.upstreams.insert(url.to_owned(), Ok(fetched(200, r#"[{"id":7,"userId":1},{"id":8,"userId":2}]"#)));
    assert_eq!(json(&get(&host, "/posts")).as_array().unwrap().len(), 2);
    assert_eq!(json(&get(&host, "/posts/8"))["userId"], 2);
    assert_eq!(json(&get(&host, "/posts?userId=1")), serde_json::json!([{"id":7,"userId":1}]));
    let calls = host.calls.borrow();
    assert_eq!((calls.len(), calls[0][0].limit), (3, Duration::from_secs(3)));
    assert!(calls[0][0].headers.iter().all(|(name, _)| name != "authorization"), "our token is not theirs");
}

#[test]
fn a_source_that_fails_is_a_bad_gateway_or_a_timeout() {
    let url = "https://elsewhere.example/posts";
    for (answer, status, reason) in [
        (Err(FetchError::Timeout), 504, "in time"),
        (Ok(fetched(504, "")), 504, "504"),
        (Err(FetchError::TooLarge(9)), 502, "larger than 9"),
        (Err(FetchError::BadUrl), 502, "URL"),
        (Ok(fetched(500, "[]")), 502, "500"),
        (Ok(fetched(200, "{}")), 502, "not a JSON array"),
        (Ok(fetched(200, "[")), 502, "not a JSON array"),
    ] {
        let mut host = TestHost::trusting();
        host.variables.insert("posts_source", url.to_owned());
        host.upstreams.insert(url.to_owned(), answer);
        let response = get(&host, "/posts");
        assert_eq!(response.status, status);
        let message = response.log_message.unwrap();
        assert!(message.starts_with("posts_source: ") && message.contains(reason), "{message}");
    }
}
