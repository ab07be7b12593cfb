//! Who may talk to the API: a certificate that clients can trust, a token that only the user's own kubeconfig has, and no
//! browsers.
//!
//! The credential is a bearer token, not a client certificate as in kubeadm's `admin.conf`: a request without it is then
//! answered with the `Status` 401 that clients know how to show, where a TLS stack would end the handshake; every client can
//! send it, curl included; and nothing of the process parses a certificate that a stranger sent. What a certificate has over
//! a token, a key that stays with its owner, is worth little here: the connection does not leave the machine, and the
//! authority that clients check the server against lives as long as the process.

mod certificate;
mod host;
mod kubeconfig;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use malha_world::World;
use rand::Rng as _;
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::status::Failure;

pub(crate) use host::check as check_host;

/// Bytes of chance in a token.
const TOKEN: usize = 32;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The operating system has no chance to give.
    #[error("no entropy for the token of the Kubernetes API: {0}")]
    Entropy(#[from] rand::rngs::SysError),
    /// The certificate could not be made.
    #[error("no certificate for the Kubernetes API: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS does not take the certificate.
    #[error("no TLS for the Kubernetes API: {0}")]
    Tls(#[from] rustls::Error),
}

/// What the server proves itself with, and what a client has to show. Made anew by each process.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    authority: String,
    tls: Arc<ServerConfig>,
    token: String,
    /// Of the token: a comparison tells nothing about it, not even its length.
    digest: [u8; 32],
}

impl fmt::Debug for Credentials {
    /// Not the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// New ones. The token is the world's chance; keys of certificates are the operating system's.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn make(world: &World) -> Result<Self, CredentialsError> {
        let mut bytes = [0; TOKEN];
        world.chance.stream().secure()?.fill_bytes(&mut bytes);
        let token = URL_SAFE_NO_PAD.encode(bytes);
        let (authority, tls) = certificate::make(&world.clock)?;
        let digest = Sha256::digest(&token).into();
        Ok(Self(Arc::new(Inner { authority, tls, token, digest })))
    }

    /// The kubeconfig of a server at `address`: cluster, user and context are named `malha`. It holds the token: write it for
    /// its owner's eyes alone.
    pub fn kubeconfig(&self, address: SocketAddr) -> String {
        kubeconfig::text(address, &self.0.authority, &self.0.token)
    }

    /// How the server answers a handshake.
    pub(crate) fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.tls)
    }

    /// 401 for a request without the token.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let given = match (values.next(), values.next()) {
            (Some(value), None) => bearer(value.as_bytes()),
            _ => None,
        };
        let digest: [u8; 32] = Sha256::digest(given.unwrap_or_default()).into();
        if bool::from(digest.ct_eq(&self.0.digest)) { Ok(()) } else { Err(Failure::unauthorized()) }
    }
}

/// The token of `Bearer TOKEN` (RFC 6750 §2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[String]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[tokio::test]
    async fn only_the_token_opens() {
        let credentials = Credentials::make(&World::simulated(1_700_000_000, 1)).unwrap();
        let token = credentials.0.token.clone();
        for (values, open) in [
            (vec![format!("Bearer {token}")], true),
            (vec![format!("bearer {token}")], true),
            (vec![], false),
            (vec![String::new()], false),
            (vec!["Bearer ".to_owned()], false),
            (vec![format!("Bearer {token}x")], false),
            (vec![format!("Bearer {}", &token[1..])], false),
            (vec![format!("Basic {token}")], false),
            (vec![token.clone()], false),
            (vec![format!("Bearer {token}"), "Bearer other".to_owned()], false),
        ] {
            assert_eq!(credentials.check(&headers(&values)).is_ok(), open, "{}", values.len());
        }
    }

    #[tokio::test]
    async fn nothing_printed_for_debugging_has_the_token() {
        let credentials = Credentials::make(&World::simulated(1_700_000_000, 1)).unwrap();
        assert!(!format!("{credentials:?}").contains(&credentials.0.token));
        let other = Credentials::make(&World::simulated(1_700_000_000, 2)).unwrap();
        assert_ne!(credentials.0.token, other.0.token);
    }
}
