use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::SecretKey;
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::Value;
use service_kit::es256::public_key_from_pem;
use service_kit::http::Response;
use service_kit::testing::{TestHost, request};
use service_kit::time::Timestamp;
use service_kit::token::{Audience, Policy, verify};

use crate::answer;

/// `htpasswd -B` of two users whose passwords are their names.
pub(crate) const USERS: &str = "admin:$2y$05$yET4vP2SvoodqA5XaQMU.eIg76vahmZJEBFtk3.brmkcQ5anZFY8G
nocomments:$2y$05$v86lf6nmVWLpDFAlq.zPm.1nXZze4AgsB3Fmtif7fIlqRxvLFAwQe
";

pub(crate) const SCOPES: &str = "admin:posts,comments;nocomments:posts";

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn secret() -> SecretKey {
    SecretKey::from_slice(&[7; 32]).unwrap()
}

pub(crate) fn private_key() -> String {
    secret().to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

fn host() -> TestHost {
    TestHost {
        now: NOW.into(),
        variables: HashMap::from([
            ("jwt_private_key", private_key()),
            ("jwt_issuer", "https://auth.example".to_owned()),
            ("jwt_audience", "workshop".to_owned()),
            ("auth_users", USERS.to_owned()),
            ("auth_scopes", SCOPES.to_owned()),
        ]),
        ..TestHost::default()
    }
}

fn log_in(host: &TestHost, credentials: &str) -> Response {
    let value = format!("Basic {}", STANDARD.encode(credentials));
    answer(&request("POST", "/auth", &[("authorization", &value)]), host)
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn a_password_buys_a_token_that_the_other_services_believe() {
    let host = host();
    let policy = Policy {
        key: public_key_from_pem(&secret().public_key().to_public_key_pem(LineEnding::LF).unwrap()).unwrap(),
        issuer: "https://auth.example".to_owned(),
        audience: "workshop".to_owned(),
    };
    for (user, scopes) in [("admin", vec!["posts", "comments"]), ("nocomments", vec!["posts"])] {
        let response = log_in(&host, &format!("{user}:{user}"));
        assert_eq!((response.status, response.header("cache-control")), (200, Some("no-store")));
        let answer = json(&response);
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(answer["expires_in"], 3_600);
        assert_eq!(answer["expiration"], Timestamp::from_secs(NOW.as_secs() + 3_600).to_seconds_string());

        let claims = verify(answer["access_token"].as_str().unwrap(), &policy, NOW).unwrap();
        assert_eq!(claims.sub, user);
        assert_eq!(claims.scopes, scopes);
        assert_eq!(claims.aud, Audience::One("workshop".to_owned()));
        assert_eq!(
            [claims.nbf - claims.iat, claims.exp - claims.iat].map(f64::to_bits),
            [0.0, 3_600.0].map(f64::to_bits)
        );
    }
}

#[test]
fn times_are_written_as_whole_numbers() {
    let token = json(&log_in(&host(), "admin:admin"))["access_token"].as_str().unwrap().to_owned();
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    assert!(String::from_utf8(payload).unwrap().contains(r#""iat":1795000000,"nbf":1795000000,"exp":1795003600"#));
}

#[test]
fn the_key_set_names_the_key_as_the_token_does() {
    let host = host();
    let response = answer(&request("GET", "/.well-known/jwks.json", &[]), &host);
    assert_eq!(response.status, 200);
    let key = json(&response)["keys"][0].clone();
    for (member, value) in [("kty", "EC"), ("crv", "P-256"), ("use", "sig"), ("alg", "ES256")] {
        assert_eq!(key[member], value);
    }
    assert!(key.get("d").is_none());
    let token = json(&log_in(&host, "admin:admin"))["access_token"].as_str().unwrap().to_owned();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.kid.as_deref(), key["kid"].as_str());
    assert_eq!(header.typ.as_deref(), Some("JWT"));
}

#[test]
fn who_shows_no_good_password_gets_the_challenge() {
    let host = host();
    let refusals = [
        answer(&request("POST", "/auth", &[]), &host),
        answer(&request("POST", "/auth", &[("authorization", "Bearer abc")]), &host),
        log_in(&host, "admin:wrong"),
        log_in(&host, "nobody:nobody"),
        log_in(&host, "admin"),
    ];
    for refusal in &refusals {
        assert_eq!(refusal.status, 401);
        assert_eq!(refusal.header("www-authenticate"), Some(r#"Basic realm="workshop", charset="UTF-8""#));
        assert_eq!(refusal.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(refusals[2], refusals[3], "a wrong name and a wrong password look the same");
}

#[test]
fn a_service_without_its_configuration_answers_503_and_logs_what_is_missing() {
    for name in ["jwt_private_key", "jwt_issuer", "jwt_audience", "auth_users"] {
        let mut host = host();
        host.variables.remove(name);
        let response = log_in(&host, "admin:admin");
        assert_eq!(response.status, 503, "{name}");
        assert!(response.log_message.unwrap().contains(name));
    }
    let mut host = host();
    host.variables.insert("jwt_private_key", "secret words".to_owned());
    let response = answer(&request("GET", "/.well-known/jwks.json", &[]), &host);
    assert_eq!(response.status, 503);
    assert!(!response.log_message.unwrap().contains("secret words"));
}

#[test]
fn methods_and_paths_are_those_of_the_table() {
    let host = host();
    for (method, path, status, allow) in [
        ("GET", "/auth", 405, Some("POST")),
        ("HEAD", "/auth", 405, Some("POST")),
        ("POST", "/.well-known/jwks.json", 405, Some("GET, HEAD")),
        ("HEAD", "/.well-known/jwks.json", 200, None),
        ("POST", "/auth/", 404, None),
        ("GET", "/auth/tokens", 404, None),
        ("GET", "/", 404, None),
        ("GET", "/auth/healthz", 200, None),
        ("GET", "/auth/info", 200, None),
    ] {
        let response = answer(&request(method, path, &[]), &host);
        assert_eq!((response.status, response.header("allow")), (status, allow), "{method} {path}");
    }
}
