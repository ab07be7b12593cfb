//! Which tokens are believed, and how a refusal is worded.

use serde_json::{Value, json};
use service_kit::bearer::authorize;
use service_kit::es256::public_key_from_pem;
use service_kit::http::Response;
use service_kit::testing::{Issuer, NOW, TestHost, bearer, claims, request};
use service_kit::time::Timestamp;
use service_kit::token::{CLOCK_SKEW, MAX_LENGTH, Policy, TokenError, verify};

fn policy() -> Policy {
    Policy {
        key: public_key_from_pem(&Issuer::trusted().public_key()).expect("the test's own key"),
        issuer: "https://auth.example".to_owned(),
        audience: "workshop".to_owned(),
    }
}

fn verdict(token: &str) -> Result<(), TokenError> {
    verify(token, &policy(), NOW).map(|_| ())
}

/// Good claims with one changed, or taken away where the value is null.
fn with(member: &str, value: Value) -> Result<(), TokenError> {
    let mut claims = claims(&["posts"]);
    if let (true, Some(claims)) = (value.is_null(), claims.as_object_mut()) {
        claims.remove(member);
    } else {
        claims[member] = value;
    }
    verdict(&Issuer::trusted().token(&claims))
}

#[test]
fn a_good_token_is_believed() {
    let claims = verify(&Issuer::trusted().token(&claims(&["posts"])), &policy(), NOW).unwrap();
    assert_eq!((claims.sub.as_str(), claims.scopes), ("admin", vec!["posts".to_owned()]));
}

#[test]
fn every_claim_is_needed_and_has_its_type() {
    for member in ["iss", "aud", "iat", "nbf", "exp", "sub", "scopes"] {
        assert_eq!(with(member, Value::Null), Err(TokenError::Malformed), "{member}");
        assert_eq!(with(member, json!({})), Err(TokenError::Malformed), "{member}");
    }
    assert_eq!(with("iss", json!(["https://auth.example"])), Err(TokenError::Malformed));
    assert_eq!(with("exp", json!("1795003600")), Err(TokenError::Malformed));
}

#[test]
fn issuer_and_audience_are_ours() {
    assert_eq!(with("iss", json!("https://auth.example/")), Err(TokenError::Issuer));
    assert_eq!(with("aud", json!("Workshop")), Err(TokenError::Audience));
    assert_eq!(with("aud", json!([])), Err(TokenError::Audience));
    assert_eq!(with("aud", json!(["elsewhere", "workshop"])), Ok(()));
}

#[test]
fn times_are_kept_with_a_little_patience_at_the_beginning_only() {
    let now = NOW.as_secs();
    for start in ["iat", "nbf"] {
        assert_eq!(with(start, json!(now + CLOCK_SKEW)), Ok(()));
        assert_eq!(with(start, json!(now + CLOCK_SKEW + 1)), Err(TokenError::NotYetValid));
    }
    assert_eq!(with("exp", json!(now + 1)), Ok(()));
    assert_eq!(with("exp", json!(now)), Err(TokenError::Expired));
    assert_eq!(with("exp", json!(now - 1)), Err(TokenError::Expired));
    assert_eq!(with("iat", json!(1_794_999_000.5)), Ok(()), "RFC 7519 allows fractions");
}

#[test]
fn only_the_issuers_key_signs() {
    let good = Issuer::trusted().token(&claims(&["posts"]));
    assert_eq!(verdict(&Issuer::from_seed(8).token(&claims(&["posts"]))), Err(TokenError::Signature));
    // Another token's signature, a signature cut short, one byte too long, and none.
    let other = Issuer::trusted().token(&claims(&["comments"]));
    let (message, signature) = good.rsplit_once('.').unwrap();
    for forged in [other.rsplit_once('.').unwrap().1, &signature[..84], &format!("{signature}AA"), ""] {
        assert_eq!(verdict(&format!("{message}.{forged}")), Err(TokenError::Signature));
    }
}

#[test]
fn no_other_algorithm_is_believed() {
    let claims = claims(&["posts"]);
    for algorithm in ["HS256", "ES384", "RS256", "EdDSA", "PS256"] {
        let token = Issuer::trusted().token_with_header(&json!({"alg": algorithm}), &claims);
        assert_eq!(verdict(&token), Err(TokenError::Algorithm), "{algorithm}");
    }
    for algorithm in ["none", "None", "es256", ""] {
        let token = Issuer::trusted().token_with_header(&json!({"alg": algorithm}), &claims);
        assert!(verdict(&token).is_err(), "{algorithm}");
        let (message, _) = token.rsplit_once('.').unwrap();
        assert!(verdict(&format!("{message}.")).is_err(), "{algorithm}");
    }
}

#[test]
fn a_header_that_makes_unknown_demands_is_refused() {
    let header = json!({"alg": "ES256", "crit": ["exp"], "exp": 1});
    let token = Issuer::trusted().token_with_header(&header, &claims(&["posts"]));
    assert_eq!(verdict(&token), Err(TokenError::Algorithm));
}

#[test]
fn what_is_no_token_is_malformed() {
    let good = Issuer::trusted().token(&claims(&["posts"]));
    for token in ["", ".", "..", "...", "a.b.c", "a.b", &good[..40], &format!("{good}."), &format!(" {good}")] {
        assert!(verdict(token).is_err(), "{token:?}");
    }
    for length in 0..good.len() {
        assert!(verdict(&good[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn a_long_token_is_refused_by_its_length() {
    assert_eq!(verdict(&"a".repeat(MAX_LENGTH + 1)), Err(TokenError::TooLong));
    let mut claims = claims(&["posts"]);
    claims["sub"] = "a".repeat(MAX_LENGTH).into();
    assert_eq!(verdict(&Issuer::trusted().token(&claims)), Err(TokenError::TooLong));
}

fn refusal(headers: &[(&str, &str)], scope: &str) -> Response {
    *authorize(&request("GET", "/posts", headers), &TestHost::trusting(), scope).expect_err("a refusal")
}

#[test]
fn a_scope_opens_its_own_service() {
    let header = bearer(&["posts"]);
    let request = request("GET", "/posts", &[("Authorization", &header)]);
    assert!(authorize(&request, &TestHost::trusting(), "posts").is_ok());
    let refusal = authorize(&request, &TestHost::trusting(), "comments").unwrap_err();
    assert_eq!(refusal.status, 403);
    assert_eq!(
        refusal.header("www-authenticate"),
        Some(r#"Bearer realm="workshop", error="insufficient_scope", scope="comments""#)
    );
}

#[test]
fn who_shows_no_token_is_told_the_scheme_and_no_error() {
    for headers in [&[][..], &[("authorization", "Basic YWRtaW46YWRtaW4=")], &[("authorization", "Bearer ")]] {
        let refusal = refusal(headers, "posts");
        assert_eq!(refusal.status, 401);
        assert_eq!(refusal.header("www-authenticate"), Some(r#"Bearer realm="workshop""#));
    }
}

#[test]
fn a_bad_token_is_an_invalid_token() {
    let refusal = refusal(&[("authorization", "Bearer a.b.c")], "posts");
    assert_eq!(refusal.status, 401);
    let challenge = refusal.header("www-authenticate").unwrap();
    assert!(challenge.starts_with(r#"Bearer realm="workshop", error="invalid_token", error_description=""#));
    assert_eq!(refusal.header("content-type"), Some("application/problem+json"));
}

#[test]
fn two_tokens_are_an_invalid_request() {
    let header = bearer(&["posts"]);
    let refusal = refusal(&[("authorization", &header), ("Authorization", &header)], "posts");
    assert_eq!(refusal.status, 400);
    assert!(refusal.header("www-authenticate").unwrap().contains("invalid_request"));
}

#[test]
fn a_service_without_its_key_answers_503_and_logs_why() {
    let header = bearer(&["posts"]);
    let request = request("GET", "/posts", &[("authorization", &header)]);
    for (name, value) in
        [("jwt_public_key", ""), ("jwt_public_key", "no key"), ("jwt_issuer", ""), ("jwt_audience", "")]
    {
        let mut host = TestHost::trusting();
        host.variables.insert(name, value.to_owned());
        let refusal = authorize(&request, &host, "posts").unwrap_err();
        assert_eq!(refusal.status, 503);
        assert!(refusal.log_message.unwrap().contains(name));
    }
}

#[test]
fn a_token_ends_when_the_clock_says_so() {
    let header = bearer(&["posts"]);
    let request = request("GET", "/posts", &[("authorization", &header)]);
    let host = TestHost::trusting();
    assert!(authorize(&request, &host, "posts").is_ok());
    host.now.set(Timestamp::from_secs(NOW.as_secs() + 3_600));
    assert_eq!(authorize(&request, &host, "posts").unwrap_err().status, 401);
}
