//! ES256 (RFC 7518 section 3.4) for `jsonwebtoken`: ECDSA on P-256 with SHA-256, signatures as `r || s`.
//!
//! `jsonwebtoken` lets its user bring the cryptography. Verification is the largest part of what a request costs, and a
//! component cannot use a machine's wide multiplication, so the choice of implementation matters: in wasm, `crrl` with its
//! 32-bit limbs takes 0.23 ms where p256 0.14 takes 0.54 ms and `jsonwebtoken`'s own choice, p256 0.13, 1.1 ms. Those
//! limbs are asked for on every target, so that native tests test what components run.
//!
//! Nothing in a verification is secret. Signing, where something is, is left to the auth service and `RustCrypto`'s `p256`.

use crrl::p256::PublicKey;
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey};
use sha2::{Digest, Sha256};
use spki::der::Decode;
use spki::der::asn1::ObjectIdentifier;
use spki::{Document, SubjectPublicKeyInfoRef};

/// `id-ecPublicKey` and `secp256r1` of RFC 5480 section 2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// `r` and `s`, 32 bytes each. RFC 7518 section 3.4 allows no other length.
const SIGNATURE_LENGTH: usize = 64;

/// Verification for a component that only verifies. To be given to
/// [`install_default`](CryptoProvider::install_default) once.
pub static VERIFY_ONLY: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Why a public key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not `-----BEGIN PUBLIC KEY-----` with a `SubjectPublicKeyInfo` inside.
    #[error("it is not a public key in PEM, as `openssl pkey -pubout` writes it")]
    NotPem,
    /// A key for another algorithm or curve.
    #[error("it is not a key of the curve P-256")]
    NotP256,
}

/// Reads a public key from PEM.
///
/// The point itself is decoded, and found on the curve or not, where `jsonwebtoken` asks for a verifier: once a
/// verification, and one request makes one verification.
///
/// # Errors
/// If it is not the PEM of a P-256 key.
pub fn public_key_from_pem(pem: &str) -> Result<DecodingKey, KeyError> {
    let (label, document) = Document::from_pem(pem.trim()).map_err(|_| KeyError::NotPem)?;
    let key = SubjectPublicKeyInfoRef::from_der(document.as_bytes()).map_err(|_| KeyError::NotPem)?;
    if label != "PUBLIC KEY" {
        return Err(KeyError::NotPem);
    }
    key.algorithm.assert_oids(EC_PUBLIC_KEY, SECP256R1).map_err(|_| KeyError::NotP256)?;
    let point = key.subject_public_key.as_bytes().ok_or(KeyError::NotP256)?;
    Ok(DecodingKey::from_ec_der(point))
}

/// A public key ready to verify.
struct Es256Verifier(PublicKey);

impl Verifier<Vec<u8>> for Es256Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        // crrl would also take shorter and zero-padded forms, which JWS does not know.
        let right_length = signature.len() == SIGNATURE_LENGTH;
        if right_length && self.0.verify_hash(signature, &Sha256::digest(message)) {
            Ok(())
        } else {
            Err(signature::Error::new())
        }
    }
}

impl JwtVerifier for Es256Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

/// A verifier for a key that [`public_key_from_pem`] read.
///
/// # Errors
/// For another algorithm, and for bytes that are no point of the curve.
pub fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if *algorithm != Algorithm::ES256 {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let point = PublicKey::decode(key.try_get_as_bytes()?).ok_or(ErrorKind::InvalidEcdsaKey)?;
    Ok(Box::new(Es256Verifier(point)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use p256::pkcs8::{EncodePublicKey, LineEnding};

    fn pem() -> String {
        let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
        key.public_key().to_public_key_pem(LineEnding::LF).unwrap()
    }

    #[test]
    fn only_the_pem_of_a_p256_key_is_a_key() {
        let pem = pem();
        assert!(public_key_from_pem(&pem).is_ok());
        assert!(public_key_from_pem(&format!("\n{pem}\n\n")).is_ok());
        assert_eq!(public_key_from_pem("").unwrap_err(), KeyError::NotPem);
        assert_eq!(public_key_from_pem(&pem.replace("PUBLIC", "PRIVATE")).unwrap_err(), KeyError::NotPem);
        // RFC 8410 section 10.1: a key of another algorithm.
        let ed25519 = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----";
        assert_eq!(public_key_from_pem(ed25519).unwrap_err(), KeyError::NotP256);
    }

    #[test]
    fn a_point_beside_the_curve_is_no_key() {
        let mut point = public_key_from_pem(&pem()).unwrap().try_get_as_bytes().unwrap().to_vec();
        assert!(verifier(&Algorithm::ES256, &DecodingKey::from_ec_der(&point)).is_ok());
        point[64] ^= 1;
        assert!(verifier(&Algorithm::ES256, &DecodingKey::from_ec_der(&point)).is_err());
    }

    #[test]
    fn no_other_algorithm_gets_a_verifier() {
        let key = DecodingKey::from_secret(pem().as_bytes());
        for algorithm in [Algorithm::HS256, Algorithm::ES384, Algorithm::RS256, Algorithm::EdDSA] {
            assert!(verifier(&algorithm, &key).is_err());
        }
    }
}
