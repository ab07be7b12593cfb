//! A SPDY connection over anything that carries bytes: its streams, each to be read and written by itself.

use std::collections::HashMap;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::PollSender;

use super::spdy::{Decoder, Encoder, Event, Frame, Headers, PART, Session, goodbye, status};

/// Two for each connection that is forwarded.
const STREAMS: usize = 2_000;
/// Parts of data that wait for the reader of a stream; the connection is not read when there are as many.
const INBOX: usize = 4;
/// Frames that wait to be written, of all streams.
const OUTBOX: usize = 32;
/// What is written at once.
const BATCH: usize = 64 * 1024;
/// A connection on which nothing happens is closed (kubelet, `streamingConnectionIdleTimeout`).
const IDLE: Duration = Duration::from_hours(4);
/// As long as a client may take for the last words.
const GOODBYE: Duration = Duration::from_secs(1);

/// Whose streams they are.
pub(super) trait Owner {
    /// Whether a new stream is welcome; if not it is reset.
    fn admits(&mut self, stream: u32, headers: &Headers) -> bool;

    /// Takes a new stream, which the client knows to be accepted.
    fn take(&mut self, stream: Duplex);
}

/// Serves the client of a connection until either side ends it. Streams that are open then are reset.
pub(super) async fn serve<R, W>(source: R, sink: W, mut owner: impl Owner)
where
    R: Stream<Item = io::Result<Bytes>>,
    W: Sink<Bytes, Error = io::Error>,
{
    let (source, mut sink) = (pin!(source), pin!(sink));
    let (outbox, frames) = mpsc::channel(OUTBOX);
    let shared = Arc::new(Shared::default());
    let last_words = tokio::select! {
        last_words = read(source, &shared, &outbox, &mut owner) => last_words,
        // Whoever does not read does not hear them.
        _ = write(sink.as_mut(), frames, &shared) => None,
    };
    let newest = shared.end();
    drop(owner);
    let farewell = async {
        if let Some(status) = last_words {
            let mut bytes = BytesMut::new();
            Encoder::new().encode(&Frame::GoAway { newest, status }, &mut bytes);
            sink.send(bytes.freeze()).await?;
        }
        sink.close().await
    };
    // The connection is over, heard or not.
    let _ = timeout(GOODBYE, farewell).await;
}

/// Takes in what the client sends, until it has gone (`None`) or is to be told that the connection ends, and why.
async fn read<R>(
    mut source: Pin<&mut R>,
    shared: &Arc<Shared>,
    outbox: &mpsc::Sender<Frame>,
    owner: &mut impl Owner,
) -> Option<u32>
where
    R: Stream<Item = io::Result<Bytes>>,
{
    let mut decoder = Decoder::new();
    loop {
        match timeout(IDLE, source.next()).await {
            Ok(Some(Ok(bytes))) => decoder.feed(&bytes),
            Ok(Some(Err(_)) | None) => return None,
            Err(_) if shared.wrote.swap(false, Ordering::Relaxed) => continue,
            Err(_) => return Some(goodbye::OK),
        }
        loop {
            let frame = match decoder.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return Some(goodbye::PROTOCOL_ERROR),
            };
            let event = shared.state.lock().session.receive(frame);
            let answer = match event {
                Event::Nothing => continue,
                Event::Closed => return None,
                Event::Answer(frame) => frame,
                Event::Opened { stream, headers, .. } if !owner.admits(stream, &headers) => {
                    shared.state.lock().session.reset(stream, status::CANCEL)
                }
                Event::Opened { stream, ended, headers } => {
                    // The reply is on its way before anything that the stream's owner writes.
                    let reply = Frame::SynReply { stream, last: false, headers: Headers::default() };
                    outbox.send(reply).await.ok()?;
                    owner.take(shared.open(stream, ended, headers, outbox));
                    continue;
                }
                Event::Data { stream, ended, bytes } => {
                    let reader = shared.reader(stream, ended);
                    if let Some(reader) = reader.filter(|_| !bytes.is_empty()) {
                        // Waits for a reader that is behind; one that has gone misses nothing.
                        let _ = reader.send(bytes).await;
                    }
                    continue;
                }
                Event::Reset { stream } => {
                    if let Some(inbox) = shared.state.lock().inboxes.remove(&stream) {
                        inbox.reset.store(true, Ordering::Release);
                    }
                    continue;
                }
            };
            outbox.send(answer).await.ok()?;
        }
    }
}

/// Sends what is to be sent, several frames at once where they wait already.
async fn write<W>(mut sink: Pin<&mut W>, mut frames: mpsc::Receiver<Frame>, shared: &Shared) -> io::Result<()>
where
    W: Sink<Bytes, Error = io::Error>,
{
    let mut encoder = Encoder::new();
    let mut batch = BytesMut::new();
    while let Some(frame) = frames.recv().await {
        encoder.encode(&frame, &mut batch);
        while batch.len() < BATCH
            && let Ok(frame) = frames.try_recv()
        {
            encoder.encode(&frame, &mut batch);
        }
        sink.send(batch.split().freeze()).await?;
        shared.wrote.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// What the connection and its streams know together.
struct Shared {
    state: Mutex<State>,
    /// Since somebody asked.
    wrote: AtomicBool,
}

struct State {
    session: Session,
    inboxes: HashMap<u32, Inbox>,
}

/// Where what comes for a stream goes.
struct Inbox {
    /// None when the client has sent all.
    bytes: Option<mpsc::Sender<Bytes>>,
    reset: Arc<AtomicBool>,
}

impl Default for Shared {
    fn default() -> Self {
        let state = State { session: Session::new(STREAMS), inboxes: HashMap::new() };
        Self { state: Mutex::new(state), wrote: AtomicBool::default() }
    }
}

impl Shared {
    fn open(self: &Arc<Self>, id: u32, ended: bool, headers: Headers, outbox: &mpsc::Sender<Frame>) -> Duplex {
        let (bytes, inbox) = mpsc::channel(INBOX);
        let reset = Arc::new(AtomicBool::new(false));
        let place = Inbox { bytes: (!ended).then_some(bytes), reset: Arc::clone(&reset) };
        self.state.lock().inboxes.insert(id, place);
        let outbox = PollSender::new(outbox.clone());
        Duplex { id, headers, inbox, rest: Bytes::new(), outbox, shared: Arc::clone(self), reset, finished: false }
    }

    /// Resets all streams; which one was the newest.
    fn end(&self) -> u32 {
        let mut state = self.state.lock();
        state.inboxes.drain().for_each(|(_, inbox)| inbox.reset.store(true, Ordering::Release));
        state.session.newest()
    }

    /// Where bytes of a stream go; nothing more does once it has `ended`.
    fn reader(&self, stream: u32, ended: bool) -> Option<mpsc::Sender<Bytes>> {
        let mut state = self.state.lock();
        let inbox = state.inboxes.get_mut(&stream)?;
        if ended { inbox.bytes.take() } else { inbox.bytes.clone() }
    }
}

/// A stream of a connection. To shut it down ends our direction alone; to drop it before resets it.
pub(super) struct Duplex {
    id: u32,
    headers: Headers,
    inbox: mpsc::Receiver<Bytes>,
    /// What a reader had no room for.
    rest: Bytes,
    outbox: PollSender<Frame>,
    shared: Arc<Shared>,
    /// The client has given it up.
    reset: Arc<AtomicBool>,
    finished: bool,
}

impl Duplex {
    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// What it was opened with.
    pub(super) fn headers(&self) -> &Headers {
        &self.headers
    }

    fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    /// Queues bytes, as soon as there is room.
    fn poll_queue(&mut self, context: &mut Context<'_>, bytes: &[u8], last: bool) -> Poll<io::Result<()>> {
        if self.finished || self.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.outbox.poll_reserve(context)).map_err(gone)?;
        let frame = Frame::Data { stream: self.id, last, bytes: Bytes::copy_from_slice(bytes) };
        Poll::Ready(self.outbox.send_item(frame).map_err(gone))
    }
}

impl AsyncRead for Duplex {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(this.inbox.poll_recv(context)) {
                Some(bytes) => this.rest = bytes,
                None if this.is_reset() => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = this.rest.len().min(into.remaining());
        into.put_slice(this.rest.get(..length).unwrap_or_default());
        this.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let part = bytes.get(..PART).unwrap_or(bytes);
        ready!(self.get_mut().poll_queue(context, part, false))?;
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is queued is on its way.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.finished {
            ready!(this.poll_queue(context, &[], true))?;
            this.finished = true;
            this.shared.state.lock().session.finish(this.id, false);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.inboxes.remove(&self.id);
        state.session.finish(self.id, true);
        drop(state);
        if let Some(outbox) = self.outbox.get_ref().filter(|_| !self.finished && !self.is_reset()) {
            // Where there is no room the client is not told: those who care shut it down.
            let _ = outbox.try_send(Frame::Reset { stream: self.id, status: status::CANCEL });
        }
    }
}
