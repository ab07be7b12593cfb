use serde_json::{Value, json};
use service_kit::host::{FetchError, Fetched};
use service_kit::http::Response;
use service_kit::testing::{TestHost, bearer, fetched, request};

use crate::{answer, upstream};

const POSTS: &str = "http://posts-service/posts";
const COMMENTS: &str = "http://comments-service/comments";

fn host(posts: Result<Fetched, FetchError>, comments: Result<Fetched, FetchError>) -> TestHost {
    let mut host = TestHost::trusting();
    host.variables.insert("app_url_posts", POSTS.to_owned());
    host.variables.insert("app_url_comments", COMMENTS.to_owned());
    host.upstreams.insert(POSTS.to_owned(), posts);
    host.upstreams.insert(COMMENTS.to_owned(), comments);
    host
}

fn good_posts() -> Fetched {
    fetched(200, r#"[{"id":1},{"id":2}]"#)
}

fn good_comments() -> Fetched {
    fetched(200, r#"[{"id":5,"postId":2}]"#)
}

fn get(host: &TestHost, scopes: &[&str]) -> Response {
    answer(&request("GET", "/", &[("authorization", &bearer(scopes))]), host)
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn each_post_has_its_comments_and_both_are_fetched_at_the_same_time() {
    let host = host(Ok(good_posts()), Ok(good_comments()));
    let response = get(&host, &["posts", "comments"]);
    assert_eq!((response.status, response.header("x-degraded")), (200, None));
    assert_eq!(json(&response), json!([{"id":1,"comments":[]},{"id":2,"comments":[{"id":5,"postId":2}]}]));
    let calls = host.calls.borrow();
    assert_eq!(calls.len(), 1);
    let together: Vec<_> = calls[0].iter().map(|call| (call.url.as_str(), call.limit)).collect();
    assert_eq!(together, [(POSTS, upstream::POSTS_LIMIT), (COMMENTS, upstream::COMMENTS_LIMIT)]);
}

#[test]
fn without_the_comments_scope_there_are_posts_alone() {
    let host = host(Ok(good_posts()), Ok(good_comments()));
    let response = get(&host, &["posts"]);
    assert_eq!((response.status, response.header("x-degraded")), (200, None));
    assert_eq!(json(&response), json!([{"id":1},{"id":2}]));
    assert_eq!(host.calls.borrow()[0].len(), 1, "comments are not even asked");
}

#[test]
fn without_comments_the_answer_is_degraded_and_says_so() {
    for comments in [
        Err(FetchError::Timeout),
        Err(FetchError::TooLarge(1)),
        Ok(fetched(500, "")),
        Ok(fetched(403, "")),
        Ok(fetched(200, "{}")),
        Ok(fetched(200, r#"[{"id":5}]"#)),
    ] {
        let response = get(&host(Ok(good_posts()), comments), &["posts", "comments"]);
        assert_eq!((response.status, response.header("x-degraded")), (200, Some("comments")));
        assert_eq!(json(&response), json!([{"id":1},{"id":2}]));
        assert!(response.log_message.unwrap().starts_with("comments unavailable: "));
    }
}

#[test]
fn without_posts_there_is_no_answer() {
    for (posts, status) in [
        (Err(FetchError::Timeout), 504),
        (Ok(fetched(504, "")), 504),
        (Err(FetchError::Failed("refused".into())), 502),
        (Err(FetchError::TooLarge(1)), 502),
        (Ok(fetched(500, "")), 502),
        (Ok(fetched(503, "")), 502),
        (Ok(fetched(200, "not json")), 502),
    ] {
        let response = get(&host(posts, Ok(good_comments())), &["posts", "comments"]);
        assert_eq!(response.status, status);
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        assert!(response.log_message.unwrap().starts_with("posts unavailable: "));
    }
}

#[test]
fn what_posts_refuses_is_refused() {
    for status in [401, 403] {
        let mut refusal = fetched(status, r#"{"title":"refused"}"#);
        refusal.headers.push(("www-authenticate".to_owned(), b"Bearer error=\"x\"".to_vec()));
        let response = get(&host(Ok(refusal), Ok(good_comments())), &["posts", "comments"]);
        assert_eq!((response.status, response.header("www-authenticate")), (status, Some("Bearer error=\"x\"")));
        assert_eq!(json(&response)["title"], "refused");
    }
}

#[test]
fn a_bad_token_calls_nobody() {
    let host = host(Ok(good_posts()), Ok(good_comments()));
    assert_eq!(answer(&request("GET", "/", &[]), &host).status, 401);
    assert_eq!(answer(&request("GET", "/", &[("authorization", "Bearer a.b.c")]), &host).status, 401);
    assert_eq!(get(&host, &["comments"]).status, 403);
    assert!(host.calls.borrow().is_empty());
}

#[test]
fn token_faults_group_and_trace_go_on_and_nothing_else() {
    let host = host(Ok(good_posts()), Ok(good_comments()));
    let authorization = bearer(&["posts", "comments"]);
    let passed_on = [
        ("Authorization", authorization.as_str()),
        ("X-Fail", "1"),
        ("X-Sleep-Fail", "1"),
        ("x-group", "b"),
        ("x-request-id", "r"),
        ("traceparent", "00-t-s-01"),
        ("tracestate", "a=b"),
        ("b3", "t-s-1"),
        ("x-b3-traceid", "t"),
        ("x-b3-spanid", "s"),
        ("x-b3-parentspanid", "p"),
        ("x-b3-sampled", "1"),
        ("x-b3-flags", "0"),
    ];
    let mut headers = passed_on.to_vec();
    headers.extend([("cookie", "secret"), ("host", "workshop"), ("x-forwarded-for", "::1")]);
    assert_eq!(answer(&request("GET", "/composition", &headers), &host).status, 200);
    for call in &host.calls.borrow()[0] {
        let sent: Vec<_> =
            call.headers.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(sent, passed_on);
    }
}

#[test]
fn paths_and_methods_are_those_of_the_table() {
    let host = host(Ok(good_posts()), Ok(good_comments()));
    let header = bearer(&["posts"]);
    for (method, path, status) in [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/composition", 200),
        ("POST", "/", 405),
        ("DELETE", "/composition", 405),
        ("GET", "/composition/", 404),
        ("GET", "/.well-known/spin/health", 404),
        ("GET", "/composition/healthz", 200),
        ("GET", "/composition/info", 200),
        ("POST", "/composition/info", 405),
    ] {
        let response = answer(&request(method, path, &[("authorization", &header)]), &host);
        assert_eq!(response.status, status, "{method} {path}");
    }
}
