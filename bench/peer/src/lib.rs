//! `GET /posts` as one writes it first: jsonwebtoken with the crypto that it brings, plain WASI HTTP and environment.
//!
//! It does what the workshop's posts does for a good token, and less: no log line, no faults, no filter. So what malha
//! wins against it is not won by leaving something out.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use spin_sdk::http::{IncomingRequest, Response};

/// The very bytes that posts serves.
const POSTS: &str = include_str!("../../../components/posts/data/posts.json");

#[derive(Deserialize)]
struct Claims {
    scopes: Vec<String>,
}

#[spin_sdk::http_component]
fn handle(request: IncomingRequest) -> Response {
    let headers = request.headers();
    let bearer = headers.get(&"authorization".to_owned()).into_iter().next();
    let status = match bearer.as_deref().and_then(|value| value.strip_prefix(b"Bearer ")) {
        Some(token) => match scopes(token) {
            Some(scopes) if scopes.iter().any(|scope| scope == "posts") => 200,
            Some(_) => 403,
            None => 401,
        },
        None => 401,
    };
    let body = if status == 200 { POSTS } else { "" };
    Response::builder().status(status).header("content-type", "application/json").body(body).build()
}

/// The scopes of a token that is ES256, of our issuer, for our audience, and in time.
fn scopes(token: &[u8]) -> Option<Vec<String>> {
    let variable = |name| std::env::var(name).ok();
    let key = DecodingKey::from_ec_pem(variable("JWT_PUBLIC_KEY")?.as_bytes()).ok()?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[variable("JWT_ISSUER")?]);
    validation.set_audience(&[variable("JWT_AUDIENCE")?]);
    validation.set_required_spec_claims(&["iss", "aud", "nbf", "exp"]);
    validation.validate_nbf = true;
    validation.leeway = 5;
    decode::<Claims>(token, &key, &validation).ok().map(|token| token.claims.scopes)
}
