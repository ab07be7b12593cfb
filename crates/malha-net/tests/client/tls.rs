//! TLS: whom the client believes, what it shows of itself, and how a failure is told.

use std::net::SocketAddr;
use std::sync::Arc;

use malha_net::client::{
    Cause, Client, ClientTls, Identity, Protocol, Reason, SendError, SendOptions, Target, TlsClientConfig,
};
use malha_world::Clock;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::support::{get, request, server, target};

/// Wall time of these tests: 2026, within the life of the certificates.
const NOW: u64 = 1_780_000_000;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(authority: &Authority, names: &[SanType]) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names.to_vec();
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// Answers one request with the protocol that was agreed on and the number of certificates that the client showed.
async fn secure(authority: &Authority, names: &[SanType], clients: Option<&Authority>) -> SocketAddr {
    let (certificate, key) = certificate(authority, names);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = match clients {
        None => builder.unwrap().with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.unwrap().with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    server(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let (_, session) = stream.get_ref();
            let protocol = String::from_utf8_lossy(session.alpn_protocol().unwrap_or(b"none")).into_owned();
            let shown = session.peer_certificates().map_or(0, <[_]>::len);
            let answer = format!("{protocol} {shown}");
            let mut head = [0; 1024];
            if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.read(&mut head).await;
            }
        }
    })
    .await
}

fn trusting(authority: &Authority) -> TlsClientConfig {
    TlsClientConfig {
        server_name: Some("good.example".into()),
        authorities: Some(authority.pem().into_bytes()),
        ..TlsClientConfig::default()
    }
}

fn to(address: SocketAddr, config: &TlsClientConfig) -> Arc<Target> {
    target(address, Protocol::Http1, Some(ClientTls::new(config, Clock::anchored(NOW)).unwrap()))
}

async fn answer(address: SocketAddr, config: &TlsClientConfig) -> Result<String, SendError> {
    get(&Client::new(), &to(address, config)).await
}

#[tokio::test]
async fn the_names_of_a_certificate_decide_as_with_envoy() {
    let authority = authority("ours");
    let names = [dns("good.example"), dns("*.wild.example"), SanType::URI("spiffe://td/ns/a/sa/b".try_into().unwrap())];
    let address = secure(&authority, &names, None).await;
    let ip = secure(&authority, &[SanType::IpAddress([127, 0, 0, 1].into())], None).await;
    for (address, server_name, names, good) in [
        (address, Some("good.example"), &[][..], true),
        (address, Some("a.wild.example"), &[], true),
        (address, Some("bad.example"), &[], false),
        // Without a server name it is the host's.
        (address, None, &[], false),
        (ip, None, &[], true),
        // With names, the server name is what is asked for, not what is checked.
        (address, Some("bad.example"), &["good.example"], true),
        (address, Some("bad.example"), &["other.example", "b.wild.example"], true),
        (address, Some("bad.example"), &["spiffe://td/ns/a/sa/b"], true),
        (address, Some("good.example"), &["spiffe://td/ns/a/sa/c"], false),
        (address, Some("good.example"), &["bad.example"], false),
        (ip, Some("good.example"), &["127.0.0.1"], true),
    ] {
        let config = TlsClientConfig {
            server_name: server_name.map(Into::into),
            subject_alt_names: names.iter().map(|&name| name.to_owned()).collect(),
            ..trusting(&authority)
        };
        let answer = answer(address, &config).await;
        assert_eq!(answer.is_ok(), good, "{server_name:?} {names:?}: {answer:?}");
        if let Err(error) = answer {
            assert_eq!((error.reason, error.cause), (Reason::RemoteConnectionFailure, Cause::Tls));
            let want = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert \
                        failed: SAN matcher, certificate SANs are [good.example, *.wild.example, \
                        spiffe://td/ns/a/sa/b]:TLS_error_end";
            assert_eq!(error.transport_failure.as_deref(), Some(want));
        }
    }
}

#[tokio::test]
async fn whom_nobody_vouches_for_is_believed_only_by_the_insecure() {
    let authority = authority("ours");
    let address = secure(&self::authority("other"), &[dns("good.example")], None).await;
    let error = answer(address, &trusting(&authority)).await.unwrap_err();
    assert_eq!((error.reason, error.cause, error.sent), (Reason::RemoteConnectionFailure, Cause::Tls, false));
    let text = error.transport_failure.unwrap();
    assert!(text.contains("unable to get local issuer certificate"), "{text}");

    let insecure = TlsClientConfig { insecure: true, ..trusting(&authority) };
    assert_eq!(answer(address, &insecure).await.unwrap(), "none 0");
}

#[tokio::test]
async fn certificates_are_valid_by_the_clock_that_is_given() {
    let authority = authority("ours");
    let address = secure(&authority, &[dns("good.example")], None).await;
    for (now, good) in [(NOW, true), (1_900_000_000, false)] {
        let tls = ClientTls::new(&trusting(&authority), Clock::anchored(now)).unwrap();
        let answer = get(&Client::new(), &target(address, Protocol::Http1, Some(tls))).await;
        assert_eq!(answer.is_ok(), good);
        if let Err(error) = answer {
            assert!(error.transport_failure.unwrap().contains("certificate has expired"));
        }
    }
}

#[tokio::test]
async fn the_own_certificate_is_shown_where_it_is_asked_for() {
    let authority = authority("ours");
    let address = secure(&authority, &[dns("good.example")], Some(&authority)).await;
    let (certificate, key) = certificate(&authority, &[]);
    let identity = Identity { chain: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() };
    let mutual = TlsClientConfig { identity: Some(identity), ..trusting(&authority) };
    assert_eq!(answer(address, &mutual).await.unwrap(), "none 1");

    // TLS 1.3 tells only after the handshake.
    let error = answer(address, &trusting(&authority)).await.unwrap_err();
    assert_eq!((error.reason, error.cause), (Reason::ConnectionTermination, Cause::Tls), "{error}");
    let text = error.transport_failure.unwrap();
    assert!(text.contains("CERTIFICATE_REQUIRED"), "{text}");
}

#[tokio::test]
async fn the_protocols_that_are_offered_are_agreed_on() {
    let authority = authority("ours");
    let address = secure(&authority, &[dns("good.example")], None).await;
    let config = TlsClientConfig { alpn: vec![b"http/1.1".to_vec()], ..trusting(&authority) };
    assert_eq!(answer(address, &config).await.unwrap(), "http/1.1 0");
}

#[tokio::test]
async fn targets_of_the_same_tls_share_connections_and_others_do_not() {
    let authority = authority("ours");
    let address = secure(&authority, &[dns("good.example")], None).await;
    let client = Client::new();
    let secured = to(address, &trusting(&authority));
    for target in [&secured, &Arc::new(Target::clone(&secured)), &to(address, &trusting(&authority))] {
        get(&client, target).await.unwrap_or_default();
    }
    assert_eq!(client.targets(), 2);
}

#[tokio::test]
async fn a_plain_server_is_told_apart() {
    let address = server(|_, mut stream| async move {
        let mut hello = [0; 64];
        let _ = stream.read(&mut hello).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let error = answer(address, &trusting(&authority("ours"))).await.unwrap_err();
    assert_eq!((error.reason, error.cause), (Reason::RemoteConnectionFailure, Cause::Tls));
    let want = "TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end";
    assert_eq!(error.transport_failure.as_deref(), Some(want));
}

#[tokio::test]
async fn a_server_that_hangs_up_is_told_apart() {
    let address = server(|_, mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let error = answer(address, &trusting(&authority("ours"))).await.unwrap_err();
    assert_eq!((error.reason, error.cause), (Reason::RemoteConnectionFailure, Cause::Terminated), "{error}");
    let want = "TLS_error:|33554536:system library:OPENSSL_internal:Connection reset by peer:TLS_error_end";
    assert_eq!(error.transport_failure.as_deref(), Some(want));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_is_a_connect_timeout() {
    let address = server(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let error = Client::new()
        .send(&to(address, &trusting(&authority("ours"))), request(), &SendOptions::default())
        .await
        .unwrap_err();
    assert_eq!((error.reason, error.cause, error.sent), (Reason::ConnectionTimeout, Cause::TimedOut, false));
    assert_eq!(error.transport_failure, None);
}
