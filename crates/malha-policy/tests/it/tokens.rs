//! `RequestAuthentication`: which tokens are good, and what becomes of the request.

use http::HeaderName;
use malha_policy::jwt::{ClaimToHeader, HeaderLocation, JwtRule, JwtRules, Keys};
use malha_policy::{Decision, InboundPolicy};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{Ask, NOW, answer, rule, sign, sign_raw};

const FORM: &str = "401 Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections";

fn policy(rules: impl IntoIterator<Item = JwtRule>) -> InboundPolicy {
    InboundPolicy { jwt: JwtRules::new(rules), ..InboundPolicy::default() }
}

fn header(name: &'static str, prefix: &str) -> HeaderLocation {
    HeaderLocation { name: HeaderName::from_static(name), prefix: prefix.to_owned() }
}

/// Headers (without their order) and path as the pod sees them.
fn passed(policy: &InboundPolicy, ask: &Ask) -> (Vec<String>, String) {
    let Decision::Allowed(allowed) = policy.check(&ask.view(), NOW) else { panic!("refused") };
    let headers = allowed.headers.unwrap_or_else(|| ask.headers.clone());
    let mut shown: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect();
    shown.sort();
    (shown, allowed.path_and_query.unwrap_or_else(|| ask.path.clone()))
}

#[test]
fn each_fault_of_a_header_has_its_message() {
    let policy = policy([rule("a")]);
    for (header, expected) in [
        (r#"{"alg":"HS256","kid":"one"}"#, "200"),
        (r#"{"alg":"HS256"}"#, "200"),
        (r#"{"alg":"HS256","kid":""}"#, "200"),
        (r#"{"alg":"HS256","crit":["x"],"typ":"at+jwt"}"#, "200"),
        (" {\"alg\":\"HS256\"} \n", "200"),
        ("nope", "401 Jwt header is an invalid JSON"),
        ("[]", "401 Jwt header is an invalid JSON"),
        (r#"{"alg":"none","alg":"HS256"}"#, "401 Jwt header is an invalid JSON"),
        ("null", "401 Jwt header [alg] field is required and must be a string"),
        ("{}", "401 Jwt header [alg] field is required and must be a string"),
        (r#"{"alg":5}"#, "401 Jwt header [alg] field is required and must be a string"),
        (r#"{"alg":"none"}"#, "401 Jwt header [alg] is not supported"),
        (r#"{"alg":"hs256"}"#, "401 Jwt header [alg] is not supported"),
        (r#"{"alg":"HS256","kid":5}"#, "401 Jwt header [kid] field is not a string"),
        (r#"{"alg":"HS256","kid":null}"#, "401 Jwt header [kid] field is not a string"),
        (r#"{"alg":"HS256","kid":"two"}"#, "401 Jwks doesn't have key to match kid or alg from Jwt"),
        (r#"{"alg":"HS512","kid":"one"}"#, "401 Jwt verification fails"),
    ] {
        let token = sign_raw(header, &format!(r#"{{"iss":"a","exp":{}}}"#, NOW + 60), true);
        assert_eq!(answer(&policy, &Ask::default().bearer(&token)), expected, "{header}");
    }
}

#[test]
fn each_fault_of_a_payload_has_its_message() {
    let policy = policy([rule("a")]);
    let not_an_integer = |claim: &str| format!("401 Jwt payload [{claim}] field is not an integer");
    let out_of_range = |claim: &str| format!("401 Jwt payload [{claim}] field is not a positive 64 bit integer");
    let mut cases = vec![
        ("nope".to_owned(), "401 Jwt payload is an invalid JSON".to_owned()),
        ("[1]".to_owned(), "401 Jwt payload is an invalid JSON".to_owned()),
        (r#"{"iss":"b","iss":"a"}"#.to_owned(), "401 Jwt payload is an invalid JSON".to_owned()),
        (r#"{"iss":"a","x":1e400}"#.to_owned(), "401 Jwt payload is an invalid JSON".to_owned()),
        ("{}".to_owned(), "401 Jwt issuer is not configured".to_owned()),
        (r#"{"iss":"a"}"#.to_owned(), "200".to_owned()),
        (r#"{"iss":"a","aud":5}"#.to_owned(), "401 Jwt payload [aud] field is not a string or string list".to_owned()),
        (
            r#"{"iss":"a","aud":null}"#.to_owned(),
            "401 Jwt payload [aud] field is not a string or string list".to_owned(),
        ),
        (
            r#"{"iss":"a","aud":["x",5]}"#.to_owned(),
            "401 Jwt payload [aud] field is not a string or string list".to_owned(),
        ),
        (r#"{"iss":"a","aud":[]}"#.to_owned(), "200".to_owned()),
    ];
    for claim in ["iss", "sub", "jti"] {
        for value in ["5", "null", r#"["a"]"#] {
            let iss = if claim == "iss" { "" } else { r#""iss":"a","# };
            cases.push((
                format!(r#"{{{iss}"{claim}":{value}}}"#),
                format!("401 Jwt payload [{claim}] field is not a string"),
            ));
        }
    }
    for claim in ["iat", "nbf", "exp"] {
        for (value, expected) in [
            ("\"5\"", not_an_integer(claim)),
            ("null", not_an_integer(claim)),
            ("true", not_an_integer(claim)),
            ("-1", out_of_range(claim)),
            ("1e20", out_of_range(claim)),
            ("18446744073709551615", out_of_range(claim)),
            ("0", "200".to_owned()),
        ] {
            cases.push((format!(r#"{{"iss":"a","{claim}":{value}}}"#), expected));
        }
    }
    for (payload, expected) in cases {
        let token = sign_raw(r#"{"alg":"HS256"}"#, &payload, true);
        assert_eq!(answer(&policy, &Ask::default().bearer(&token)), expected, "{payload}");
    }
}

#[test]
fn a_token_of_another_form_is_refused() {
    let policy = policy([rule("a")]);
    let good = sign(&json!({}));
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for (token, expected) in [
        (good.clone(), "200"),
        (format!("{header}..{payload}.{signature}"), "200"),
        (format!(".{good}."), "200"),
        (format!("{good}="), "200"),
        (format!("{header}.{payload}.{} {}", &signature[..5], &signature[5..]), "200"),
        (format!("{good}=="), "401 Jwt signature is an invalid Base64url encoded"),
        (format!("{header}.{payload}.A"), "401 Jwt signature is an invalid Base64url encoded"),
        (format!("{header}.{payload}.+/+/"), "401 Jwt signature is an invalid Base64url encoded"),
        (format!("{header}.{payload}.{}", &signature[..8]), "401 Jwt verification fails"),
        (format!("{good} foo"), "401 Jwt verification fails"),
        (format!("e%J.{payload}.{signature}"), "401 Jwt header is an invalid Base64url encoded"),
        (format!("{header}.a%b.{signature}"), "401 Jwt payload is an invalid Base64url encoded"),
        (format!("{header}.{payload}"), FORM),
        (format!("{header}.{payload}."), FORM),
        (format!("{good}.x"), FORM),
        ("abc".to_owned(), FORM),
    ] {
        assert_eq!(answer(&policy, &Ask::default().bearer(&token)), expected, "{token}");
    }
    let forged = sign_raw(r#"{"alg":"HS256","kid":"one"}"#, r#"{"iss":"a"}"#, false);
    assert_eq!(answer(&policy, &Ask::default().bearer(&forged)), "401 Jwt verification fails");
}

#[test]
fn times_have_a_minute_of_grace_on_both_sides() {
    let policy = policy([rule("a")]);
    for (claims, expected) in [
        (json!({"exp": NOW - 60}), "200"),
        (json!({"exp": NOW - 61}), "401 Jwt is expired"),
        (json!({"exp": null}), "200"),
        (json!({"nbf": NOW + 60}), "200"),
        (json!({"nbf": NOW + 61}), "401 Jwt not yet valid"),
        (json!({"nbf": NOW + 61, "exp": NOW - 61}), "401 Jwt not yet valid"),
        (json!({"iat": NOW + 9999}), "200"),
    ] {
        assert_eq!(answer(&policy, &Ask::default().bearer(&sign(&claims))), expected, "{claims}");
    }
}

#[test]
fn issuer_then_time_then_audience_then_signature() {
    let own = JwtRule { audiences: vec!["one".to_owned(), "https://two.example/".to_owned()], ..rule("a") };
    let policy = policy([own]);
    let late = NOW - 61;
    for (claims, expected) in [
        (json!({"iss": "b", "exp": late, "aud": "x"}), "401 Jwt issuer is not configured"),
        (json!({"exp": late, "aud": "x"}), "401 Jwt is expired"),
        (json!({"aud": "x"}), "403 Audiences in Jwt are not allowed"),
        (json!({}), "403 Audiences in Jwt are not allowed"),
        (json!({"aud": []}), "403 Audiences in Jwt are not allowed"),
        (json!({"aud": "one"}), "200"),
        (json!({"aud": ["x", "http://two.example"]}), "200"),
    ] {
        assert_eq!(answer(&policy, &Ask::default().bearer(&sign(&claims))), expected, "{claims}");
    }
    let forged = sign_raw(r#"{"alg":"HS256"}"#, r#"{"iss":"a","aud":"x"}"#, false);
    assert_eq!(answer(&policy, &Ask::default().bearer(&forged)), "403 Audiences in Jwt are not allowed");
}

#[test]
fn keys_that_are_not_there_refuse_every_token() {
    let good = Ask::default().bearer(&sign(&json!({})));
    for (keys, expected) in
        [(Keys::Missing, "401 Jwt verification fails"), (Keys::Unusable, "401 Jwks doesn't have any valid public key")]
    {
        let policy = policy([JwtRule { keys, ..rule("a") }]);
        assert_eq!(answer(&policy, &good), expected);
        assert_eq!(answer(&policy, &Ask::default()), "200");
    }
}

#[test]
fn a_rule_without_issuer_takes_any() {
    let policy = policy([rule("")]);
    for issuer in [json!("a"), json!("b"), Value::Null] {
        assert_eq!(answer(&policy, &Ask::default().bearer(&sign(&json!({ "iss": issuer })))), "200");
    }
}

#[test]
fn a_refusal_says_where_and_why() {
    let policy = policy([rule("a")]);
    let expired = sign(&json!({"exp": 1}));
    for (path, realm) in [
        ("/p?q=1".to_owned(), "http://h/p?q=1".to_owned()),
        (format!("/{}", "p".repeat(300)), format!("http://h/{}", "p".repeat(255))),
        (format!("/{}é", "p".repeat(254)), format!("http://h/{}", "p".repeat(254))),
    ] {
        let ask = Ask::path(&path).bearer(&expired);
        let Decision::Denied(denied) = policy.check(&ask.view(), NOW) else { panic!() };
        assert_eq!(denied.www_authenticate.unwrap(), format!("Bearer realm=\"{realm}\", error=\"invalid_token\""));
        assert_eq!(denied.details, "jwt_authn_access_denied{Jwt_is_expired}");
    }
    let ask = Ask::path("/rewritten").bearer(&expired).header("x-envoy-original-path", "/sent");
    let Decision::Denied(denied) = policy.check(&ask.view(), NOW) else { panic!() };
    assert_eq!(denied.www_authenticate.unwrap(), "Bearer realm=\"http://h/sent\", error=\"invalid_token\"");
}

#[test]
fn the_default_places_are_a_bearer_and_a_parameter() {
    let policy = policy([rule("a")]);
    let good = sign(&json!({}));
    let bad = sign(&json!({"exp": 1}));
    let with = |value: String| Ask::default().header("authorization", &value);
    for (ask, expected) in [
        (Ask::default(), "200"),
        (with("Basic Zm9v".to_owned()), "200"),
        (with(format!("bearer {bad}")), "200"),
        (with("Bearer".to_owned()), "200"),
        (with(bad.clone()), "200"),
        (with(format!("Foo Bearer {bad}")), "401 Jwt is expired"),
        (with(format!("Bearer  !!!{bad}")), "401 Jwt is expired"),
        (with("Bearer !!!".to_owned()), FORM),
        (Ask::default().bearer(&good).bearer(&good), FORM),
        (Ask::path(&format!("/?access_token={good}")), "200"),
        (Ask::path(&format!("/?access%5Ftoken={bad}")), "401 Jwt is expired"),
        (Ask::path("/?access_token"), FORM),
        (Ask::path(&format!("/?access_token={good}&access_token=x")), "200"),
        (Ask::path(&format!("/?access_token=x&access_token={good}")), FORM),
        // Every place that has a token has to have a good one; the last place is looked at first.
        (Ask::path(&format!("/?access_token={bad}")).bearer(&good), "401 Jwt is expired"),
        (Ask::path(&format!("/?access_token={good}")).bearer(&bad), "401 Jwt is expired"),
        (Ask::path("/?access_token=x").bearer(&bad), FORM),
    ] {
        assert_eq!(answer(&policy, &ask), expected, "{} {:?}", ask.path, ask.headers);
    }
}

#[test]
fn places_that_are_named_are_the_only_ones() {
    let good = sign(&json!({}));
    let bad = sign(&json!({"exp": 1}));
    let headers = JwtRule {
        from_headers: vec![header("x-tok", ""), header("x-pre", "Tok "), header("x-jwt", "JWT=")],
        ..rule("a")
    };
    let params = JwtRule { from_params: vec!["tok".to_owned(), "to k".to_owned()], ..rule("a") };
    let cookies = JwtRule { from_cookies: vec!["tok".to_owned(), "tik".to_owned()], ..rule("a") };
    let expired = "401 Jwt is expired";
    for (rule, ask, expected) in [
        (&headers, Ask::path("/?access_token=x").bearer("x"), "200"),
        (&headers, Ask::default().header("x-tok", &good), "200"),
        (&headers, Ask::default().header("x-tok", &bad), expired),
        (&headers, Ask::default().header("x-tok", ""), FORM),
        (&headers, Ask::default().header("x-tok", &good).header("x-tok", &bad), expired),
        (&headers, Ask::default().header("x-pre", &bad), "200"),
        (&headers, Ask::default().header("x-pre", &format!("tok {bad}")), "200"),
        (&headers, Ask::default().header("x-pre", &format!("Tok {bad}")), expired),
        (&headers, Ask::default().header("x-jwt", &format!("a JWT= {bad}")), expired),
        (&params, Ask::path(&format!("/?tok={bad}")), expired),
        (&params, Ask::path(&format!("/?to%20k={bad}")), expired),
        (&params, Ask::path(&format!("/?to+k={bad}")), "200"),
        (&params, Ask::path(&format!("/?TOK={bad}")), "200"),
        (&params, Ask::path("/?access_token=x"), "200"),
        (&cookies, Ask::default().header("cookie", &format!("tok={good}")), "200"),
        (&cookies, Ask::default().header("cookie", &format!("a=b; tok=\"{bad}\"")), expired),
        (&cookies, Ask::default().header("cookie", "a=1").header("cookie", &format!("tik={bad}")), expired),
        (&cookies, Ask::default().header("cookie", &format!("tok={good}; tok=x")), "200"),
        (&cookies, Ask::default().header("cookie", &format!("tok={good}; tik={bad}")), expired),
        (&cookies, Ask::default().header("cookie", "tok=;x"), FORM),
        (&cookies, Ask::default().header("cookie", "tok"), "200"),
        (&cookies, Ask::default().header("cookie", "TOK=x; ;=; tok =x"), "200"),
    ] {
        assert_eq!(answer(&policy([rule.clone()]), &ask), expected, "{} {:?}", ask.path, ask.headers);
    }
}

#[test]
fn a_good_token_is_taken_away_unless_it_is_to_be_forwarded() {
    let good = sign(&json!({}));
    let gone = policy([rule("a")]);
    let kept = policy([JwtRule { forward_original_token: true, ..rule("a") }]);
    let ask = Ask::path(&format!("/p?b=2&access_token={good}&a=1")).bearer(&good).header("x-a", "1");
    assert_eq!(passed(&gone, &ask), (vec!["x-a: 1".to_owned()], "/p?a=1&b=2".to_owned()));
    assert_eq!(
        passed(&kept, &ask),
        (vec![format!("authorization: Bearer {good}"), "x-a: 1".to_owned()], ask.path.clone())
    );

    let by_cookie = policy([JwtRule { from_cookies: vec!["tok".to_owned()], ..rule("a") }]);
    let ask = Ask::default().header("cookie", &format!("tok={good}"));
    assert_eq!(passed(&by_cookie, &ask).0, [format!("cookie: tok={good}")]);
}

#[test]
fn claims_are_told_in_headers_that_a_client_cannot_forge() {
    let told = |header: &str, claim: &str| ClaimToHeader {
        header: HeaderName::from_bytes(header.as_bytes()).unwrap(),
        claim: claim.to_owned(),
    };
    let names =
        ["str", "num", "big", "frac", "neg", "yes", "nul", "list", "obj", "obj.in", "a.b", "empty", "scope", "nest"];
    let mut claims: Vec<_> = names.iter().map(|name| told(&format!("x-{}", name.replace('.', "-")), name)).collect();
    claims.push(told("x-str", "iss"));
    let policy = policy([JwtRule {
        output_payload_to_header: Some(HeaderName::from_static("x-payload")),
        output_claim_to_headers: claims,
        ..rule("a")
    }]);
    let token = sign(&json!({
        "str": "v", "num": 5, "big": 1e20, "frac": 1.5, "neg": -3, "yes": true, "nul": null, "list": ["a", "b"],
        "obj": {"in": "deep"}, "a.b": "dotted", "empty": "", "scope": "read write", "nest": [1, 2.5, null, "é<>"],
    }));
    let forged = Ask::default().header("x-payload", "forged").header("x-nul", "forged").header("x-own", "1");
    let (headers, _) = passed(&policy, &forged.clone().bearer(&token));
    assert_eq!(
        headers,
        [
            "x-big: 100000000000000000000.000000",
            "x-frac: 1.500000",
            "x-list: WyJhIiwiYiJd",
            "x-neg: -3.000000",
            "x-nest: WzEsMi41LG51bGwsIsOpXHUwMDNjXHUwMDNlIl0=",
            "x-num: 5",
            "x-obj-in: deep",
            "x-obj: eyJpbiI6ImRlZXAifQ==",
            "x-own: 1",
            &format!("x-payload: {}", token.split('.').nth(1).unwrap()),
            "x-scope: read write",
            "x-str: a",
            "x-str: v",
            "x-yes: true",
        ]
    );
    assert_eq!(passed(&policy, &forged).0, ["x-own: 1"], "without a token");
    let mut preflight = forged.bearer("x").header("origin", "o").header("access-control-request-method", "GET");
    preflight.method = http::Method::OPTIONS;
    assert!(!passed(&policy, &preflight).0.iter().any(|header| header.contains("forged")), "a preflight");
}

#[test]
fn a_claim_that_is_no_value_for_a_header_ends_in_503() {
    let told = ClaimToHeader { header: HeaderName::from_static("x-ctl"), claim: "ctl".to_owned() };
    let policy = policy([JwtRule { output_claim_to_headers: vec![told], ..rule("a") }]);
    let ask = Ask::default().bearer(&sign(&json!({"ctl": "a\nb"})));
    assert_eq!(answer(&policy, &ask), "503 invalid header value for: x-ctl");
    let Decision::Denied(denied) = policy.check(&ask.view(), NOW) else { panic!() };
    assert_eq!(denied.details, "filter_removed_required_request_headers{invalid_header_value_for:_x-ctl}");
}

#[test]
fn only_a_real_preflight_does_without_a_good_token() {
    let policy = policy([rule("a")]);
    let ask = |method: &str, origin: &str, asked: &str| {
        let mut ask =
            Ask::default().bearer("x").header("origin", origin).header("access-control-request-method", asked);
        ask.method = method.parse().unwrap();
        answer(&policy, &ask)
    };
    assert_eq!(ask("OPTIONS", "o", "GET"), "200");
    assert_eq!(ask("OPTIONS", "", "GET"), FORM);
    assert_eq!(ask("OPTIONS", "o", ""), FORM);
    assert_eq!(ask("GET", "o", "GET"), FORM);
}

#[test]
fn of_several_rules_one_good_token_is_enough() {
    let token = |issuer: &str| sign(&json!({ "iss": issuer }));
    let late = |issuer: &str| sign(&json!({"iss": issuer, "exp": 1}));
    let shared = policy([rule("b"), rule("a")]);
    let apart = policy([
        JwtRule { from_headers: vec![header("x-a", "")], ..rule("a") },
        JwtRule { from_headers: vec![header("x-b", "")], ..rule("b") },
    ]);
    let unknown = "401 Jwt issuer is not configured";
    for (policy, ask, expected) in [
        (&shared, Ask::default(), "200"),
        (&shared, Ask::default().bearer(&token("a")), "200"),
        (&shared, Ask::default().bearer(&token("b")), "200"),
        (&shared, Ask::default().bearer(&token("c")), unknown),
        (&shared, Ask::default().bearer(&late("a")), "401 Jwt is expired"),
        (&shared, Ask::default().bearer(&late("b")), "401 Jwt is expired"),
        (&shared, Ask::default().bearer("x"), FORM),
        // The rule of the second takes it away before the first is looked at again.
        (&shared, Ask::path(&format!("/?access_token={}", token("b"))).bearer(&token("a")), "200"),
        (&shared, Ask::path(&format!("/?access_token={}", token("b"))).bearer(&late("a")), "401 Jwt is expired"),
        (&apart, Ask::default().header("x-a", &token("a")).header("x-b", "x"), "200"),
        (&apart, Ask::default().header("x-a", "x").header("x-b", &token("b")), "200"),
        (&apart, Ask::default().header("x-a", &token("b")), unknown),
        (&apart, Ask::default().header("x-a", &late("a")), "401 Jwt is expired"),
        // The first is looked at again after the second, and so has the last word.
        (&apart, Ask::default().header("x-a", &late("a")).header("x-b", "x"), "401 Jwt is expired"),
    ] {
        assert_eq!(answer(policy, &ask), expected, "{} {:?}", ask.path, ask.headers);
    }
}

#[test]
fn claims_divided_by_blanks_are_lists_to_rules_and_routes() {
    let policy = policy([JwtRule { space_delimited_claims: vec!["roles".to_owned()], ..rule("a") }]);
    let token = sign(&json!({"scope": "read  write", "permission": "", "roles": "r", "other": "o p"}));
    let ask = Ask::default().bearer(&token);
    let Decision::Allowed(allowed) = policy.check(&ask.view(), NOW) else { panic!() };
    let payload = allowed.payload.unwrap();
    assert_eq!(payload["scope"], json!(["read", "write"]));
    assert_eq!(payload["permission"], json!(""));
    assert_eq!(payload["roles"], json!(["r"]));
    assert_eq!(payload["other"], json!("o p"));
}

proptest! {
    #[test]
    fn no_token_makes_it_panic(token in proptest::collection::vec(any::<u8>().prop_filter("a header", |byte| *byte >= 32 && *byte != 127), 0..200)) {
        let mut ask = Ask::default();
        let value = [b"Bearer ", token.as_slice()].concat();
        ask.headers.insert("authorization", http::HeaderValue::from_bytes(&value).unwrap());
        ask.headers.insert("cookie", http::HeaderValue::from_bytes(&token).unwrap());
        let everywhere = JwtRule { from_headers: vec![header("authorization", "Bearer ")], from_cookies: vec!["t".to_owned()], ..rule("a") };
        answer(&policy([everywhere]), &ask);
    }

    #[test]
    fn no_path_makes_it_panic(path in "[ -~é]{0,40}") {
        answer(&policy([rule("a")]), &Ask::path(&path));
    }

    #[test]
    fn no_header_and_payload_make_it_panic(header in r#"[{}\[\]",:a-z0-9]{0,30}"#, payload in r#"\{"iss":"a","[a-z]{3}":[0-9\-e"a\[\]{}]{1,8}\}"#) {
        for header in [header.as_str(), r#"{"alg":"HS256"}"#] {
            answer(&policy([rule("a")]), &Ask::default().bearer(&sign_raw(header, &payload, true)));
        }
    }

    #[test]
    fn a_forged_signature_never_passes(subject in "[a-z]{0,8}", flip in 0_usize..43) {
        let good = sign(&json!({"sub": subject}));
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let mut signature = signature.as_bytes().to_vec();
        // The last character has spare bits.
        let at = flip.min(signature.len() - 2);
        signature[at] = if signature[at] == b'A' { b'B' } else { b'A' };
        let forged = format!("{signed}.{}", String::from_utf8(signature).unwrap());
        prop_assert_eq!(answer(&policy([rule("a")]), &Ask::default().bearer(&forged)), "401 Jwt verification fails");
    }
}
