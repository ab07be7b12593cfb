//! The API as its clients see it: requests without sockets, over TLS, with the real `kubectl`, and with the crate `kube`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod access;
mod harness;
mod kube;
mod kubectl;
mod lists;
mod logs;
mod verbs;
mod watches;
