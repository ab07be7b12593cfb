//! Signed tokens for cases: ES256, by keys that follow from their names.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use crate::case::Token;

/// The key that `${jwks}` holds.
const TRUSTED: &str = "trusted";

/// A JSON Web Key Set with the trusted key, whose name is `k1`.
pub(crate) fn jwks() -> Result<String> {
    let point = key(TRUSTED)?.public_key().to_sec1_bytes();
    // Uncompressed (SEC 1, 2.3.3): a byte 4, then both coordinates.
    let (x, y) = point.get(1..).context("a point has coordinates")?.split_at(32);
    let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
    Ok(json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k1", "x": x, "y": y}]})
        .to_string())
}

/// The token, signed at `now`, in seconds since 1970.
pub(crate) fn sign(token: &Token, now: i64) -> Result<String> {
    let mut claims = token.claims.clone();
    let object = claims.as_object_mut().context("claims are a map")?;
    for (name, seconds) in [("exp", token.expires_in), ("nbf", token.not_before_in)] {
        if let Some(seconds) = seconds {
            object.insert(name.to_owned(), (now + seconds).into());
        }
    }
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": token.kid.as_deref().unwrap_or("k1")});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&claims));
    let signature: Signature = SigningKey::from(&key(&token.key)?).sign(message.as_bytes());
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
}

/// Not secret, and not meant to be: the same name gives the same key.
fn key(name: &str) -> Result<SecretKey> {
    let seed = name.bytes().fold(1, u8::wrapping_add).max(1);
    Ok(SecretKey::from_slice(&[seed; 32])?)
}
