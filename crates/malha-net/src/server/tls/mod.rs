//! TLS of those who listen: which server a client means, with which certificate it is answered, and who the client is.
//!
//! A listener with several servers is an Envoy listener with several filter chains. The one is taken whose name fits
//! best (`source/common/listener_manager/filter_chain_manager_impl.cc`): the exact name, then the longest `*.suffix`,
//! then `*`. Without one the connection ends, as it does for Envoy, before anything is said.
//!
//! Names of ciphers are OpenSSL's, as Istio's `tls.cipherSuites` has them; [`CIPHERS`](ciphers) lists those that there
//! are. They choose for TLS 1.2 alone: Envoy leaves those of 1.3 to `BoringSSL`.

pub mod ciphers;
mod client;
mod forwarded;
mod name;

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use name::ServerName;

/// The certificate that a server shows, and its key.
#[derive(Clone)]
pub struct CertificatePem {
    /// The certificate and those above it, in this order.
    pub chain: Vec<u8>,
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: Vec<u8>,
}

impl fmt::Debug for CertificatePem {
    /// Shows nothing: a key is in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CertificatePem").finish_non_exhaustive()
    }
}

/// What is asked of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nothing: Istio's `SIMPLE`.
    #[default]
    None,
    /// A certificate may be shown, and then has to be good: Istio's `OPTIONAL_MUTUAL`.
    Optional(ClientTrust),
    /// A good certificate has to be shown: Istio's `MUTUAL`.
    Required(ClientTrust),
}

/// Which certificates of clients are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTrust {
    /// Who signs them, as PEM.
    pub authorities: Vec<u8>,
    /// DNS names or URIs, one of which has to be in the certificate; if there are none, any will do.
    pub subject_alt_names: Vec<String>,
}

/// A version of TLS. Older ones are not to be had from rustls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// One server of a listener.
#[derive(Clone, Debug)]
pub struct TlsServerConfig {
    /// The names that it has: `a.example`, `*.example`, or `*` for any, also for clients that name none.
    pub server_names: Vec<String>,
    /// Its certificates. The first that has the name the client asked for and that the client can check is shown;
    /// without such a one, the first that it can check.
    pub certificates: Vec<CertificatePem>,
    /// The oldest version.
    pub min: Version,
    /// The newest version.
    pub max: Version,
    /// Ciphers of TLS 1.2 by OpenSSL's names, the best first; if there are none, rustls's choice.
    pub cipher_suites: Vec<String>,
    /// What is asked of clients.
    pub clients: ClientCertificates,
    /// Protocols above TLS, the best first: `h2`, `http/1.1`.
    pub alpn: Vec<Vec<u8>>,
}

impl Default for TlsServerConfig {
    /// Any name, no certificate, TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1: Istio's defaults for a gateway.
    fn default() -> Self {
        Self {
            server_names: vec!["*".to_owned()],
            certificates: Vec::new(),
            min: Version::Tls12,
            max: Version::Tls13,
            cipher_suites: Vec::new(),
            clients: ClientCertificates::None,
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// What is wrong with a server's configuration. Its servers count from 1, in the order given, and so do certificates.
#[derive(Debug, Error)]
#[error("TLS server {server}: {problem}")]
pub struct TlsError {
    /// Which server it is.
    pub server: usize,
    /// What is wrong with it.
    pub problem: TlsProblem,
}

/// What is wrong with one server.
#[derive(Debug, Error)]
pub enum TlsProblem {
    /// Nothing to show.
    #[error("it has no certificate")]
    NoCertificate,
    /// The chain.
    #[error("certificate {0} cannot be read: {1}")]
    Certificate(usize, pem::Error),
    /// The chain has no PEM block that is a certificate.
    #[error("certificate {0} has no CERTIFICATE block")]
    NoChain(usize),
    /// The key.
    #[error("the key of certificate {0} cannot be read: {1}")]
    Key(usize, pem::Error),
    /// The key is of no kind that we can use.
    #[error("the key of certificate {0} cannot be used: {1}")]
    KeyKind(usize, rustls::Error),
    /// The certificate does not parse, or is not that of the key.
    #[error("certificate {0} and its key do not belong together: {1}")]
    Mismatch(usize, rustls::Error),
    /// The clients' authorities.
    #[error("the CA certificates for clients cannot be read: {0}")]
    Authorities(pem::Error),
    /// There are none, or one of them is none.
    #[error("the CA certificates for clients cannot be used: {0}")]
    Trust(String),
    /// Not one of [`ciphers`].
    #[error("there is no cipher suite {0:?} here")]
    Cipher(String),
    /// All others.
    #[error("{0}")]
    Other(rustls::Error),
}

/// What TLS found out about a client.
#[derive(Clone, Debug)]
pub struct Session {
    /// Which of the servers it is, from 0.
    pub server: usize,
    /// The name that the client asked for.
    pub server_name: Option<String>,
    /// The protocol that both chose.
    pub alpn: Option<Vec<u8>>,
    /// Who the client is, if it showed a certificate, which is then a good one.
    pub client_certificate: Option<ClientCertificate>,
}

/// A client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// As it is.
    pub der: Vec<u8>,
    /// URIs among its names: SPIFFE identities.
    pub uris: Vec<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// All that a gateway tells of it, as `x-forwarded-client-cert`.
    pub forwarded: String,
}

/// The TLS side of a listener.
#[derive(Debug)]
pub struct ServerTls {
    servers: Vec<(Vec<ServerName>, Arc<ServerConfig>)>,
}

impl ServerTls {
    /// A listener's servers.
    ///
    /// # Errors
    /// When one of them cannot be.
    pub fn new(servers: Vec<TlsServerConfig>) -> Result<Self, TlsError> {
        let servers = servers.into_iter().enumerate().map(|(index, server)| {
            let names = server.server_names.iter().map(|name| ServerName::new(name)).collect();
            let config = configure(server).map_err(|problem| TlsError { server: index + 1, problem })?;
            Ok((names, Arc::new(config)))
        });
        Ok(Self { servers: servers.collect::<Result<_, _>>()? })
    }

    /// Which server a client means that asks for `name`.
    pub fn choose(&self, name: Option<&str>) -> Option<usize> {
        let name = name.map(str::to_ascii_lowercase);
        let fits = self.servers.iter().enumerate().filter_map(|(index, (names, _))| {
            Some((names.iter().filter_map(|known| known.fit(name.as_deref())).max()?, index))
        });
        // Of two that fit alike the first.
        fits.reduce(|best, other| if other.0 > best.0 { other } else { best }).map(|(_, index)| index)
    }

    /// Shakes hands with a client; `None` when that failed, which concerns nobody but it.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<(TlsStream<TcpStream>, Session)> {
        let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let Ok(start) = (&mut acceptor).await else {
            acceptor.take_io().inspect(abandon);
            return None;
        };
        let server_name = start.client_hello().server_name().map(str::to_owned);
        let Some(server) = self.choose(server_name.as_deref()) else {
            abandon(&start.io);
            return None;
        };
        let stream: io::Result<_> = start.into_stream(Arc::clone(&self.servers[server].1)).await;
        let stream = stream.ok()?;
        let (_, state) = stream.get_ref();
        let certificate = state.peer_certificates().and_then(|chain| chain.first());
        let session = Session {
            server,
            server_name,
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
            client_certificate: certificate.map(client::describe),
        };
        Some((stream, session))
    }
}

/// Hangs up as one does who has not read what there is: Envoy only looks at the beginning of a connection to find out whom
/// it is for, and where that is nobody, the client sees it reset.
fn abandon(stream: &TcpStream) {
    // If it cannot be, the client sees an end.
    let _ = stream.set_zero_linger();
}

fn configure(server: TlsServerConfig) -> Result<ServerConfig, TlsProblem> {
    let mut provider = ring::default_provider();
    if !server.cipher_suites.is_empty() {
        provider.cipher_suites = ciphers::named(&server.cipher_suites).map_err(TlsProblem::Cipher)?;
    }
    let provider = Arc::new(provider);
    let versions: Vec<&'static SupportedProtocolVersion> =
        [(Version::Tls13, &version::TLS13), (Version::Tls12, &version::TLS12)]
            .into_iter()
            .filter(|(version, _)| (server.min..=server.max).contains(version))
            .map(|(_, version)| version)
            .collect();
    let certificates = read_certificates(&server.certificates, &provider)?;
    let verifier = client::verifier(server.clients, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(TlsProblem::Other)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Certificates(certificates)));
    config.alpn_protocols = server.alpn;
    // A second life of a session would be checked no more, and a client's certificate may be gone by then.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn read_certificates(
    certificates: &[CertificatePem],
    provider: &CryptoProvider,
) -> Result<Vec<Certificate>, TlsProblem> {
    if certificates.is_empty() {
        return Err(TlsProblem::NoCertificate);
    }
    let read = |(index, pem): (usize, &CertificatePem)| {
        let number = index + 1;
        let chain = CertificateDer::pem_slice_iter(&pem.chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| TlsProblem::Certificate(number, error))?;
        let first = chain.first().ok_or(TlsProblem::NoChain(number))?;
        let names = client::describe(first).dns_names.iter().map(|name| ServerName::new(name)).collect();
        let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|error| TlsProblem::Key(number, error))?;
        let key = provider.key_provider.load_private_key(key).map_err(|error| TlsProblem::KeyKind(number, error))?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|error| TlsProblem::Mismatch(number, error))?;
        Ok(Certificate { names, key: Arc::new(key) })
    };
    certificates.iter().enumerate().map(read).collect()
}

#[derive(Debug)]
struct Certificate {
    names: Vec<ServerName>,
    key: Arc<CertifiedKey>,
}

/// Chooses among a server's certificates.
#[derive(Debug)]
struct Certificates(Vec<Certificate>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = || self.0.iter().filter(|one| one.key.key.choose_scheme(hello.signature_schemes()).is_some());
        let name = hello.server_name();
        let named = usable().find(|one| name.is_some() && one.names.iter().any(|known| known.fit(name).is_some()));
        named.or_else(|| usable().next()).map(|one| Arc::clone(&one.key))
    }
}
