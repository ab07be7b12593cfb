//! A request body that can be sent more than once: to another try, and to mirrors.
//!
//! What is read for one reader is kept for the next, up to a limit: a body that is longer is sent once, and then there is
//! no other try and no mirror (Envoy, `retry_or_shadow_abandoned`). A body that is there already costs nothing to keep.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use malha_runtime::{Body, BodyError};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Bytes of a body that are kept (Envoy, `per_connection_buffer_limit_bytes`: 1 MiB where nothing else is said).
const KEPT: usize = 1 << 20;

/// A body with what was read of it.
#[derive(Clone)]
pub(crate) struct Replay(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
}

/// How far the body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There may be more.
    Reading,
    /// All of it.
    Complete,
    /// It is longer than what is kept, and there may be more.
    Passing,
    /// All of it, or as much as its sender gave, but it is not kept.
    Gone,
}

struct State {
    source: Body,
    /// Whether its sender said how long it is: what came in chunks goes on in chunks each time.
    measured: bool,
    kept: Vec<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    progress: Progress,
    /// Its sender failed while nobody was reading: whoever reads must not take what is there for the whole.
    failed: bool,
    /// The reader that may go on reading; those before it were given up.
    turn: usize,
}

impl Replay {
    pub(crate) fn new(source: Body) -> Self {
        let progress = if source.is_end_stream() { Progress::Complete } else { Progress::Reading };
        let measured = source.size_hint().exact().is_some();
        let (kept, trailers) = (Vec::new(), None);
        let state = State { source, measured, kept, bytes: 0, trailers, progress, failed: false, turn: 0 };
        Self(Arc::new(Shared { state: Mutex::new(state), progress: watch::Sender::new(progress) }))
    }

    /// The body from its beginning. Whoever had it before gets no more of it.
    pub(crate) fn body(&self) -> Body {
        let mut state = self.0.state.lock();
        state.turn += 1;
        if state.progress == Progress::Complete && state.kept.is_empty() && state.trailers.is_none() {
            return Body::empty();
        }
        let turn = state.turn;
        drop(state);
        Body::boxed(Reader { shared: Arc::clone(&self.0), turn, next: 0, ended: false })
    }

    /// Whether it can be sent again.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.0.state.lock().progress, Progress::Reading | Progress::Complete)
    }

    /// Waits until all of it was read, or its sender failed. Says whether it is kept.
    pub(crate) async fn ended(&self) -> bool {
        let mut progress = self.0.progress.subscribe();
        // The sender is in `self`: it cannot be gone.
        let ended = progress.wait_for(|progress| matches!(progress, Progress::Complete | Progress::Gone)).await;
        ended.is_ok_and(|progress| *progress == Progress::Complete)
    }

    /// Reads ahead, as much as is kept: a request is there when its sender is done, whether or not anybody has asked for it
    /// yet (Envoy reads what comes into its buffers). Belongs into the task that reads the body: the two of them wake each
    /// other up.
    async fn read_ahead(&self) {
        poll_fn(|context| {
            let mut state = self.0.state.lock();
            while state.progress == Progress::Reading && state.bytes < KEPT {
                match ready!(Pin::new(&mut state.source).poll_frame(context)) {
                    None => self.0.set(&mut state, Progress::Complete),
                    Some(Err(_)) => {
                        state.failed = true;
                        self.0.set(&mut state, Progress::Gone);
                    }
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(chunk) => {
                            state.bytes += chunk.len();
                            state.kept.push(chunk);
                        }
                        Err(frame) => state.trailers = frame.into_trailers().ok(),
                    },
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// A copy that shares what was kept; to be had once the body is complete.
    pub(crate) fn copy(&self) -> Self {
        let state = self.0.state.lock();
        let copy = State {
            source: Body::empty(),
            measured: state.measured,
            kept: state.kept.clone(),
            bytes: state.bytes,
            trailers: state.trailers.clone(),
            progress: state.progress,
            failed: state.failed,
            turn: 0,
        };
        Self(Arc::new(Shared { progress: watch::Sender::new(copy.progress), state: Mutex::new(copy) }))
    }
}

impl Shared {
    fn set(&self, state: &mut State, progress: Progress) {
        state.progress = progress;
        self.progress.send_replace(progress);
    }
}

/// The body of a request that is about to be sent, perhaps more than once.
#[derive(Clone)]
pub(crate) enum Source {
    /// There is none.
    Empty,
    /// It is sent once.
    Once(Arc<Mutex<Option<Body>>>),
    /// It is kept, as far as it was read.
    Kept(Replay),
}

impl Source {
    /// `keep` it if it may be sent again, or if its end matters.
    pub(crate) fn new(body: Body, keep: bool) -> Self {
        if body.is_end_stream() {
            Self::Empty
        } else if keep {
            Self::Kept(Replay::new(body))
        } else {
            Self::Once(Arc::new(Mutex::new(Some(body))))
        }
    }

    /// The body from its beginning.
    pub(crate) fn body(&self) -> Body {
        match self {
            Self::Empty => Body::empty(),
            Self::Once(body) => body.lock().take().unwrap_or_default(),
            Self::Kept(replay) => replay.body(),
        }
    }

    /// A copy of it, for those who come when it is [complete](Self::complete).
    pub(crate) fn copy(&self) -> Body {
        match self {
            Self::Kept(replay) => replay.copy().body(),
            Self::Empty | Self::Once(_) => Body::empty(),
        }
    }

    /// Whether it can be sent (again).
    pub(crate) fn is_kept(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Once(body) => body.lock().is_some(),
            Self::Kept(replay) => replay.is_kept(),
        }
    }

    /// Whether all of it is known to be there.
    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Once(_) => false,
            Self::Kept(replay) => replay.0.state.lock().progress == Progress::Complete,
        }
    }

    /// Waits until all of it has come. Says whether it can be copied.
    pub(crate) async fn complete(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Once(_) => false,
            Self::Kept(replay) => {
                replay.read_ahead().await;
                replay.ended().await
            }
        }
    }

    /// Waits until all of it has come, or more than is kept. Says whether it can be copied.
    pub(crate) async fn collect(&self) -> bool {
        if let Self::Kept(replay) = self {
            replay.read_ahead().await;
        }
        self.is_complete()
    }
}

/// One pass over the body.
struct Reader {
    shared: Arc<Shared>,
    turn: usize,
    next: usize,
    ended: bool,
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let mut state = this.shared.state.lock();
        if let Some(chunk) = state.kept.get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        if state.turn != this.turn || state.failed {
            return Poll::Ready(Some(Err(BodyError::Stalled)));
        }
        if state.progress == Progress::Complete {
            this.ended = true;
            return Poll::Ready(state.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        match ready!(Pin::new(&mut state.source).poll_frame(context)) {
            None => {
                this.ended = true;
                let kept = state.progress == Progress::Reading;
                this.shared.set(&mut state, if kept { Progress::Complete } else { Progress::Gone });
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                this.ended = true;
                this.shared.set(&mut state, Progress::Gone);
                Poll::Ready(Some(Err(error)))
            }
            Some(Ok(frame)) => {
                match (frame.data_ref(), frame.trailers_ref()) {
                    (Some(chunk), _) if state.progress == Progress::Reading => {
                        state.bytes += chunk.len();
                        if state.bytes > KEPT {
                            state.kept = Vec::new();
                            this.next = 0;
                            this.shared.set(&mut state, Progress::Passing);
                        } else {
                            let chunk = chunk.clone();
                            state.kept.push(chunk);
                            this.next += 1;
                        }
                    }
                    (None, Some(trailers)) if state.progress == Progress::Reading => {
                        state.trailers = Some(trailers.clone());
                    }
                    _ => {}
                }
                if state.progress == Progress::Reading && state.source.is_end_stream() {
                    this.shared.set(&mut state, Progress::Complete);
                    // Trailers are the last frame; they are not to be given twice.
                    this.ended = frame.is_trailers();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.shared.state.lock();
        match state.progress {
            Progress::Complete if state.measured => {
                let left: usize = state.kept.iter().skip(self.next).map(Bytes::len).sum();
                SizeHint::with_exact(left as u64)
            }
            Progress::Reading if self.next == state.kept.len() && self.next == 0 => state.source.size_hint(),
            Progress::Reading => {
                let left: usize = state.kept.iter().skip(self.next).map(Bytes::len).sum();
                match state.source.size_hint().exact() {
                    Some(rest) => SizeHint::with_exact(rest + left as u64),
                    None => SizeHint::default(),
                }
            }
            Progress::Complete | Progress::Passing | Progress::Gone => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn chunks(sizes: &[usize]) -> Body {
        let frames: Vec<_> = sizes.iter().map(|size| Ok(Frame::data(Bytes::from(vec![b'x'; *size])))).collect();
        Body::boxed(StreamBody::new(stream::iter(frames)))
    }

    async fn length(body: Body) -> usize {
        body.collect().await.unwrap().to_bytes().len()
    }

    #[tokio::test]
    async fn a_body_is_read_again_from_its_beginning() {
        let replay = Replay::new(chunks(&[3, 4]));
        assert_eq!(length(replay.body()).await, 7);
        assert_eq!(replay.body().size_hint().exact(), None, "nobody said so");
        assert_eq!(length(replay.body()).await, 7);
        assert!(replay.ended().await);
        assert_eq!(length(replay.copy().body()).await, 7);
    }

    #[tokio::test]
    async fn a_try_that_was_given_up_half_way_costs_the_next_one_nothing() {
        let replay = Replay::new(chunks(&[3, 4, 5]));
        let mut first = replay.body();
        first.frame().await.unwrap().unwrap();
        let second = replay.body();
        assert_eq!(length(second).await, 12);
        // What it has read was kept; more is not its own.
        let mut rest = first;
        while let Some(frame) = rest.frame().await {
            if frame.is_err() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn what_came_before_anybody_asked_is_there() {
        let replay = Replay::new(chunks(&[3, 4]));
        replay.read_ahead().await;
        assert!(replay.ended().await);
        assert_eq!(length(replay.body()).await, 7);
        let long = Replay::new(chunks(&[KEPT - 1, 2, 3]));
        long.read_ahead().await;
        assert_eq!(length(long.body()).await, KEPT + 4);
        assert!(!long.is_kept());
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_sent_once() {
        let replay = Replay::new(chunks(&[KEPT, 1]));
        assert_eq!(length(replay.body()).await, KEPT + 1);
        assert!(!replay.is_kept());
        assert!(!replay.ended().await);
    }
}
