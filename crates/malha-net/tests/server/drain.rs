//! How a server ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use malha_net::server::Server;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::frames::{self, GET};
use super::{connect, read};

const GRACE: Duration = Duration::from_secs(30);

/// A server whose only request is under way, and what lets that one end.
async fn busy(request: &[u8]) -> (Server, TcpStream, Arc<Notify>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (Arc::clone(&begun), Arc::clone(&end));
    let answer = move |_, _| {
        let (begins, ends) = (Arc::clone(&begins), Arc::clone(&ends));
        async move {
            begins.notify_one();
            ends.notified().await;
            Some(Response::new(Full::<Bytes>::default()))
        }
    };
    let server = Server::start(socket, || None, answer).unwrap();
    let mut client = connect(server.address()).await;
    client.write_all(request).await.unwrap();
    begun.notified().await;
    (server, client, end)
}

const HTTP1: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_request_that_outlives_the_grace_is_cut() {
    for request in [HTTP1.to_vec(), frames::opening(&frames::headers(1, GET))] {
        let (server, mut client, end) = busy(&request).await;
        tokio::time::pause();
        assert!(!server.drain(GRACE).await);
        assert_eq!(Arc::strong_count(&end), 1, "nobody serves it any more");
        tokio::time::resume();
        assert!(!read(&mut client).await.contains("HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_request_that_ends_within_the_grace_is_answered() {
    let (server, mut client, end) = busy(HTTP1).await;
    let (drained, ()) = tokio::join!(server.drain(GRACE), async { end.notify_one() });
    assert!(drained);
    assert!(read(&mut client).await.starts_with("HTTP/1.1 200"));

    let (server, client, end) = busy(&frames::opening(&frames::headers(1, GET))).await;
    let mut client = frames::Client::new(client);
    let client = async {
        end.notify_one();
        client.until_end().await
    };
    let (drained, got) = tokio::join!(server.drain(GRACE), client);
    assert!(drained);
    assert!(got.iter().any(|frame| frame.kind == frames::HEADERS && frame.payload[0] == 0x88), "{got:?}");
}

#[tokio::test]
async fn connections_without_a_request_do_not_hold_up_a_drain() {
    let server = super::start().await;
    let mut fresh = connect(server.address()).await;
    let mut begun = connect(server.address()).await;
    begun.write_all(b"GET / HT").await.unwrap();
    let mut used = connect(server.address()).await;
    used.write_all(HTTP1).await.unwrap();
    used.readable().await.unwrap();
    assert!(server.drain(Duration::from_secs(5)).await);
    assert_eq!(read(&mut fresh).await, "");
    assert_eq!(read(&mut begun).await, "");
    assert!(read(&mut used).await.starts_with("HTTP/1.1 200"));
}
