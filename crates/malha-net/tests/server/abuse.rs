//! Clients that are slow, endless, or gone; and that others do not notice them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use malha_net::server::{Connection, Server, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::{connect, last, read, serves, start};

#[tokio::test]
async fn a_head_that_takes_too_long_is_answered_with_408() {
    let server = start().await;
    for begun in [&b"GET / HTTP/1.1\r\nhost: a\r\n"[..], b"G"] {
        let mut client = connect(server.address()).await;
        client.write_all(begun).await.unwrap();
        // Real time, until the server has it; then time goes by as nobody does anything.
        tokio::task::yield_now().await;
        tokio::time::pause();
        let before = Instant::now();
        let got = read(&mut client).await;
        assert_eq!(last(&got), ("408 Request Timeout", "request header timeout"), "{begun:?}");
        let took = before.elapsed();
        let limit = limits::HEAD_TIME + limits::LINGER_TIME;
        assert!(took <= limit + Duration::from_secs(1), "{took:?}");
        tokio::time::resume();
        assert!(serves(server.address()).await);
    }
}

#[tokio::test]
async fn drops_of_a_head_do_not_stretch_its_time() {
    let server = start().await;
    let mut client = connect(server.address()).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    tokio::time::pause();
    let before = Instant::now();
    let (mut reading, mut writing) = client.into_split();
    let drops = async {
        loop {
            tokio::time::sleep(Duration::from_secs(7)).await;
            if writing.write_all(b"x: y\r\n").await.is_err() {
                return;
            }
        }
    };
    let mut got = String::new();
    tokio::select! {
        _ = reading.read_to_string(&mut got) => {}
        () = drops => {}
    }
    assert!(got.is_empty() || last(&got).0 == "408 Request Timeout", "{got}");
    assert!(before.elapsed() <= limits::HEAD_TIME + Duration::from_secs(20), "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_connection_without_requests_ends_after_an_hour() {
    let server = start().await;
    // None yet, and none any more.
    for begun in [&b""[..], b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut client = connect(server.address()).await;
        client.write_all(begun).await.unwrap();
        if !begun.is_empty() {
            client.readable().await.unwrap();
        }
        tokio::time::pause();
        let before = Instant::now();
        let got = read(&mut client).await;
        assert_eq!(got.is_empty(), begun.is_empty());
        let took = before.elapsed();
        assert!(took > limits::IDLE_TIME / 2 && took <= limits::IDLE_TIME + Duration::from_mins(1), "{took:?}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_taken_in() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answer = |request: Request<Incoming>, _: Arc<Connection>| async move {
        // Holds the body without reading it.
        let _body = request.into_body();
        std::future::pending::<Option<Response<Full<Bytes>>>>().await
    };
    let server = Server::start(socket, || None, answer).unwrap();
    let mut client = connect(server.address()).await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b'a'; 0x10000], b"\r\n".to_vec()].concat();
    let mut taken = 0;
    // Once the system's buffers are full nothing moves, and the clock runs on.
    tokio::time::pause();
    while let Ok(written) = tokio::time::timeout(Duration::from_secs(1), client.write_all(&chunk)).await {
        written.unwrap();
        taken += chunk.len();
        assert!(taken < 64 << 20, "it takes in everything");
    }
}

#[tokio::test]
async fn an_endless_body_passes_by_piece_and_is_not_kept() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answer = |request: Request<Incoming>, _: Arc<Connection>| async move {
        let mut body = request.into_body();
        let mut size = 0;
        while let Some(Ok(frame)) = body.frame().await {
            size += frame.data_ref().map_or(0, Bytes::len);
        }
        Some(Response::new(Full::<Bytes>::from(size.to_string())))
    };
    let server = Server::start(socket, || None, answer).unwrap();
    let mut client = connect(server.address()).await;
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    client.write_all(head).await.unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b'a'; 0x10000], b"\r\n".to_vec()].concat();
    for _ in 0..1024 {
        client.write_all(&chunk).await.unwrap();
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(last(&read(&mut client).await), ("200 OK", "67108864"));
}

#[tokio::test]
async fn a_client_that_leaves_half_way_is_not_answered() {
    let server = start().await;
    for text in
        ["GET / HTTP/1.1\r\nhost: a\r\n", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab", "PRI * HT", ""]
    {
        let mut client = connect(server.address()).await;
        client.write_all(text.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let got = read(&mut client).await;
        assert!(!got.contains("200"), "{text:?}: {got}");
    }
    assert!(serves(server.address()).await);
}

#[tokio::test]
async fn no_answer_cuts_the_connection() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answer = |_, _| async { None::<Response<Full<Bytes>>> };
    let server = Server::start(socket, || None, answer).unwrap();
    let get = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(super::ask(server.address(), get).await, "");
    let mut client = super::frames::Client::new(connect(server.address()).await);
    client.send(&super::frames::opening(&super::frames::headers(1, super::frames::GET))).await;
    let got = client.until_end().await;
    assert!(got.iter().all(|frame| frame.kind != super::frames::HEADERS), "{got:?}");
}

#[tokio::test]
async fn who_calls_is_known() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answer = |_, connection: Arc<Connection>| async move {
        let text = format!("{} {} {}", connection.client, connection.local, connection.tls.is_some());
        Some(Response::new(Full::<Bytes>::from(text)))
    };
    let server = Server::start(socket, || None, answer).unwrap();
    let mut client = connect(server.address()).await;
    let own = client.local_addr().unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let got = read(&mut client).await;
    assert_eq!(last(&got).1, format!("{own} {} false", server.address()));
}
