//! A Spin application of the project.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use malha_manifest::Diagnostic;
use malha_manifest::spin::SpinManifest;

/// The file that makes a folder an application.
pub(crate) const MANIFEST: &str = "spin.toml";

/// Where a project keeps applications beside the one at its top: a folder each, below this one.
pub(crate) const FOLDER: &str = "components";

/// A `spin.toml`, and the folder that it is about.
#[derive(Debug)]
pub struct Application {
    folder: PathBuf,
    manifest: SpinManifest,
    findings: Vec<Diagnostic>,
}

impl Application {
    /// The application in `folder`.
    ///
    /// # Errors
    /// When its `spin.toml` is missing or wrong.
    pub(crate) fn open(folder: PathBuf) -> Result<Self> {
        let (manifest, findings) = malha_runtime::project_manifest(&folder)?;
        Ok(Self { folder, manifest, findings })
    }

    /// Its name, and so the name of its images.
    pub fn name(&self) -> &str {
        &self.manifest.application.name
    }

    /// Its `spin.toml`, read.
    pub(crate) fn manifest(&self) -> &SpinManifest {
        &self.manifest
    }

    /// What is worth knowing about its `spin.toml`.
    pub(crate) fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }

    /// The folder that its build commands run in; it has a name, which a shell wants.
    pub(crate) fn folder(&self) -> &Path {
        if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder }
    }

    /// Where its `spin.toml` is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(MANIFEST)
    }
}

/// The applications of the project in `folder`: the one at its top first, then those of `components/`, by folder.
///
/// # Errors
/// When one of them cannot be read, or two have one name: their images would be the same.
pub(crate) fn all(folder: &Path) -> Result<Vec<Application>> {
    let mut applications = vec![Application::open(folder.to_owned())?];
    let entries = fs::read_dir(folder.join(FOLDER)).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| folder.join(FOLDER).join(entry.file_name())).collect();
    folders.retain(|folder| folder.join(MANIFEST).is_file());
    folders.sort();
    for folder in folders {
        applications.push(Application::open(folder)?);
    }
    let mut names = BTreeMap::new();
    for application in &applications {
        if let Some(other) = names.insert(application.name(), application) {
            bail!(
                "two applications have the name `{}`: {} and {}\n  hint: images are named after applications; change \
                 `name` below [application] in one of the files",
                application.name(),
                other.path().display(),
                application.path().display()
            );
        }
    }
    Ok(applications)
}
