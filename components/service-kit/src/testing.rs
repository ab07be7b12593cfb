//! A host for native tests: time stands still unless a service sleeps, chance is what the test says, other services
//! answer what the test wrote.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::PublicKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePublicKey, LineEnding};
use serde_json::{Value, json};

use crate::host::{FetchError, Fetched, Host, Outgoing};
use crate::http::Request;
use crate::time::Timestamp;

/// A host whose every answer a test has chosen.
#[derive(Debug, Default)]
pub struct TestHost {
    /// What the clock shows.
    pub now: Cell<Timestamp>,
    /// The variables that are set.
    pub variables: HashMap<&'static str, String>,
    /// What the next draws give.
    pub coin: Cell<bool>,
    /// What each URL answers; any other is refused.
    pub upstreams: HashMap<String, Result<Fetched, FetchError>>,
    /// The calls that were made, those made at the same time together.
    pub calls: RefCell<Vec<Vec<Outgoing>>>,
}

impl Host for TestHost {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn variable(&self, name: &str) -> String {
        self.variables.get(name).cloned().unwrap_or_default()
    }

    fn coin(&self) -> bool {
        self.coin.get()
    }

    fn sleep(&self, duration: Duration) {
        self.now.set(Timestamp(self.now.get().0 + duration));
    }

    fn fetch(&self, requests: &[Outgoing]) -> Vec<Result<Fetched, FetchError>> {
        self.calls.borrow_mut().push(requests.to_vec());
        let refused = || Err(FetchError::Failed("connection refused".to_owned()));
        requests.iter().map(|request| self.upstreams.get(&request.url).cloned().unwrap_or_else(refused)).collect()
    }
}

/// A request with a method, a path that may have a query, and headers.
pub fn request(method: &'static str, target: &str, headers: &[(&str, &str)]) -> Request {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Request {
        method: method.into(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
    }
}

/// The second in which tests happen.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

/// An issuer of tokens, good and bad ones: the key pair of a seed.
#[derive(Debug)]
pub struct Issuer(SigningKey);

impl Issuer {
    /// The issuer that [`TestHost::trusting`] trusts.
    pub fn trusted() -> Self {
        Self::from_seed(7)
    }

    /// Another issuer for every seed but 0.
    ///
    /// # Panics
    /// For the seed 0, which is no key.
    pub fn from_seed(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 32]).expect("every other byte repeated is less than the order"))
    }

    /// The public key, in the form of the variable `jwt_public_key`.
    ///
    /// # Panics
    /// Never: every key can be written.
    pub fn public_key(&self) -> String {
        PublicKey::from(self.0.verifying_key()).to_public_key_pem(LineEnding::LF).expect("a key can be written")
    }

    /// A token with these claims and the usual header.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with_header(&json!({"alg": "ES256", "typ": "JWT"}), claims)
    }

    /// A token with any header; the signature is ES256 whatever the header says.
    pub fn token_with_header(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature: Signature = self.0.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}

/// The claims of a good token that was issued a minute ago.
pub fn claims(scopes: &[&str]) -> Value {
    let issued = NOW.as_secs() - 60;
    json!({
        "iss": "https://auth.example", "aud": "workshop", "sub": "admin", "scopes": scopes,
        "iat": issued, "nbf": issued, "exp": issued + 3_600,
    })
}

/// The value of an `Authorization` header that the trusted issuer's token makes.
pub fn bearer(scopes: &[&str]) -> String {
    format!("Bearer {}", Issuer::trusted().token(&claims(scopes)))
}

impl TestHost {
    /// A host that is configured to believe [`Issuer::trusted`], at [`NOW`].
    pub fn trusting() -> Self {
        Self {
            now: NOW.into(),
            variables: HashMap::from([
                ("jwt_public_key", Issuer::trusted().public_key()),
                ("jwt_issuer", "https://auth.example".to_owned()),
                ("jwt_audience", "workshop".to_owned()),
            ]),
            ..Self::default()
        }
    }
}

/// A response of another service.
pub fn fetched(status: u16, body: &str) -> Fetched {
    Fetched { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
}
