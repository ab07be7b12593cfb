//! Builds an image: each component's own command, then machine code ahead of time.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use malha_manifest::spin::{Build, Component, SpinManifest};

use super::toolchain::{ToolchainError, ensure_target};
use super::{ImageName, Images, Index, fingerprint, indent, wasm};
use crate::code::CodeError;
use crate::disk::write_whole;
use crate::engine::Engine;

/// What happens while an image is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The Rust target was missing and has been added.
    TargetAdded,
    /// A component's build command begins.
    Build(&'a str),
    /// The build command says something.
    Output(&'a str, &'a str),
    /// The component is compiled to machine code.
    Compile(&'a str),
    /// The component is ready.
    Done(&'a str),
}

/// Whoever shows progress.
pub trait Progress {
    /// Told at each step.
    fn step(&mut self, step: Step<'_>);
}

impl<F: FnMut(Step<'_>)> Progress for F {
    fn step(&mut self, step: Step<'_>) {
        self(step);
    }
}

/// What a build did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The image.
    pub image: ImageName,
    /// Components that had to be built; the others were as they should be.
    pub rebuilt: Vec<String>,
}

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `spin.toml` is missing or wrong.
    #[error("{0}")]
    Manifest(String),
    /// The version cannot be a tag.
    #[error("`{0}` cannot be a version: it has letters, digits, `.`, `_` and `-`, and does not begin with `.`")]
    Version(String),
    /// The Rust target is missing.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The command cannot be run at all.
    #[error("component `{component}`: cannot run `{command}`: {error}")]
    Run {
        /// Its name.
        component: String,
        /// The command.
        command: String,
        /// What the system said.
        error: io::Error,
    },
    /// The command failed.
    #[error("component `{component}`: `{command}` failed with {status}:\n{output}")]
    Command {
        /// Its name.
        component: String,
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it said.
        output: String,
    },
    /// The command left nothing where spin.toml says it would.
    #[error("component `{component}` has no file {path}: {error}\n  hint: {hint}")]
    NoSource {
        /// Its name.
        component: String,
        /// The `source` in spin.toml.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// What was built cannot run.
    #[error("component `{component}`: {error}")]
    Code {
        /// Its name.
        component: String,
        /// Why.
        error: CodeError,
    },
    /// The image's folder cannot be written.
    #[error("cannot write {0}: {1}")]
    Store(PathBuf, io::Error),
}

/// Lines of a failed command's output that are shown.
const SHOWN: usize = 40;

impl Images {
    /// Builds the application of `folder` as `version` (that of spin.toml, where there is none), leaving out whatever
    /// is as it should be. Blocks for as long as the build commands take.
    ///
    /// # Errors
    /// [`BuildError`]; components that were ready before the failing one stay built.
    pub fn build(
        &self,
        engine: &Engine,
        manifest: &SpinManifest,
        folder: &Path,
        version: Option<&str>,
        progress: &mut dyn Progress,
    ) -> Result<Built, BuildError> {
        let image = image_name(manifest, version)?;
        let fresh = |index: &Index, component: &Component| {
            let current = component.build.as_ref().and_then(|build| fingerprint::of(build, &image.version, folder));
            let path = wasm(&self.folder(&image), &component.name);
            current.is_some_and(|now| index.components.get(&component.name) == Some(&now)) && engine.is_compiled(&path)
        };
        let index = self.index(&image);
        let same_manifest = same_file(&folder.join("spin.toml"), &self.folder(&image).join("spin.toml"));
        if same_manifest && manifest.components.values().all(|component| fresh(&index, component)) {
            return Ok(Built { image, rebuilt: Vec::new() });
        }

        let store = |path: &Path| {
            let path = path.to_owned();
            move |error| BuildError::Store(path, error)
        };
        let _lock = self.lock().map_err(store(&self.root))?;
        let target = self.folder(&image);
        fs::create_dir_all(&target).map_err(store(&target))?;
        // Another process may have built while we waited for the lock.
        let mut index = self.index(&image);
        let mut rebuilt = Vec::new();
        for component in manifest.components.values() {
            if fresh(&index, component) {
                continue;
            }
            let current = component.build.as_ref().and_then(|build| fingerprint::of(build, &image.version, folder));
            build_component(component, &image.version, folder, progress)?;
            let path = wasm(&target, &component.name);
            let source = folder.join(&component.source);
            if !same_file(&source, &path) {
                copy(component, &source, &path)?;
            }
            progress.step(Step::Compile(&component.name));
            let code = |error| BuildError::Code { component: component.name.clone(), error };
            engine.load(&path).map_err(code)?;
            progress.step(Step::Done(&component.name));
            index.components.insert(component.name.clone(), current.unwrap_or_default());
            write_index(&target, &index).map_err(store(&target))?;
            rebuilt.push(component.name.clone());
        }
        let manifest_copy = target.join("spin.toml");
        copy_whole(&folder.join("spin.toml"), &manifest_copy).map_err(store(&manifest_copy))?;
        index.components.retain(|name, _| manifest.components.contains_key(name));
        write_index(&target, &index).map_err(store(&target))?;
        Ok(Built { image, rebuilt })
    }
}

/// The image that a build of this manifest makes.
fn image_name(manifest: &SpinManifest, version: Option<&str>) -> Result<ImageName, BuildError> {
    let version = version.unwrap_or(&manifest.application.version);
    ImageName::parse(&format!("{}:{version}", manifest.application.name))
        .ok_or_else(|| BuildError::Version(version.to_owned()))
}

fn build_component(
    component: &Component,
    version: &str,
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<(), BuildError> {
    let Some(build) = &component.build else { return Ok(()) };
    for command in &build.commands {
        if ensure_target(command)? {
            progress.step(Step::TargetAdded);
        }
        progress.step(Step::Build(&component.name));
        run(component, build, command, version, folder, progress)?;
    }
    Ok(())
}

fn run(
    component: &Component,
    build: &Build,
    command: &str,
    version: &str,
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<(), BuildError> {
    let failed = |error| BuildError::Run { component: component.name.clone(), command: command.to_owned(), error };
    let mut child = shell(command)
        .current_dir(build.workdir.as_ref().map_or_else(|| folder.to_owned(), |workdir| folder.join(workdir)))
        .env("APP_VERSION", version)
        // `source` in spin.toml says where the result is expected.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // Two pipes, two readers: a command that fills one while the other is read would wait for ever.
    let stdout = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        stdout.map(|mut pipe| pipe.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut lines = Vec::new();
    let stderr = child.stderr.take().map(BufReader::new);
    for line in stderr.into_iter().flat_map(|pipe| pipe.split(b'\n')) {
        let line = String::from_utf8_lossy(&line.map_err(failed)?).into_owned();
        progress.step(Step::Output(&component.name, &line));
        lines.push(line);
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    lines.extend(reader.join().unwrap_or_default().lines().map(str::to_owned));
    let shown = &lines[lines.len().saturating_sub(SHOWN)..];
    Err(BuildError::Command {
        component: component.name.clone(),
        command: command.to_owned(),
        status,
        output: indent(shown.iter().map(String::as_str)),
    })
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/C", command]);
    shell
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

fn copy(component: &Component, source: &Path, path: &Path) -> Result<(), BuildError> {
    let hint = match &component.build {
        Some(_) => "its build command ended well but made no such file; compare `source` and `command` in spin.toml",
        None => "it has no [component.NAME.build]; put the file there, or add a build command",
    };
    copy_whole(source, path).map_err(|error| BuildError::NoSource {
        component: component.name.clone(),
        path: component.source.clone(),
        error,
        hint,
    })
}

fn write_index(folder: &Path, index: &Index) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(index)?;
    text.push(b'\n');
    write_whole(&folder.join("image.json"), &text)
}

fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    write_whole(to, &fs::read(from)?)
}
