//! `/.well-known/jwks.json`: the public key as a JWK set (RFC 7517 section 5).

use serde::Serialize;
use service_kit::http::Response;

use crate::key::Key;

#[derive(Serialize)]
struct JwkSet<'a> {
    keys: [Jwk<'a>; 1],
}

/// RFC 7517 section 4 and RFC 7518 section 6.2.
#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    x: &'a str,
    y: &'a str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
}

/// The key set. It may be kept for five minutes, which is then how long a new key takes to be known.
pub(crate) fn answer(key: &Key) -> Response {
    let jwk = Jwk { kty: "EC", crv: "P-256", x: &key.x, y: &key.y, usage: "sig", alg: "ES256", kid: key.id() };
    let body = serde_json::to_vec(&JwkSet { keys: [jwk] }).unwrap_or_default();
    Response::new(200, "application/jwk-set+json", body).with_header("cache-control", "public, max-age=300")
}
