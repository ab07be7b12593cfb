//! The same requests through malha and through a real Envoy, compared by machine.
//!
//! A case is a file in `cases/`: a few lines of Istio's YAML, requests, and what is right (`case`). Its short forms
//! become whole objects (`manifests`), which each side reads in its own way: for Envoy they are translated to a
//! bootstrap as Istio's Pilot would (`envoy`), from the bare YAML values, so that a misreading by malha cannot hide.
//! Upstreams do as the case tells them and remember what they saw (`upstream`). What came of the requests is an
//! `Observation` (`observe`), which has to be as the case says, and the same on both sides (`judge`).

#![forbid(unsafe_code)]

pub mod case;
mod certificates;
pub mod client;
pub mod envoy;
pub mod judge;
pub mod malha;
mod manifests;
pub mod observe;
pub mod run;
pub mod side;
mod tokens;
pub mod upstream;
mod yaml;
