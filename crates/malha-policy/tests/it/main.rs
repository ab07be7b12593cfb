//! The inbound proxy's decisions, from outside: tokens, rules, and their order. The expectations are those of the real
//! Envoy 1.40 with the configuration that Istio would give it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

mod common;
mod order;
mod rules;
mod tokens;
