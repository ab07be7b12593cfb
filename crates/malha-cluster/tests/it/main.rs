//! The cluster as a whole, with a node that only pretends to run pods.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod actions;
mod autoscaling;
mod callers;
mod claims;
mod demands;
mod destinations;
mod edge;
mod entries;
mod invariants;
mod life;
mod mesh;
mod node;
mod nodes;
mod pods;
mod rollouts;
