//! `malha build`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use malha_runtime::{Engine, EngineOptions};
use tokio::time::Instant;

use crate::application::Application;
use crate::cli::Build;
use crate::project::Project;
use crate::screen::{self, seconds};

pub(crate) fn run(arguments: &Build) -> Result<()> {
    let project = match &arguments.from {
        Some(path) => Project::find(&folder(path)?)?,
        None => Project::here()?,
    };
    let version = arguments.app_version.as_deref();
    let mut wanted = Vec::new();
    for image in &arguments.images {
        wanted.push(choose(&project, image, version)?);
    }
    if wanted.is_empty() {
        wanted.push((project.current(), version));
    }
    let engine = project.engine(EngineOptions::default())?;
    wanted.iter().try_for_each(|(application, version)| build(&project, &engine, application, *version))
}

/// The folder of `-f`, which names a `spin.toml` or where one is.
fn folder(path: &Path) -> Result<PathBuf> {
    let there = path.canonicalize().with_context(|| format!("there is no {}", path.display()))?;
    Ok(if there.is_dir() { there } else { there.parent().unwrap_or(&there).to_owned() })
}

/// `NAME` or `NAME:VERSION`, as an application of the project and the version to build.
fn choose<'a>(
    project: &'a Project,
    image: &'a str,
    version: Option<&'a str>,
) -> Result<(&'a Application, Option<&'a str>)> {
    let (name, tag) = image.split_once(':').map_or((image, None), |(name, tag)| (name, Some(tag)));
    let Some(application) = project.application(name) else {
        bail!("no application is called `{name}`\n  hint: this project builds {}", project.builds());
    };
    match (tag, version) {
        (Some(tag), Some(version)) if tag != version => {
            bail!("`{image}` is version {tag}, and --app-version says {version}\n  hint: leave out one of them")
        }
        _ => Ok((application, tag.or(version))),
    }
}

fn build(project: &Project, engine: &Engine, application: &Application, version: Option<&str>) -> Result<()> {
    let start = Instant::now();
    for finding in application.findings() {
        screen::findings(&finding.to_string());
    }
    let built = project.build(engine, application, version, &mut screen::build_progress())?;
    let what = match built.rebuilt.len() {
        0 => "nothing changed".to_owned(),
        1 => "1 component built".to_owned(),
        many => format!("{many} components built"),
    };
    screen::good("Ready", format_args!("image {} ({what}, {})", built.image, seconds(start.elapsed())));
    screen::data(&built.image);
    Ok(())
}
