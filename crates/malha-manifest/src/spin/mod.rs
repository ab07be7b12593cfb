//! Spin's application manifest, `spin.toml`, version 2.
//!
//! Rules: <https://spinframework.dev/v3/manifest-reference>. malha acts on what a component is made of
//! and may do; what it does not act on is reported when the manifest is read.

mod manifest;
mod read;
mod template;

pub use manifest::{Application, Build, Component, Route, SpinManifest, Trigger, Variable};
pub use read::{load_spin, read_spin};
pub use template::{Template, TemplateError};
