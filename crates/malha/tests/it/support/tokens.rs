//! Tokens, good and bad, signed here: the services' own code has no part in it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use p256::SecretKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::{Value, json};
use sha2::Sha256;

use super::NOW;

/// An issuer of tokens: the key pair of a seed.
pub(crate) struct Issuer(SecretKey);

impl Issuer {
    /// The one whose keys the test clusters hold.
    pub(crate) fn trusted() -> Self {
        Self::from_seed(7)
    }

    /// Another one for every other seed.
    pub(crate) fn from_seed(seed: u8) -> Self {
        Self(SecretKey::from_slice(&[seed; 32]).unwrap())
    }

    pub(crate) fn private_pem(&self) -> String {
        self.0.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
    }

    pub(crate) fn public_pem(&self) -> String {
        self.0.public_key().to_public_key_pem(LineEnding::LF).unwrap()
    }

    /// The public key as DER, and as the bare point.
    pub(crate) fn public_bytes(&self) -> [Vec<u8>; 2] {
        let key = self.0.public_key();
        [key.to_public_key_der().unwrap().into_vec(), key.to_sec1_bytes().into_vec()]
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with_header(&json!({"alg": "ES256", "typ": "JWT"}), claims)
    }

    /// The signature is ES256, whatever the header says.
    pub(crate) fn token_with_header(&self, header: &Value, claims: &Value) -> String {
        signed(header, claims, |message| self.signature(message).to_bytes().to_vec())
    }

    /// With the signature in DER, as TLS has it and JWS does not.
    pub(crate) fn token_in_der(&self, claims: &Value) -> String {
        signed(&json!({"alg": "ES256"}), claims, |message| self.signature(message).to_der().as_bytes().to_vec())
    }

    fn signature(&self, message: &[u8]) -> Signature {
        SigningKey::from(&self.0).sign(message)
    }
}

/// The claims of a good token, issued a minute ago.
pub(crate) fn claims(scopes: &[&str]) -> Value {
    json!({
        "iss": "https://auth.workshop.example", "aud": "workshop", "sub": "admin", "scopes": scopes,
        "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW - 60 + 3_600,
    })
}

/// The claims of a good token but for one.
pub(crate) fn claims_without(name: &str) -> Value {
    let mut claims = claims(&["posts", "comments"]);
    claims.as_object_mut().unwrap().remove(name).unwrap();
    claims
}

/// A token whose secret is whatever these bytes are.
pub(crate) fn hs256(secret: &[u8], claims: &Value) -> String {
    signed(&json!({"alg": "HS256", "typ": "JWT"}), claims, |message| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    })
}

/// A token that ends with a signature of these bytes, which may be none.
pub(crate) fn unsigned(algorithm: &str, claims: &Value, signature: &[u8]) -> String {
    signed(&json!({"alg": algorithm, "typ": "JWT"}), claims, |_| signature.to_vec())
}

fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}
