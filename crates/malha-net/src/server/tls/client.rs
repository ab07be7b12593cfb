//! Who a client is: whether its certificate is good, and which names are in it.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::{ClientCertificate, ClientCertificates, ClientTrust, TlsProblem, forwarded};

/// Checks what clients show.
pub(super) fn verifier(
    clients: ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsProblem> {
    let (trust, required) = match clients {
        ClientCertificates::None => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientCertificates::Optional(trust) => (trust, false),
        ClientCertificates::Required(trust) => (trust, true),
    };
    let ClientTrust { authorities, subject_alt_names } = trust;
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(&authorities) {
        let authority = authority.map_err(TlsProblem::Authorities)?;
        roots.add(authority).map_err(|error| TlsProblem::Trust(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let inner = builder.build().map_err(|error| TlsProblem::Trust(error.to_string()))?;
    if subject_alt_names.is_empty() {
        return Ok(inner);
    }
    Ok(Arc::new(NamedClients { inner, names: subject_alt_names }))
}

/// What is in a certificate. A certificate that cannot be read has no names.
pub(super) fn describe(certificate: &CertificateDer<'_>) -> ClientCertificate {
    let read = webpki::EndEntityCert::try_from(certificate).ok();
    let uris: Vec<_> = read.iter().flat_map(|read| read.valid_uri_names()).map(str::to_owned).collect();
    let dns_names: Vec<_> = read.iter().flat_map(|read| read.valid_dns_names()).map(str::to_owned).collect();
    let subject = read.as_ref().map_or(&[][..], |read| read.subject());
    let forwarded = forwarded::text(certificate, subject, &uris, &dns_names);
    ClientCertificate { der: certificate.to_vec(), uris, dns_names, forwarded }
}

/// Lets in whom another verifier lets in, if one of the names is in the certificate (Envoy,
/// `match_typed_subject_alt_names`, exact).
struct NamedClients {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl fmt::Debug for NamedClients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NamedClients").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for NamedClients {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        let found = describe(end_entity);
        if found.uris.iter().chain(&found.dns_names).any(|name| self.names.contains(name)) {
            return Ok(verified);
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
