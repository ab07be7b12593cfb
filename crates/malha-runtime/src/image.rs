//! Local images: what a build leaves behind and a pod starts from.
//!
//! An image `name:version` is a folder with a copy of `spin.toml`, one `<component>.wasm` a component, and `image.json`,
//! which says from which inputs each was built. Beside the images lies the cache of machine code.

mod build;
mod fingerprint;
mod toolchain;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use malha_manifest::Diagnostic;
use malha_manifest::spin::{SpinManifest, load_spin};
use serde::{Deserialize, Serialize};

use crate::app::{App, AppError};
use crate::engine::Engine;

pub use build::{BuildError, Built, Progress, Step};
pub use toolchain::ToolchainError;

/// The folder in which malha keeps what it makes, beside `spin.toml`.
const STORE: &str = ".malha";

/// Images that are on this machine.
#[derive(Clone, Debug)]
pub struct Images {
    root: PathBuf,
}

/// A name and a version: `workshop:0.0.1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// The application's name in spin.toml.
    pub name: String,
    /// Its version, or the one that was asked for when it was built.
    pub version: String,
}

impl ImageName {
    /// Reads `name:version`; a missing version is `latest`, as everywhere. `None` for what no folder can be named
    /// after, such as a registry with a path.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, version) = text.split_once(':').unwrap_or((text, "latest"));
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        (plain(name) && plain(version)).then(|| Self { name: name.into(), version: version.into() })
    }
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.name, self.version)
    }
}

/// One build of an image, told from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(SystemTime);

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is none of that name.
    #[error("no image `{0}` on this machine; there are: {1}")]
    NotFound(String, String),
    /// Its folder is not as a build left it.
    #[error("image `{0}` is damaged: {1}\n  hint: delete {2} and build it again")]
    Damaged(ImageName, String, PathBuf),
    /// Its application cannot run.
    #[error("image `{0}`: {1}")]
    App(ImageName, Box<AppError>),
}

/// `image.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    /// By component: the fingerprint of what it was built from.
    components: BTreeMap<String, String>,
}

impl Images {
    /// The images of the project whose `spin.toml` is in `folder`. Makes nothing yet.
    pub fn of_project(folder: &Path) -> Self {
        Self { root: folder.join(STORE) }
    }

    /// Images in a folder of the caller's choice.
    pub fn in_folder(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where an engine may keep machine code.
    pub fn code_cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// All images, by name and version.
    pub fn list(&self) -> Vec<ImageName> {
        let folders = |path: &Path| -> Vec<String> {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
        };
        let images = self.root.join("images");
        let mut all: Vec<ImageName> = folders(&images)
            .into_iter()
            .flat_map(|name| {
                let versions = folders(&images.join(&name)).into_iter();
                versions.map(move |version| ImageName { name: name.clone(), version })
            })
            .filter(|image| self.whole(image))
            .collect();
        all.sort();
        all
    }

    /// Loads the application of an image, compiling what the cache does not hold.
    ///
    /// # Errors
    /// [`ImageError`], which names the image and what there is instead.
    pub fn load(&self, engine: &Engine, name: &str) -> Result<App, ImageError> {
        let image = ImageName::parse(name).filter(|image| self.whole(image));
        let Some(image) = image else {
            let all = self.list().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(ImageError::NotFound(name.into(), if all.is_empty() { "none".into() } else { all }));
        };
        let folder = self.folder(&image);
        let damaged = |what: String| ImageError::Damaged(image.clone(), what, folder.clone());
        let (manifest, diagnostics) = load_spin(&folder.join("spin.toml"));
        let manifest = manifest.ok_or_else(|| damaged(join(&diagnostics)))?;
        App::load(engine, manifest, |component| wasm(&folder, component))
            .map_err(|error| ImageError::App(image.clone(), Box::new(error)))
    }

    /// Which build of an image is there: another value once it has been built again. Nothing for an image that is not
    /// there.
    pub fn stamp(&self, name: &str) -> Option<Stamp> {
        let image = ImageName::parse(name).filter(|image| self.whole(image))?;
        // The last file that a build writes.
        let index = fs::metadata(self.folder(&image).join("image.json")).ok()?;
        Some(Stamp(index.modified().ok()?))
    }

    /// Whether an image is there. Its first build writes `image.json` with each component and `spin.toml` when all are
    /// there: before that it is half an image, which is none.
    fn whole(&self, image: &ImageName) -> bool {
        let folder = self.folder(image);
        ["image.json", "spin.toml"].iter().all(|file| folder.join(file).exists())
    }

    fn folder(&self, image: &ImageName) -> PathBuf {
        self.root.join("images").join(&image.name).join(&image.version)
    }

    fn index(&self, image: &ImageName) -> Index {
        let text = fs::read_to_string(self.folder(image).join("image.json")).unwrap_or_default();
        // What cannot be read counts as not there, and is built again.
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Held by a process while it builds, so that two never write the same image.
    fn lock(&self) -> io::Result<File> {
        fs::create_dir_all(&self.root)?;
        let file = File::create(self.root.join("lock"))?;
        file.lock()?;
        Ok(file)
    }
}

/// Where an image keeps a component.
fn wasm(folder: &Path, component: &str) -> PathBuf {
    folder.join(format!("{component}.wasm"))
}

/// What a tool said, set off from what we say.
fn indent<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| ["    ", line, "\n"].concat()).collect()
}

fn join(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The manifest of the project in `folder`, and what is worth knowing about it.
///
/// # Errors
/// [`BuildError::Manifest`] with every finding, when one of them is an error.
pub fn project_manifest(folder: &Path) -> Result<(SpinManifest, Vec<Diagnostic>), BuildError> {
    let (manifest, diagnostics) = load_spin(&folder.join("spin.toml"));
    match manifest {
        Some(manifest) if !diagnostics.iter().any(Diagnostic::is_error) => Ok((manifest, diagnostics)),
        _ => Err(BuildError::Manifest(join(&diagnostics))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_being_built_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::in_folder(folder.path().to_owned());
        let half = folder.path().join("images/workshop/1");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("image.json"), "{}").unwrap();
        assert_eq!(images.list(), []);
        fs::write(half.join("spin.toml"), "").unwrap();
        assert_eq!(images.list().len(), 1);
    }

    #[test]
    fn names_of_images_are_names_of_folders() {
        assert_eq!(ImageName::parse("workshop:0.0.1").unwrap().to_string(), "workshop:0.0.1");
        assert_eq!(ImageName::parse("workshop").unwrap().version, "latest");
        for wrong in ["", ":1", "a:", "../up:1", "a:..", "ghcr.io/a/b:1", "a:b:c"] {
            assert_eq!(ImageName::parse(wrong), None, "{wrong}");
        }
    }
}
