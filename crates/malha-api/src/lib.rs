//! The Kubernetes API of a [`malha_cluster`]: what kubectl and other clients talk to. Never knows wasm or the mesh.
//!
//! ```text
//! socket (TLS, loopback) ─▶ access ─▶ the path: discovery, openapi, or a resource and a verb
//!                                           │
//!                    patch, apply ─▶ Registry (admission, store) ─▶ object ─▶ JSON, Table or a watch's events
//! ```

#![forbid(unsafe_code)]
