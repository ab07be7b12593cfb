//! Istio's own samples (bookinfo, httpbin) load, and route as Istio's documentation of them says.
//!
//! The manifests are in `$MALHA_CORPORA/istio-samples`; where that is not set, these tests check nothing and say so. The
//! Services and Deployments are the samples' own. For their images there are stand-ins: pods that answer with the name
//! of their Deployment.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod bookinfo;
mod gateways;
mod mesh;
mod pods;
mod tasks;
