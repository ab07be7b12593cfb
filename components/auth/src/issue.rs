//! `POST /auth`: a password for a token.

use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;
use service_kit::host::Host;
use service_kit::http::{Request, Response};
use service_kit::problem::{not_configured, problem};
use service_kit::time::Timestamp;

use crate::key::ES256;
use crate::users::Users;
use crate::{basic, key, required};

/// How long a token is good for, in seconds.
pub(crate) const LIFETIME: u64 = 3_600;

/// What `service_kit::token::Claims` demands.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
    sub: &'a str,
    scopes: &'a [String],
}

/// The successful answer of RFC 6749 section 5.1, and when the token ends for people to read.
#[derive(Serialize)]
struct Answer {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    expiration: String,
}

/// Answers `POST /auth`.
pub(crate) fn answer(request: &Request, host: &impl Host) -> Response {
    issue(request, host).unwrap_or_else(|refusal| *refusal)
}

fn issue(request: &Request, host: &impl Host) -> Result<Response, Box<Response>> {
    let credentials = basic::credentials(request)
        .ok_or_else(|| Box::new(basic::refusal("Send a name and a password as HTTP Basic, `curl -u name -X POST`.")))?;
    let key = key(host)?;
    let (issuer, audience) = (required(host, "jwt_issuer")?, required(host, "jwt_audience")?);
    let users = Users::parse(&host.variable("auth_users"), &host.variable("auth_scopes"))
        .map_err(|error| Box::new(not_configured(error.to_string())))?;

    let scopes = users
        .log_in(&credentials.user, &credentials.password)
        .ok_or_else(|| Box::new(basic::refusal("The name or the password is wrong.")))?;
    let now = host.now().as_secs();
    let claims = Claims {
        iss: &issuer,
        aud: &audience,
        iat: now,
        nbf: now,
        exp: now + LIFETIME,
        sub: &credentials.user,
        scopes,
    };
    let header = Header { kid: Some(key.id()), ..Header::new(Algorithm::ES256) };
    // Err: the provider is installed already, in a host that reuses its instances.
    let _ = ES256.install_default();
    let access_token = jsonwebtoken::encode(&header, &claims, key.secret()).map_err(|error| {
        Box::new(problem(503, "The token could not be signed.").with_log_message(format!("signing failed: {error}")))
    })?;
    let answer = Answer {
        access_token,
        token_type: "Bearer",
        expires_in: LIFETIME,
        expiration: Timestamp::from_secs(claims.exp).to_seconds_string(),
    };
    // RFC 6749 section 5.1: nobody on the way may keep it.
    Ok(Response::json(serde_json::to_vec(&answer).unwrap_or_default()).with_header("cache-control", "no-store"))
}
