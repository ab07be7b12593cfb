//! A token taken apart, with Envoy's checks in Envoy's order (`source/common/jwt/jwt.cc`, `parseFromString`).

use serde_json::{Map, Value};

use super::status::Status;
use super::{base64url, json};

/// How late or early a clock may be (`kClockSkewInSecond`).
const CLOCK_SKEW: u64 = 60;

/// What a header may name as its `alg`.
const ALGORITHMS: &[&str] = &[
    "ES256", "ES384", "ES512", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA",
];

/// A token whose form is right; nothing is verified yet.
pub(crate) struct Token {
    /// What was signed: header and payload as they were sent.
    pub(crate) signed: Vec<u8>,
    /// Where in `signed` the payload begins.
    payload_at: usize,
    /// One of [`ALGORITHMS`].
    pub(crate) alg: &'static str,
    /// Empty if the header names none.
    pub(crate) kid: String,
    /// The claims.
    pub(crate) payload: Map<String, Value>,
    /// `aud`, whether it was one or a list.
    pub(crate) audiences: Vec<String>,
    not_before: u64,
    expires: u64,
    pub(crate) signature: Vec<u8>,
}

impl Token {
    /// Takes `text` apart.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Status> {
        // Empty sections are passed over, so that `.a..b.c` has three.
        let mut sections = text.split(|byte| *byte == b'.').filter(|section| !section.is_empty());
        let (Some(header_text), Some(payload_text), Some(signature_text), None) =
            (sections.next(), sections.next(), sections.next(), sections.next())
        else {
            return Err(Status::JwtBadFormat);
        };

        let header = base64url::decode(header_text).ok_or(Status::JwtHeaderBadBase64)?;
        let header = json::object(&header).ok_or(Status::JwtHeaderBadJson)?;
        let alg = header.get("alg").and_then(Value::as_str).ok_or(Status::JwtHeaderBadAlg)?;
        let alg = ALGORITHMS.iter().find(|known| **known == alg).ok_or(Status::JwtHeaderUnsupportedAlg)?;
        let kid = text_claim(&header, "kid", Status::JwtHeaderBadKid)?;

        let payload = base64url::decode(payload_text).ok_or(Status::JwtPayloadBadBase64)?;
        let payload = json::object(&payload).ok_or(Status::JwtPayloadBadJson)?;
        text_claim(&payload, "iss", Status::JwtIssNotString)?;
        text_claim(&payload, "sub", Status::JwtSubNotString)?;
        seconds(&payload, "iat", Status::JwtIatNotInteger, Status::JwtIatOutOfRange)?;
        let not_before = seconds(&payload, "nbf", Status::JwtNbfNotInteger, Status::JwtNbfOutOfRange)?;
        let expires = seconds(&payload, "exp", Status::JwtExpNotInteger, Status::JwtExpOutOfRange)?;
        text_claim(&payload, "jti", Status::JwtJtiNotString)?;
        let audiences = audiences(&payload)?;
        let signature = base64url::decode(signature_text).ok_or(Status::JwtSignatureBadBase64)?;

        Ok(Self {
            signed: [header_text, b".", payload_text].concat(),
            payload_at: header_text.len() + 1,
            alg,
            kid: kid.to_owned(),
            payload,
            audiences,
            not_before,
            expires,
            signature,
        })
    }

    /// `iss`; empty if there is none.
    pub(crate) fn issuer(&self) -> &str {
        self.payload.get("iss").and_then(Value::as_str).unwrap_or_default()
    }

    /// The payload as it was sent, in base64url.
    pub(crate) fn payload_text(&self) -> &[u8] {
        &self.signed[self.payload_at..]
    }

    /// Whether it is time for it, at `now` in seconds since 1970. Without `exp`, or with 0, it holds for ever.
    pub(crate) fn check_time(&self, now: u64) -> Result<(), Status> {
        if now.saturating_add(CLOCK_SKEW) < self.not_before {
            return Err(Status::JwtNotYetValid);
        }
        if self.expires != 0 && now > self.expires.saturating_add(CLOCK_SKEW) {
            return Err(Status::JwtExpired);
        }
        Ok(())
    }
}

fn text_claim<'a>(object: &'a Map<String, Value>, name: &str, wrong: Status) -> Result<&'a str, Status> {
    object.get(name).map_or(Ok(""), |value| value.as_str().ok_or(wrong))
}

/// A time, without its fraction; 0 if there is none. Envoy has numbers as doubles, and so is the range.
fn seconds(object: &Map<String, Value>, name: &str, wrong: Status, out_of_range: Status) -> Result<u64, Status> {
    const END: f64 = 18_446_744_073_709_551_616.0;
    let Some(value) = object.get(name) else { return Ok(0) };
    let number = value.as_f64().ok_or(wrong)?;
    if !(0.0..END).contains(&number) {
        return Err(out_of_range);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was just checked")]
    Ok(number as u64)
}

fn audiences(payload: &Map<String, Value>) -> Result<Vec<String>, Status> {
    match payload.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(list)) => {
            list.iter().map(|item| item.as_str().map(str::to_owned).ok_or(Status::JwtAudNotString)).collect()
        }
        Some(_) => Err(Status::JwtAudNotString),
    }
}
