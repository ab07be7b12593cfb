//! From inputs to files: what `-k` and `-f` stand for.
//!
//! Of a kustomization malha acts on `resources` alone. Whatever else one says changes objects, so running without it would
//! run something else than a cluster would: it is an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Files;
use super::{Disk, Input};
use crate::decode;
use crate::diagnostic::Diagnostic;
use crate::node::{Document, Limits, Value, parse_yaml};
use crate::source::SourceFile;

/// Names of a kustomization, in kustomize's order.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Folders inside each other that kustomizations may lead through.
const DEPTH: usize = 16;

/// Files read for one call.
const FILES: usize = 10_000;

/// Finds every file that `inputs` stand for, in order.
pub(super) struct Finder<'a> {
    files: &'a dyn Files,
    /// Texts of manifests.
    pub(super) found: Vec<Arc<SourceFile>>,
    /// Resources that a kustomization names and that are not there.
    pub(super) missing: Vec<PathBuf>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(files: &'a dyn Files) -> Self {
        Self { files, found: Vec::new(), missing: Vec::new(), diagnostics: Vec::new() }
    }

    pub(super) fn input(&mut self, input: &Input) {
        match input {
            Input::Kustomize(folder) => self.kustomize(folder, 0),
            Input::File(path) if self.files.is_folder(path) => self.folder(path),
            Input::File(path) => self.file(path),
        }
    }

    fn folder(&mut self, folder: &Path) {
        let paths = match self.files.list(folder) {
            Ok(paths) => paths,
            Err(error) => {
                self.diagnostics.push(Diagnostic::error(format!("cannot read {}: {error}", folder.display())));
                return;
            }
        };
        let manifests: Vec<_> = paths
            .into_iter()
            .filter(|path| path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json"))
            .filter(|path| !self.files.is_folder(path))
            .collect();
        // kubectl's words for an empty folder.
        if manifests.is_empty() {
            let message =
                format!("error reading [{}]: recognized file extensions are [.json .yaml .yml]", folder.display());
            self.diagnostics.push(Diagnostic::error(message));
        }
        for path in &manifests {
            self.file(path);
        }
    }

    fn file(&mut self, path: &Path) {
        if self.found.len() >= FILES {
            return;
        }
        if let Some(source) = self.read(path) {
            self.found.push(source);
        }
    }

    fn read(&mut self, path: &Path) -> Option<Arc<SourceFile>> {
        let name = path.display().to_string();
        let limit = Limits::default().bytes;
        let text = match self.files.read(path, limit) {
            Err(error) => Err(format!("cannot read {name}: {error}")),
            Ok(bytes) if bytes.len() > limit => {
                Err(format!("{name} is larger than {limit} bytes, which is as much as malha reads"))
            }
            Ok(bytes) => String::from_utf8(bytes).map_err(|error| {
                format!("{name} is not UTF-8 text: byte {} begins no character", error.utf8_error().valid_up_to())
            }),
        };
        match text {
            Ok(text) => Some(SourceFile::new(name, text)),
            Err(message) => {
                self.diagnostics.push(Diagnostic::error(message));
                None
            }
        }
    }

    fn kustomize(&mut self, folder: &Path, depth: usize) {
        let names: Vec<_> = NAMES.iter().map(|name| folder.join(name)).filter(|path| self.files.exists(path)).collect();
        let [path] = names.as_slice() else {
            let message = if names.is_empty() {
                format!(
                    "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{}'",
                    folder.display()
                )
            } else {
                format!("Found multiple kustomization files under: {}", folder.display())
            };
            self.diagnostics.push(
                Diagnostic::error(message).help(format!("`-f {}` loads all manifests of a folder", folder.display())),
            );
            return;
        };
        let Some(source) = self.read(path) else { return };
        let (documents, diagnostics) = parse_yaml(&source, Limits::default());
        self.diagnostics.extend(diagnostics);
        let [document] = documents.as_slice() else {
            if documents.len() > 1 {
                self.diagnostics.push(Diagnostic::error(format!("{} holds more than one document", source.name())));
            }
            return;
        };
        for resource in self.resources(document) {
            let (entry, place) = resource;
            // Kustomize also fetches from the net; malha starts from what is there.
            if entry.contains("://") || entry.starts_with("github.com/") {
                let message = format!("{entry} is not on this machine; malha reads local resources only");
                self.diagnostics.push(Diagnostic::error(message).at(place).help("download it and name the file"));
                continue;
            }
            let path = folder.join(&entry);
            if !self.files.exists(&path) {
                let message = format!("resource {entry} does not exist: there is no {}", path.display());
                self.diagnostics.push(Diagnostic::error(message).at(place));
                self.missing.push(path);
            } else if !self.files.is_folder(&path) {
                self.file(&path);
            } else if depth + 1 < DEPTH {
                self.kustomize(&path, depth + 1);
            } else {
                let message =
                    format!("kustomizations lead through more than {DEPTH} folders; does one name its parent?");
                self.diagnostics.push(Diagnostic::error(message).at(place));
            }
        }
    }

    /// The resources of a kustomization, each with its place.
    fn resources(&mut self, document: &Document) -> Vec<(String, Option<crate::source::Location>)> {
        let mut resources = Vec::new();
        for entry in document.root().entries() {
            match entry.key.as_str() {
                "apiVersion" | "kind" => {}
                "resources" => {
                    if !matches!(entry.value.value, Value::List(_)) {
                        let message =
                            format!("`resources` of a kustomization: expected a list, found {}", entry.value.kind());
                        self.diagnostics.push(Diagnostic::error(message).at(document.at_key("resources")));
                    }
                    for (index, item) in entry.value.items().iter().enumerate() {
                        let place = document.at(crate::path::FieldPath::root().field("resources").item(index));
                        if let Some(path) = item.as_str() {
                            resources.push((path.to_owned(), place));
                        } else {
                            let message =
                                format!("`resources` of a kustomization: expected a path, found {}", item.kind());
                            self.diagnostics.push(Diagnostic::error(message).at(place));
                        }
                    }
                }
                other => {
                    let message = format!("malha does not act on `{other}` of a kustomization");
                    let help = match decode::closest(other, &["resources"]) {
                        Some(similar) => format!("did you mean `{similar}`?"),
                        None => "malha acts on `resources` only; `kubectl kustomize` writes out what a kustomization means, to be loaded with `-f`".to_owned(),
                    };
                    let path = crate::path::FieldPath::root().field(other);
                    self.diagnostics.push(Diagnostic::error(message).at(document.at_key(&path)).help(help));
                }
            }
        }
        resources
    }
}

/// Resources that the kustomizations of `inputs` name and that are not there, such as keys that are still to be made.
pub fn missing_resources(inputs: &[Input]) -> Vec<PathBuf> {
    let mut finder = Finder::new(&Disk);
    for input in inputs {
        finder.input(input);
    }
    finder.missing
}
