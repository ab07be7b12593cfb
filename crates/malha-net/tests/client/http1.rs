//! HTTP/1.1: which connection takes a request, when it is kept, and how its end is told.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use malha_net::client::{Cause, Client, Protocol, Reason, SendError, SendOptions, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::support::{Body, get, get_with, head, http1, nobody, numbering, request, server, settle, text, write};

#[tokio::test]
async fn a_connection_takes_one_request_after_the_other() {
    let (client, target) = (Client::new(), http1(numbering().await));
    for _ in 0..3 {
        assert_eq!(get(&client, &target).await.unwrap(), "0");
    }
    assert_eq!(client.idle(), 1);
}

#[tokio::test]
async fn equal_targets_share_connections_and_others_do_not() {
    let (client, address) = (Client::new(), numbering().await);
    assert_eq!(get(&client, &http1(address)).await.unwrap(), "0");
    assert_eq!(get(&client, &http1(address)).await.unwrap(), "0");
    let other = Target { host: "localhost".into(), ..(*http1(address)).clone() };
    assert_eq!(get(&client, &Arc::new(other)).await.unwrap(), "1");
    assert_eq!(client.targets(), 2);
}

#[tokio::test]
async fn what_is_sent_has_the_form_that_http_1_asks_for() {
    let address = server(|_, mut stream| async move {
        let head = head(&mut stream).await.unwrap();
        write(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len())).await;
    })
    .await;
    let sent = get(&Client::new(), &http1(address)).await.unwrap();
    assert_eq!(sent, "GET /path?query HTTP/1.1\r\nhost: host\r\n\r\n");
}

#[tokio::test]
async fn the_connection_used_last_is_taken_first() {
    let (client, target) = (Client::new(), http1(numbering().await));
    let options = SendOptions::default();
    // At the same time, so that there are two.
    let (first, second) =
        tokio::join!(client.send(&target, request(), &options), client.send(&target, request(), &options));
    let (first, second) = (text(first.unwrap()).await, text(second.unwrap()).await);
    assert_ne!(first, second);
    let last = get(&client, &target).await.unwrap();
    for _ in 0..5 {
        assert_eq!(get(&client, &target).await.unwrap(), last);
    }
    assert_eq!(client.idle(), 2);
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_no_request() {
    let closed = Arc::new(Notify::new());
    let close = Arc::clone(&closed);
    let address = server(move |number, mut stream| {
        let close = Arc::clone(&close);
        async move {
            head(&mut stream).await.unwrap();
            write(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}")).await;
            drop(stream);
            close.notify_one();
        }
    })
    .await;
    let (client, target) = (Client::new(), http1(address));
    for number in ["0", "1", "2"] {
        assert_eq!(get(&client, &target).await.unwrap(), number);
        closed.notified().await;
        settle().await;
    }
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_is_not_sent_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let address = server(move |_, mut stream| {
        let seen = Arc::clone(&count);
        async move {
            head(&mut stream).await.unwrap();
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            head(&mut stream).await.unwrap();
            seen.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    let (client, target) = (Client::new(), http1(address));
    get(&client, &target).await.unwrap();
    let error = get(&client, &target).await.unwrap_err();
    assert_eq!((error.reason, error.sent), (Reason::ConnectionTermination, true));
    assert_eq!(seen.load(Ordering::Relaxed), 1);
    assert_eq!(client.idle(), 0);
}

#[tokio::test]
async fn what_comes_before_an_answer_is_told_in_envoys_terms() {
    let large = format!("HTTP/1.1 200 OK\r\nlarge: {}\r\n\r\n", "x".repeat(128 * 1024));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    for (answer, want) in [
        ("", (Reason::ConnectionTermination, Cause::Terminated)),
        ("garbage\r\n\r\n", (Reason::ProtocolError, Cause::Other)),
        ("HTTP/1.1 200 OK\r\ncontent-le", (Reason::ProtocolError, Cause::Terminated)),
        (&large, (Reason::ProtocolError, Cause::Other)),
        (&many, (Reason::ProtocolError, Cause::Other)),
    ] {
        let answer = answer.to_owned();
        let address = server(move |_, mut stream| {
            let answer = answer.clone();
            async move {
                head(&mut stream).await.unwrap();
                // The client may hang up in the middle.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await;
        let error = get(&Client::new(), &http1(address)).await.unwrap_err();
        assert_eq!((error.reason, error.cause), want, "{error}");
        assert!(error.sent, "{error}");
        assert_eq!(error.transport_failure, None, "{error}");
    }
}

#[tokio::test]
async fn a_reset_connection_is_terminated() {
    let address = server(|_, mut stream| async move {
        head(&mut stream).await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;
    let error = get(&Client::new(), &http1(address)).await.unwrap_err();
    assert_eq!((error.reason, error.cause, error.sent), (Reason::ConnectionTermination, Cause::Terminated, true));
}

#[tokio::test]
async fn a_refused_connection_is_told_with_envoys_words() {
    let error = get(&Client::new(), &http1(nobody().await)).await.unwrap_err();
    assert_eq!((error.reason, error.cause), (Reason::RemoteConnectionFailure, Cause::Refused));
    assert!(!error.sent);
    assert_eq!(error.reason.as_str(), "remote connection failure");
    assert_eq!(error.transport_failure.as_deref(), Some("delayed connect error: Connection refused"));
}

/// A client to which every name is what `addresses` says.
fn knowing(addresses: &'static [[u8; 4]]) -> Client<Body> {
    Client::with_lookup(Box::new(move |_| {
        Box::pin(async move {
            match addresses {
                [] => Err(io::Error::other("no such name")),
                found => Ok(found.iter().map(|&address| address.into()).collect()),
            }
        })
    }))
}

fn named(port: u16) -> Arc<Target> {
    Arc::new(Target { host: "name".into(), port, tls: None, protocol: Protocol::Http1 })
}

#[tokio::test]
async fn the_next_address_of_a_name_is_tried_when_one_refuses() {
    let address = numbering().await;
    let client = knowing(&[[127, 0, 0, 2], [127, 0, 0, 1]]);
    assert_eq!(get(&client, &named(address.port())).await.unwrap(), "0");
}

#[tokio::test]
async fn a_name_without_address_is_told_apart() {
    let error = get(&knowing(&[]), &named(80)).await.unwrap_err();
    assert_eq!((error.reason, error.cause, error.sent), (Reason::Unresolved, Cause::Unresolved, false));
    assert_eq!(&*error.detail, "no such name");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_its_connection_is_gone() {
    let address = server(|_, mut stream| async move {
        head(&mut stream).await.unwrap();
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    })
    .await;
    let (client, target) = (Client::new(), http1(address));
    let response = client.send(&target, request(), &SendOptions::default()).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(SendError::of_body(&error).reason, Reason::ProtocolError);
    assert_eq!(client.idle(), 0);
}

#[tokio::test]
async fn a_connection_comes_back_when_the_body_has_ended_and_not_before() {
    let step = Arc::new(Notify::new());
    let wait = Arc::clone(&step);
    let address = server(move |_, mut stream| {
        let wait = Arc::clone(&wait);
        async move {
            while head(&mut stream).await.is_some() {
                write(&mut stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await;
                wait.notified().await;
                write(&mut stream, "1\r\nb\r\n0\r\n\r\n").await;
            }
        }
    })
    .await;
    let (client, target) = (Client::new(), http1(address));
    for _ in 0..2 {
        let mut body = client.send(&target, request(), &SendOptions::default()).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        assert_eq!(client.idle(), 0);
        step.notify_one();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "b");
        assert_eq!(client.idle(), 1);
    }
}

#[tokio::test]
async fn a_body_of_known_length_need_not_be_asked_for_its_end() {
    let step = Arc::new(Notify::new());
    let wait = Arc::clone(&step);
    let address = server(move |_, mut stream| {
        let wait = Arc::clone(&wait);
        async move {
            head(&mut stream).await.unwrap();
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na").await;
            wait.notified().await;
            write(&mut stream, "b").await;
            head(&mut stream).await;
        }
    })
    .await;
    let (client, target) = (Client::new(), http1(address));
    let mut body = client.send(&target, request(), &SendOptions::default()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    step.notify_one();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(client.idle(), 1);
}

#[tokio::test]
async fn a_connection_closes_when_nobody_waits_for_the_answer_any_more() {
    let closed = Arc::new(Notify::new());
    let close = Arc::clone(&closed);
    let received = Arc::new(Notify::new());
    let receive = Arc::clone(&received);
    let address = server(move |number, mut stream| {
        let (close, receive) = (Arc::clone(&close), Arc::clone(&receive));
        async move {
            head(&mut stream).await.unwrap();
            if number == 1 {
                write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
            }
            receive.notify_one();
            assert_eq!(head(&mut stream).await, None);
            close.notify_one();
        }
    })
    .await;
    let (client, target, options) = (Client::new(), http1(address), SendOptions::default());

    tokio::select! {
        _ = client.send(&target, request(), &options) => panic!("there is no answer"),
        () = received.notified() => {}
    }
    closed.notified().await;

    let response = client.send(&target, request(), &options).await.unwrap();
    drop(response);
    closed.notified().await;
    assert_eq!(client.idle(), 0);
}

#[tokio::test]
async fn a_connection_takes_as_many_requests_as_it_may() {
    let (client, target) = (Client::new(), http1(numbering().await));
    let options = SendOptions { requests_per_connection: 2, ..SendOptions::default() };
    let mut numbers = Vec::new();
    for _ in 0..5 {
        numbers.push(get_with(&client, &target, &options).await.unwrap());
    }
    assert_eq!(numbers, ["0", "0", "1", "1", "2"]);
}

#[tokio::test]
async fn a_connection_that_the_other_side_will_close_is_not_kept() {
    for answer in ["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na", "HTTP/1.0 200 OK\r\n\r\na"] {
        let address = server(move |_, mut stream| async move {
            head(&mut stream).await.unwrap();
            write(&mut stream, answer).await;
        })
        .await;
        let client = Client::new();
        assert_eq!(get(&client, &http1(address)).await.unwrap(), "a");
        assert_eq!(client.idle(), 0, "{answer}");
    }
}

#[tokio::test]
async fn idle_connections_are_closed_and_unused_targets_forgotten() {
    let closed = Arc::new(Notify::new());
    let close = Arc::clone(&closed);
    let address = server(move |_, mut stream| {
        let close = Arc::clone(&close);
        async move {
            while head(&mut stream).await.is_some() {
                write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
            close.notify_one();
        }
    })
    .await;
    let (client, target) = (Client::new(), http1(address));
    let options = SendOptions { idle_timeout: Duration::from_mins(1), ..SendOptions::default() };
    get_with(&client, &target, &options).await.unwrap();
    get(&client, &http1(nobody().await)).await.unwrap_err();
    assert_eq!((client.idle(), client.targets()), (1, 2));
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!((client.idle(), client.targets()), (1, 1));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((client.idle(), client.targets()), (0, 0));
    closed.notified().await;
    tokio::time::resume();
    get_with(&client, &target, &options).await.unwrap();
    assert_eq!((client.idle(), client.targets()), (1, 1));
}

#[tokio::test]
async fn an_expired_connection_takes_no_request_though_nobody_closed_it_yet() {
    let (client, target) = (Client::new(), http1(numbering().await));
    let options = SendOptions { idle_timeout: Duration::from_secs(1), ..SendOptions::default() };
    assert_eq!(get_with(&client, &target, &options).await.unwrap(), "0");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(get_with(&client, &target, &options).await.unwrap(), "1");
}

#[tokio::test]
async fn an_answer_that_begins_early_does_not_hold_up_the_request() {
    let received = Arc::new(Notify::new());
    let receive = Arc::clone(&received);
    let address = server(move |_, mut stream| {
        let receive = Arc::clone(&receive);
        async move {
            head(&mut stream).await.unwrap();
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await;
            let mut chunk = *b"4\r\n????\r\n";
            stream.read_exact(&mut chunk).await.unwrap();
            receive.notify_one();
            stream.write_all(&chunk[3..7]).await.unwrap();
            while stream.read(&mut chunk).await.is_ok_and(|read| read > 0) {}
        }
    })
    .await;
    let (client, target) = (Client::new(), http1(address));
    let (feed, body) = Body::new();
    let request = Request::post("http://host/").body(body).unwrap();
    let response = client.send(&target, request, &SendOptions::default()).await.unwrap();
    feed.send(Ok("ping".into())).unwrap();
    // Not by reading the answer: it is the connection's own task that sends.
    received.notified().await;
    assert_eq!(text(response).await, "ping");
    assert_eq!(client.idle(), 0, "the request has not ended, so the connection is of no further use");
}

#[tokio::test]
async fn a_request_whose_body_fails_is_reset_by_us() {
    let address = server(|_, mut stream| async move {
        let mut bytes = [0; 64];
        while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let (feed, body) = Body::new();
    feed.send(Ok("begun".into())).unwrap();
    feed.send(Err("gone")).unwrap();
    let request = Request::post("http://host/").body(body).unwrap();
    let error = Client::new().send(&http1(address), request, &SendOptions::default()).await.unwrap_err();
    assert_eq!((error.reason, &*error.detail), (Reason::LocalReset, "gone"));
}

#[tokio::test]
async fn a_connection_can_become_something_else() {
    let address = server(|_, mut stream| async move {
        head(&mut stream).await.unwrap();
        write(&mut stream, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() {
            stream.write_all(&byte).await.unwrap();
        }
    })
    .await;
    let mut request = request();
    request.headers_mut().insert(CONNECTION, "upgrade".parse().unwrap());
    request.headers_mut().insert(UPGRADE, "echo".parse().unwrap());
    let client = Client::new();
    let response = client.send(&http1(address), request, &SendOptions::default()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut upgraded = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    upgraded.write_all(b"hi").await.unwrap();
    let mut echo = [0; 2];
    upgraded.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hi");
    assert_eq!(client.idle(), 0);
}
