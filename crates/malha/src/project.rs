//! Where the project is, and what it is made of.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use malha_manifest::Diagnostic;
use malha_manifest::spin::SpinManifest;
use malha_runtime::{Built, Engine, EngineOptions, Images, Progress};

/// A folder with a `spin.toml`, and the images beside it.
#[derive(Debug)]
pub struct Project {
    folder: PathBuf,
    manifest: SpinManifest,
    findings: Vec<Diagnostic>,
    images: Images,
}

impl Project {
    /// The project that `here` is in: the nearest folder upwards that has a `spin.toml`.
    ///
    /// # Errors
    /// When there is none, or its `spin.toml` is wrong.
    pub fn find(here: &Path) -> Result<Self> {
        let Some(folder) = here.ancestors().find(|folder| folder.join("spin.toml").is_file()) else {
            bail!(
                "no spin.toml in {} or in any folder above it\n  hint: change to the project's folder first",
                here.display()
            );
        };
        // Paths in what we print are shorter, and the same on every machine, when they start here.
        let folder = if folder == here { Path::new(".") } else { folder };
        Self::open(folder)
    }

    /// The project in `folder`.
    ///
    /// # Errors
    /// When its `spin.toml` is missing or wrong.
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = if folder == Path::new(".") { PathBuf::new() } else { folder.to_owned() };
        let (manifest, findings) = malha_runtime::project_manifest(&folder)?;
        Ok(Self { images: Images::of_project(&folder), manifest, findings, folder })
    }

    /// The project of the working directory.
    ///
    /// # Errors
    /// As [`Project::find`].
    pub fn here() -> Result<Self> {
        Self::find(&std::env::current_dir().context("cannot tell the working directory")?)
    }

    /// Its folder; empty for the working directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its application's name, and so the name of its images.
    pub fn name(&self) -> &str {
        &self.manifest.application.name
    }

    /// What is worth knowing about its `spin.toml`.
    pub fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }

    /// Its images.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// An engine that keeps machine code beside the images.
    ///
    /// # Errors
    /// When the machine cannot give the address space or a thread.
    pub fn engine(&self) -> Result<Engine> {
        Ok(Engine::new(EngineOptions { cache: Some(self.images.code_cache()), ..EngineOptions::default() })?)
    }

    /// Builds a version of it, as far as something changed.
    ///
    /// # Errors
    /// The build's own, which name the component and the command.
    pub fn build(&self, engine: &Engine, version: Option<&str>, progress: &mut dyn Progress) -> Result<Built> {
        // The shell of a build command wants a folder that has a name.
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        Ok(self.images.build(engine, &self.manifest, folder, version, progress)?)
    }
}
