//! Where manifests are read from: the disk, or the disk with files laid over it that are not there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A source of files.
pub trait Files {
    /// The bytes of a file, at most `limit` and one more.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;
    /// The files and folders directly inside a folder, sorted by name.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// Whether `path` is a folder.
    fn is_folder(&self, path: &Path) -> bool;
    /// Whether there is anything at `path`.
    fn exists(&self, path: &Path) -> bool;
}

/// The disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        use io::Read as _;
        let mut bytes = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

/// Files in memory over those of the disk: keys that are made for one run need never be written.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Overlay {
    /// An overlay without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lays a file over the disk. `path` is written as the loader asks for it: an input's path and a resource's joined.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), bytes.into());
        self
    }
}

impl Files for Overlay {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        match self.files.get(path) {
            Some(bytes) => Ok(bytes[..bytes.len().min(limit.saturating_add(1))].to_vec()),
            None => Disk.read(path, limit),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let laid: Vec<_> = self.files.keys().filter(|path| path.parent() == Some(folder)).cloned().collect();
        let mut paths = match Disk.list(folder) {
            Err(_) if !laid.is_empty() => Vec::new(),
            listed => listed?,
        };
        paths.extend(laid);
        paths.sort();
        paths.dedup();
        Ok(paths)
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.files.keys().any(|file| file.parent() == Some(path)) || Disk.is_folder(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.contains_key(path) || Disk.exists(path)
    }
}
