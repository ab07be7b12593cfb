//! SPDY in a WebSocket (KEP-4006; apiserver, `util/proxy/streamtunnel.go`; client-go,
//! `tools/portforward/tunneling_connection.go`): its bytes are those of the binary messages, one after the other, wherever
//! these begin and end.

use std::future::ready;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use http::HeaderMap;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

/// What makes an answer out of a key (RFC 6455, §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Clients send what they have read from a socket as a message.
const MESSAGE: usize = 1 << 20;
const BUFFER: usize = 32 * 1024;

/// `Sec-WebSocket-Accept` for a request.
///
/// # Errors
/// What the request lacks of a handshake.
pub(super) fn accept(headers: &HeaderMap) -> Result<String, &'static str> {
    if headers.get("sec-websocket-version").is_none_or(|version| version.as_bytes() != b"13") {
        return Err("websocket: unsupported version: 13 not found in 'Sec-Websocket-Version' header");
    }
    let key = headers.get("sec-websocket-key").map(|key| key.as_bytes().trim_ascii());
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16));
    let key = key.ok_or("websocket: not a websocket handshake: 'Sec-WebSocket-Key' header must be Base64 encoded value of 16-byte in length")?;
    Ok(STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat())))
}

/// The bytes in a WebSocket whose handshake is done.
pub(super) async fn tunnel<S>(socket: S) -> (impl Stream<Item = io::Result<Bytes>>, impl Sink<Bytes, Error = io::Error>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(4 * MESSAGE)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let (sink, source) = WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await.split();
    let source = source.filter_map(|message| {
        ready(match message {
            Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(Message::Text(_)) => Some(Err(io::Error::new(io::ErrorKind::InvalidData, "a text message"))),
            // Pings are answered, and the end comes after a close.
            Ok(_) => None,
            Err(error) => Some(Err(io::Error::other(error))),
        })
    });
    let sink = sink.sink_map_err(io::Error::other).with(|bytes| ready(Ok(Message::Binary(bytes))));
    (source, sink)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(version: &'static str, key: &'static str) -> HeaderMap {
        [("sec-websocket-version", version), ("sec-websocket-key", key)]
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_key_is_answered_as_in_the_rfc() {
        let answer = accept(&headers("13", "dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(answer.as_deref(), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        for (version, key) in [("8", "dGhlIHNhbXBsZSBub25jZQ=="), ("13", "dGhl"), ("13", "?"), ("13", "")] {
            assert!(accept(&headers(version, key)).is_err(), "{version} {key}");
        }
        assert!(accept(&HeaderMap::new()).is_err());
    }
}
