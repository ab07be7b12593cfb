//! From texts to objects: kinds, types, rules; later objects take the place of earlier ones.

use std::collections::HashMap;
use std::sync::Arc;

use super::files::{Disk, Files};
use super::inputs::Finder;
use super::{Input, Loaded};
use crate::check;
use crate::decode::{self, Decoded, Subject};
use crate::diagnostic::Diagnostic;
use crate::istio::MeshConfig;
use crate::kind::{self, Fate, Kind};
use crate::node::{Document, Limits, Node, Value, parse_yaml};
use crate::object::{LoadedObject, Object, ObjectId};
use crate::path::FieldPath;
use crate::source::{Location, SourceFile};
use crate::support;

/// Loads everything that `inputs` stand for from the disk.
pub fn load(inputs: &[Input]) -> Loaded {
    load_with(inputs, &Disk)
}

/// Loads everything that `inputs` stand for from `files`.
pub fn load_with(inputs: &[Input], files: &dyn Files) -> Loaded {
    let mut finder = Finder::new(files);
    for input in inputs {
        finder.input(input);
    }
    let mut loader = Loader::default();
    loader.loaded.diagnostics = finder.diagnostics;
    for source in &finder.found {
        loader.source(source);
    }
    loader.finish()
}

/// Loads the objects of one text, which `name` stands for in messages.
pub fn parse_manifests(name: &str, text: &str) -> Loaded {
    let mut loader = Loader::default();
    loader.source(&SourceFile::new(name, text));
    loader.finish()
}

#[derive(Default)]
struct Loader {
    loaded: Loaded,
    positions: HashMap<ObjectId, usize>,
}

impl Loader {
    fn finish(mut self) -> Loaded {
        let objects = &self.loaded.objects;
        // Objects with errors are missing: names that lead to them are not wrong.
        let references = if self.loaded.has_errors() { Vec::new() } else { check::check_references(objects) };
        let beyond = support::report(objects);
        let mesh = objects.iter().filter_map(mesh_config).flatten();
        let said: Vec<_> = references.into_iter().chain(beyond).chain(mesh).collect();
        self.loaded.diagnostics.extend(said);
        self.loaded
    }

    fn source(&mut self, source: &Arc<SourceFile>) {
        let (documents, diagnostics) = parse_yaml(source, Limits::default());
        self.loaded.diagnostics.extend(diagnostics);
        for document in documents {
            self.document(document);
        }
    }

    fn document(&mut self, document: Document) {
        // kubectl writes several objects as one `List`.
        if document.root().get("kind").and_then(Node::as_str) == Some("List") {
            let items = document.root().get("items").map(Node::items).unwrap_or_default().to_vec();
            for item in items {
                self.object(document.with_root(item));
            }
        } else {
            self.object(document);
        }
    }

    fn object(&mut self, document: Document) {
        match read(document) {
            Read::Object(object, diagnostics) => {
                self.loaded.diagnostics.extend(diagnostics);
                self.keep(*object);
            }
            Read::Nothing(diagnostics) => self.loaded.diagnostics.extend(diagnostics),
        }
    }

    fn keep(&mut self, object: LoadedObject) {
        let objects = &mut self.loaded.objects;
        if let Some(position) = self.positions.get(&object.id) {
            objects[*position] = object;
        } else {
            self.positions.insert(object.id.clone(), objects.len());
            objects.push(object);
        }
    }
}

/// What is said about the text in the object, if it is the one that holds `MeshConfig`.
fn mesh_config(object: &LoadedObject) -> Option<Vec<Diagnostic>> {
    let Object::ConfigMap(map) = &object.object else { return None };
    if object.id.name != MeshConfig::NAME || object.id.namespace.as_deref() != Some(MeshConfig::NAMESPACE) {
        return None;
    }
    let text = map.data.as_ref()?.get(MeshConfig::KEY)?;
    let file = object.origin().map(|place| format!("{}, ", place.file())).unwrap_or_default();
    let name = format!("{file}data.{} of {}", MeshConfig::KEY, object.id);
    Some(MeshConfig::parse_as(&name, text).1)
}

enum Read {
    Object(Box<LoadedObject>, Vec<Diagnostic>),
    Nothing(Vec<Diagnostic>),
}

/// Reads one document.
fn read(document: Document) -> Read {
    let root = document.root();
    // Also where the kind is misspelt or missing.
    let kind_name = root.get("kind").and_then(Node::as_str).unwrap_or_default();
    let secret =
        kind_name.to_lowercase().contains("secret") || root.get("stringData").is_some() || root.get("data").is_some();
    let masked = |place: Option<Location>| if secret { place.map(Location::masked) } else { place };
    if !matches!(root.value, Value::Map(_)) {
        let message = format!("expected an object with `apiVersion`, `kind` and `metadata`, found {}", root.kind());
        return Read::Nothing(vec![Diagnostic::error(message).at(masked(document.at("")))]);
    }
    let text = |field: &str| root.get(field).and_then(Node::as_str).filter(|text| !text.is_empty());
    let (Some(version), Some(name)) = (text("apiVersion"), text("kind")) else {
        let missing = if text("apiVersion").is_none() { "apiVersion" } else { "kind" };
        let message = format!("`{missing}` is not set: nobody can tell what this object is");
        let place = if root.get(missing).is_some() { document.at(missing) } else { document.at("") };
        return Read::Nothing(vec![
            Diagnostic::error(message)
                .at(masked(place))
                .help("an object begins like this: `apiVersion: apps/v1`, `kind: Deployment`"),
        ]);
    };
    let kind = match kind::find(name, version) {
        Ok(kind) => kind,
        Err((message, help)) => {
            let place = document.at(if help.starts_with("write `apiVersion") { "apiVersion" } else { "kind" });
            return Read::Nothing(vec![Diagnostic::error(message).at(masked(place)).help(help)]);
        }
    };
    let id = identity(kind, &document);
    if let Fate::Ignored(reason) = kind.fate {
        let message = format!("{id} is left out: {reason}");
        return Read::Nothing(vec![Diagnostic::warning(message).at(document.at("kind"))]);
    }
    let version = version.to_owned();
    let subject_name = id.to_string();
    let subject = Subject {
        name: subject_name.trim_end(),
        // All of it: a whole Secret may be written on one line.
        secret: if kind.name == "Secret" { |_| true } else { |_| false },
    };
    let (object, mut diagnostics) = typed(kind, &document, subject);
    diagnostics.extend(check::check_metadata(kind, &document, subject));
    diagnostics.sort_by_key(|found| found.location.as_ref().map(|place| (place.line(), place.column())));
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Read::Nothing(diagnostics);
    }
    match object {
        Some(object) => {
            let json = document.root().to_json();
            Read::Object(
                Box::new(LoadedObject { id, api_version: version, object, json, document: Arc::new(document) }),
                diagnostics,
            )
        }
        None => Read::Nothing(diagnostics),
    }
}

/// What tells the object from others, as far as the document says it.
fn identity(kind: &Kind, document: &Document) -> ObjectId {
    let text = |path: &str| document.get(path).and_then(Node::as_str).filter(|text| !text.is_empty());
    ObjectId {
        kind: kind.name.to_owned(),
        namespace: kind.namespaced.then(|| text("metadata.namespace").unwrap_or("default").to_owned()),
        name: text("metadata.name").unwrap_or_default().to_owned(),
    }
}

/// Reads the type that belongs to the kind, and checks its rules.
fn typed(kind: &Kind, document: &Document, subject: Subject<'_>) -> (Option<Object>, Vec<Diagnostic>) {
    fn whole<T: serde::de::DeserializeOwned>(
        document: &Document,
        subject: Subject<'_>,
        object: impl Fn(T) -> Object,
    ) -> (Option<Object>, Vec<Diagnostic>) {
        finish(decode::decode(document, subject), document, subject, object)
    }
    /// Istio's types are an object's `spec`: around it stand the same fields for all kinds.
    fn spec<T: serde::de::DeserializeOwned>(
        document: &Document,
        subject: Subject<'_>,
        object: impl Fn(T) -> Object,
    ) -> (Option<Object>, Vec<Diagnostic>) {
        let around: Decoded<check::Envelope> = decode::decode(document, subject);
        let empty = Node { value: Value::Null, span: document.root().span };
        let node = document.root().get("spec").unwrap_or(&empty);
        let mut inner = decode::decode_node(document, node, &FieldPath::root().field("spec"), subject);
        inner.diagnostics.splice(0..0, around.diagnostics);
        finish(inner, document, subject, object)
    }
    fn finish<T>(
        decoded: Decoded<T>,
        document: &Document,
        subject: Subject<'_>,
        object: impl Fn(T) -> Object,
    ) -> (Option<Object>, Vec<Diagnostic>) {
        let mut diagnostics = decoded.diagnostics;
        let object = decoded.value.map(object);
        // Where a value was left out, places in the type and in the document no longer agree.
        if let (Some(object), true) = (&object, decoded.whole) {
            diagnostics.extend(check::check_object(object, document, subject));
        }
        (object, diagnostics)
    }
    match kind.name {
        "Namespace" => whole(document, subject, Object::Namespace),
        "ConfigMap" => whole(document, subject, Object::ConfigMap),
        "Secret" => whole(document, subject, Object::Secret),
        "Service" => whole(document, subject, Object::Service),
        "ServiceAccount" => whole(document, subject, Object::ServiceAccount),
        "PersistentVolumeClaim" => whole(document, subject, Object::PersistentVolumeClaim),
        "Deployment" => whole(document, subject, Object::Deployment),
        "HorizontalPodAutoscaler" => whole(document, subject, Object::HorizontalPodAutoscaler),
        "PodDisruptionBudget" => whole(document, subject, Object::PodDisruptionBudget),
        "RuntimeClass" => whole(document, subject, Object::RuntimeClass),
        "Gateway" => spec(document, subject, Object::Gateway),
        "VirtualService" => spec(document, subject, Object::VirtualService),
        "DestinationRule" => spec(document, subject, Object::DestinationRule),
        "ServiceEntry" => spec(document, subject, Object::ServiceEntry),
        "Sidecar" => spec(document, subject, Object::Sidecar),
        "PeerAuthentication" => spec(document, subject, Object::PeerAuthentication),
        "RequestAuthentication" => spec(document, subject, Object::RequestAuthentication),
        "AuthorizationPolicy" => spec(document, subject, Object::AuthorizationPolicy),
        _ => (None, Vec::new()),
    }
}
