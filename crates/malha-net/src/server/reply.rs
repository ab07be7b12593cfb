//! The body of what a listener answers: that of whoever was asked, or the words of a refusal.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::activity::Busy;

pin_project! {
    /// A response's body, which keeps its connection from being idle.
    #[project = ReplyProjection]
    pub(super) enum Reply<B> {
        /// As it was given to us.
        Answer { #[pin] body: B, busy: Busy },
        /// Words of our own.
        Words { words: &'static str },
    }
}

impl<B: Body<Data = Bytes>> Body for Reply<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project() {
            ReplyProjection::Answer { body, .. } => body.poll_frame(context),
            ReplyProjection::Words { words } => {
                let words = std::mem::take(words);
                Poll::Ready((!words.is_empty()).then(|| Ok(Frame::data(Bytes::from_static(words.as_bytes())))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Answer { body, .. } => body.is_end_stream(),
            Self::Words { words } => words.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Answer { body, .. } => body.size_hint(),
            Self::Words { words } => SizeHint::with_exact(words.len() as u64),
        }
    }
}
