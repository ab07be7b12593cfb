//! Keys, and whether one of them signed something (RFC 7517 and 7518; Envoy, `source/common/jwt/jwks.cc` and
//! `verify.cc`).
//!
//! Which hash is taken follows Envoy: that of the token's `alg`, or SHA-256 if that is none of the key's family. A key
//! may say with its own `alg` that it is for one algorithm alone (`Jwks::verify`).
//!
//! Stricter than Envoy: an ECDSA signature has its full length (RFC 7518, section 3.4), where Envoy takes two halves of
//! any; and an RSA key has 2048 bits at least.

use std::fmt;

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use ring::digest;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};

use super::base64url;
use super::status::Status;

/// Length of an Ed25519 public key.
const ED25519_KEY: usize = 32;
/// Length of an Ed25519 signature.
const ED25519_SIGNATURE: usize = 64;

/// What verifies.
pub(crate) enum Key {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256 {
        point: Vec<u8>,
        key: p256::ecdsa::VerifyingKey,
    },
    P384 {
        point: Vec<u8>,
        key: p384::ecdsa::VerifyingKey,
    },
    P521(Box<p521::ecdsa::VerifyingKey>),
    Ed25519(Vec<u8>),
    /// The three hashes are keyed at once: a secret has no hash of its own.
    Hmac(Box<Secret>),
}

/// A secret, keyed for each hash.
pub(crate) struct Secret {
    sha256: ring::hmac::Key,
    sha384: ring::hmac::Key,
    sha512: ring::hmac::Key,
}

impl fmt::Debug for Key {
    /// Says the kind alone: some keys are secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Rsa(_) => "RSA",
            Self::P256 { .. } => "P-256",
            Self::P384 { .. } => "P-384",
            Self::P521(_) => "P-521",
            Self::Ed25519(_) => "Ed25519",
            Self::Hmac(_) => "HMAC",
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// That of `alg` if it is of one of these families.
    fn of(alg: &str, families: &[&str]) -> Self {
        let known = families.iter().any(|family| alg.starts_with(family));
        match alg.get(2..) {
            Some("384") if known => Self::Sha384,
            Some("512") if known => Self::Sha512,
            _ => Self::Sha256,
        }
    }

    fn digest(self, message: &[u8]) -> digest::Digest {
        digest::digest(
            match self {
                Self::Sha256 => &digest::SHA256,
                Self::Sha384 => &digest::SHA384,
                Self::Sha512 => &digest::SHA512,
            },
            message,
        )
    }
}

impl Key {
    /// Reads the key of a JWK whose `alg` this is, if it has one.
    pub(crate) fn parse(jwk: &Map<String, Value>, alg: &str) -> Result<Self, Status> {
        match member(jwk, "kty", Status::JwksMissingKty, Status::JwksBadKty)? {
            "EC" => Self::elliptic(jwk, alg),
            "RSA" => Self::rsa(jwk, alg),
            "oct" => Self::hmac(jwk, alg),
            "OKP" => Self::ed25519(jwk, alg),
            _ => Err(Status::JwksUnsupportedKty),
        }
    }

    fn rsa(jwk: &Map<String, Value>, alg: &str) -> Result<Self, Status> {
        if !alg.is_empty() && !alg.starts_with("RS") && !alg.starts_with("PS") {
            return Err(Status::JwksRsaBadAlg);
        }
        let modulus = member(jwk, "n", Status::JwksRsaMissingN, Status::JwksRsaBadN)?;
        let exponent = member(jwk, "e", Status::JwksRsaMissingE, Status::JwksRsaBadE)?;
        let number = |text: &str| base64url::decode(text.as_bytes()).ok_or(Status::JwksRsaParseError);
        let (n, e) = (without_zeros(number(modulus)?), without_zeros(number(exponent)?));
        let odd = n.last().is_some_and(|byte| byte & 1 == 1);
        if !odd || (e != [3] && e != [1, 0, 1]) {
            return Err(Status::JwksRsaParseError);
        }
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if !(2048..=8192).contains(&bits) {
            return Err(Status::JwksRsaSizeUnsupported);
        }
        Ok(Self::Rsa(RsaPublicKeyComponents { n, e }))
    }

    fn elliptic(jwk: &Map<String, Value>, alg: &str) -> Result<Self, Status> {
        if !alg.is_empty() && !alg.starts_with("ES") {
            return Err(Status::JwksEcBadAlg);
        }
        let curve = optional(jwk, "crv", Status::JwksEcBadCrv)?;
        let (curve, length) = match (alg, curve) {
            ("" | "ES256", "P-256" | "") => ("P-256", 32),
            ("" | "ES384", "P-384") | ("ES384", "") => ("P-384", 48),
            ("" | "ES512", "P-521") | ("ES512", "") => ("P-521", 66),
            ("", _) | (_, "") => return Err(Status::JwksEcAlgOrCrvUnsupported),
            _ => return Err(Status::JwksEcAlgNotCompatibleWithCrv),
        };
        let x = member(jwk, "x", Status::JwksEcMissingX, Status::JwksEcBadX)?;
        let y = member(jwk, "y", Status::JwksEcMissingY, Status::JwksEcBadY)?;
        let number = |text: &str| base64url::decode(text.as_bytes()).ok_or(Status::JwksEcBadBase64);
        let (x, y) = (number(x)?, number(y)?);
        let mut point = vec![4];
        point.extend(fixed(&x, length).ok_or(Status::JwksEcParseError)?);
        point.extend(fixed(&y, length).ok_or(Status::JwksEcParseError)?);
        // Each of these refuses what is no point of its curve.
        let key = match curve {
            "P-256" => p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).map(|key| Self::P256 { point, key }),
            "P-384" => p384::ecdsa::VerifyingKey::from_sec1_bytes(&point).map(|key| Self::P384 { point, key }),
            _ => p521::ecdsa::VerifyingKey::from_sec1_bytes(&point).map(|key| Self::P521(Box::new(key))),
        };
        key.map_err(|_| Status::JwksEcParseError)
    }

    fn hmac(jwk: &Map<String, Value>, alg: &str) -> Result<Self, Status> {
        if !matches!(alg, "" | "HS256" | "HS384" | "HS512") {
            return Err(Status::JwksHmacBadAlg);
        }
        let secret = member(jwk, "k", Status::JwksHmacMissingK, Status::JwksHmacBadK)?;
        let secret =
            base64url::decode(secret.as_bytes()).filter(|secret| !secret.is_empty()).ok_or(Status::JwksOctBadBase64)?;
        Ok(Self::Hmac(Box::new(Secret {
            sha256: ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret),
            sha384: ring::hmac::Key::new(ring::hmac::HMAC_SHA384, &secret),
            sha512: ring::hmac::Key::new(ring::hmac::HMAC_SHA512, &secret),
        })))
    }

    fn ed25519(jwk: &Map<String, Value>, alg: &str) -> Result<Self, Status> {
        if !matches!(alg, "" | "EdDSA") {
            return Err(Status::JwksOkpBadAlg);
        }
        if member(jwk, "crv", Status::JwksOkpMissingCrv, Status::JwksOkpBadCrv)? != "Ed25519" {
            return Err(Status::JwksOkpCrvUnsupported);
        }
        let x = member(jwk, "x", Status::JwksOkpMissingX, Status::JwksOkpBadX)?;
        let key = base64url::decode(x.as_bytes()).ok_or(Status::JwksOkpXBadBase64)?;
        if key.len() == ED25519_KEY { Ok(Self::Ed25519(key)) } else { Err(Status::JwksOkpXWrongLength) }
    }

    /// Whether it signed `message`. An error other than [`Status::JwtVerificationFail`] is the token's own, and no other
    /// key can mend it.
    pub(crate) fn verify(&self, alg: &str, message: &[u8], signature: &[u8]) -> Result<(), Status> {
        let good = match self {
            Self::Rsa(key) => verify_rsa(key, alg, message, signature),
            Self::P256 { point, key } => match Hash::of(alg, &["ES"]) {
                Hash::Sha256 => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
                    .is_ok(),
                hash => p256::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify_prehash(hash.digest(message).as_ref(), &signature).is_ok()),
            },
            Self::P384 { point, key } => match Hash::of(alg, &["ES"]) {
                Hash::Sha384 => UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                    .verify(message, signature)
                    .is_ok(),
                hash => p384::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify_prehash(hash.digest(message).as_ref(), &signature).is_ok()),
            },
            Self::P521(key) => p521::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                key.verify_prehash(Hash::of(alg, &["ES"]).digest(message).as_ref(), &signature).is_ok()
            }),
            Self::Ed25519(_) if signature.len() != ED25519_SIGNATURE => {
                return Err(Status::JwtEd25519SignatureWrongLength);
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature).is_ok(),
            Self::Hmac(secret) => {
                let key = match Hash::of(alg, &["HS"]) {
                    Hash::Sha256 => &secret.sha256,
                    Hash::Sha384 => &secret.sha384,
                    Hash::Sha512 => &secret.sha512,
                };
                // In constant time.
                ring::hmac::verify(key, message, signature).is_ok()
            }
        };
        if good { Ok(()) } else { Err(Status::JwtVerificationFail) }
    }
}

fn verify_rsa(key: &RsaPublicKeyComponents<Vec<u8>>, alg: &str, message: &[u8], signature: &[u8]) -> bool {
    let parameters = match alg {
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return false,
    };
    key.verify(parameters, message, signature).is_ok()
}

/// A number in `length` bytes, if it fits.
fn fixed(number: &[u8], length: usize) -> Option<Vec<u8>> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = &number[zeros..];
    let mut bytes = vec![0; length.checked_sub(digits.len())?];
    bytes.extend_from_slice(digits);
    Some(bytes)
}

fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    match number.iter().position(|byte| *byte != 0) {
        Some(0) => number,
        Some(zeros) => number[zeros..].to_vec(),
        None => Vec::new(),
    }
}

fn member<'a>(jwk: &'a Map<String, Value>, name: &str, missing: Status, wrong: Status) -> Result<&'a str, Status> {
    jwk.get(name).ok_or(missing)?.as_str().ok_or(wrong)
}

fn optional<'a>(jwk: &'a Map<String, Value>, name: &str, wrong: Status) -> Result<&'a str, Status> {
    jwk.get(name).map_or(Ok(""), |value| value.as_str().ok_or(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key and what it signed, for each algorithm. Made with another implementation (OpenSSL).
    const SIGNED: &str = include_str!("../../tests/data/signed.json");

    fn parse(jwk: &Value) -> Result<Key, Status> {
        let jwk = jwk.as_object().unwrap();
        Key::parse(jwk, jwk.get("alg").and_then(Value::as_str).unwrap_or_default())
    }

    fn decoded(value: &Value) -> Vec<u8> {
        base64url::decode(value.as_str().unwrap().as_bytes()).unwrap()
    }

    #[test]
    fn each_algorithm_verifies_what_was_signed_and_nothing_else() {
        let cases: Value = serde_json::from_str(SIGNED).unwrap();
        let cases = cases.as_array().unwrap();
        assert_eq!(cases.len(), 13);
        for case in cases {
            let (alg, key, signature) =
                (case["alg"].as_str().unwrap(), parse(&case["key"]).unwrap(), decoded(&case["signature"]));
            let message = case["message"].as_str().unwrap().as_bytes();
            assert_eq!(key.verify(alg, message, &signature), Ok(()), "{alg}");
            assert_eq!(key.verify(alg, b"another", &signature), Err(Status::JwtVerificationFail), "{alg}");
            let mut other = signature.clone();
            other[10] ^= 1;
            assert_eq!(key.verify(alg, message, &other), Err(Status::JwtVerificationFail), "{alg}");
            let wrong_length =
                if alg == "EdDSA" { Status::JwtEd25519SignatureWrongLength } else { Status::JwtVerificationFail };
            for odd in [&[][..], &signature[1..], &[&[0], signature.as_slice()].concat()] {
                assert_eq!(key.verify(alg, message, odd), Err(wrong_length), "{alg}");
            }
        }
    }

    #[test]
    fn a_key_of_no_use_says_why() {
        let cases: Value = serde_json::from_str(SIGNED).unwrap();
        let good = |alg: &str| {
            let case = cases.as_array().unwrap().iter().find(|case| case["alg"] == alg).unwrap();
            case["key"].clone()
        };
        let with = |alg: &str, name: &str, value: Value| {
            let mut key = good(alg);
            match value {
                Value::Null => key.as_object_mut().unwrap().remove(name),
                value => key.as_object_mut().unwrap().insert(name.to_owned(), value),
            };
            key
        };
        for (key, expected) in [
            (with("RS256", "kty", Value::Null), Status::JwksMissingKty),
            (with("RS256", "kty", 5.into()), Status::JwksBadKty),
            (with("RS256", "kty", "rsa".into()), Status::JwksUnsupportedKty),
            (with("RS256", "alg", "ES256".into()), Status::JwksRsaBadAlg),
            (with("RS256", "n", Value::Null), Status::JwksRsaMissingN),
            (with("RS256", "n", 5.into()), Status::JwksRsaBadN),
            (with("RS256", "e", Value::Null), Status::JwksRsaMissingE),
            (with("RS256", "e", 5.into()), Status::JwksRsaBadE),
            (with("RS256", "n", "%".into()), Status::JwksRsaParseError),
            (with("RS256", "n", "".into()), Status::JwksRsaParseError),
            (with("RS256", "e", "".into()), Status::JwksRsaParseError),
            (with("RS256", "e", "AQ".into()), Status::JwksRsaParseError),
            (with("RS256", "e", "BQ".into()), Status::JwksRsaParseError),
            (with("RS256", "n", "AQAB".into()), Status::JwksRsaSizeUnsupported),
            (with("ES256", "alg", "RS256".into()), Status::JwksEcBadAlg),
            (with("ES256", "crv", 5.into()), Status::JwksEcBadCrv),
            (with("ES256", "crv", "P-224".into()), Status::JwksEcAlgOrCrvUnsupported),
            (with("ES256", "alg", "ES384".into()), Status::JwksEcAlgNotCompatibleWithCrv),
            (with("ES256", "x", Value::Null), Status::JwksEcMissingX),
            (with("ES256", "x", 5.into()), Status::JwksEcBadX),
            (with("ES256", "y", Value::Null), Status::JwksEcMissingY),
            (with("ES256", "y", 5.into()), Status::JwksEcBadY),
            (with("ES256", "y", "%".into()), Status::JwksEcBadBase64),
            (with("ES256", "y", "AQAB".into()), Status::JwksEcParseError),
            (with("ES384", "y", "AQAB".into()), Status::JwksEcParseError),
            (with("ES512", "y", "AQAB".into()), Status::JwksEcParseError),
            (with("ES256", "crv", "P-384".into()), Status::JwksEcParseError),
            (with("HS256", "alg", "RS256".into()), Status::JwksHmacBadAlg),
            (with("HS256", "k", Value::Null), Status::JwksHmacMissingK),
            (with("HS256", "k", 5.into()), Status::JwksHmacBadK),
            (with("HS256", "k", "".into()), Status::JwksOctBadBase64),
            (with("HS256", "k", "%".into()), Status::JwksOctBadBase64),
            (with("EdDSA", "alg", "RS256".into()), Status::JwksOkpBadAlg),
            (with("EdDSA", "crv", Value::Null), Status::JwksOkpMissingCrv),
            (with("EdDSA", "crv", 5.into()), Status::JwksOkpBadCrv),
            (with("EdDSA", "crv", "X25519".into()), Status::JwksOkpCrvUnsupported),
            (with("EdDSA", "x", Value::Null), Status::JwksOkpMissingX),
            (with("EdDSA", "x", 5.into()), Status::JwksOkpBadX),
            (with("EdDSA", "x", "%".into()), Status::JwksOkpXBadBase64),
            (with("EdDSA", "x", "AQAB".into()), Status::JwksOkpXWrongLength),
        ] {
            assert_eq!(parse(&key).err(), Some(expected), "{key}");
        }
    }

    #[test]
    fn the_curve_follows_from_alg_or_is_p256() {
        let cases: Value = serde_json::from_str(SIGNED).unwrap();
        for (alg, expected) in [("ES256", "P-256"), ("ES384", "P-384"), ("ES512", "P-521")] {
            let case = cases.as_array().unwrap().iter().find(|case| case["alg"] == alg).unwrap();
            let mut key = case["key"].clone();
            assert_eq!(format!("{:?}", parse(&key).unwrap()), expected);
            key.as_object_mut().unwrap().remove("crv");
            key["alg"] = alg.into();
            assert_eq!(format!("{:?}", parse(&key).unwrap()), expected);
        }
    }

    #[test]
    fn a_key_keeps_its_secret() {
        let shown = format!("{:?}", parse(&serde_json::json!({"kty": "oct", "k": "cGxhbnRlZA"})).unwrap());
        assert_eq!(shown, "HMAC");
    }
}
