//! Whether what a component was built from has changed since.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use malha_manifest::spin::Build;

/// Sums up the command, the version and every file that `watch` names, by path, size and time of change: enough to
/// decide in a millisecond whether to ask the build command, which decides for itself what to do.
///
/// `None` when `watch` names no file: then only the build command knows.
pub(super) fn of(build: &Build, version: &str, project: &Path) -> Option<String> {
    let mut hash = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(version.as_bytes());
    build.commands.iter().for_each(|command| add(command.as_bytes()));
    let folder = build.workdir.as_ref().map_or_else(|| project.to_owned(), |workdir| project.join(workdir));
    let mut files = 0;
    for pattern in &build.watch {
        let pattern = folder.join(pattern);
        // The order of matches is alphabetical.
        for path in glob::glob(pattern.to_str()?).ok()?.flatten() {
            let metadata = fs::metadata(&path).ok()?;
            if metadata.is_dir() {
                continue;
            }
            let changed = metadata.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            // Relative, so that it does not matter from where, or by which name of the folder, the project was opened.
            add(path.strip_prefix(&folder).unwrap_or(&path).as_os_str().as_encoded_bytes());
            add(&metadata.len().to_le_bytes());
            add(&changed.as_nanos().to_le_bytes());
            files += 1;
        }
    }
    (files > 0).then(|| hash.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(watch: &str) -> Build {
        Build { commands: vec!["make".into()], workdir: None, watch: vec![watch.into()] }
    }

    #[test]
    fn a_changed_file_or_version_changes_the_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.rs"), "1").unwrap();
        let before = of(&build("*.rs"), "1", folder.path()).unwrap();
        assert_eq!(of(&build("*.rs"), "1", folder.path()).unwrap(), before);
        assert_ne!(of(&build("*.rs"), "2", folder.path()).unwrap(), before);
        fs::write(folder.path().join("a.rs"), "two").unwrap();
        assert_ne!(of(&build("*.rs"), "1", folder.path()).unwrap(), before);
    }

    #[test]
    fn a_project_that_is_found_by_another_path_has_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("a.rs"), "1").unwrap();
        let detour = folder.path().join("src/..");
        assert_eq!(of(&build("*.rs"), "1", folder.path()), of(&build("*.rs"), "1", &detour));
    }

    #[test]
    fn nothing_watched_is_never_fresh() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of(&build("*.rs"), "1", folder.path()), None);
    }
}
