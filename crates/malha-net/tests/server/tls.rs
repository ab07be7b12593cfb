//! TLS: which server answers, with which certificate, and which clients it lets in.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use malha_net::server::tls::{CertificatePem, ClientCertificates, ClientTrust, ServerTls, TlsServerConfig, Version};
use malha_net::server::{Connection, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::{connect, last, serves};

/// Who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn sign(&self, names: &[&str]) -> CertificatePem {
        self.sign_until(names, 4096)
    }

    /// A certificate with these names; those with a scheme are URIs.
    fn sign_until(&self, names: &[&str], year: i32) -> CertificatePem {
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names = names
            .iter()
            .map(|name| {
                let text = (*name).try_into().unwrap();
                if name.contains("://") { SanType::URI(text) } else { SanType::DnsName(text) }
            })
            .collect();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        CertificatePem { chain: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() }
    }
}

fn server(names: &[&str], certificate: CertificatePem) -> TlsServerConfig {
    TlsServerConfig {
        server_names: names.iter().map(|name| (*name).to_owned()).collect(),
        certificates: vec![certificate],
        ..TlsServerConfig::default()
    }
}

/// Says what is known of the connection: server, name, protocol, and the client's names.
async fn start(servers: Vec<TlsServerConfig>) -> Server {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = Arc::new(ServerTls::new(servers).unwrap());
    let answer = |_, connection: Arc<Connection>| async move {
        let session = connection.tls.clone().unwrap();
        let names = session.client_certificate.map(|client| [client.uris, client.dns_names].concat().join("+"));
        let alpn = String::from_utf8(session.alpn.unwrap_or_default()).unwrap();
        let name = session.server_name.unwrap_or_default();
        let text = format!("{} {name} {alpn} {}", session.server, names.unwrap_or_default());
        Some(Response::new(Full::<Bytes>::from(text)))
    };
    Server::start(socket, move || Some(Arc::clone(&tls)), answer).unwrap()
}

fn client(authority: &Authority, own: Option<CertificatePem>, alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(&own.chain).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&own.key).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

/// What the server answers to a client that asks for `name`; `None` if the two do not come together.
async fn call(address: SocketAddr, config: ClientConfig, name: &str) -> Option<String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, connect(address).await).await.ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.ok()?;
    let mut text = String::new();
    // With TLS 1.3 a client learns only now that it was not let in.
    stream.read_to_string(&mut text).await.ok()?;
    let (status, body) = last(&text);
    (status == "200 OK").then(|| body.to_owned())
}

#[tokio::test]
async fn the_server_whose_name_fits_best_answers() {
    let authority = Authority::new();
    let names = ["a.test", "x.b.test", "y.x.b.test", "*.c.test"];
    let any = || authority.sign(&["*.test", "*.b.test", "*.x.b.test", "*.c.test", "a.c.test"]);
    let server = start(vec![
        server(&["*.b.test"], any()),
        server(&["*.x.b.test"], any()),
        server(&["a.test", "A.C.test"], authority.sign(&names)),
        server(&["*.c.test"], any()),
    ])
    .await;
    for (name, want) in [
        ("a.test", Some("2 a.test  ")),
        ("x.b.test", Some("0 x.b.test  ")),
        ("y.x.b.test", Some("1 y.x.b.test  ")),
        ("b.c.test", Some("3 b.c.test  ")),
        ("b.test", None),
        ("z.test", None),
    ] {
        let got = call(server.address(), client(&authority, None, &[]), name).await;
        assert_eq!(got.as_deref(), want, "{name}");
    }
}

#[test]
fn a_client_that_names_no_server_gets_the_one_for_all() {
    let authority = Authority::new();
    let certificate = || authority.sign(&["a.test"]);
    let with = ServerTls::new(vec![server(&["a.test"], certificate()), server(&["*"], certificate())]).unwrap();
    let without = ServerTls::new(vec![server(&["a.test", "*.test"], certificate())]).unwrap();
    for (name, want, want_without) in [
        (None, Some(1), None),
        (Some("A.test"), Some(0), Some(0)),
        (Some("b.test"), Some(1), Some(0)),
        (Some("test"), Some(1), None),
    ] {
        assert_eq!((with.choose(name), without.choose(name)), (want, want_without), "{name:?}");
    }
}

#[tokio::test]
async fn of_several_certificates_the_one_with_the_name_is_shown() {
    let authority = Authority::new();
    let mut config = server(&["*"], authority.sign(&["a.test"]));
    config.certificates.push(authority.sign(&["b.test"]));
    let server = start(vec![config]).await;
    for (name, want) in [("a.test", true), ("b.test", true), ("c.test", false)] {
        let got = call(server.address(), client(&authority, None, &[]), name).await;
        assert_eq!(got.is_some(), want, "{name}: {got:?}");
    }
}

#[tokio::test]
async fn a_client_has_to_show_a_good_certificate_where_it_is_asked_for() {
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let trust = |names: &[&str]| ClientTrust {
        authorities: clients.pem(),
        subject_alt_names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let me = "spiffe://cluster.local/ns/default/sa/me";
    for (what, asked, own, want) in [
        ("not asked for", ClientCertificates::None, Some(clients.sign(&[me])), Some("")),
        ("optional, none", ClientCertificates::Optional(trust(&[])), None, Some("")),
        ("optional, good", ClientCertificates::Optional(trust(&[])), Some(clients.sign(&[me])), Some(me)),
        ("optional, wrong CA", ClientCertificates::Optional(trust(&[])), Some(stranger.sign(&[me])), None),
        ("required, none", ClientCertificates::Required(trust(&[])), None, None),
        ("required, good", ClientCertificates::Required(trust(&[])), Some(clients.sign(&["c.test"])), Some("c.test")),
        ("required, wrong CA", ClientCertificates::Required(trust(&[])), Some(stranger.sign(&[me])), None),
        ("required, expired", ClientCertificates::Required(trust(&[])), Some(clients.sign_until(&[me], 2020)), None),
        ("required, by name", ClientCertificates::Required(trust(&["x", me])), Some(clients.sign(&[me])), Some(me)),
        ("required, other name", ClientCertificates::Required(trust(&["x"])), Some(clients.sign(&[me])), None),
    ] {
        let mut config = server(&["a.test"], authority.sign(&["a.test"]));
        config.clients = asked;
        let server = start(vec![config]).await;
        let got = call(server.address(), client(&authority, own, &[]), "a.test").await;
        assert_eq!(got, want.map(|names| format!("0 a.test  {names}")), "{what}");
    }
}

#[tokio::test]
async fn the_protocol_above_is_the_one_that_both_chose() {
    let authority = Authority::new();
    let server = start(vec![server(&["*"], authority.sign(&["a.test"]))]).await;
    let got = call(server.address(), client(&authority, None, &[b"http/1.1"]), "a.test").await;
    assert_eq!(got.as_deref(), Some("0 a.test http/1.1 "));

    let name = ServerName::try_from("a.test").unwrap();
    let connector = TlsConnector::from(Arc::new(client(&authority, None, &[b"h2", b"http/1.1"])));
    let mut stream = connector.connect(name, connect(server.address()).await).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream.write_all(&super::frames::opening(&super::frames::headers(1, super::frames::GET))).await.unwrap();
    let mut bytes = vec![0; 4096];
    let mut got = Vec::new();
    while !got.windows(12).any(|part| part == b"0 a.test h2 ") {
        let some = stream.read(&mut bytes).await.unwrap();
        assert!(some > 0, "{got:?}");
        got.extend_from_slice(&bytes[..some]);
    }
}

#[tokio::test]
async fn versions_and_ciphers_are_those_that_were_asked_for() {
    let authority = Authority::new();
    for (min, max, ciphers, want) in [
        (
            Version::Tls12,
            Version::Tls12,
            &["ECDHE-ECDSA-AES256-GCM-SHA384"][..],
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ),
        (Version::Tls13, Version::Tls13, &["ECDHE-ECDSA-AES256-GCM-SHA384"], "TLS13_AES_256_GCM_SHA384"),
        (Version::Tls12, Version::Tls13, &[], "TLS13_AES_256_GCM_SHA384"),
    ] {
        let mut config = server(&["*"], authority.sign(&["a.test"]));
        (config.min, config.max) = (min, max);
        config.cipher_suites = ciphers.iter().map(|name| (*name).to_owned()).collect();
        let server = start(vec![config]).await;
        let connector = TlsConnector::from(Arc::new(client(&authority, None, &[])));
        let name = ServerName::try_from("a.test").unwrap();
        let stream = connector.connect(name, connect(server.address()).await).await.unwrap();
        let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(format!("{suite:?}"), want);
    }
}

#[test]
fn what_is_wrong_with_a_configuration_is_named() {
    let authority = Authority::new();
    let good = || authority.sign(&["a.test"]);
    let broken = |change: &dyn Fn(&mut TlsServerConfig)| {
        let mut config = server(&["a.test"], good());
        change(&mut config);
        ServerTls::new(vec![server(&["*"], good()), config]).unwrap_err().to_string()
    };
    for (got, want) in [
        (broken(&|config| config.certificates.clear()), "TLS server 2: it has no certificate"),
        (
            broken(&|config| config.certificates[0].chain = b"no PEM".to_vec()),
            "TLS server 2: certificate 1 has no CERTIFICATE block",
        ),
        (
            broken(&|config| config.certificates[0].key = good().key),
            "TLS server 2: certificate 1 and its key do not belong together",
        ),
        (broken(&|config| config.certificates[0].key.clear()), "TLS server 2: the key of certificate 1 cannot be read"),
        (
            broken(&|config| config.cipher_suites = vec!["AES128-SHA".to_owned()]),
            "TLS server 2: there is no cipher suite \"AES128-SHA\" here",
        ),
        (
            broken(&|config| config.clients = ClientCertificates::Required(ClientTrust::default())),
            "TLS server 2: the CA certificates for clients cannot be used",
        ),
    ] {
        assert!(got.starts_with(want), "{got:?}, not {want:?}");
    }
}

#[tokio::test]
async fn text_and_silence_where_tls_is_meant_concern_nobody_else() {
    let authority = Authority::new();
    let server = start(vec![server(&["*"], authority.sign(&["a.test"]))]).await;
    assert!(!serves(server.address()).await);
    let mut silent = connect(server.address()).await;
    silent.write_all(b"\x16\x03").await.unwrap();
    assert!(call(server.address(), client(&authority, None, &[]), "a.test").await.is_some());
    // 15 seconds go by.
    tokio::time::pause();
    super::read(&mut silent).await;
}
