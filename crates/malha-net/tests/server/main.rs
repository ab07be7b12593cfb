//! A listener among clients that mean well and others that do not, over real sockets.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod abuse;
mod drain;
mod frames;
mod http1;
mod http2;
mod idle;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use malha_net::server::host::settle_host;
use malha_net::server::{Connection, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Says what arrived: method, host, target and body; 400 for a body that breaks off.
async fn echo(mut request: Request<Incoming>, _: Arc<Connection>) -> Option<Response<Full<Bytes>>> {
    let settled = settle_host(&mut request).is_some();
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Some(Response::new(Full::from("broken body"))) };
    let host = head.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
    let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    let text = format!("{} {settled} {} {} {body}", head.method, host.unwrap_or_default(), head.uri);
    Some(Response::new(Full::from(text)))
}

async fn start() -> Server {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Server::start(socket, || None, echo).unwrap()
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// All that comes until the connection ends; a reset is an end.
async fn read(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = client.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a client gets that sends `bytes` and then waits for the end.
async fn ask(address: SocketAddr, bytes: &[u8]) -> String {
    let mut client = connect(address).await;
    // The server may have hung up by then.
    let _ = client.write_all(bytes).await;
    read(&mut client).await
}

/// Status and body of the last of some responses.
fn last(text: &str) -> (&str, &str) {
    let Some((_, text)) = text.rsplit_once("HTTP/1.1 ") else { return ("", text) };
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split("\r\n").next().unwrap(), body)
}

/// Whether a well-behaved client is served.
async fn serves(address: SocketAddr) -> bool {
    let text = ask(address, b"GET /ok HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    last(&text) == ("200 OK", "GET true a /ok ")
}
