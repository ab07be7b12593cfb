//! What is answered to requests that are not as they should be: Envoy's replies, and nothing that reaches a service.

use tokio::io::AsyncWriteExt;

use super::{ask, connect, last, read, serves, start};

const BAD: (&str, &str) = ("400 Bad Request", "Bad Request");
const BARE: (&str, &str) = ("400 Bad Request", "");
const LARGE: (&str, &str) = ("431 Request Header Fields Too Large", "Request Header Fields Too Large");
const CODING: (&str, &str) = ("501 Not Implemented", "Not Implemented");
const OLD: (&str, &str) = ("426 Upgrade Required", "Upgrade Required");

fn ok(body: &str) -> (&str, &str) {
    ("200 OK", body)
}

/// Heads whose request line and `Host` are in order.
const FIELDS: &[(&str, (&str, &str))] = &[
    ("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    ("transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", BAD),
    ("transfer-encoding: gzip\r\ncontent-length: 5\r\n\r\nabcde", BAD),
    ("content-length: 2\r\ncontent-length: 2\r\n\r\nab", BAD),
    ("content-length: 2\r\ncontent-length: 3\r\n\r\nabc", BAD),
    ("content-length: 2, 2\r\n\r\nab", BAD),
    ("content-length: +2\r\n\r\nab", BAD),
    ("content-length: -2\r\n\r\nab", BAD),
    ("content-length: 0x2\r\n\r\nab", BAD),
    ("content-length: \r\n\r\n", BAD),
    ("content-length: 99999999999999999999999\r\n\r\nab", BAD),
    ("content-length: 02\r\n\r\nab", ("200 OK", "POST true a / ab")),
    ("transfer-encoding: gzip\r\n\r\n", CODING),
    ("transfer-encoding: identity\r\n\r\n", CODING),
    ("transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", CODING),
    ("transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", CODING),
    ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", CODING),
    ("transfer-encoding: \r\n\r\n", CODING),
    ("transfer-encoding: \"chunked\"\r\n\r\n", CODING),
    ("transfer-encoding: chunked;a=1\r\n\r\n", CODING),
    ("transfer-encoding : chunked\r\n\r\n0\r\n\r\n", BAD),
    ("transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", BAD),
    ("Transfer-Encoding:\tChunked \r\n\r\n3\r\nabc\r\n0\r\n\r\n", ("200 OK", "POST true a / abc")),
    ("transfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nt: 1\r\n\r\n", ("200 OK", "POST true a / abc")),
    ("transfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n", BAD),
    ("transfer-encoding: chunked\r\n\r\n3\r\nabcd0\r\n\r\n", BAD),
    ("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nffffffffffffffffff\r\n", BAD),
    ("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx y: 1\r\n\r\n", BAD),
    ("x : a\r\n\r\n", BAD),
    ("xa\r\n\r\n", BAD),
    (": a\r\n\r\n", BAD),
    ("x(: a\r\n\r\n", BAD),
    ("x: a\0b\r\n\r\n", BAD),
    ("x: a\x01b\r\n\r\n", BAD),
    ("x: a\x7fb\r\n\r\n", BAD),
    // These Envoy repairs.
    ("x: a\r\n b\r\n\r\n", BAD),
    ("x: a\rb\r\n\r\n", BAD),
    ("x: a\r\r\n\r\n", BAD),
    ("x: a\tb\r\nx_y: é\r\n\r\n", ("200 OK", "POST true a / ")),
    ("upgrade: websocket\r\nconnection: upgrade\r\n\r\n", ("403 Forbidden", "")),
    ("upgrade: foo\r\nconnection: keep-alive, Upgrade\r\n\r\n", ("403 Forbidden", "")),
    ("connection: x-forwarded-for\r\n\r\n", BAD),
    ("connection: close, upgrade, x-forwarded-for\r\nupgrade: h2c\r\n\r\n", BAD),
    ("connection: close, host\r\n\r\n", ("200 OK", "POST false  / ")),
];

/// Whole heads.
const HEADS: &[(&str, (&str, &str))] = &[
    ("GET / HTTP/1.1\nhost: a\n\n", ("200 OK", "GET true a / ")),
    ("\r\n\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", ("200 OK", "GET true a / ")),
    ("GET  /  HTTP/1.1\r\nhost: a\r\n\r\n", ("200 OK", "GET true a / ")),
    ("PURGE / HTTP/1.1\r\nhost: a\r\n\r\n", ("200 OK", "PURGE true a / ")),
    ("GET / HTTP/1.1 \r\nhost: a\r\n\r\n", BAD),
    ("GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    (" GET / HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET / HTTP/1.1\r\n x: a\r\nhost: a\r\n\r\n", BAD),
    ("get / HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("FOO / HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("REFUSED /2 HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("G@T / HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("PRI * HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET / HTTP/1.0\r\nhost: a\r\n\r\n", OLD),
    ("GET / HTTP/1.2\r\nhost: a\r\n\r\n", OLD),
    ("GET / HTTP/2.0\r\nhost: a\r\n\r\n", OLD),
    ("GET /\r\n", OLD),
    ("GET / HTTP/1.1x\r\nhost: a\r\n\r\n", BAD),
    ("GET / HTTP/01.1\r\nhost: a\r\n\r\n", BAD),
    ("GET / http/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET x HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET b:80 HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET /é HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET * HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", BARE),
    ("GET /%zz?{} HTTP/1.1\r\nhost: a\r\n\r\n", ("200 OK", "GET true a /%zz?{} ")),
    ("GET /<`>?<`> HTTP/1.1\r\nhost: a\r\n\r\n", ("200 OK", "GET true a /%3C%60%3E?%3C`%3E ")),
    ("\r\nGET http://a/x?\"< HTTP/1.1\r\nhost: a\r\n\r\n", ("200 OK", "GET true a /x?%22%3C ")),
    ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", ("200 OK", "OPTIONS true a * ")),
    ("CONNECT a HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("CONNECT /x HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("CONNECT a:80 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc", BAD),
    ("CONNECT a:80 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", CODING),
    ("GET http://b/x?q HTTP/1.1\r\nhost: a\r\n\r\n", ("200 OK", "GET true b /x?q ")),
    ("GET HTTP://u@b/x HTTP/1.1\r\nhost: a/c\r\n\r\n", ("200 OK", "GET true b /x ")),
    ("GET http://b HTTP/1.1\r\n\r\n", ("200 OK", "GET true b / ")),
    ("GET https://b/x HTTP/1.1\r\nhost: a\r\n\r\n", ("403 Forbidden", "Forbidden")),
    ("GET ftp://b/x HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET http:///x HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET http://a|b/x HTTP/1.1\r\nhost: a\r\n\r\n", BAD),
    ("GET //b/x HTTP/1.1\r\nhost: a\r\n\r\n", ("200 OK", "GET true a //b/x ")),
    ("GET / HTTP/1.1\r\n\r\n", ("200 OK", "GET false  / ")),
    ("GET / HTTP/1.1\r\nhost:\r\n\r\n", ("200 OK", "GET true  / ")),
    ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", ("200 OK", "GET true a,b / ")),
    ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", BAD),
    ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", BAD),
    ("GET / HTTP/1.1\r\nhost: a<b>\r\n\r\n", BAD),
    ("GET / HTTP/1.1\r\nhost: é\r\n\r\n", BAD),
    ("\x16\x03\x01\0\x05hello\r\n\r\n", BAD),
    ("\0\x01\x02", BAD),
];

/// `text` with what makes the server hang up after it has answered, if the request is a good one.
fn closing(text: &str) -> Vec<u8> {
    let (line_end, text) = if text.contains("\r\n") { ("\r\n", text) } else { ("\n", text) };
    let Some((line, rest)) = text.trim_start().split_once(line_end) else { return text.as_bytes().to_vec() };
    let lead = &text[..text.len() - text.trim_start().len()];
    if line.contains("HTTP/1.1") && !rest.contains("connection:") && !rest.starts_with(' ') {
        format!("{lead}{line}{line_end}connection: close{line_end}{rest}").into_bytes()
    } else {
        text.as_bytes().to_vec()
    }
}

#[tokio::test]
async fn a_head_that_is_wrong_is_answered_as_envoy_answers_it() {
    let server = start().await;
    let fields = FIELDS.iter().map(|(text, want)| (format!("POST / HTTP/1.1\r\nhost: a\r\n{text}"), *want));
    let heads = HEADS.iter().map(|(text, want)| ((*text).to_owned(), *want));
    let many = |count| format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "h: 1\r\n".repeat(count));
    let large = |size| format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(size));
    let trailers = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: {}\r\n\r\n",
        "a".repeat(61 << 10)
    );
    let limits = [
        (many(98), ok("GET true a / ")),
        (many(100), LARGE),
        (large(59_000), ok("GET true a / ")),
        (large(61 << 10), LARGE),
        (large(500 << 10), LARGE),
        (format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(61 << 10)), LARGE),
        (trailers, LARGE),
    ];
    for (text, want) in fields.chain(heads).chain(limits) {
        let got = ask(server.address(), &closing(&text)).await;
        let shown = &text[..text.floor_char_boundary(90)];
        assert_eq!(last(&got), want, "{shown:?}");
        assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{shown:?}");
        assert!(got.contains("connection: close"), "{shown:?}: {got}");
        if want.0 != "200 OK" {
            assert!(got.contains("server: istio-envoy"), "{shown:?}: {got}");
        }
    }
    assert!(serves(server.address()).await);
}

#[tokio::test]
async fn what_is_sent_together_is_answered_in_turn_and_nothing_after_a_refusal() {
    let server = start().await;
    let good = "POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nhost: a\r\n\r\n";
    let text = format!("{good}GET /3 HTTP/1.1\r\nhost : a\r\n\r\nGET /4 HTTP/1.1\r\nhost: a\r\n\r\n");
    // However it is cut into packets.
    for step in [1, 5, 17, 64, 4096] {
        let mut client = connect(server.address()).await;
        client.set_nodelay(true).unwrap();
        for part in text.as_bytes().chunks(step) {
            let _ = client.write_all(part).await;
            tokio::task::yield_now().await;
        }
        let got = read(&mut client).await;
        let statuses: Vec<_> = got.match_indices("HTTP/1.1 ").map(|(at, _)| &got[at + 9..at + 12]).collect();
        assert_eq!(statuses, ["200", "200", "400"], "by {step}: {got}");
        let at = |text| got.find(text).unwrap();
        assert!(at("POST true a /1 abc") < at("GET true a /2 "), "by {step}: {got}");
    }
}

#[tokio::test]
async fn the_beginning_of_a_request_that_cannot_become_one_is_not_waited_for() {
    let server = start().await;
    for text in ["\x16\x03\x01", "\0", "GET /x HTTP/1.1\r\nbad line\r\n", "NOPE", "GETS"] {
        assert_eq!(last(&ask(server.address(), text.as_bytes()).await), BAD, "{text:?}");
    }
}
