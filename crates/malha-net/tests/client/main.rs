//! The client against servers of this process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod http1;
mod http2;
mod support;
mod tls;
