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

    /// Whether one of the keys that fit the token signed it.
    pub(crate) fn verify(&self, token: &Token) -> Result<(), Status> {
        self.check(token.alg, &token.kid, &token.signed, &token.signature)
    }

    /// A key fits if neither side contradicts the other in `kid`, and if its own `alg`, where it has one, is that of the
    /// token.
    fn check(&self, alg: &str, kid: &str, signed: &[u8], signature: &[u8]) -> Result<(), Status> {
        let mut answer = Status::JwksKidAlgMismatch;
        for jwk in &self.keys {
            let other_kid = !kid.is_empty() && !jwk.kid.is_empty() && jwk.kid != kid;
            let other_alg = !jwk.alg.is_empty() && jwk.alg != alg;
            if other_kid || other_alg {
                continue;
            }
            match jwk.key.verify(alg, signed, signature) {
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use super::super::base64url;
    use super::*;

    #[test]
    fn a_set_without_a_key_of_use_is_an_error() {
        let good = r#"{"kty":"oct","k":"c2VjcmV0"}"#;
        for (text, expected) in [
            ("nope".to_owned(), Some(Status::JwksParseError)),
            ("[]".to_owned(), Some(Status::JwksParseError)),
            ("{}".to_owned(), Some(Status::JwksNoKeys)),
            (r#"{"keys":{}}"#.to_owned(), Some(Status::JwksBadKeys)),
            (r#"{"keys":[]}"#.to_owned(), Some(Status::JwksNoValidKeys)),
            (r#"{"keys":["x",{"kty":"RSA"}]}"#.to_owned(), Some(Status::JwksNoValidKeys)),
            (
                r#"{"a":"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"}"#.to_owned(),
                Some(Status::JwksX509Unsupported),
            ),
            (format!(r#"{{"keys":[{good}]}}"#), None),
            (format!(r#"{{"more":1,"keys":["x",{{"kty":"RSA"}},{good}]}}"#), None),
        ] {
            assert_eq!(Jwks::parse(&text).err(), expected, "{text}");
        }
    }

    #[test]
    fn keys_of_no_use_are_named_by_their_place() {
        let jwks = Jwks::parse(r#"{"keys":["x",{"kty":"RSA"},{"kty":"oct","k":"c2VjcmV0"},{"kty":"what"}]}"#).unwrap();
        assert_eq!(
            jwks.unusable(),
            [
                Unusable { index: 1, reason: Status::JwksRsaMissingN },
                Unusable { index: 3, reason: Status::JwksUnsupportedKty },
            ]
        );
    }

    /// The folder of vectors, or `None` with a word about it.
    fn wycheproof(file: &str) -> Option<Value> {
        let Some(corpora) = std::env::var_os("MALHA_CORPORA") else {
            // Past the capture of the test harness, or nobody would read it.
            let words = format!("NOT CHECKED: MALHA_CORPORA is not set, so no vector of {file} was verified\n");
            std::io::stderr().write_all(words.as_bytes()).unwrap();
            return None;
        };
        let text = std::fs::read_to_string(PathBuf::from(corpora).join("wycheproof").join(file)).unwrap();
        Some(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn signatures_of_wycheproof_are_judged_as_it_says() {
        let Some(vectors) = wycheproof("ecdsa_secp256r1_sha256_p1363_test.json") else { return };
        let hex = |value: &Value| {
            let digits = value.as_str().unwrap();
            (0..digits.len() / 2)
                .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
                .collect::<Vec<_>>()
        };
        let mut judged = 0;
        for group in vectors["testGroups"].as_array().unwrap() {
            let Some(key) = group.get("publicKeyJwk") else { continue };
            let jwks = Jwks::parse(&serde_json::json!({ "keys": [key] }).to_string()).unwrap();
            for case in group["tests"].as_array().unwrap() {
                let good = jwks.check("ES256", "", &hex(&case["msg"]), &hex(&case["sig"])).is_ok();
                assert_eq!(good, case["result"] == "valid", "{case}");
                judged += 1;
            }
        }
        assert!(judged > 200, "{judged}");
    }

    /// What Wycheproof would refuse and Envoy takes: it does not look at `use` or at the length of a secret, takes a
    /// `kid` that two keys share, and asks no key for its origin.
    const TAKEN: &[u64] = &[1, 4, 7, 10, 11, 12, 21];

    #[test]
    fn keys_of_wycheproof_are_judged_as_it_says_or_as_envoy_does() {
        let Some(vectors) = wycheproof("json_web_key_test.json") else { return };
        let mut taken = Vec::new();
        for group in vectors["testGroups"].as_array().unwrap() {
            let keys = group.get("public").unwrap_or(&group["private"]);
            let set = if keys.get("keys").is_some() { keys.clone() } else { serde_json::json!({ "keys": [keys] }) };
            let jwks = Jwks::parse(&set.to_string());
            for case in group["tests"].as_array().unwrap() {
                // Its payloads are no JSON, so these are signatures rather than tokens.
                let (signed, signature) = case["jws"].as_str().unwrap().rsplit_once('.').unwrap();
                let header =
                    json::object(&base64url::decode(signed.split('.').next().unwrap().as_bytes()).unwrap()).unwrap();
                let text = |name: &str| header.get(name).and_then(Value::as_str).unwrap_or_default();
                let signature = base64url::decode(signature.as_bytes()).unwrap();
                let good = jwks
                    .as_ref()
                    .is_ok_and(|jwks| jwks.check(text("alg"), text("kid"), signed.as_bytes(), &signature).is_ok());
                let id = case["tcId"].as_u64().unwrap();
                match (good, case["result"] == "valid") {
                    (true, false) => taken.push(id),
                    (false, true) => panic!("{case} is refused: {:?}", jwks.as_ref().err()),
                    _ => {}
                }
            }
        }
        assert_eq!(taken, TAKEN);
    }
}
