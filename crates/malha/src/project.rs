//! Where the project is, and what it is made of.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use malha_runtime::{Built, Engine, EngineOptions, Images, Progress};

use crate::application::{self, Application, FOLDER, MANIFEST};

/// Volumes of pods, in the project's folder.
const VOLUMES: &str = ".malha/volumes";

/// A folder with a `spin.toml`, the applications in `components/` below it, and the images beside it.
#[derive(Debug)]
pub struct Project {
    folder: PathBuf,
    applications: Vec<Application>,
    /// The one whose folder the user is in.
    current: usize,
    images: Images,
}

impl Project {
    /// The project that `here` is in: the nearest folder upwards that has a `spin.toml`, or, where that is an application
    /// below another's `components/`, the other's folder.
    ///
    /// # Errors
    /// When there is none, or a `spin.toml` of it is wrong.
    pub fn find(here: &Path) -> Result<Self> {
        let Some(nearest) = here.ancestors().find(|folder| folder.join(MANIFEST).is_file()) else {
            bail!(
                "no spin.toml in {} or in any folder above it\n  hint: change to the project's folder first",
                here.display()
            );
        };
        let top = above(nearest).unwrap_or(nearest);
        // Paths in what we print are shorter, and the same on every machine, when they start here.
        let is_here = std::env::current_dir().is_ok_and(|current| current == top);
        let mut project = Self::open(if is_here { Path::new(".") } else { top })?;
        let within = nearest.strip_prefix(top).unwrap_or(nearest);
        let own = project.folder.join(within).join(MANIFEST);
        project.current = project.applications.iter().position(|application| application.path() == own).unwrap_or(0);
        Ok(project)
    }

    /// The project in `folder`.
    ///
    /// # Errors
    /// When its `spin.toml` is missing or wrong, or that of another application of it.
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = if folder == Path::new(".") { PathBuf::new() } else { folder.to_owned() };
        let applications = application::all(&folder)?;
        Ok(Self { images: Images::of_project(&folder), applications, current: 0, folder })
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

    /// The application whose folder the user is in: the one at the top, unless it was found from a folder of another.
    pub fn current(&self) -> &Application {
        &self.applications[self.current]
    }

    /// The application that images of this name are built from.
    pub fn application(&self, name: &str) -> Option<&Application> {
        self.applications.iter().find(|application| application.name() == name)
    }

    /// The images that it can build, for a message.
    pub fn builds(&self) -> String {
        let mut names: Vec<_> =
            self.applications.iter().map(|application| format!("`{}:VERSION`", application.name())).collect();
        names.sort();
        names.join(", ")
    }

    /// Its images.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Where the volumes of its pods are.
    pub fn volumes(&self) -> PathBuf {
        self.folder.join(VOLUMES)
    }

    /// An engine that keeps machine code beside the images, and is otherwise as `options` say.
    ///
    /// # Errors
    /// When the machine cannot give the address space or a thread.
    pub fn engine(&self, mut options: EngineOptions) -> Result<Engine> {
        options.cache = Some(self.images.code_cache());
        Ok(Engine::new(options)?)
    }

    /// Builds a version of one of its applications, as far as something changed.
    ///
    /// # Errors
    /// The build's own, which name the component and the command.
    pub fn build(
        &self,
        engine: &Engine,
        application: &Application,
        version: Option<&str>,
        progress: &mut dyn Progress,
    ) -> Result<Built> {
        Ok(self.images.build(engine, application.manifest(), application.folder(), version, progress)?)
    }
}

/// The project to which an application in `folder` belongs, if it is not one by itself.
fn above(folder: &Path) -> Option<&Path> {
    let components = folder.parent().filter(|parent| parent.file_name().is_some_and(|name| name == FOLDER))?;
    components.parent().filter(|top| top.join(MANIFEST).is_file())
}
