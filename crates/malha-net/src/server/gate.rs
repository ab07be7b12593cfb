//! Stands between a connection and hyper's HTTP/1, and lets pass only what can be read in one way.
//!
//! hyper gets whole heads or nothing of them. One that must be refused is replaced by a request that stands for its
//! refusal, which is thereby answered in its turn. After it no byte passes. A body that breaks its framing ends with an
//! error, and whoever is answering that request learns of it ([`Progress`]).

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

/// How far the requests of a connection have come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Which of them had a body that broke off, if one had, and how.
    broken: AtomicU64,
    /// How many have come to their end.
    whole: AtomicU64,
}

/// What there is to say about a body that broke off: a refusal, or nothing, since the client has gone.
pub(super) type Break = Option<Refusal>;

/// No refusal's number.
const GONE: u8 = u8::MAX;

impl Progress {
    /// Whether the request with this number, the first being 1, is there to its last byte.
    pub(super) fn is_whole(&self, request: u64) -> bool {
        self.whole.load(Ordering::Relaxed) >= request
    }

    /// What became of the request with this number, the first being 1, if its body broke off.
    pub(super) fn broken(&self, request: u64) -> Option<Break> {
        let broken = self.broken.load(Ordering::Relaxed);
        (broken >> 8 == request).then(|| Refusal::numbered(broken.to_le_bytes()[0]))
    }

    fn tell(&self, request: u64, broken: Break) {
        let number = broken.map_or(GONE, Refusal::number);
        self.broken.store(request << 8 | u64::from(number), Ordering::Relaxed);
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
    /// What is held was rewritten, and has to be looked at anew.
    anew: bool,
    /// How many it takes to look at a head again that is not whole.
    look: usize,
    /// When the head that is held is late; once refused, when we stop to wait for the client.
    late: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
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
    pub(super) fn new(io: S, secure: bool, progress: Arc<Progress>) -> Self {
        Self {
            io,
            secure,
            at: At::Head,
            requests: 0,
            held: Vec::new(),
            open: 0,
            gone: 0,
            anew: false,
            look: 0,
            late: None,
            progress,
        }
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
                            Framing::Length(0) => self.ended(),
                            Framing::Length(length) => At::Length(length),
                            Framing::Chunked => At::Chunks(Box::default()),
                        };
                    }
                    Found::Rewritten(length, mut head) => {
                        head.extend_from_slice(&rest[length..]);
                        (self.held, self.anew) = (head, true);
                        break;
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
                        self.at = self.ended();
                    }
                }
                At::Chunks(chunks) => match chunks.follow(rest) {
                    Followed::All => next = bytes.len(),
                    Followed::Ended(length) => {
                        next += length;
                        self.at = self.ended();
                    }
                    Followed::Broken(length, refusal) => {
                        next += length;
                        self.progress.tell(self.requests, Some(refusal));
                        self.at = At::Broken;
                        break;
                    }
                },
                At::Refused | At::Broken => break,
            }
        }
        next
    }

    /// A request has come to its end, and a head is next.
    fn ended(&self) -> At {
        self.progress.whole.store(self.requests, Ordering::Relaxed);
        At::Head
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
        // Empty lines mean nothing, and set no time; half of one may become anything.
        if self.anew || !matches!(self.at, At::Head) || (is_blank(head) && !head.ends_with(b"\r")) {
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
        self.look_again();
    }

    /// Lets as much pass of what is held as may.
    fn look_again(&mut self) {
        self.anew = false;
        let held = std::mem::take(&mut self.held);
        let open = self.pass(&held);
        if self.anew {
            self.held.splice(..0, held[..open].iter().copied());
            (self.open, self.gone) = (open, 0);
            return;
        }
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
        if self.anew {
            self.held = rest;
        } else {
            self.hold(&rest);
        }
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
            if me.anew {
                me.look_again();
                continue;
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
                        me.progress.tell(me.requests, None);
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

    /// After a refusal, or an answer to half a request, the client is read out for a while: bytes that nobody reads make
    /// the system reset the connection, and the client could lose the answer (Envoy, `delayed_close_timeout`).
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(Pin::new(&mut me.io).poll_shutdown(context))?;
        if matches!(me.at, At::Head) {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use parking_lot::Mutex;
    use proptest::prelude::*;
    use proptest::sample::select;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    use super::super::connection::http1;
    use super::*;

    const GOOD: &[&str] = &[
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET http://b/x?y HTTP/1.1\r\nhost: a\r\nx: y z\r\n\r\n",
        "POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
        "POST /<`?`<\"> HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
        "POST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
        "POST /3 HTTP/1.1\r\ntransfer-encoding: chunked\r\nhost: a\r\n\r\n1 \r\na\r\n00\r\nt: u\r\n\r\n",
        "PUT /4 HTTP/1.1\nhost: a\nexpect: 100-continue\ncontent-length: 1\n\na",
        "CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    ];

    const PIECES: &[&str] = &[
        "<",
        "\r",
        "\n",
        "\r\n",
        "\r\n\r\n",
        "\n\n",
        " ",
        "  ",
        "\t",
        "\0",
        "\x0b",
        "\x7f",
        "é",
        ":",
        ";",
        ",",
        "/",
        "#",
        "?",
        "@",
        "%",
        "\"",
        "<",
        "0",
        "3",
        "f",
        "+",
        "-",
        "0x",
        "ffffffffffffffff",
        "chunked",
        "gzip",
        "close",
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/2.0",
        "GET ",
        "x: y\r\n",
        "host: b\r\n",
        "content-length: 3\r\n",
        "content-length: 0\r\n",
        "content-length:3\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding:\tchunked \r\n",
        "transfer-encoding : chunked\r\n",
        "connection: close\r\n",
        "0\r\n\r\n",
        "3\r\nabc\r\n",
        "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    ];

    /// Good requests with some pieces put in, and some bytes taken out.
    fn wire() -> impl Strategy<Value = Vec<u8>> {
        let edits = prop::collection::vec((any::<prop::sample::Index>(), select(PIECES), 0..4_usize), 0..4);
        (prop::collection::vec(select(GOOD), 1..4), edits).prop_map(|(requests, edits)| {
            let mut bytes = requests.concat().into_bytes();
            for (at, piece, without) in edits {
                let at = at.index(bytes.len() + 1);
                let end = (at + without).min(bytes.len());
                bytes.splice(at..end, piece.bytes());
            }
            bytes
        })
    }

    /// What hyper makes of `wire` behind a gate: how many requests, and what it sends. Fails if a body breaks off for
    /// another reason than the gate's.
    async fn through(wire: &[u8], step: usize) -> (Vec<String>, String) {
        let (mut client, server) = duplex(1 << 20);
        let progress = Arc::new(Progress::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let service = service_fn(|request: Request<Incoming>| {
            let (progress, seen) = (Arc::clone(&progress), Arc::clone(&seen));
            async move {
                if Refusal::of(&request).is_none() {
                    seen.lock().push(format!("{} {}", request.method(), request.uri()));
                }
                let number = seen.lock().len() as u64;
                let body = request.into_body().collect().await;
                assert!(
                    body.is_ok() || progress.broken(number).is_some(),
                    "hyper refused a body: {body:?} of {:?}",
                    String::from_utf8_lossy(wire)
                );
                let response = Response::builder().header("server", "test").body(Full::<Bytes>::default());
                Ok::<_, Infallible>(response.unwrap())
            }
        });
        let gate = Gate::new(server, false, Arc::clone(&progress));
        let connection = http1().serve_connection(TokioIo::new(gate), service);
        let writes = async {
            for part in wire.chunks(step) {
                let _ = client.write_all(part).await;
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await;
        };
        // The clock is paused: when nothing moves any more, the second is over.
        let _ = timeout(Duration::from_secs(1), async {
            tokio::select! {
                _ = connection => {}
                () = writes => {}
            }
        })
        .await;
        let mut text = Vec::new();
        client.read_to_end(&mut text).await.unwrap();
        let seen = std::mem::take(&mut *seen.lock());
        (seen, String::from_utf8(text).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn hyper_finds_the_requests_where_the_gate_does(wire in wire(), step in select(&[1_usize, 3, 10, 4096][..])) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let (seen, text) = runtime.unwrap().block_on(through(&wire, step));
            let mut gate = Gate::new((), false, Arc::default());
            gate.pass(&wire);
            while gate.anew {
                gate.held.drain(..gate.open);
                gate.look_again();
            }
            // Those behind a `connection: close` or a `CONNECT` are not asked for.
            prop_assert!(seen.len() as u64 <= gate.requests, "{seen:?}, and the gate counts {}", gate.requests);
            // hyper's own refusals name no server.
            let answers = text.matches("HTTP/1.1 ").count() - text.matches("100 Continue").count();
            prop_assert_eq!(answers, text.matches("server: ").count(), "{}", text);
        }
    }

    #[test]
    fn a_head_in_single_bytes_is_held_until_it_is_whole() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        for good in GOOD {
            for step in [1, 2, 7] {
                let (seen, _) = runtime.block_on(through(good.as_bytes(), step));
                assert_eq!(seen.len(), 1, "{good:?} by {step}");
            }
        }
    }
}
