//! `10-security.yml`

use serde_json::json;

use crate::support::{Answer, Call, Cluster, Issuer, Manifests, NOW, assert_problem, claims, get, post};

async fn start() -> Cluster {
    Manifests::step("10-security.yml").start().await
}

const DENIED: (u16, &str) = (403, "RBAC: access denied");

/// What a proxy says, rather than a service.
#[track_caller]
fn assert_says(answer: &Answer, (status, text): (u16, &str), what: &str) {
    assert_eq!((answer.status, answer.text()), (status, text), "{what}");
    assert_eq!(answer.header("content-type"), Some("text/plain"), "{what}");
    assert_eq!(answer.header("server"), Some("istio-envoy"), "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_user_logs_in_and_reads_what_the_token_is_for() {
    let cluster = start().await;
    for (user, comments) in [("admin", 200), ("nocomments", 403)] {
        let answer = cluster.gateway(post("/auth").basic(user, user)).await;
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        for (path, status) in [
            ("/posts", 200),
            ("/posts/1", 200),
            ("/posts?userId=1", 200),
            ("/comments", comments),
            ("/comments/1", comments),
            ("/composition", 200),
        ] {
            let answer = cluster.gateway(get(path).bearer(&token)).await;
            assert_eq!(answer.status, status, "{user} {path}: {}", answer.text());
            if status == 403 {
                assert_says(&answer, DENIED, path);
            }
        }
        let composition = cluster.gateway(get("/composition").bearer(&token)).await;
        assert_eq!(composition.header("x-degraded"), None);
        assert_eq!(composition.items()[0].get("comments").is_some(), comments == 200, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_mesh_denies_before_the_service_hears_of_it() {
    let cluster = start().await;
    for path in ["/posts", "/posts/1", "/posts/info", "/posts/x/healthz", "/comments", "/composition"] {
        for call in [get(path), get(path).basic("admin", "admin"), get(path).header("authorization", "bearer-less")] {
            assert_says(&cluster.gateway(call.clone()).await, DENIED, &format!("{call:?}"));
        }
    }
    for service in ["posts", "comments", "composition"] {
        assert!(cluster.log(service).is_empty(), "{service}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_token_is_refused_in_the_meshs_words() {
    let with = |name: &str, value| {
        let mut claims = claims(&["posts"]);
        claims[name] = value;
        Issuer::trusted().token(&claims)
    };
    let cluster = start().await;
    for (token, status, text) in [
        ("forged".into(), 401, "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"),
        (Issuer::from_seed(8).token(&claims(&["posts"])), 401, "Jwt verification fails"),
        (with("exp", json!(NOW - 61)), 401, "Jwt is expired"),
        (with("nbf", json!(NOW + 61)), 401, "Jwt not yet valid"),
        (with("iss", json!("https://elsewhere.example")), 401, "Jwt issuer is not configured"),
        (with("aud", json!("elsewhere")), 403, "Audiences in Jwt are not allowed"),
    ] {
        for path in ["/posts", "/posts/healthz", "/composition"] {
            let answer = cluster.gateway(get(path).bearer(&token)).await;
            assert_says(&answer, (status, text), path);
            // The path that the client asked for, though the gateway may have made another of it.
            let challenge = format!("Bearer realm=\"http://workshop.example{path}\", error=\"invalid_token\"");
            assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_opens_its_own_path_only() {
    let cluster = start().await;
    for (scopes, posts, comments) in [
        (&[][..], 403, 403),
        (&["posts"], 200, 403),
        (&["comments"], 403, 200),
        (&["comments", "posts"], 200, 200),
        (&["postscript"], 403, 403),
    ] {
        let token = Issuer::trusted().token(&claims(scopes));
        for (path, status) in [("/posts/1", posts), ("/comments/1", comments)] {
            let answer = cluster.gateway(get(path).bearer(&token)).await;
            assert_eq!(answer.status, status, "{scopes:?} {path}");
            if status == 403 {
                assert_says(&answer, DENIED, path);
            }
        }
        // Any good token opens composition; what it then needs is for the service to say.
        let answer = cluster.gateway(get("/composition").bearer(&token)).await;
        if posts == 200 { assert_eq!(answer.status, 200) } else { assert_problem(&answer, 403) }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_for_everybody_stays_open() {
    let cluster = start().await;
    for call in [
        post("/auth").basic("admin", "admin"),
        get("/.well-known/jwks.json"),
        get("/posts/healthz"),
        get("/comments/healthz"),
    ] {
        assert_eq!(cluster.gateway(call.clone()).await.status, 200, "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn plain_text_is_cut_off_but_at_auth() {
    let cluster = start().await;
    let cut = async |service: &str, call: Call| cluster.service_or_cut(service, call).await.is_none();
    for (service, path) in [("posts", "/posts"), ("comments", "/comments"), ("composition", "/")] {
        assert!(cut(service, get(path).bearer(Cluster::admin())).await, "{service}");
        assert!(cut(service, get(format!("/{service}/healthz"))).await, "{service}");
        assert!(cluster.log(service).is_empty(), "{service}");
    }
    let answer = cluster.service("auth", post("/auth").basic("admin", "admin")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_mesh_asks_auth_for_its_keys_before_anybody_comes() {
    let cluster = start().await;
    let asked: Vec<_> = cluster.log("auth").iter().map(|line| (line["path"].clone(), line["status"].clone())).collect();
    assert_eq!(asked, [("/.well-known/jwks.json".into(), 200.into())]);
    assert_eq!(cluster.running.problems(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn were_auth_strict_too_nobody_would_have_the_keys() {
    let cluster = Manifests::step("10-security.yml").edit("10-security.yml", "PERMISSIVE", "STRICT").start().await;
    let problems = cluster.running.problems();
    assert!(problems.len() == 1 && problems[0].contains("demands mutual TLS"), "{problems:?}");
    let answer = cluster.gateway(get("/posts").bearer(Cluster::admin())).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
}
