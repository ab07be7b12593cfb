//! malha as its users meet it: the workshop behind its gateway, and the command line.
//!
//! One binary, so that wasmtime is linked once and all tests share one engine. `support` holds what tests say; a test
//! file holds what they claim. Time is paused wherever a test waits, chance is seeded, sockets are on port 0.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod auth;
mod autoscaling;
mod chain;
mod collections;
mod composition;
mod faults;
mod gateway;
mod hello;
mod limits;
mod observability;
mod sources;
mod steps;
mod strategies;
mod support;
mod tokens;
mod versions;

#[cfg(unix)]
mod build;
#[cfg(unix)]
mod kubectl;
#[cfg(unix)]
mod mistakes;
#[cfg(unix)]
mod template;
#[cfg(unix)]
mod up;
