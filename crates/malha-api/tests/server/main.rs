//! The API as its clients see it: requests without sockets, over TLS, with the real `kubectl`, and with the crate `kube`.

mod access;
mod harness;
mod kube;
mod kubectl;
mod lists;
mod logs;
mod verbs;
mod watches;
