//! How much of a manifest is read: enough for any real one, too little for one that is meant to exhaust memory.

/// Upper bounds for one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text. A Kubernetes API server takes 3 MiB a request.
    pub bytes: usize,
    /// Maps and lists inside each other.
    pub depth: usize,
    /// Values after aliases (`*name`) are expanded: ten lines of them can otherwise mean billions.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 3 * 1024 * 1024, depth: 64, nodes: 200_000 }
    }
}
