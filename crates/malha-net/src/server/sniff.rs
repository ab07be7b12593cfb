//! Finds out whether a connection is HTTP/1 or HTTP/2, as Envoy's codec type `AUTO` does: by what ALPN chose, and
//! without that by the first bytes (`source/common/http/conn_manager_utility.cc`, `determineNextProtocol`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::limits::{HEAD_TIME, IDLE_TIME};

/// What no HTTP/1 request begins with; the rest of the preface (RFC 9113 §3.4) is for the codec to check.
const PREFACE: &[u8] = b"PRI * HTTP/2";

/// The two codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Waits for the first bytes of a connection. A client that sends none costs no buffer. `None`: there is nothing to
/// serve.
pub(super) async fn sniff<S: AsyncRead + Unpin>(
    mut io: S,
    negotiated: Option<Protocol>,
) -> Option<(Rewound<S>, Protocol)> {
    let mut first = [0; PREFACE.len()];
    let mut length = timeout(IDLE_TIME, io.read(&mut first)).await.ok()?.ok()?;
    let more = async {
        while negotiated.is_none() && length > 0 && length < PREFACE.len() && PREFACE.starts_with(&first[..length]) {
            match io.read(&mut first[length..]).await.ok()? {
                0 => return None,
                some => length += some,
            }
        }
        (length > 0).then_some(())
    };
    timeout(HEAD_TIME, more).await.ok()??;
    let protocol = if first == *PREFACE { Protocol::Http2 } else { Protocol::Http1 };
    Some((Rewound { io, first, length, next: 0 }, negotiated.unwrap_or(protocol)))
}

/// A connection whose first bytes are read again.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    io: S,
    first: [u8; PREFACE.len()],
    length: usize,
    next: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.next == me.length {
            return Pin::new(&mut me.io).poll_read(context, buf);
        }
        let some = (me.length - me.next).min(buf.remaining());
        buf.put_slice(&me.first[me.next..me.next + some]);
        me.next += some;
        // What has already come should go along: a head in two parts costs a copy.
        match buf.remaining() {
            0 => Poll::Ready(Ok(())),
            _ => match Pin::new(&mut me.io).poll_read(context, buf) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Ready(Ok(())),
            },
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}
