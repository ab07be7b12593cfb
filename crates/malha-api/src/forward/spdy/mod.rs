//! SPDY/3.1, as far as Kubernetes speaks it (the protocol: SPDY draft 3.1, 2013; the peer: moby/spdystream).
//!
//! Frames and the rules of a connection, without any IO: bytes go into a [`Decoder`], its frames into a [`Session`], and
//! what is to be sent comes out of an [`Encoder`].
//!
//! Neither side of Kubernetes has flow control: spdystream sends no `WINDOW_UPDATE`, ignores those that come, and writes
//! without asking for a window. So does this one; what holds a fast sender back is the connection, which is not read while
//! the reader of one of its streams is behind.

mod dictionary;
mod frame;
mod headers;
mod session;

pub(super) use frame::{Decoder, Encoder, Frame, PART};
pub(super) use headers::Headers;
pub(super) use session::{Event, Session};

/// Why a stream is reset (§2.6.3); those that are sent.
pub(super) mod status {
    pub(in crate::forward) const PROTOCOL_ERROR: u32 = 1;
    pub(in crate::forward) const REFUSED_STREAM: u32 = 3;
    pub(in crate::forward) const CANCEL: u32 = 5;
}

/// Why a connection ends (§2.6.6); those that are sent.
pub(super) mod goodbye {
    pub(in crate::forward) const OK: u32 = 0;
    pub(in crate::forward) const PROTOCOL_ERROR: u32 = 1;
}
