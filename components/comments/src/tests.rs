use serde_json::Value;
use service_kit::http::Response;
use service_kit::testing::{TestHost, bearer, request};

use crate::answer;

fn get(target: &str, scopes: &[&str]) -> Response {
    answer(&request("GET", target, &[("authorization", &bearer(scopes))]), &TestHost::trusting())
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn five_hundred_comments_are_served_five_to_a_post() {
    let response = get("/comments", &["comments"]);
    assert_eq!(response.status, 200);
    let comments = json(&response);
    let comments = comments.as_array().unwrap();
    assert_eq!(comments.len(), 500);
    for (index, comment) in comments.iter().enumerate() {
        assert_eq!((&comment["id"], &comment["postId"]), (&(index + 1).into(), &(index / 5 + 1).into()));
        let (_, domain) = comment["email"].as_str().unwrap().split_once('@').unwrap();
        assert!(["example.com", "example.org", "example.net"].contains(&domain));
        assert!(!comment["name"].as_str().unwrap().is_empty() && !comment["body"].as_str().unwrap().is_empty());
        assert_eq!(comment.as_object().unwrap().len(), 5);
    }
}

#[test]
fn comments_are_found_by_their_id_and_by_their_post() {
    assert_eq!(json(&get("/comments/500", &["comments"]))["postId"], 100);
    assert_eq!(get("/comments/501", &["comments"]).status, 404);
    let comments = json(&get("/comments?postId=2", &["comments"]));
    let ids: Vec<u64> = comments.as_array().unwrap().iter().map(|comment| comment["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [6, 7, 8, 9, 10]);
    assert_eq!(get("/comments?userId=2", &["comments"]).status, 400);
}

#[test]
fn comments_need_a_scope_of_their_own() {
    assert_eq!(get("/comments", &["posts"]).status, 403);
    assert_eq!(answer(&request("GET", "/comments", &[]), &TestHost::trusting()).status, 401);
    assert_eq!(answer(&request("DELETE", "/comments/1", &[]), &TestHost::trusting()).status, 405);
}

#[test]
fn health_and_info_need_no_token() {
    for path in ["/comments/healthz", "/comments/info"] {
        assert_eq!(answer(&request("GET", path, &[]), &TestHost::default()).status, 200);
    }
}
