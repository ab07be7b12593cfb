//! Who gets in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use malha_world::World;

use super::harness::Harness;

#[tokio::test]
async fn a_request_without_the_token_is_nobodys() {
    let harness = Harness::new();
    for path in ["/api/v1/pods", "/healthz", "/version", "/openapi/v2", "/nowhere"] {
        let request = Request::get(path).header("host", "localhost").body(Full::<Bytes>::default()).unwrap();
        let answer = harness.send(request).await;
        assert_eq!(answer.failure(), (401, "Unauthorized".to_owned(), "Unauthorized".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_web_page_gets_nowhere_even_with_the_token() {
    let harness = Harness::new();
    for (name, value) in [("origin", "https://malha.example"), ("host", "malha.example")] {
        let mut request = harness.request(Method::GET, "/api/v1/pods").body(Full::<Bytes>::default()).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let (code, reason, _) = harness.send(request).await.failure();
        assert_eq!((code, reason.as_str()), (403, "Forbidden"), "{name}");
    }
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let harness = Harness::new();
    let body = "x".repeat((3 << 20) + 1);
    let answer = harness.write(Method::POST, "/api/v1/namespaces", "application/json", body).await;
    assert_eq!(answer.failure().0, 413);
}

#[tokio::test]
async fn paths_that_lead_nowhere_say_so_in_a_status() {
    let harness = Harness::new();
    for path in [
        "/nowhere",
        "/api/v1/jobs",
        "/apis/batch/v1/namespaces/default/jobs",
        "/api/v1/namespaces/default/pods/a/nothing",
    ] {
        let (code, reason, message) = harness.get(path).await.failure();
        assert_eq!((code, reason.as_str()), (404, "NotFound"), "{path}");
        assert_eq!(message, "the server could not find the requested resource");
    }
    assert_eq!(harness.delete("/api/v1/namespaces").await.failure().0, 405);
    assert_eq!(harness.get("/healthz").await.text, "ok");
    assert_eq!(harness.get("/readyz?verbose").await.text, "[+]ping ok\nreadyz check passed\n");
}

/// The certificate of a kubeconfig.
fn authority(config: &str) -> RootCertStore {
    use base64::Engine as _;
    let text = config.lines().find_map(|line| line.trim().strip_prefix("certificate-authority-data: ")).unwrap();
    let pem = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    roots
}

#[tokio::test]
async fn over_tls_it_speaks_both_versions_of_http_and_ends_watches_when_it_drains() {
    let harness = Harness::of(World::real());
    let running = harness.api.serve(TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap();
    let address = running.address();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority(&harness.credentials.kubeconfig(address)))
        .with_no_client_auth();
    for name in ["127.0.0.1", "localhost"] {
        for alpn in [&b"h2"[..], b"http/1.1"] {
            config.alpn_protocols = vec![alpn.to_vec()];
            let stream = TcpStream::connect(address).await.unwrap();
            let server = ServerName::try_from(name).unwrap();
            let stream = TlsConnector::from(Arc::new(config.clone())).connect(server, stream).await.unwrap();
            let request = |path: &str| {
                let uri = format!("https://{name}:{}{path}", address.port());
                let uri = if alpn == b"h2" { uri } else { path.to_owned() };
                let request = Request::get(uri).header("authorization", format!("Bearer {}", harness.token));
                request.header("host", name).body(Empty::<Bytes>::new()).unwrap()
            };
            let io = TokioIo::new(stream);
            let body = if alpn == b"h2" {
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request("/healthz")).await.unwrap().into_body()
            } else {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request("/healthz")).await.unwrap().into_body()
            };
            assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
        }
    }
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let server = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(server, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/api/v1/pods?watch=1&resourceVersion=1").header("host", "127.0.0.1");
    let request = request.header("authorization", format!("Bearer {}", harness.token)).body(Empty::<Bytes>::new());
    let watch = sender.send_request(request.unwrap()).await.unwrap().into_body();
    let (body, ()) = tokio::join!(watch.collect(), running.drain(Duration::from_mins(1)));
    assert_eq!(body.unwrap().to_bytes(), "");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn it_listens_on_loopback_alone() {
    let harness = Harness::new();
    let socket = TcpListener::bind("0.0.0.0:0").await.unwrap();
    assert!(harness.api.serve(socket).is_err());
}
