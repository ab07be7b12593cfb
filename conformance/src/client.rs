//! A client that sends what it is given, however wrong, and reads what comes.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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

/// A connection of HTTP/1.1.
pub struct Connection {
    stream: TcpStream,
    /// What was read and belongs to the next answer.
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request, of which nothing is changed, and reads the answer. That to HEAD has no body.
    pub async fn send(&mut self, request: &[u8], head_only: bool) -> Result<Answer> {
        // Who refuses a head may close before it has read the rest.
        self.stream.write_all(request).await.unwrap_or_default();
        loop {
            let mut answer = self.head().await?;
            if answer.status >= 200 {
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
                bail!("the connection ended without an answer");
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
        self.stream.read_buf(&mut self.buffer).await.is_ok_and(|count| count > 0)
    }
}

/// Sends a request over an HTTP/2 connection of its own. Trailers are headers `trailer NAME` of the answer.
pub async fn over_http2(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut answer = Answer { status: response.status().as_u16(), ..Answer::default() };
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
