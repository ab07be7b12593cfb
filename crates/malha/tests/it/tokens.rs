//! Tokens that must not be believed, at every service that verifies them.

use serde_json::{Value, json};

use crate::support::{Answer, Cluster, Issuer, NOW, assert_problem, claims, claims_without, get, hs256, unsigned};

const PATHS: [&str; 3] = ["/posts", "/comments", "/composition"];

/// Good claims with one changed.
fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims(&["posts", "comments"]);
    claims[name] = value.into();
    claims
}

fn good() -> Value {
    claims(&["posts", "comments"])
}

fn challenge(answer: &Answer) -> &str {
    answer.header("www-authenticate").unwrap_or_default()
}

/// Claims that each of these tokens is refused everywhere, in RFC 6750's words and for this reason.
async fn assert_refused<S: AsRef<str>>(cases: impl IntoIterator<Item = (S, String, &str)>) {
    let cluster = Cluster::start().await;
    for (case, token, reason) in cases {
        let case = case.as_ref();
        for path in PATHS {
            let answer = cluster.gateway(get(path).bearer(&token)).await;
            assert_eq!(answer.status, 401, "{case} at {path}");
            assert_problem(&answer, 401);
            let expected = format!(r#"Bearer realm="workshop", error="invalid_token", error_description="{reason}""#);
            assert_eq!(challenge(&answer), expected, "{case} at {path}");
        }
    }
}

const SIGNATURE: &str = "the signature is wrong";
const ALGORITHM: &str = "the token is not signed with ES256";
const MALFORMED: &str = "the token is malformed or lacks a claim";
const TOO_LONG: &str = "the token is too long";
const EXPIRED: &str = "the token has expired";
const NOT_YET: &str = "the token is not valid yet";
const ISSUER: &str = "the issuer is wrong";
const AUDIENCE: &str = "the audience is wrong";

#[tokio::test(start_paused = true)]
async fn good_tokens_are_believed_everywhere() {
    let cluster = Cluster::start().await;
    for (case, claims) in [
        ("the usual", good()),
        ("the last second", with("exp", NOW + 1)),
        ("a clock that is five seconds behind", with("nbf", NOW + 5)),
        ("several audiences", with("aud", json!(["other", "workshop"]))),
        ("a fraction of a second", with("iat", json!(1_794_999_999.5))),
        ("a claim of somebody else", with("azp", "someone")),
    ] {
        let token = Issuer::trusted().token(&claims);
        for path in PATHS {
            let answer = cluster.gateway(get(path).bearer(&token)).await;
            assert_eq!(answer.status, 200, "{case} at {path}: {}", answer.text());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_claims_are_refused() {
    let cases = [
        ("expired now", with("exp", NOW), EXPIRED),
        ("expired long ago", with("exp", 1), EXPIRED),
        ("nbf is to come", with("nbf", NOW + 6), NOT_YET),
        ("iat is to come", with("iat", NOW + 6), NOT_YET),
        ("another issuer", with("iss", "https://evil.example"), ISSUER),
        ("the issuer and a slash", with("iss", "https://auth.workshop.example/"), ISSUER),
        ("another audience", with("aud", "other"), AUDIENCE),
        ("no audience", with("aud", json!([])), AUDIENCE),
        ("exp is a text", with("exp", "2027"), MALFORMED),
        ("nbf is null", with("nbf", Value::Null), MALFORMED),
        ("scopes is a text", with("scopes", "posts comments"), MALFORMED),
        ("sub is a number", with("sub", 7), MALFORMED),
    ];
    let token = |(case, claims, reason): (&'static str, _, _)| (case, Issuer::trusted().token(&claims), reason);
    assert_refused(cases.map(token)).await;
}

#[tokio::test(start_paused = true)]
async fn no_claim_may_be_missing() {
    let case = |name| (format!("without {name}"), Issuer::trusted().token(&claims_without(name)), MALFORMED);
    assert_refused(["iss", "aud", "iat", "nbf", "exp", "sub", "scopes"].map(case)).await;
}

#[tokio::test(start_paused = true)]
async fn signatures_that_are_not_the_issuers_are_refused() {
    let issuer = Issuer::trusted();
    let token = issuer.token(&good());
    let (message, _) = token.rsplit_once('.').unwrap();
    let other = Issuer::from_seed(9);
    let own_key = json!({"alg": "ES256", "jwk": {"kty": "EC", "crv": "P-256"}, "jku": "https://evil.example/jwks"});
    let other_claims = issuer.token(&with("sub", "root"));
    let (_, stolen) = other_claims.rsplit_once('.').unwrap();
    assert_refused([
        ("another key", other.token(&good()), SIGNATURE),
        ("another key, which the header offers", other.token_with_header(&own_key, &good()), SIGNATURE),
        ("a signature of other claims", format!("{message}.{stolen}"), SIGNATURE),
        ("zeros", unsigned("ES256", &good(), &[0; 64]), SIGNATURE),
        ("no signature", unsigned("ES256", &good(), &[]), SIGNATURE),
        ("a short signature", unsigned("ES256", &good(), &[1; 63]), SIGNATURE),
        ("DER", issuer.token_in_der(&good()), SIGNATURE),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_other_algorithm_is_taken() {
    let issuer = Issuer::trusted();
    let pem = issuer.public_pem();
    let [der, point] = issuer.public_bytes();
    assert_refused([
        ("none", unsigned("none", &good(), &[]), MALFORMED),
        ("None", unsigned("None", &good(), &[]), MALFORMED),
        ("NONE, with a signature", unsigned("NONE", &good(), &[1; 64]), MALFORMED),
        ("HS256 with the PEM", hs256(pem.as_bytes(), &good()), ALGORITHM),
        ("HS256 with the PEM and no newline", hs256(pem.trim().as_bytes(), &good()), ALGORITHM),
        ("HS256 with the DER", hs256(&der, &good()), ALGORITHM),
        ("HS256 with the point", hs256(&point, &good()), ALGORITHM),
        ("HS256 with nothing", hs256(b"", &good()), ALGORITHM),
        ("ES384 in name", issuer.token_with_header(&json!({"alg": "ES384"}), &good()), ALGORITHM),
        ("no algorithm", issuer.token_with_header(&json!({"typ": "JWT"}), &good()), MALFORMED),
        ("a demand", issuer.token_with_header(&json!({"alg": "ES256", "crit": ["exp"]}), &good()), ALGORITHM),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_token_is_refused() {
    let token = Issuer::trusted().token(&good());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let cut = |by: usize| token[..token.len() - by].to_owned();
    let huge = Issuer::trusted().token(&with("sub", "x".repeat(8 * 1024)));
    assert_refused([
        ("cut by a character", cut(1), MALFORMED),
        ("cut by half a signature", cut(43), MALFORMED),
        ("only the message", message.to_owned(), MALFORMED),
        ("only the header", header.to_owned(), MALFORMED),
        ("without claims", format!("{header}..{signature}"), SIGNATURE),
        ("without a header", format!(".{claims}.{signature}"), MALFORMED),
        ("four parts", format!("{token}.{signature}"), MALFORMED),
        ("dots", "..".to_owned(), MALFORMED),
        ("padding", format!("{token}=="), MALFORMED),
        ("garbage", "garbage".to_owned(), MALFORMED),
        ("no base64", "{}.{}.{}".to_owned(), MALFORMED),
        ("oversized", huge, TOO_LONG),
        ("oversized garbage", "x".repeat(8 * 1024 + 1), TOO_LONG),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_shows_no_token_is_told_the_scheme_and_no_error() {
    let cluster = Cluster::start().await;
    for path in PATHS {
        for call in [
            get(path),
            get(path).header("authorization", ""),
            get(path).header("authorization", "Bearer"),
            get(path).header("authorization", "Bearer "),
            get(path).basic("admin", "admin"),
            get(format!("{path}?access_token={}", Cluster::admin())),
        ] {
            let answer = cluster.gateway(call.clone()).await;
            // The collections refuse an unknown query parameter before they look for a token.
            if answer.status != 400 {
                assert_problem(&answer, 401);
                assert_eq!(challenge(&answer), r#"Bearer realm="workshop""#, "{call:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_tokens_are_no_request() {
    let cluster = Cluster::start().await;
    let twice = get("/posts").bearer(Cluster::admin()).bearer(Cluster::admin());
    let answer = cluster.service("posts", twice.clone()).await;
    assert_problem(&answer, 400);
    assert_eq!(challenge(&answer), r#"Bearer realm="workshop", error="invalid_request""#);
    // A gateway makes one line of both, as Envoy does: a token that is none.
    let answer = cluster.gateway(twice).await;
    assert_problem(&answer, 401);
    assert_eq!(
        challenge(&answer),
        r#"Bearer realm="workshop", error="invalid_token", error_description="the token is malformed or lacks a claim""#
    );
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_missing_is_named() {
    let cluster = Cluster::start().await;
    for (path, scopes, missing) in [
        ("/posts", &[][..], "posts"),
        ("/posts", &["comments"], "posts"),
        ("/posts/1", &["Posts", "posts "], "posts"),
        ("/comments", &["posts"], "comments"),
        ("/composition", &["comments"], "posts"),
    ] {
        let answer = cluster.gateway(get(path).bearer(Issuer::trusted().token(&claims(scopes)))).await;
        assert_problem(&answer, 403);
        let expected = format!(r#"Bearer realm="workshop", error="insufficient_scope", scope="{missing}""#);
        assert_eq!(challenge(&answer), expected, "{path} with {scopes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_scheme_is_written_in_any_case() {
    let cluster = Cluster::start().await;
    for scheme in ["Bearer", "bearer", "BEARER", "Bearer  "] {
        let call = get("/posts").header("authorization", format!("{scheme} {}", Cluster::admin()));
        assert_eq!(cluster.gateway(call).await.status, 200, "{scheme}");
    }
}
