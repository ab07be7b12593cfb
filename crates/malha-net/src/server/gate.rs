//! Stands between a connection and hyper's HTTP/1, and lets pass only what can be read in one way.
//!
//! hyper gets whole heads or nothing of them. One that must be refused is replaced by a request that stands for its
//! refusal, which is thereby answered in its turn. After it no byte passes. A body that breaks its framing ends with an
//! error, and whoever is answering that request learns of it ([`Broken`]).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::chunks::{Chunks, Followed};
use super::head::{Found, Framing, examine, is_blank};
use super::limits::{HEAD_BYTES, HEAD_TIME, LINGER_TIME};
use super::refusal::Refusal;

/// Which request of a connection had a body that broke off, if one had, and how.
#[derive(Debug, Default)]
pub(super) struct Broken(AtomicU64);

/// What there is to say about a body that broke off: a refusal, or nothing, since the client has gone.
pub(super) type Break = Option<Refusal>;

/// No refusal's number.
const GONE: u8 = u8::MAX;

impl Broken {
    /// What became of the request with this number, the first being 1, if its body broke off.
    pub(super) fn of(&self, request: u64) -> Option<Break> {
        let broken = self.0.load(Ordering::Relaxed);
        (broken >> 8 == request).then(|| Refusal::numbered(broken.to_le_bytes()[0]))
    }

    fn tell(&self, request: u64, broken: Break) {
        let number = broken.map_or(GONE, Refusal::number);
        self.0.store(request << 8 | u64::from(number), Ordering::Relaxed);
    }
}

/// A connection of which only proper requests can be read.
#[derive(Debug)]
pub(super) struct Gate<S> {
    io: S,
    secure: bool,
    at: At,
    /// Heads that have passed.
    requests: u64,
    /// A head that has not come to its end, or bytes that were held with it.
    held: Vec<u8>,
    /// How many of them may pass, and how many have.
    open: usize,
    gone: usize,
    /// How many it takes to look at a head again that is not whole.
    look: usize,
    /// When the head that is held is late; once refused, when we stop to wait for the client.
    late: Option<Pin<Box<Sleep>>>,
    broken: Arc<Broken>,
}

#[derive(Debug)]
enum At {
    Head,
    Length(u64),
    Chunks(Box<Chunks>),
    /// The last thing to pass stands for a refusal.
    Refused,
    /// The body is none.
    Broken,
}

impl<S> Gate<S> {
    /// A gate before `io`; `secure` says whether it is TLS.
    pub(super) fn new(io: S, secure: bool, broken: Arc<Broken>) -> Self {
        Self { io, secure, at: At::Head, requests: 0, held: Vec::new(), open: 0, gone: 0, look: 0, late: None, broken }
    }

    /// How many of `bytes`, the next of the connection, may pass. The rest is to be held, unless all is over.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut next = 0;
        while let Some(rest) = bytes.get(next..).filter(|rest| !rest.is_empty()) {
            match &mut self.at {
                At::Head => match examine(rest, self.secure) {
                    Found::Whole(length, framing) => {
                        next += length;
                        self.requests += 1;
                        self.at = match framing {
                            Framing::Length(0) => At::Head,
                            Framing::Length(length) => At::Length(length),
                            Framing::Chunked => At::Chunks(Box::default()),
                        };
                    }
                    Found::Partial => break,
                    Found::Refused(refusal) => {
                        self.refuse(refusal);
                        break;
                    }
                },
                At::Length(left) => {
                    let taken = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    next += taken;
                    *left -= taken as u64;
                    if *left == 0 {
                        self.at = At::Head;
                    }
                }
                At::Chunks(chunks) => match chunks.follow(rest) {
                    Followed::All => next = bytes.len(),
                    Followed::Ended(length) => {
                        next += length;
                        self.at = At::Head;
                    }
                    Followed::Broken(length, refusal) => {
                        next += length;
                        self.broken.tell(self.requests, Some(refusal));
                        self.at = At::Broken;
                        break;
                    }
                },
                At::Refused | At::Broken => break,
            }
        }
        next
    }

    /// Lets what stands for `refusal` be the last to pass.
    fn refuse(&mut self, refusal: Refusal) {
        self.at = At::Refused;
        self.held = refusal.request().into_bytes();
        (self.open, self.gone) = (self.held.len(), 0);
        self.late = None;
    }

    /// Keeps the beginning of a head, and sets it a time.
    fn hold(&mut self, head: &[u8]) {
        if !matches!(self.at, At::Head) || is_blank(head) {
            return;
        }
        self.held.extend_from_slice(head);
        self.look = 2 * self.held.len();
        self.late = Some(Box::pin(sleep(HEAD_TIME)));
    }

    /// Takes more of the head that is held.
    fn add(&mut self, bytes: &[u8]) {
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        // A head that comes byte by byte is not read anew for each of them.
        let ends = self.held[before.saturating_sub(2)..].windows(2).any(|pair| pair == b"\n\n" || pair == b"\n\r");
        if !ends && self.held.len() < self.look.min(HEAD_BYTES) {
            return;
        }
        let held = std::mem::take(&mut self.held);
        let open = self.pass(&held);
        if matches!(self.at, At::Refused) && open == 0 {
            return;
        }
        if open > 0 {
            self.late = None;
        }
        self.look = 2 * held.len();
        match self.at {
            // What came before the refusal goes first, and that is whole.
            At::Refused => {
                let refusal = std::mem::take(&mut self.held);
                self.held = [&held[..open], &refusal].concat();
                self.open = self.held.len();
            }
            At::Broken => {
                self.held = held;
                self.held.truncate(open);
                self.open = open;
            }
            _ => {
                self.held = held;
                self.open = open;
            }
        }
        self.gone = 0;
    }

    /// Gives out what may pass.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let some = (self.open - self.gone).min(buf.remaining());
        buf.put_slice(&self.held[self.gone..self.gone + some]);
        self.gone += some;
        if self.gone < self.open {
            return;
        }
        let rest = self.held.split_off(self.open);
        (self.held, self.open, self.gone) = (Vec::new(), 0, 0);
        self.hold(&rest);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        loop {
            if me.open > 0 {
                me.give(buf);
                return Poll::Ready(Ok(()));
            }
            match me.at {
                // The end would be read as the client's, who then gets no answer.
                At::Refused => return Poll::Pending,
                At::Broken => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                _ => {}
            }
            if me.held.is_empty() {
                let before = buf.filled().len();
                ready!(Pin::new(&mut me.io).poll_read(context, buf))?;
                let bytes = &buf.filled()[before..];
                if bytes.is_empty() {
                    // A client that hangs up in the middle of its request wants no answer, as Envoy sees it.
                    if matches!(me.at, At::Length(_) | At::Chunks(_)) {
                        me.broken.tell(me.requests, None);
                    }
                    return Poll::Ready(Ok(()));
                }
                let passed = me.pass(bytes);
                me.hold(&bytes[passed..]);
                buf.set_filled(before + passed);
                if passed > 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                let mut space = [0; 4096];
                let mut more = ReadBuf::new(&mut space);
                match Pin::new(&mut me.io).poll_read(context, &mut more)? {
                    Poll::Ready(()) if more.filled().is_empty() => return Poll::Ready(Ok(())),
                    Poll::Ready(()) => me.add(more.filled()),
                    Poll::Pending => {
                        if let Some(late) = &mut me.late {
                            ready!(late.as_mut().poll(context));
                            me.refuse(Refusal::Late);
                        } else {
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
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

    /// After a refusal the client is read out for a while: bytes that nobody reads make the system reset the connection,
    /// and the client could lose the answer (Envoy, `delayed_close_timeout`).
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(Pin::new(&mut me.io).poll_shutdown(context))?;
        if !matches!(me.at, At::Refused | At::Broken) {
            return Poll::Ready(Ok(()));
        }
        let late = me.late.get_or_insert_with(|| Box::pin(sleep(LINGER_TIME)));
        if late.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut space = [0; 4096];
        loop {
            let mut more = ReadBuf::new(&mut space);
            match Pin::new(&mut me.io).poll_read(context, &mut more) {
                Poll::Ready(Ok(())) if !more.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
