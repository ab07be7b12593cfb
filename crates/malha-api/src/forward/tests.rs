//! Port-forward from a client's first byte to what a pod answers, with a client written by hand.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use malha_cluster::{ConnectError, Connecting, ControlPlane, Key, Kind, Log, PodStream, Registry, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};
use tokio_util::codec::{BytesCodec, Framed};

use super::portforward::{Forwarder, Target};
use super::spdy::{Decoder, Encoder, Frame, status};
use super::{Carrier, Handshake, connection, handshake, websocket};
use crate::respond::Body;

/// Pods whose port 80 gives everything back, whose port 81 says something and ends, whose port 82 never reads,
/// and whose port 83 has heard enough after a byte.
struct Echo;

impl ControlPlane for Echo {
    fn read(&self, _: &mut dyn FnMut(&Store)) {
        unreachable!("port-forward reads nothing")
    }

    fn write(&self, _: &mut dyn FnMut(&mut Registry)) {
        unreachable!("port-forward writes nothing")
    }

    fn versions(&self) -> watch::Receiver<u64> {
        unreachable!("port-forward watches nothing")
    }

    fn log(&self, _: &Key, _: bool) -> Option<Arc<dyn Log>> {
        None
    }

    fn connect(&self, pod: &Key, port: u16, mut stream: Box<dyn PodStream>) -> Connecting {
        let runs = pod.name == "echo";
        Box::pin(async move {
            match port {
                _ if !runs => return Err(ConnectError::NotRunning),
                80 => {
                    let (mut read, mut write) = split(stream);
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.write_all(b".").await;
                    let _ = write.shutdown().await;
                }
                81 => stream.write_all(b"bye").await.unwrap(),
                83 => {
                    let _ = stream.read_u8().await;
                    stream.write_all(b"enough").await.unwrap();
                }
                82 => sleep(Duration::from_hours(1)).await,
                _ => return Err(ConnectError::Refused),
            }
            Ok(())
        })
    }
}

/// A client that speaks SPDY over a duplex stream.
struct Client {
    socket: DuplexStream,
    encoder: Encoder,
    decoder: Decoder,
    /// What has come on streams.
    texts: HashMap<u32, String>,
}

impl Client {
    /// Of a pod of this name.
    fn of(pod: &str) -> Self {
        let (socket, server) = duplex(1 << 20);
        let target = Target { control: Arc::new(Echo), pod: Key::new(Kind::Pod, "default", pod), uid: "u-1".into() };
        tokio::spawn(async move {
            let (sink, source) = Framed::new(server, BytesCodec::new()).split::<Bytes>();
            connection::serve(source.map(|bytes| bytes.map(Into::into)), sink, Forwarder::new(target)).await;
        });
        Self::on(socket)
    }

    fn on(socket: DuplexStream) -> Self {
        Self { socket, encoder: Encoder::new(), decoder: Decoder::new(), texts: HashMap::new() }
    }

    async fn send(&mut self, frame: Frame) {
        let mut bytes = BytesMut::new();
        self.encoder.encode(&frame, &mut bytes);
        self.socket.write_all(&bytes).await.unwrap();
    }

    async fn open(&mut self, stream: u32, headers: &[(&str, &str)]) {
        self.send(Frame::SynStream { stream, last: false, headers: headers.iter().copied().collect() }).await;
    }

    /// Opens the two streams of a request: the one for errors, which nothing is sent on, and the one for data.
    async fn pair(&mut self, error: u32, port: &str) {
        let request = error.to_string();
        for (stream, purpose) in [(error, "error"), (error + 2, "data")] {
            self.open(stream, &[("streamtype", purpose), ("port", port), ("requestid", &request)]).await;
        }
        self.data(error, b"", true).await;
    }

    async fn data(&mut self, stream: u32, bytes: &'static [u8], last: bool) {
        self.send(Frame::Data { stream, last, bytes: Bytes::from_static(bytes) }).await;
    }

    /// The next frame, or `None` at the end.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some(frame);
            }
            let mut bytes = BytesMut::with_capacity(65_536);
            if self.socket.read_buf(&mut bytes).await.unwrap() == 0 {
                return None;
            }
            self.decoder.feed(&bytes);
        }
    }

    /// What comes on streams until all of `streams` have ended: text, and how it ended.
    async fn read(&mut self, streams: &[u32]) -> HashMap<u32, (String, &'static str)> {
        let mut ended = HashMap::new();
        while !streams.iter().all(|stream| ended.contains_key(stream)) {
            match self.next().await.expect("more") {
                Frame::SynReply { stream, last: false, .. } => {
                    assert_eq!(self.texts.insert(stream, String::new()), None);
                }
                Frame::Data { stream, last, bytes } => {
                    let text = self.texts.get_mut(&stream).expect("a reply comes first");
                    text.push_str(std::str::from_utf8(&bytes).unwrap());
                    if last {
                        ended.insert(stream, "end");
                    }
                }
                Frame::Reset { stream, status: status::CANCEL } => drop(ended.insert(stream, "reset")),
                other => panic!("{other:?}"),
            }
        }
        ended.into_iter().map(|(stream, how)| (stream, (self.texts.remove(&stream).unwrap_or_default(), how))).collect()
    }
}

fn ended(text: &str) -> (String, &'static str) {
    (text.to_owned(), "end")
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_comes_to_the_pod_and_its_answer_back_after_the_clients_end() {
    let mut client = Client::of("echo");
    client.pair(1, "80").await;
    client.pair(5, "80").await;
    client.data(7, b"other", false).await;
    client.data(3, b"hel", false).await;
    client.data(3, b"lo", true).await;
    client.data(7, b"", true).await;
    let read = client.read(&[1, 3, 5, 7]).await;
    let expected = [(1, ended("")), (3, ended("hello.")), (5, ended("")), (7, ended("other."))];
    assert_eq!(read, expected.into_iter().collect());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_the_connection_ends_the_streams() {
    let mut client = Client::of("echo");
    client.pair(1, "81").await;
    assert_eq!(client.read(&[1, 3]).await, [(1, ended("")), (3, ended("bye"))].into_iter().collect());
}

#[tokio::test(start_paused = true)]
async fn a_port_that_nothing_listens_on_refuses_in_the_words_of_containerd() {
    let refused = "error forwarding port 9 to pod u-1, uid : failed to execute portforward in network namespace \
                   \"default/echo\": failed to connect to localhost:9 inside namespace \"u-1\", IPv4: dial tcp4 \
                   127.0.0.1:9: connect: connection refused IPv6 dial tcp6 [::1]:9: connect: connection refused ";
    let stopped = "error forwarding port 9 to pod u-1, uid : network namespace for sandbox \"u-1\" is closed";
    for (pod, words) in [("echo", refused), ("gone", stopped)] {
        let mut client = Client::of(pod);
        client.pair(1, "9").await;
        assert_eq!(client.read(&[1, 3]).await, [(1, ended(words)), (3, ended(""))].into_iter().collect());
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_make_no_sense_are_reset_and_others_go_on() {
    let mut client = Client::of("echo");
    let senseless: [&[(&str, &str)]; 3] =
        [&[("streamtype", "data")], &[("streamtype", "data"), ("port", "0")], &[("streamtype", "x"), ("port", "80")]];
    for (stream, headers) in (1..).step_by(2).zip(senseless) {
        client.open(stream, headers).await;
        assert_eq!(client.next().await, Some(Frame::Reset { stream, status: status::CANCEL }));
    }
    // An error stream that there is already.
    let error = [("streamtype", "error"), ("port", "80"), ("requestid", "1")];
    client.open(11, &error).await;
    client.open(13, &error).await;
    assert_eq!(client.read(&[13]).await[&13].1, "reset");
    client.open(15, &[("streamtype", "data"), ("port", "81"), ("requestid", "1")]).await;
    assert_eq!(client.read(&[11, 15]).await, [(11, ended("")), (15, ended("bye"))].into_iter().collect());
    client.send(Frame::Ping(1)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(1)));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_has_heard_enough_is_heard_nonetheless() {
    let mut client = Client::of("echo");
    client.pair(1, "83").await;
    for _ in 0..20 {
        client.data(3, &[b'x'; 16_384], false).await;
    }
    assert_eq!(client.read(&[1, 3]).await, [(1, ended("")), (3, ended("enough"))].into_iter().collect());
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_its_other_is_told_after_half_a_minute() {
    let mut client = Client::of("echo");
    client.open(1, &[("streamtype", "error"), ("port", "80"), ("requestid", "7")]).await;
    let started = tokio::time::Instant::now();
    let expected = ended("(request=7) timed out waiting for streams");
    assert_eq!(client.read(&[1]).await, [(1, expected)].into_iter().collect());
    assert_eq!(started.elapsed().as_secs(), 30);
    client.open(3, &[("streamtype", "data"), ("port", "80"), ("requestid", "8")]).await;
    assert_eq!(client.read(&[3]).await[&3], (String::new(), "reset"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_resets_its_data_is_done_and_one_that_does_not_read_holds_nobody_up() {
    let mut client = Client::of("echo");
    client.pair(1, "82").await;
    client.send(Frame::Reset { stream: 3, status: status::CANCEL }).await;
    client.pair(5, "80").await;
    client.data(7, b"on", true).await;
    let read = client.read(&[1, 7]).await;
    assert_eq!((read[&1].1, &read[&7]), ("reset", &ended("on.")));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_behind_stops_the_connection_and_not_the_memory() {
    let mut client = Client::of("echo");
    client.pair(1, "82").await;
    let piece = &[b'x'; 16_384];
    let mut sent = 0;
    while timeout(Duration::from_secs(1), client.data(3, piece, false)).await.is_ok() {
        sent += piece.len();
    }
    // The sockets of this test hold 1 MiB; what is behind them little more.
    assert!((1 << 20..(1 << 20) + (1 << 18)).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_spdy_end_the_connection_with_the_reason() {
    let mut client = Client::of("echo");
    client.pair(1, "82").await;
    client.socket.write_all(b"\x80\x02GET / HTTP/1.1").await.unwrap();
    let mut last = None;
    while let Some(frame) = client.next().await {
        last = Some(frame);
    }
    assert_eq!(last, Some(Frame::GoAway { newest: 3, status: 1 }));
    // And one that says goodbye hears nothing more.
    let mut client = Client::of("echo");
    client.send(Frame::GoAway { newest: 0, status: 0 }).await;
    assert_eq!(client.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_happens_ends_after_four_hours() {
    let mut client = Client::of("echo");
    let started = tokio::time::Instant::now();
    assert_eq!(client.next().await, Some(Frame::GoAway { newest: 0, status: 0 }));
    assert_eq!(started.elapsed().as_secs(), 4 * 3_600);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_carries_the_same_bytes_however_its_messages_are_cut() {
    let (near, far) = duplex(1 << 16);
    let target = Target { control: Arc::new(Echo), pod: Key::new(Kind::Pod, "default", "echo"), uid: "u-1".into() };
    tokio::spawn(async move {
        let (source, sink) = websocket::tunnel(far).await;
        connection::serve(source, sink, Forwarder::new(target)).await;
    });
    let mut socket = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let (mut encoder, mut bytes) = (Encoder::new(), BytesMut::new());
    for (stream, purpose) in [(1, "error"), (3, "data")] {
        let headers = [("streamtype", purpose), ("port", "80"), ("requestid", "0")].into_iter().collect();
        encoder.encode(&Frame::SynStream { stream, last: false, headers }, &mut bytes);
    }
    encoder.encode(&Frame::Data { stream: 3, last: true, bytes: Bytes::from_static(b"hello") }, &mut bytes);
    socket.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
    for piece in bytes.chunks(5) {
        socket.send(Message::Binary(Bytes::copy_from_slice(piece))).await.unwrap();
    }
    let (mut decoder, mut text, mut pong) = (Decoder::new(), Vec::new(), false);
    'all: loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Binary(bytes) => decoder.feed(&bytes),
            Message::Pong(bytes) => pong = bytes == "?",
            other => panic!("{other:?}"),
        }
        while let Some(frame) = decoder.next().unwrap() {
            if let Frame::Data { stream: 3, last, bytes } = frame {
                text.extend(bytes);
                if last {
                    break 'all;
                }
            }
        }
    }
    assert_eq!((&text[..], pong), (&b"hello."[..], true));
    // Text is nothing that belongs here: the connection ends with a close.
    socket.send(Message::text("?")).await.unwrap();
    let mut last = None;
    while let Some(Ok(message)) = socket.next().await {
        last = Some(message);
    }
    assert!(matches!(last, Some(Message::Close(_))), "{last:?}");
}

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
const UPGRADES: (&str, &str) = ("connection", "Upgrade");
const WEBSOCKET: (&str, &str) = ("upgrade", "websocket");

fn agreed(headers: &HeaderMap) -> (Carrier, Response<Body>) {
    match handshake(headers) {
        Ok(Handshake::Agreed(carrier, response)) => (carrier, response),
        other => panic!("{other:?}"),
    }
}

#[test]
fn clients_of_both_kinds_are_answered_as_they_ask() {
    let spdy = headers(&[UPGRADES, ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "portforward.k8s.io")]);
    let (carrier, response) = agreed(&spdy);
    assert_eq!((carrier, response.status()), (Carrier::Plain, StatusCode::SWITCHING_PROTOCOLS));
    assert_eq!(response.headers()[CONNECTION], "Upgrade");
    assert_eq!(response.headers()[UPGRADE], "SPDY/3.1");
    assert_eq!(response.headers()["x-stream-protocol-version"], "portforward.k8s.io");

    let protocol = ("sec-websocket-protocol", "v5.channel.k8s.io, SPDY/3.1+portforward.k8s.io");
    let websocket = headers(&[UPGRADES, WEBSOCKET, KEY, ("sec-websocket-version", "13"), protocol]);
    let (carrier, response) = agreed(&websocket);
    assert_eq!((carrier, response.status()), (Carrier::WebSocket, StatusCode::SWITCHING_PROTOCOLS));
    assert_eq!(response.headers()[UPGRADE], "websocket");
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(response.headers()["sec-websocket-protocol"], "SPDY/3.1+portforward.k8s.io");
}

#[test]
fn what_cannot_be_agreed_on_is_refused() {
    assert_eq!(handshake(&headers(&[])).unwrap_err().message, "Upgrade request required");
    for (given, code) in [
        (vec![UPGRADES, ("upgrade", "h2c")], 400),
        (vec![UPGRADES, ("upgrade", "SPDY/3.1")], 400),
        (vec![UPGRADES, ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v9.k8s.io")], 403),
        (vec![UPGRADES, WEBSOCKET, KEY], 400),
        (vec![UPGRADES, WEBSOCKET, KEY, ("sec-websocket-protocol", "v4.channel.k8s.io")], 400),
        (vec![UPGRADES, WEBSOCKET, KEY, ("sec-websocket-protocol", "SPDY/3.1+v9.k8s.io")], 403),
        (vec![UPGRADES, WEBSOCKET, KEY, ("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io")], 400),
    ] {
        let Ok(Handshake::Refused(refusal)) = handshake(&headers(&given)) else { panic!("{given:?}") };
        assert_eq!(refusal.status(), code, "{given:?}");
        assert_eq!(refusal.headers().contains_key("x-accepted-stream-protocol-versions"), code == 403, "{given:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_off_cuts_what_it_forwards() {
    let (near, far) = duplex(1 << 16);
    let target = Target { control: Arc::new(Echo), pod: Key::new(Kind::Pod, "default", "echo"), uid: "u-1".into() };
    let served = tokio::spawn(async move {
        let (sink, source) = Framed::new(far, BytesCodec::new()).split::<Bytes>();
        connection::serve(
            source.map(|bytes: io::Result<BytesMut>| bytes.map(Into::into)),
            sink,
            Forwarder::new(target),
        )
        .await;
    });
    let mut client = Client::on(near);
    client.pair(1, "82").await;
    drop(client);
    // Long before the pod is done with it.
    timeout(Duration::from_secs(2), served).await.unwrap().unwrap();
}
