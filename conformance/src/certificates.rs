//! Certificates for cases: made anew for each run, the same for both sides.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::case::Tls;

/// Who signs what both sides trust.
const TRUSTED: &str = "trusted";
/// Stands before the name of a certificate that somebody else has signed.
const STRANGER: &str = "stranger ";

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Certificate {
    /// The certificate.
    pub(crate) chain: String,
    /// Its key.
    pub(crate) key: String,
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// What was made so far.
#[derive(Default)]
struct Made {
    issuers: BTreeMap<String, Issuer>,
    certificates: BTreeMap<String, Certificate>,
}

static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);

impl Made {
    fn issuer(&mut self, name: &str) -> Result<&Issuer> {
        if !self.issuers.contains_key(name) {
            let mut params = CertificateParams::new([])?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name = named(name);
            self.issuers.insert(name.to_owned(), CertifiedIssuer::self_signed(params, KeyPair::generate()?)?);
        }
        self.issuers.get(name).context("it was made a moment ago")
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// The certificate of whom the cases trust.
pub(crate) fn authority() -> Result<String> {
    Ok(MADE.lock().issuer(TRUSTED)?.pem())
}

/// The certificate with this name, a DNS name or a URI.
pub(crate) fn of(name: &str) -> Result<Certificate> {
    let mut made = MADE.lock();
    if let Some(known) = made.certificates.get(name) {
        return Ok(known.clone());
    }
    let (issuer, own) = match name.strip_prefix(STRANGER) {
        Some(own) => (STRANGER, own),
        None => (TRUSTED, name),
    };
    let mut params = CertificateParams::new([])?;
    let text = own.try_into()?;
    params.subject_alt_names = vec![if own.contains("://") { SanType::URI(text) } else { SanType::DnsName(text) }];
    params.distinguished_name = named(own);
    let key = KeyPair::generate()?;
    let chain = params.signed_by(&key, made.issuer(issuer)?)?.pem();
    let certificate = Certificate { chain, key: key.serialize_pem() };
    made.certificates.insert(name.to_owned(), certificate.clone());
    Ok(certificate)
}

/// What a client brings to a handshake.
pub(crate) fn client(tls: &Tls) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority()?.as_bytes())?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let own = of(name)?;
            let chain = vec![CertificateDer::from_pem_slice(own.chain.as_bytes())?];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes())?)?
        }
    };
    config.alpn_protocols = tls.alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect();
    Ok(config)
}
