//! HTTP/2: streams share a connection, and a second one is made when the first is full.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use malha_net::client::{Client, Protocol, Reason, SendOptions, Target};
use tokio::net::TcpStream;
use tokio::sync::{Barrier, Notify};

use crate::support::{Body, get, get_with, head, nobody, request, server, settle, target, text, write};

fn http2(address: SocketAddr) -> Arc<Target> {
    target(address, Protocol::Http2, None)
}

/// Answers with the connection's number, what was asked for, and its body; at `/together` only when two are there.
async fn numbering(streams: u32) -> SocketAddr {
    let barrier = Arc::new(Barrier::new(2));
    server(move |number, stream| {
        let barrier = Arc::clone(&barrier);
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let barrier = Arc::clone(&barrier);
                async move {
                    if request.uri().path() == "/together" {
                        barrier.wait().await;
                    }
                    let uri = request.uri().clone();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let answer = format!("{number} {uri} {}", String::from_utf8_lossy(&body));
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(answer)))
                }
            });
            let connection = http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(streams)
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        }
    })
    .await
}

/// Does with each stream's answer what it is told to.
async fn answering(answer: impl Fn(h2::server::SendResponse<Bytes>) + Copy + Send + Sync + 'static) -> SocketAddr {
    server(move |_, stream: TcpStream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, respond))) = connection.accept().await {
            answer(respond);
        }
    })
    .await
}

#[tokio::test]
async fn streams_share_a_connection() {
    let (client, target) = (Client::new(), http2(numbering(100).await));
    for _ in 0..2 {
        let send = || {
            let request = Request::get("http://host/together").body(Body::none()).unwrap();
            async { text(client.send(&target, request, &SendOptions::default()).await.unwrap()).await }
        };
        let (first, second) = tokio::join!(send(), send());
        assert_eq!(first, "0 http://host/together ");
        assert_eq!(second, first);
    }
    assert_eq!(client.idle(), 1);
}

#[tokio::test]
async fn bodies_go_both_ways() {
    let (client, target) = (Client::new(), http2(numbering(100).await));
    let (feed, body) = Body::new();
    feed.send(Ok("ping".into())).unwrap();
    drop(feed);
    let request = Request::post("/path").header("host", "other:81").body(body).unwrap();
    let response = client.send(&target, request, &SendOptions::default()).await.unwrap();
    assert_eq!(text(response).await, "0 http://other:81/path ping");
}

#[tokio::test]
async fn a_connection_that_is_full_gets_a_second_one_beside_it() {
    let (client, target) = (Client::new(), http2(numbering(1).await));
    // The other side's limit is known once it has answered.
    assert_eq!(get(&client, &target).await.unwrap(), "0 http://host/path?query ");
    let send = || {
        let request = Request::get("http://host/together").body(Body::none()).unwrap();
        async { text(client.send(&target, request, &SendOptions::default()).await.unwrap()).await }
    };
    let (first, second) = tokio::join!(send(), send());
    let mut numbers = [&first[..1], &second[..1]];
    numbers.sort_unstable();
    assert_eq!(numbers, ["0", "1"]);
}

#[tokio::test]
async fn a_connection_takes_as_many_requests_as_it_may() {
    let (client, target) = (Client::new(), http2(numbering(100).await));
    let options = SendOptions { requests_per_connection: 2, ..SendOptions::default() };
    let mut numbers = String::new();
    for _ in 0..5 {
        numbers.push_str(&get_with(&client, &target, &options).await.unwrap()[..1]);
    }
    assert_eq!(numbers, "00112");
}

#[tokio::test]
async fn those_who_wait_for_a_connection_share_its_fate() {
    let (client, target) = (Client::new(), http2(nobody().await));
    let (first, second) = tokio::join!(get(&client, &target), get(&client, &target));
    assert_eq!(first.clone().unwrap_err().reason, Reason::RemoteConnectionFailure);
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_connection_that_nobody_waited_for_to_the_end_is_made_anew() {
    let asked = Arc::new(Notify::new());
    let ask = Arc::clone(&asked);
    let address = numbering(100).await;
    let first = std::sync::atomic::AtomicBool::new(true);
    let client = Client::with_lookup(Box::new(move |_| {
        let stall = first.swap(false, std::sync::atomic::Ordering::Relaxed);
        let ask = Arc::clone(&ask);
        Box::pin(async move {
            ask.notify_one();
            if stall {
                std::future::pending::<()>().await;
            }
            Ok(vec![address.ip()])
        })
    }));
    let target = Arc::new(Target { host: "name".into(), ..(*http2(address)).clone() });
    tokio::select! {
        _ = get(&client, &target) => panic!("the name has no address yet"),
        () = asked.notified() => {}
    }
    assert_eq!(get(&client, &target).await.unwrap(), "0 http://host/path?query ");
}

#[tokio::test]
async fn a_stream_that_is_reset_is_told_in_envoys_terms() {
    let options = SendOptions::default();
    for (address, want) in [
        (
            answering(|mut respond| respond.send_reset(h2::Reason::REFUSED_STREAM)).await,
            Reason::RemoteRefusedStreamReset,
        ),
        (answering(|mut respond| respond.send_reset(h2::Reason::INTERNAL_ERROR)).await, Reason::RemoteReset),
    ] {
        let client = Client::new();
        let error = client.send(&http2(address), request(), &options).await.unwrap_err();
        assert_eq!((error.reason, error.sent), (want, true), "{error}");
        assert_eq!(client.idle(), 1, "its neighbours are not concerned");
    }
}

#[tokio::test]
async fn what_is_no_http_2_is_told_in_envoys_terms() {
    for (answer, want) in [
        ("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Reason::ProtocolError),
        ("", Reason::ConnectionTermination),
    ] {
        let address = server(move |_, mut stream| async move {
            head(&mut stream).await.unwrap();
            if !answer.is_empty() {
                write(&mut stream, answer).await;
                while head(&mut stream).await.is_some() {}
            }
        })
        .await;
        let client = Client::new();
        for _ in 0..2 {
            let error = get(&client, &http2(address)).await.unwrap_err();
            assert_eq!(error.reason, want, "{error}");
            settle().await;
        }
    }
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_no_request() {
    let close = Arc::new(Notify::new());
    let closed = Arc::new(Notify::new());
    let (closing, done) = (Arc::clone(&close), Arc::clone(&closed));
    let address = server(move |_, stream| {
        let (closing, done) = (Arc::clone(&closing), Arc::clone(&done));
        async move {
            let service = service_fn(|_: Request<Incoming>| async {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("answer")))
            });
            let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                () = closing.notified() => {}
            }
            done.notify_one();
        }
    })
    .await;
    let (client, target) = (Client::new(), http2(address));
    for _ in 0..3 {
        assert_eq!(get(&client, &target).await.unwrap(), "answer");
        close.notify_one();
        closed.notified().await;
        settle().await;
        settle().await;
    }
}

#[tokio::test]
async fn idle_connections_are_closed_and_unused_targets_forgotten() {
    let (client, target) = (Client::new(), http2(numbering(100).await));
    let options = SendOptions { idle_timeout: Duration::from_mins(1), ..SendOptions::default() };
    let response = client.send(&target, request(), &options).await.unwrap();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(client.idle(), 1, "a connection with a stream is not idle");
    text(response).await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(client.idle(), 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((client.idle(), client.targets()), (0, 0));
}
