//! auth: a password for a token, and the key that the token is verified with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Call, Cluster, Manifests, NOW, assert_problem, get, post};

/// A part of a token, read without believing it.
fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

async fn log_in(cluster: &Cluster, user: &str) -> String {
    let answer = cluster.gateway(post("/auth").basic(user, user)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_password_buys_a_token_for_an_hour() {
    let cluster = Cluster::start().await;
    let answer = cluster.gateway(post("/auth").basic("admin", "admin")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut body = answer.json();
    let token = body.as_object_mut().unwrap().remove("access_token").unwrap();
    assert_eq!(body, json!({"token_type": "Bearer", "expires_in": 3600, "expiration": "2026-11-18T12:06:40Z"}));
    assert_eq!(
        part(token.as_str().unwrap(), 1),
        json!({
            "iss": "https://auth.workshop.example", "aud": "workshop", "sub": "admin", "scopes": ["posts", "comments"],
            "iat": NOW, "nbf": NOW, "exp": NOW + 3600,
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_users_token_opens_what_the_users_scopes_say() {
    let cluster = Cluster::start().await;
    for (user, path, status) in [
        ("admin", "/posts", 200),
        ("admin", "/comments", 200),
        ("admin", "/composition", 200),
        ("nocomments", "/posts", 200),
        ("nocomments", "/comments", 403),
        ("nocomments", "/composition", 200),
    ] {
        let token = log_in(&cluster, user).await;
        assert_eq!(cluster.gateway(get(path).bearer(token)).await.status, status, "{user} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_over_after_its_hour() {
    let cluster = Cluster::start().await;
    let token = log_in(&cluster, "admin").await;
    for (seconds, status) in [(3599, 200), (1, 401)] {
        tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
        assert_eq!(cluster.gateway(get("/posts").bearer(&token)).await.status, status, "after {seconds} s more");
    }
}

#[tokio::test(start_paused = true)]
async fn the_key_set_has_the_public_key_under_the_name_that_tokens_use() {
    let cluster = Cluster::start().await;
    let token = log_in(&cluster, "admin").await;
    let answer = cluster.gateway(get("/.well-known/jwks.json")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/jwk-set+json")));
    let set = answer.json();
    assert_eq!(set["keys"].as_array().unwrap().len(), 1);
    let key = set["keys"][0].as_object().unwrap();
    assert_eq!(key.keys().collect::<Vec<_>>(), ["alg", "crv", "kid", "kty", "use", "x", "y"], "nothing private");
    assert_eq!((&key["alg"], &key["crv"], &key["use"]), (&json!("ES256"), &json!("P-256"), &json!("sig")));
    let header = part(&token, 0);
    assert_eq!((&header["alg"], &header["kid"]), (&key["alg"], &key["kid"]));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_no_right_password_is_challenged() {
    let cluster = Cluster::start().await;
    let cases: [(&str, Call); 7] = [
        ("nothing", post("/auth")),
        ("wrong password", post("/auth").basic("admin", "wrong")),
        ("empty password", post("/auth").basic("admin", "")),
        ("no such user", post("/auth").basic("nobody", "nobody")),
        ("another user's password", post("/auth").basic("admin", "nocomments")),
        ("another scheme", post("/auth").bearer("admin")),
        ("no base64", post("/auth").header("authorization", "Basic ???")),
    ];
    for (case, call) in cases {
        let answer = cluster.gateway(call).await;
        assert_eq!(answer.status, 401, "{case}");
        assert_problem(&answer, 401);
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some(r#"Basic realm="workshop", charset="UTF-8""#), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_methods_and_paths_are_told_apart() {
    let cluster = Cluster::start().await;
    for (method, path, status, allow) in [
        ("GET", "/auth", 405, Some("POST")),
        ("PUT", "/auth", 405, Some("POST")),
        ("POST", "/.well-known/jwks.json", 405, Some("GET, HEAD")),
        ("POST", "/auth/healthz", 405, Some("GET, HEAD")),
        ("GET", "/auth/nothing", 404, None),
        ("POST", "/auth/", 404, None),
    ] {
        let answer = cluster.service("auth", Call::new(method, path).basic("admin", "admin")).await;
        assert_problem(&answer, status);
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_what_it_needs_auth_says_so_in_its_log_only() {
    for (variable, call) in [
        ("JWT_PRIVATE_KEY", post("/auth").basic("admin", "admin")),
        ("JWT_PRIVATE_KEY", get("/.well-known/jwks.json")),
        ("AUTH_USERS", post("/auth").basic("admin", "admin")),
    ] {
        let cluster = Manifests::base().without_env("auth", variable).start().await;
        let answer = cluster.gateway(call).await;
        assert_problem(&answer, 503);
        let name = variable.to_lowercase();
        assert!(!answer.text().contains(&name), "{}", answer.text());
        let log = cluster.log("auth");
        let message = log[0]["message"].as_str().unwrap();
        assert!(message.contains(&name), "{message}");
    }
}
