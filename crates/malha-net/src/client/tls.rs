//! TLS of a proxy's own making: `tls` of a `DestinationRule`, as Envoy's `UpstreamTlsContext`
//! (`source/common/tls/cert_validator/default_validator.cc`), carried out by rustls.

use std::fmt;
use std::sync::Arc;

use malha_world::Clock;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use webpki::EndEntityCert;

/// How the other side's certificate is checked, and which one is shown to it.
#[derive(Clone, Debug, Default)]
pub struct TlsClientConfig {
    /// Server name to ask for; the target's host where there is none.
    pub server_name: Option<String>,
    /// Names one of which the certificate must have: DNS names (where the certificate has a wildcard, it counts), URIs
    /// or IP addresses. None: the certificate must be the server name's.
    pub subject_alt_names: Vec<String>,
    /// Authorities to trust, in PEM; `None`: the usual ones of the web.
    pub authorities: Option<Vec<u8>>,
    /// Trust anybody.
    pub insecure: bool,
    /// Own certificate, if it is asked for.
    pub identity: Option<Identity>,
    /// Protocols to offer, the first the dearest: `h2`, `http/1.1`. None: no offer.
    pub alpn: Vec<Vec<u8>>,
}

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    /// Chain, the own certificate first.
    pub chain: Vec<u8>,
    /// Private key.
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    /// Nothing of the key: debug output ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Why TLS cannot be spoken as it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// PEM that cannot be read, or has nothing in it.
    #[error("{what}: {error}")]
    Pem {
        /// What was to be read.
        what: &'static str,
        /// What is wrong with it.
        error: rustls::pki_types::pem::Error,
    },
    /// A certificate or key that rustls does not take.
    #[error("{what}: {error}")]
    Refused {
        /// What it was to be.
        what: &'static str,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// Neither DNS name nor IP address.
    #[error("server name {0:?} is neither a DNS name nor an IP address")]
    ServerName(String),
}

/// TLS, ready to be spoken. Connections of the same value share sessions, so that coming back is cheap.
pub struct ClientTls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: Option<ServerName<'static>>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Reads certificates and keys. `clock` decides whether certificates are valid.
    pub fn new(config: &TlsClientConfig, clock: Clock) -> Result<Self, TlsConfigError> {
        let provider = Arc::new(ring::default_provider());
        let server_name = config.server_name.as_deref().map(server_name).transpose()?;
        let verifier = Verifier {
            provider: Arc::clone(&provider),
            roots: if config.insecure { None } else { Some(roots(config.authorities.as_deref())?) },
            names: config.subject_alt_names.clone(),
        };
        let builder = ClientConfig::builder_with_details(provider, Arc::new(Now(clock)))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsConfigError::Refused { what: "TLS", error })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut client = match &config.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = certificates("client certificate", &identity.chain)?;
                let key = PrivateKeyDer::from_pem_slice(&identity.key)
                    .map_err(|error| TlsConfigError::Pem { what: "client key", error })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| TlsConfigError::Refused { what: "client certificate", error })?
            }
        };
        client.alpn_protocols.clone_from(&config.alpn);
        Ok(Self { config: Arc::new(client), server_name })
    }
}

/// A name as TLS has it.
pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, TlsConfigError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsConfigError::ServerName(name.to_owned()))
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(TlsConfigError::Pem { what, error: rustls::pki_types::pem::Error::NoItemsFound })
        }
        Ok(found) => Ok(found),
        Err(error) => Err(TlsConfigError::Pem { what, error }),
    }
}

fn roots(authorities: Option<&[u8]>) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            for certificate in certificates("authorities", pem)? {
                roots.add(certificate).map_err(|error| TlsConfigError::Refused { what: "authorities", error })?;
            }
        }
    }
    Ok(roots)
}

/// Wall time for rustls.
#[derive(Debug)]
struct Now(Clock);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.since_epoch()))
    }
}

/// The certificate is somebody else's.
#[derive(Debug, thiserror::Error)]
#[error("certificate has none of the names that it must have; it has {names}")]
pub(super) struct NoSuchName {
    /// Those that it has.
    pub(super) names: String,
}

impl From<NoSuchName> for CertificateError {
    fn from(error: NoSuchName) -> Self {
        Self::Other(OtherError(Arc::new(error)))
    }
}

/// Envoy's order: the chain first, then the names.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None`: trust anybody.
    roots: Option<RootCertStore>,
    names: Vec<String>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        let named = if self.names.is_empty() {
            verify_server_name(&certificate, server_name).is_ok()
        } else {
            self.names.iter().any(|name| is_of(&certificate, end_entity, name))
        };
        if named {
            return Ok(ServerCertVerified::assertion());
        }
        let presented = EndEntityCert::try_from(end_entity)
            .map(|end| end.valid_dns_names().chain(end.valid_uri_names()).collect::<Vec<_>>().join(", "))
            .unwrap_or_default();
        Err(rustls::Error::InvalidCertificate(NoSuchName { names: presented }.into()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the certificate has this name, of whichever kind (`match_subject_alt_names` looks at all kinds).
fn is_of(certificate: &ParsedCertificate<'_>, end_entity: &CertificateDer<'_>, name: &str) -> bool {
    if let Ok(name) = ServerName::try_from(name)
        && verify_server_name(certificate, &name).is_ok()
    {
        return true;
    }
    EndEntityCert::try_from(end_entity).is_ok_and(|end| end.valid_uri_names().any(|uri| uri == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_configuration_is_said_when_it_is_made() {
        let identity = |chain: &[u8], key: &[u8]| Some(Identity { chain: chain.to_vec(), key: key.to_vec() });
        let none = TlsClientConfig::default;
        for (config, want) in [
            (TlsClientConfig { server_name: Some("a b".into()), ..none() }, "server name \"a b\" is neither"),
            (TlsClientConfig { authorities: Some(Vec::new()), ..none() }, "authorities: no items found"),
            (TlsClientConfig { identity: identity(b"", b""), ..none() }, "client certificate: no items found"),
        ] {
            let error = ClientTls::new(&config, Clock::anchored(0)).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
    }

    #[test]
    fn without_authorities_those_of_the_web_are_trusted() {
        assert!(roots(None).unwrap().len() > 50);
    }

    #[test]
    fn keys_are_not_shown() {
        let identity = Identity { chain: b"chain".to_vec(), key: b"secret".to_vec() };
        assert_eq!(format!("{identity:?}"), "Identity { .. }");
    }
}
