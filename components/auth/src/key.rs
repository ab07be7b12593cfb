//! The key that tokens are signed with.
//!
//! Unlike a verification this handles a secret, so it is `RustCrypto`'s `p256`, whose arithmetic takes the same time for
//! every key, with the deterministic nonces of RFC 6979: a weak source of chance cannot give the key away.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer};
use jsonwebtoken::{Algorithm, EncodingKey};
use p256::SecretKey;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::DecodePrivateKey;
use service_kit::es256;
use sha2::{Digest, Sha256};

/// The cryptography of `jsonwebtoken` in this component. A process has one, so it can verify too.
pub(crate) static ES256: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: es256::verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// A private key, and what of it is public.
pub(crate) struct Key {
    secret: EncodingKey,
    /// The coordinates of the public point as a JWK has them (RFC 7518 section 6.2.1): base64url of 32 bytes.
    pub(crate) x: String,
    /// See `x`.
    pub(crate) y: String,
}

/// Why a private key cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not a P-256 private key in PKCS #8 PEM, as `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` writes it"
)]
pub(crate) struct KeyError;

impl Key {
    /// Reads a private key in PKCS #8 PEM.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let secret = SecretKey::from_pkcs8_pem(pem.trim()).map_err(|_| KeyError)?;
        let point = secret.public_key().to_sec1_point(false);
        let (Some(x), Some(y)) = (point.x(), point.y()) else { return Err(KeyError) };
        Ok(Self {
            secret: EncodingKey::from_ec_der(&secret.to_bytes()),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        })
    }

    /// The thumbprint of RFC 7638, the name that tokens and the JWK set give the key: the SHA-256 of a JWK of exactly
    /// the required members in alphabetical order, without spaces.
    pub(crate) fn id(&self) -> String {
        let Self { x, y, .. } = self;
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        URL_SAFE_NO_PAD.encode(Sha256::digest(jwk))
    }

    /// The private key as `jsonwebtoken` takes it for [`ES256`].
    pub(crate) fn secret(&self) -> &EncodingKey {
        &self.secret
    }
}

struct Es256Signer(SigningKey);

impl Signer<Vec<u8>> for Es256Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let signature: Signature =
            p256::ecdsa::signature::Signer::try_sign(&self.0, message).map_err(|_| signature::Error::new())?;
        Ok(signature.to_bytes().to_vec())
    }
}

impl JwtSigner for Es256Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

/// A signer for the bytes that [`Key::from_pem`] put into the key.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the type is jsonwebtoken's")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    if *algorithm != Algorithm::ES256 {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let key = SigningKey::from_slice(key.as_bytes()).map_err(|_| ErrorKind::InvalidEcdsaKey)?;
    Ok(Box::new(Es256Signer(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::private_key;

    #[test]
    fn only_pkcs8_pem_of_the_curve_is_a_key() {
        let pem = private_key();
        assert!(Key::from_pem(&pem).is_ok());
        assert!(Key::from_pem(&format!("\n{pem}\n")).is_ok());
        assert!(Key::from_pem("").is_err());
        assert!(Key::from_pem(&pem.replace("PRIVATE KEY", "EC PRIVATE KEY")).is_err());
        assert!(Key::from_pem(&pem.replace("MIGH", "MIGG")).is_err());
    }

    #[test]
    fn no_other_algorithm_gets_a_signer() {
        let key = Key::from_pem(&private_key()).unwrap();
        assert!(signer(&Algorithm::HS256, key.secret()).is_err());
    }
}
