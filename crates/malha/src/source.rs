//! Where a node gets images: those that are on the machine, and those that the project can build.

use std::fmt;
use std::sync::Arc;

use malha_runtime::{App, Engine, ImageError, ImageName, Images, Stamp};

/// An application, and the build of the image that it was loaded from.
pub(crate) struct Loaded {
    pub(crate) app: Arc<App>,
    pub(crate) stamp: Option<Stamp>,
}

/// Builds an image of the project that is not there yet; the error says why that failed. For another image it does
/// nothing.
type Build = Arc<dyn Fn(&ImageName) -> Result<(), String> + Send + Sync>;

/// Why there is no application to an image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// It cannot be used, or is not there.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It is the project's own, and building it failed.
    #[error("building the image failed: {0}")]
    Build(String),
}

/// The images that pods may have. A handle.
#[derive(Clone)]
pub struct Source {
    images: Images,
    build: Option<Build>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("images", &self.images).field("builds", &self.build.is_some()).finish()
    }
}

impl From<Images> for Source {
    /// Images that are there already, and no others.
    fn from(images: Images) -> Self {
        Self { images, build: None }
    }
}

impl Source {
    /// With images that are built when a pod first asks for them, as a cluster pulls them.
    pub fn building(images: Images, build: impl Fn(&ImageName) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { images, build: Some(Arc::new(build)) }
    }

    /// Loads the application of an image. Blocks: it may have to be built, if it `may_pull`, and what is not in the cache
    /// is compiled.
    pub(crate) fn load(&self, engine: &Engine, image: &str, may_pull: bool) -> Result<Loaded, SourceError> {
        if let (Some(build), Some(name)) = (&self.build, ImageName::parse(image))
            && may_pull
            && !self.images.list().contains(&name)
        {
            build(&name).map_err(SourceError::Build)?;
        }
        // Before the image is read: a build that ends in between shows as another stamp, and is loaded by the next pod.
        let stamp = self.stamp(image);
        Ok(Loaded { app: Arc::new(self.images.load(engine, image)?), stamp })
    }

    /// Which build of an image is there.
    pub(crate) fn stamp(&self, image: &str) -> Option<Stamp> {
        self.images.stamp(image)
    }
}
