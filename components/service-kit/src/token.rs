//! Access tokens: what they claim, and when they are believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use crate::es256;
use crate::time::Timestamp;

/// The longest token that is looked at, in bytes. Ours are some 400; the bound keeps a hostile one from buying work.
pub const MAX_LENGTH: usize = 8 * 1024;

/// How far a token's beginning may lie in the future, in seconds.
///
/// The issuer and the verifier are two machines, and a token is used the moment it is issued: a clock that is a little
/// behind must not refuse it. There is no such tolerance at the end, where nobody is in a hurry: expired is expired.
pub const CLOCK_SKEW: u64 = 5;

/// The claims of RFC 7519 section 4.1 that we issue, and our own `scopes`. All are required.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For whom.
    pub aud: Audience,
    /// When, in seconds since 1970; section 2 lets other issuers add a fraction to this and to the next two.
    pub iat: f64,
    /// Not to be believed before.
    pub nbf: f64,
    /// Not to be believed at or after.
    pub exp: f64,
    /// The user.
    pub sub: String,
    /// What the user may read: names of services.
    pub scopes: Vec<String>,
}

/// `aud` is one name or several (RFC 7519 section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// The usual form.
    One(String),
    /// The general form.
    Many(Vec<String>),
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(name) => name == audience,
            Self::Many(names) => names.iter().any(|name| name == audience),
        }
    }
}

/// What a token must satisfy, besides being in time.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The issuer's public key, from [`es256::public_key_from_pem`].
    pub key: DecodingKey,
    /// The only issuer that is believed.
    pub issuer: String,
    /// The name under which we are addressed.
    pub audience: String,
}

/// Why a token is not believed. The client is told, as `error_description` of RFC 6750 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_LENGTH`].
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of base64url, not JSON, or a claim is missing or of the wrong type.
    #[error("the token is malformed or lacks a claim")]
    Malformed,
    /// `alg` is not ES256, or the header makes demands (`crit`) that we do not know.
    #[error("the token is not signed with ES256")]
    Algorithm,
    /// The signature is not the issuer's.
    #[error("the signature is wrong")]
    Signature,
    /// `iss` is another.
    #[error("the issuer is wrong")]
    Issuer,
    /// `aud` does not name us.
    #[error("the audience is wrong")]
    Audience,
    /// `iat` or `nbf` is in the future, beyond [`CLOCK_SKEW`].
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `exp` has come.
    #[error("the token has expired")]
    Expired,
}

/// Verifies a token in JWS compact serialisation and returns its claims.
///
/// `jsonwebtoken` reads the header and checks the signature. Its own `decode` would also judge times, by a clock of its
/// own, and read the claims twice to do so; [`Claims`] already demands each of them in the right type.
///
/// # Errors
/// The first reason not to believe it, cheap ones first: no signature is checked for a token that fails on its header.
pub fn verify(token: &str, policy: &Policy, now: Timestamp) -> Result<Claims, TokenError> {
    if token.len() > MAX_LENGTH {
        return Err(TokenError::TooLong);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|error| reason(&error))?;
    // RFC 7515 section 4.1.11: whoever does not understand every name in `crit` must refuse.
    if header.alg != Algorithm::ES256 || header.crit.is_some() {
        return Err(TokenError::Algorithm);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    // Err: a provider is installed already, by the service or by an earlier call in this instance.
    let _ = es256::VERIFY_ONLY.install_default();
    match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &policy.key, Algorithm::ES256) {
        Ok(true) => {}
        Ok(false) => return Err(TokenError::Signature),
        Err(error) => return Err(reason(&error)),
    }
    let (_, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
    let claims = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed)?;
    let claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)?;
    check(&claims, policy, now)?;
    Ok(claims)
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay exact in an f64 for 285 million years")]
fn check(claims: &Claims, policy: &Policy, now: Timestamp) -> Result<(), TokenError> {
    let latest_start = (now.as_secs() + CLOCK_SKEW) as f64;
    if claims.iss != policy.issuer {
        Err(TokenError::Issuer)
    } else if !claims.aud.names(&policy.audience) {
        Err(TokenError::Audience)
    } else if claims.iat > latest_start || claims.nbf > latest_start {
        Err(TokenError::NotYetValid)
    } else if claims.exp <= now.as_secs() as f64 {
        Err(TokenError::Expired)
    } else {
        Ok(())
    }
}

/// An `alg` that `jsonwebtoken` does not know is a JSON error to it, so it counts as malformed.
fn reason(error: &jsonwebtoken::errors::Error) -> TokenError {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => TokenError::Algorithm,
        // The public key is no point of the curve: then nothing that it could verify is believed.
        ErrorKind::InvalidEcdsaKey => TokenError::Signature,
        _ => TokenError::Malformed,
    }
}
