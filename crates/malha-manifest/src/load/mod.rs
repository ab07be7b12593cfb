//! From files to objects: reads what `kubectl apply -k` and `-f` would, and says everything that is wrong with it.

mod files;
mod inputs;
mod objects;

use std::path::PathBuf;

use crate::diagnostic::Diagnostic;
use crate::object::LoadedObject;

pub use files::{Disk, Files, Overlay};
pub use inputs::missing_resources;
pub use objects::{load, load_with, parse_manifests};

/// One thing to load, as on kubectl's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// `-k DIR`: a directory with a `kustomization.yaml`.
    Kustomize(PathBuf),
    /// `-f PATH`: a file, or a directory whose `*.yaml`, `*.yml` and `*.json` files are meant.
    File(PathBuf),
}

/// Everything that was loaded and everything that is to be said about it.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Objects in the order of their first appearance. A later object of the same kind, namespace and name has taken
    /// the place of an earlier one, as `kubectl apply` would. Objects with errors are missing.
    pub objects: Vec<LoadedObject>,
    /// Errors and warnings, in the order of the inputs.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether something cannot be used.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}
