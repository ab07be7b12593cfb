//! Folders of this machine in which pods keep Spin's stores: `.malha/volumes` of the project.
//!
//! | folder | what |
//! | --- | --- |
//! | `pods/UID/VOLUME` | an `emptyDir`: outlives containers, goes with its pod |
//! | `claims/NAMESPACE/NAME` | what is behind a `PersistentVolumeClaim`: outlives pods, and malha |
//! | `gone/` | what is being removed |

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use malha_cluster::{StateMount, Volume};
use malha_runtime::StateFolder;
use tempfile::TempDir;

/// The folder that holds the volumes.
#[derive(Debug)]
pub struct Volumes {
    place: Place,
    discarded: AtomicU64,
}

#[derive(Debug)]
enum Place {
    /// A folder that outlives the process; the lock is held for as long as somebody uses it.
    Kept { root: PathBuf, _lock: File },
    /// One that goes with the process, made when somebody asks for it; `None` if that failed.
    Temporary(OnceLock<Option<TempDir>>),
}

impl Default for Volumes {
    /// Volumes that go with the process.
    fn default() -> Self {
        Self { place: Place::Temporary(OnceLock::new()), discarded: AtomicU64::new(0) }
    }
}

impl Volumes {
    /// Volumes in a folder, which outlive the process. Those of pods that are gone with the malha that ran them are removed.
    ///
    /// # Errors
    /// When the folder cannot be made or locked.
    pub fn in_folder(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        let lock = File::create(root.join("lock"))?;
        // Another malha of this project may run: then the pods are its own.
        if lock.try_lock().is_ok() {
            for leftovers in ["pods", "gone"] {
                match fs::remove_dir_all(root.join(leftovers)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            lock.unlock()?;
        }
        lock.lock_shared()?;
        Ok(Self { place: Place::Kept { root, _lock: lock }, discarded: AtomicU64::new(0) })
    }

    fn root(&self) -> Option<&Path> {
        match &self.place {
            Place::Kept { root, .. } => Some(root),
            Place::Temporary(folder) => {
                folder.get_or_init(|| TempDir::with_prefix("malha-volumes-").ok()).as_ref().map(TempDir::path)
            }
        }
    }

    /// Where a pod finds what is mounted.
    pub(crate) fn folder(&self, mount: &StateMount) -> StateFolder {
        match mount {
            StateMount::Root => StateFolder::Temporary,
            StateMount::ReadOnly => StateFolder::ReadOnly,
            StateMount::Volume { volume, path } => match self.root() {
                Some(root) => StateFolder::At(root.join(within(volume)).join(path)),
                None => StateFolder::ReadOnly,
            },
        }
    }

    /// Puts a volume out of the way at once, and removes it by and by.
    pub(crate) fn discard(&self, volume: &Volume) {
        let Some(root) = self.root() else { return };
        let path = root.join(within(volume));
        if !path.exists() {
            return;
        }
        let number = self.discarded.fetch_add(1, Ordering::Relaxed);
        let gone = root.join("gone").join(format!("{}-{number}", std::process::id()));
        let moved = fs::create_dir_all(root.join("gone")).and_then(|()| fs::rename(&path, &gone));
        // What cannot be moved or removed now is removed at the next start, or stays until somebody mends the folder.
        if moved.is_ok() {
            thread::spawn(move || fs::remove_dir_all(gone));
        }
    }
}

/// A volume's folder within the root.
fn within(volume: &Volume) -> PathBuf {
    match volume {
        Volume::Pod(uid) => Path::new("pods").join(uid),
        Volume::Claim { namespace, name } => Path::new("claims").join(namespace).join(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &StateFolder) -> PathBuf {
        let StateFolder::At(folder) = folder else { panic!("{folder:?} is no folder") };
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("file"), "").unwrap();
        folder.join("file")
    }

    #[test]
    fn pods_leave_nothing_and_claims_stay_until_they_are_discarded() {
        let folder = TempDir::new().unwrap();
        let claim = Volume::Claim { namespace: "default".into(), name: "shows".into() };
        let mounts = |volume: Volume, path: &str| StateMount::Volume { volume, path: path.into() };
        let (own, claimed) = (mounts(Volume::Pod("u".into()), "tmp/"), mounts(claim.clone(), ""));
        let first = Volumes::in_folder(folder.path()).unwrap();
        let files = [write(&first.folder(&own)), write(&first.folder(&claimed))];
        // A second malha of the project leaves the first one's pods alone.
        let second = Volumes::in_folder(folder.path()).unwrap();
        assert!(files.iter().all(|file| file.exists()));
        drop((first, second));
        let next = Volumes::in_folder(folder.path()).unwrap();
        assert_eq!(files.each_ref().map(|file| file.exists()), [false, true]);
        write(&next.folder(&own));
        next.discard(&Volume::Pod("u".into()));
        next.discard(&claim);
        assert_eq!(files.each_ref().map(|file| file.exists()), [false, false]);
    }
}
