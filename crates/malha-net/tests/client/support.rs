//! Servers that do as they are told, and requests to them.

use std::error::Error;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use malha_net::client::{Client, ClientTls, Protocol, ResponseBody, SendError, SendOptions, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A request's body, fed by a test.
pub(crate) struct Body(mpsc::UnboundedReceiver<Result<Bytes, &'static str>>);

/// Where it is fed.
pub(crate) type Feed = mpsc::UnboundedSender<Result<Bytes, &'static str>>;

impl Body {
    pub(crate) fn new() -> (Feed, Self) {
        let (feed, taken) = mpsc::unbounded_channel();
        (feed, Self(taken))
    }

    pub(crate) fn none() -> Self {
        Self::new().1
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|fed| fed.map(|fed| fed.map(Frame::data).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

/// Listens, and lets `serve` do with each connection what it likes; it is told how many there were before.
pub(crate) async fn server<F>(serve: impl Fn(usize, TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(serve(number, stream));
        }
    });
    address
}

/// Answers every request with the connection's number.
pub(crate) async fn numbering() -> SocketAddr {
    server(|number, mut stream| async move {
        while head(&mut stream).await.is_some() {
            write(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}")).await;
        }
    })
    .await
}

/// Where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

/// Reads up to the end of a head; `None` at the end of the connection.
pub(crate) async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(read).unwrap())
}

pub(crate) async fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// A round trip through the system: what happened to other sockets before is known to the runtime afterwards.
pub(crate) async fn settle() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (there, here) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    there.unwrap().write_u8(0).await.unwrap();
    here.unwrap().0.read_u8().await.unwrap();
}

pub(crate) fn target(address: SocketAddr, protocol: Protocol, tls: Option<ClientTls>) -> Arc<Target> {
    Arc::new(Target { host: address.ip().to_string().into(), port: address.port(), tls: tls.map(Arc::new), protocol })
}

pub(crate) fn http1(address: SocketAddr) -> Arc<Target> {
    target(address, Protocol::Http1, None)
}

pub(crate) fn request() -> Request<Body> {
    Request::get("http://host/path?query").body(Body::none()).unwrap()
}

/// A whole exchange: the body of its answer.
pub(crate) async fn get(client: &Client<Body>, target: &Arc<Target>) -> Result<String, SendError> {
    get_with(client, target, &SendOptions::default()).await
}

pub(crate) async fn get_with(
    client: &Client<Body>,
    target: &Arc<Target>,
    options: &SendOptions,
) -> Result<String, SendError> {
    Ok(text(client.send(target, request(), options).await?).await)
}

pub(crate) async fn text(response: Response<ResponseBody>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}
