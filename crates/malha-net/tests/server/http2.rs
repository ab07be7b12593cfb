//! HTTP/2: what h2spec (a program in Go, which no registry of ours has) checks first, by section of RFC 9113, and the
//! attacks that are known.

use std::net::SocketAddr;

use super::frames::*;
use super::{connect, serves, start};

const PROTOCOL_ERROR: u32 = 1;
const INTERNAL_ERROR: u32 = 2;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

async fn client(address: SocketAddr, rest: &[u8]) -> Client {
    let mut client = Client::new(connect(address).await);
    client.send(&opening(rest)).await;
    client
}

/// What becomes of a connection that sends something: the code of its `GOAWAY`, or of the stream's `RST_STREAM`.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Connection(u32),
    Stream(u32),
    /// A response with this first byte of its header block.
    Answered(u8),
    /// Without a word.
    Closed,
}

async fn end(address: SocketAddr, bytes: &[u8]) -> End {
    let mut client = client(address, bytes).await;
    // A PING is answered last, if anything is.
    loop {
        let Some(frame) = client.next().await else { return End::Closed };
        match frame.kind {
            GOAWAY if frame.code() != 0 => return End::Connection(frame.code()),
            RST_STREAM => return End::Stream(frame.code()),
            HEADERS => return End::Answered(frame.payload[0]),
            _ => {}
        }
    }
}

/// 200 in HPACK's static table.
const OK: End = End::Answered(0x88);

fn with<'a>(lines: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [lines, more].concat()
}

fn without<'a>(name: &str) -> Vec<(&'a str, &'a str)> {
    GET.iter().filter(|line| line.0 != name).copied().collect()
}

#[tokio::test]
async fn settings_say_what_is_granted() {
    let server = start().await;
    let mut client = client(server.address(), &[]).await;
    let settings = client.next_of(SETTINGS).await.unwrap();
    let settings: Vec<_> =
        settings.payload.chunks(6).map(|one| (one[1], u32::from_be_bytes(one[2..].try_into().unwrap()))).collect();
    assert!(settings.contains(&(3, 100)), "{settings:?}: concurrent streams");
    assert!(settings.contains(&(6, 60 << 10)), "{settings:?}: header list");
    let window = settings.iter().find(|one| one.0 == 4).map_or(65_535, |one| one.1);
    assert!((65_535..=65_536).contains(&window), "{settings:?}: window of a stream");
}

#[tokio::test]
async fn a_malformed_request_ends_its_stream() {
    let server = start().await;
    let reset = || End::Stream(PROTOCOL_ERROR);
    // h2 does not tell these from errors of the whole connection. Envoy ends it for any malformed request.
    let ended = || End::Connection(PROTOCOL_ERROR);
    let body = |head: Vec<(&str, &str)>| [open(1, &head), frame(DATA, END_STREAM, 1, b"abc")].concat();
    let h = |lines: Vec<(&str, &str)>| headers(1, &lines);
    let many: Vec<_> = (0..97).map(|at| format!("h{at}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).collect();
    for (what, bytes, want) in [
        ("plain", h(GET.to_vec()), OK),
        ("no method", h(without(":method")), reset()),
        ("no path", h(without(":path")), reset()),
        ("no scheme", h(without(":scheme")), reset()),
        ("two paths", h(with(&[(":path", "/")], GET)), reset()),
        ("pseudo-header behind others", h(with(&[("x", "y")], GET)), reset()),
        ("unknown pseudo-header", h(with(&[(":x", "y")], GET)), ended()),
        ("a response's pseudo-header", h(with(&[(":status", "200")], GET)), reset()),
        ("capital letters", h(with(GET, &[("X", "y")])), ended()),
        ("connection", h(with(GET, &[("connection", "close")])), reset()),
        ("transfer-encoding", h(with(GET, &[("transfer-encoding", "chunked")])), reset()),
        ("upgrade", h(with(GET, &[("upgrade", "x")])), reset()),
        ("te", h(with(GET, &[("te", "gzip")])), reset()),
        ("te: trailers", h(with(GET, &[("te", "trailers")])), OK),
        ("space in a name", h(with(GET, &[("x y", "z")])), ended()),
        ("line end in a value", h(with(GET, &[("x", "a\nb")])), ended()),
        ("too little body", body(with(POST, &[("content-length", "5")])), reset()),
        ("too much body", body(with(POST, &[("content-length", "2")])), reset()),
        ("the right body", body(with(POST, &[("content-length", "3")])), OK),
        ("100 headers", h(with(GET, &many[1..])), OK),
        ("101 headers", h(with(GET, &many)), End::Stream(INTERNAL_ERROR)),
        ("a window of 0 more", [open(1, POST), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(), ended()),
        ("a stream that depends on itself", frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0]), reset()),
    ] {
        assert_eq!(end(server.address(), &bytes).await, want, "{what}");
    }
    assert!(serves(server.address()).await);
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_the_connection() {
    let server = start().await;
    let protocol = || End::Connection(PROTOCOL_ERROR);
    let size = || End::Connection(FRAME_SIZE_ERROR);
    // The RFC has codes of their own for these, which h2 does not use: what counts is that the connection ends.
    let (of_size, of_window, of_compression) = (protocol, protocol, protocol);
    let long = vec![b'a'; 16_385];
    for (what, bytes, want) in [
        ("DATA on stream 0", frame(DATA, 0, 0, b"x"), protocol()),
        ("HEADERS on stream 0", frame(HEADERS, 5, 0, &block(GET)), protocol()),
        ("an even stream", headers(2, GET), protocol()),
        ("a stream before the last", [headers(5, GET), headers(3, GET)].concat(), protocol()),
        ("DATA on a stream that is not open", frame(DATA, 0, 1, b"x"), protocol()),
        ("RST_STREAM on one that is not open", frame(RST_STREAM, 0, 1, &[0; 4]), protocol()),
        ("WINDOW_UPDATE on one that is not open", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), protocol()),
        ("PUSH_PROMISE of a client", frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2]), protocol()),
        ("CONTINUATION of nothing", frame(CONTINUATION, 4, 1, &[]), protocol()),
        (
            "another frame within a head",
            [frame(HEADERS, 1, 1, &block(GET)), frame(PING, 0, 0, &[0; 8])].concat(),
            protocol(),
        ),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), protocol()),
        ("SETTINGS of half a setting", frame(SETTINGS, 0, 0, &[0; 5]), of_size()),
        ("SETTINGS ACK with a payload", frame(SETTINGS, ACK, 0, &[0; 6]), of_size()),
        ("too large a window", frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), of_window()),
        ("too small a frame size", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]), protocol()),
        ("ENABLE_PUSH of 2", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), protocol()),
        ("PING of 7 bytes", frame(PING, 0, 0, &[0; 7]), of_size()),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8]), protocol()),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), protocol()),
        ("WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), of_size()),
        ("WINDOW_UPDATE of 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), protocol()),
        (
            "a window beyond 2³¹",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
            End::Connection(FLOW_CONTROL_ERROR),
        ),
        ("a frame beyond 16 KiB", frame(DATA, 0, 1, &long), size()),
        ("padding beyond the frame", [open(1, POST), frame(DATA, 8, 1, &[9, 0])].concat(), protocol()),
        ("headers that HPACK does not know", frame(HEADERS, 5, 1, &[0x80]), of_compression()),
        ("a table larger than agreed", frame(HEADERS, 5, 1, &[0x3f, 0xff, 0xff, 0x7f]), of_compression()),
        ("an unknown frame, and then a request", [frame(0xee, 0, 0, b"x"), headers(1, GET)].concat(), OK),
    ] {
        assert_eq!(end(server.address(), &bytes).await, want, "{what}");
    }
    assert!(serves(server.address()).await);
}

#[tokio::test]
async fn a_preface_that_is_none_ends_the_connection() {
    let server = start().await;
    for rest in ["\r\n\r\nXX\r\n\r\n", ".1\r\n\r\n", ".0\r\n\r\nSM\r\n\r\nno frame at all, but text"] {
        let mut client = Client::new(connect(server.address()).await);
        client.send(format!("PRI * HTTP/2{rest}").as_bytes()).await;
        let got = client.until_end().await;
        assert!(got.iter().all(|frame| frame.kind != HEADERS), "{rest:?}: {got:?}");
    }
    assert!(serves(server.address()).await);
}

#[tokio::test]
async fn floods_end_their_connection_and_no_other() {
    let server = start().await;
    let mut reset = Vec::new();
    for stream in (1..20_001).step_by(2) {
        reset.extend(headers(stream, GET));
        reset.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    let continuation = [frame(HEADERS, 1, 1, &block(GET)), frame(CONTINUATION, 0, 1, &[]).repeat(50_000)].concat();
    let growing = block(&[("x", &"a".repeat(16_000))]);
    let growing = [frame(HEADERS, 1, 1, &block(GET)), frame(CONTINUATION, 0, 1, &growing).repeat(1_000)].concat();
    for (what, bytes) in [("rapid reset", reset), ("empty CONTINUATION", continuation), ("long CONTINUATION", growing)]
    {
        let end = end(server.address(), &bytes).await;
        let ended =
            matches!(end, End::Connection(ENHANCE_YOUR_CALM | COMPRESSION_ERROR | PROTOCOL_ERROR) | End::Closed);
        assert!(ended, "{what}: {end:?}");
        assert!(serves(server.address()).await, "{what}");
    }
    // These are answered as long as the client reads, and cost no memory if it does not.
    for (what, bytes) in [("SETTINGS", frame(SETTINGS, 0, 0, &[])), ("PING", frame(PING, 0, 0, &[0; 8]))] {
        let mut client = client(server.address(), &bytes.repeat(20_000)).await;
        client.send(&headers(1, GET)).await;
        assert!(client.next_of(HEADERS).await.is_some(), "{what}");
    }
}

#[tokio::test]
async fn a_stream_beyond_those_granted_is_refused() {
    let server = start().await;
    let many: Vec<_> = (0..101).flat_map(|at| open(2 * at + 1, POST)).collect();
    let mut client = client(server.address(), &many).await;
    let refused = client.next_of(RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, refused.code()), (201, 7), "REFUSED_STREAM");
    // The others are there still.
    client.send(&frame(DATA, END_STREAM, 1, b"abc")).await;
    assert_eq!(client.next_of(HEADERS).await.unwrap().stream, 1);
}

#[tokio::test]
async fn a_body_beyond_its_window_ends_the_connection_or_its_stream() {
    let server = start().await;
    let body: Vec<_> = (0..80).flat_map(|_| frame(DATA, 0, 1, &[b'a'; 16_384])).collect();
    // Nobody reads it: the request is for a service that does not.
    let end = end(server.address(), &[open(1, POST), frame(DATA, 0, 3, b"x"), body].concat()).await;
    assert!(matches!(end, End::Connection(PROTOCOL_ERROR | FLOW_CONTROL_ERROR | STREAM_CLOSED)), "{end:?}");
}

#[tokio::test]
async fn too_large_a_head_is_refused() {
    let server = start().await;
    let value = "a".repeat(8_000);
    let names: Vec<_> = (0..9).map(|at| format!("h{at}")).collect();
    let lines: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    let head = block(&with(GET, &lines));
    let mut parts = head.chunks(16_000);
    let mut bytes = frame(HEADERS, 1, 1, parts.next().unwrap());
    let count = parts.len();
    for (at, part) in parts.enumerate() {
        bytes.extend(frame(CONTINUATION, if at + 1 == count { END_HEADERS } else { 0 }, 1, part));
    }
    let end = end(server.address(), &bytes).await;
    assert!(end != OK, "{end:?}");
    assert!(serves(server.address()).await);
}
