//! A set of keys (RFC 7517, section 5), read as leniently as by Envoy (`source/common/jwt/jwks.cc`): a key that is of no
//! use is left out, and only a set without any is an error.

use serde_json::Value;

use super::json;
use super::key::Key;
use super::status::Status;
use super::token::Token;

/// The keys of an issuer.
#[derive(Debug)]
pub struct Jwks {
    keys: Vec<Jwk>,
    unusable: Vec<Unusable>,
}

/// A key, and what it is for. An empty text is anything.
#[derive(Debug)]
struct Jwk {
    kid: String,
    alg: String,
    key: Key,
}

/// A key that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Its place among the `keys`, from 0.
    pub index: usize,
    /// Why.
    pub reason: Status,
}

impl Jwks {
    /// Reads a set. What is said of it never holds a part of a key.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let set = json::object(text.as_bytes()).ok_or(Status::JwksParseError)?;
        let keys = match set.get("keys") {
            Some(Value::Array(keys)) => keys,
            Some(_) => return Err(Status::JwksBadKeys),
            None if is_certificates(&set) => return Err(Status::JwksX509Unsupported),
            None => return Err(Status::JwksNoKeys),
        };
        let mut jwks = Self { keys: Vec::new(), unusable: Vec::new() };
        for (index, key) in keys.iter().enumerate() {
            let Value::Object(key) = key else { continue };
            let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let alg = text("alg");
            match Key::parse(key, &alg) {
                Ok(key) => jwks.keys.push(Jwk { kid: text("kid"), alg, key }),
                Err(reason) => jwks.unusable.push(Unusable { index, reason }),
            }
        }
        if jwks.keys.is_empty() { Err(Status::JwksNoValidKeys) } else { Ok(jwks) }
    }

    /// The keys that were left out.
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// Whether one of the keys that fit the token signed it. A key fits if neither contradicts the other in `kid`, and
    /// if its own `alg`, where it has one, is the token's.
    pub(crate) fn verify(&self, token: &Token) -> Result<(), Status> {
        let mut answer = Status::JwksKidAlgMismatch;
        for jwk in &self.keys {
            let other_kid = !token.kid.is_empty() && !jwk.kid.is_empty() && jwk.kid != token.kid;
            let other_alg = !jwk.alg.is_empty() && jwk.alg != token.alg;
            if other_kid || other_alg {
                continue;
            }
            match jwk.key.verify(token.alg, &token.signed, &token.signature) {
                Err(Status::JwtVerificationFail) => answer = Status::JwtVerificationFail,
                settled => return settled,
            }
        }
        Err(answer)
    }
}

/// Whether this is what some issuers have in place of a JWKS: certificates by key id.
fn is_certificates(set: &serde_json::Map<String, Value>) -> bool {
    let is_certificate =
        |value: &Value| value.as_str().is_some_and(|text| text.starts_with("-----BEGIN CERTIFICATE-----"));
    !set.is_empty() && set.values().all(is_certificate)
}
