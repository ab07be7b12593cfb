//! A client that sends what it is given, however wrong, and reads what comes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::case::Tls;
use crate::certificates;

/// The body of a request over HTTP/2.
pub type Body = BoxBody<Bytes, Infallible>;

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// As much of the body as came.
    pub body: Vec<u8>,
    /// The body ended before it was whole.
    pub broken: bool,
}

/// What is read from and written to.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    /// The protocol that a handshake chose.
    chosen: Option<String>,
    /// What was read and belongs to the next answer.
    buffer: Vec<u8>,
    /// Why there is no more.
    end: Option<String>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Box::new(stream), chosen: None, buffer: Vec::new(), end: None })
    }

    /// Connects, and shakes hands.
    pub async fn open_tls(address: SocketAddr, tls: &Tls) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(tls.name.clone())?;
        let connector = TlsConnector::from(Arc::new(certificates::client(tls)?));
        let stream = connector.connect(name, stream).await?;
        let chosen = stream.get_ref().1.alpn_protocol().map(|chosen| String::from_utf8_lossy(chosen).into_owned());
        Ok(Self { stream: Box::new(stream), chosen, buffer: Vec::new(), end: None })
    }

    /// Whether a handshake chose HTTP/2.
    pub fn speaks_http2(&self) -> bool {
        self.chosen.as_deref() == Some("h2")
    }

    /// Sends a request, of which nothing is changed, and reads the answer. That to HEAD has no body.
    pub async fn send(&mut self, request: &[u8], head_only: bool) -> Result<Answer> {
        // Who refuses a head may close before it has read the rest.
        self.stream.write_all(request).await.unwrap_or_default();
        loop {
            let mut answer = self.head().await?;
            if answer.status >= 200 {
                answer.headers.extend(self.chosen.clone().map(|chosen| (ALPN.to_owned(), chosen)));
                if !head_only {
                    self.body(&mut answer).await;
                }
                return Ok(answer);
            }
        }
    }

    async fn head(&mut self) -> Result<Answer> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if !self.more().await {
                bail!("{}", self.end.as_deref().unwrap_or("the connection ended without an answer"));
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?.parse()?;
        let header =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Ok(Answer { status, headers: lines.filter_map(header).collect(), ..Answer::default() })
    }

    async fn body(&mut self, answer: &mut Answer) {
        let header = |name: &str| answer.headers.iter().find(|header| header.0 == name).map(|header| header.1.clone());
        if header("transfer-encoding").is_some() {
            answer.broken = self.chunks(&mut answer.body).await.is_none();
        } else if let Some(length) = header("content-length") {
            answer.broken = self.exactly(length.parse().unwrap_or(0), &mut answer.body).await.is_none();
        } else if answer.status != 204 && answer.status != 304 {
            while self.more().await {}
            answer.body.append(&mut self.buffer);
        }
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> Option<()> {
        loop {
            let end = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break end;
                }
                if !self.more().await {
                    return None;
                }
            };
            let size = usize::from_str_radix(str::from_utf8(&self.buffer[..end]).ok()?, 16).ok()?;
            self.buffer.drain(..end + 2);
            self.exactly(size, body).await?;
            self.exactly(2, &mut Vec::new()).await?;
            if size == 0 {
                return Some(());
            }
        }
    }

    /// Takes so many bytes, or what there is.
    async fn exactly(&mut self, size: usize, into: &mut Vec<u8>) -> Option<()> {
        while self.buffer.len() < size {
            if !self.more().await {
                into.append(&mut self.buffer);
                return None;
            }
        }
        into.extend(self.buffer.drain(..size));
        Some(())
    }

    async fn more(&mut self) -> bool {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(count) => count > 0,
            Err(error) => {
                self.end = Some(error.to_string());
                false
            }
        }
    }
}

/// The header that says which protocol a handshake chose.
const ALPN: &str = "alpn chosen";

/// Sends a request over a connection of HTTP/2. Trailers are headers `trailer NAME` of the answer.
pub async fn over_http2(connection: Connection, request: Request<Body>) -> Result<Answer> {
    let Connection { stream, chosen, .. } = connection;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut answer = Answer { status: response.status().as_u16(), ..Answer::default() };
    answer.headers.extend(chosen.map(|chosen| (ALPN.to_owned(), chosen)));
    for (name, value) in response.headers() {
        answer.headers.push((name.to_string(), text(value.as_bytes())));
    }
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        match frame {
            Err(_) => {
                answer.broken = true;
                break;
            }
            Ok(frame) => match frame.into_data() {
                Ok(data) => answer.body.extend_from_slice(&data),
                Err(frame) => {
                    for (name, value) in frame.trailers_ref().into_iter().flatten() {
                        answer.headers.push((format!("trailer {name}"), text(value.as_bytes())));
                    }
                }
            },
        }
    }
    driver.abort();
    Ok(answer)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
