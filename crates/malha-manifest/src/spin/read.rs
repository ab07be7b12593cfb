//! Reads and checks a `spin.toml`.
//!
//! Sources: Spin's `crates/manifest/src/schema/v2.rs` and `common.rs` for the fields, `crates/http/src/routes.rs` for routes.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::manifest::{Application, Build, Component, Route, SpinManifest, Trigger, Variable};
use super::template::{NAME_RULE, Template, is_variable_name};
use crate::decode::{self, Decoded, Subject, did_you_mean};
use crate::diagnostic::Diagnostic;
use crate::node::{Document, Limits, Node, Value, parse_toml};
use crate::path::{FieldPath, Step};
use crate::source::SourceFile;
use crate::support;

/// Reads a `spin.toml` from the disk. The manifest is missing if something in it is an error.
pub fn load_spin(path: &Path) -> (Option<SpinManifest>, Vec<Diagnostic>) {
    match std::fs::read_to_string(path) {
        Ok(text) => read_spin(&path.display().to_string(), &text),
        Err(error) => {
            let diagnostic = Diagnostic::error(format!("cannot read {}: {error}", path.display()))
                .help("a Spin application has its manifest, `spin.toml`, in its top folder");
            (None, vec![diagnostic])
        }
    }
}

/// Reads the text of a `spin.toml`, which `name` stands for in messages.
pub fn read_spin(name: &str, text: &str) -> (Option<SpinManifest>, Vec<Diagnostic>) {
    let source = SourceFile::new(name, text);
    let (document, diagnostics) = parse_toml(&source, Limits::default());
    let Some(document) = document.filter(|_| diagnostics.is_empty()) else {
        return (None, diagnostics);
    };
    let mut reader = Reader { document: &document, diagnostics };
    let manifest = reader.manifest();
    let mut diagnostics = reader.diagnostics;
    let broken = diagnostics.iter().any(Diagnostic::is_error);
    if !broken {
        diagnostics.extend(support::report_spin(&document, SUBJECT));
    }
    let manifest = manifest.filter(|_| !broken).map(|read| {
        let Parts { application, variables, triggers, components } = read;
        SpinManifest { application, variables, triggers, components, document }
    });
    (manifest, diagnostics)
}

/// Whether the value at `path` may be a secret: a variable's default.
pub(super) fn may_be_secret(path: &FieldPath) -> bool {
    matches!(path.steps().first(), Some(Step::Field(name)) if name == "variables")
}

const SUBJECT: Subject<'static> = Subject { name: support::SPIN, secret: may_be_secret };

struct Parts {
    application: Application,
    variables: BTreeMap<String, Variable>,
    triggers: Vec<Trigger>,
    components: BTreeMap<String, Component>,
}

struct Reader<'a> {
    document: &'a Document,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn error(&mut self, path: &FieldPath, message: &str) -> &mut Diagnostic {
        let place = SUBJECT.mask(path, self.document.at(path));
        self.diagnostics.push(Diagnostic::error(format!("{}: {message}", SUBJECT.field(path))).at(place));
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }

    fn take<T>(&mut self, decoded: Decoded<T>) -> Option<T> {
        self.diagnostics.extend(decoded.diagnostics);
        decoded.value.filter(|_| decoded.whole)
    }

    fn manifest(&mut self) -> Option<Parts> {
        let root = self.document.root();
        if root.get("spin_manifest_version").is_none() && root.get("spin_version").is_some() {
            let path = FieldPath::parse("spin_version");
            self.error(&path, "manifests of version 1 are not read").help =
                Some("`spin doctor` rewrites a manifest to version 2".to_owned());
            return None;
        }
        let written: WrittenManifest = self.take(decode::decode(self.document, SUBJECT))?;
        if written.spin_manifest_version != 2 {
            let message = format!("version {} is not known", written.spin_manifest_version);
            self.error(&FieldPath::parse("spin_manifest_version"), &message).help =
                Some("write `spin_manifest_version = 2`".to_owned());
        }
        if written.application.name.is_empty() {
            self.error(&FieldPath::parse("application.name"), "required, and not set");
        }
        let variables = self.variables(written.variables);
        let mut components = BTreeMap::new();
        for (name, component) in written.component {
            let path = FieldPath::root().field("component").field(&name);
            if let Some(component) = self.component(&path, &name, component, &variables) {
                components.insert(name, component);
            }
        }
        let triggers = self.triggers(&mut components, &variables);
        let WrittenApplication { name, version, description, authors, .. } = written.application;
        Some(Parts {
            application: Application { name, version, description, authors },
            variables,
            triggers,
            components,
        })
    }

    fn variables(&mut self, written: BTreeMap<String, WrittenVariable>) -> BTreeMap<String, Variable> {
        let mut variables = BTreeMap::new();
        for (name, variable) in written {
            let path = FieldPath::root().field("variables").field(&name);
            self.variable_name(&path, &name);
            match (variable.required, &variable.default) {
                (true, Some(_)) => {
                    self.error(&path, "`required` and `default` exclude each other").help =
                        Some("keep one of them".to_owned());
                }
                (false, None) => {
                    self.error(&path, "has neither `default` nor `required = true`").help =
                        Some("write one of them".to_owned());
                }
                _ => {}
            }
            variables.insert(name, Variable { default: variable.default, secret: variable.secret });
        }
        variables
    }

    fn variable_name(&mut self, path: &FieldPath, name: &str) {
        if !is_variable_name(name) {
            self.error(path, &format!("`{name}` is not a variable's name")).help = Some(NAME_RULE.to_owned());
        }
    }

    fn component(
        &mut self,
        path: &FieldPath,
        name: &str,
        written: WrittenComponent,
        variables: &BTreeMap<String, Variable>,
    ) -> Option<Component> {
        if !is_kebab(name) {
            self.error(path, &format!("`{name}` is not a component's name")).help =
                Some("words of letters and digits with one `-` between them, each beginning with a letter".to_owned());
        }
        let source = match written.source {
            Some(Source::Path(source)) if !source.is_empty() => Some(PathBuf::from(source)),
            Some(Source::Elsewhere) => {
                let message = "malha takes a component from a file, not from a URL or a registry";
                self.error(&path.field("source"), message).help = Some("download it and write its path".to_owned());
                None
            }
            _ => {
                self.error(&path.field("source"), "required, and not set").help =
                    Some("the path of the component's wasm file".to_owned());
                None
            }
        };
        let mut templates = BTreeMap::new();
        for (key, text) in &written.variables {
            let place = path.field("variables").field(key);
            self.variable_name(&place, key);
            if let Some(template) = self.template(&place, text, variables) {
                templates.insert(key.clone(), template);
            }
        }
        let mut hosts = Vec::new();
        for (index, text) in written.allowed_outbound_hosts.iter().enumerate() {
            let place = path.field("allowed_outbound_hosts").item(index);
            let Some(template) = self.template(&place, text, variables) else { continue };
            // What variables stand for is known when the application starts; a text without them is checked now.
            if template.variables().next().is_none() && !text.contains("://") {
                self.error(&place, &format!("`{text}` has no scheme")).help = Some(
                    "scheme://host[:port], such as `http://posts-service` or `https://*.example.com:8443`".to_owned(),
                );
            }
            hosts.push(template);
        }
        self.labels(&path.field("key_value_stores"), &written.key_value_stores);
        self.labels(&path.field("sqlite_databases"), &written.sqlite_databases);
        Some(Component {
            name: name.to_owned(),
            source: source?,
            description: written.description,
            allowed_outbound_hosts: hosts,
            variables: templates,
            environment: written.environment,
            key_value_stores: written.key_value_stores,
            sqlite_databases: written.sqlite_databases,
            build: written.build.map(|build| Build {
                commands: build.command.0,
                workdir: build.workdir.map(PathBuf::from),
                watch: build.watch,
            }),
        })
    }

    /// Spin's rule for the labels of stores (crates/manifest/src/schema/v2.rs, `kebab_or_snake_case`).
    fn labels(&mut self, path: &FieldPath, labels: &[String]) {
        for (index, label) in labels.iter().enumerate().filter(|(_, label)| !is_kebab(label) && !is_snake(label)) {
            self.error(&path.item(index), &format!("`{label}` is not the label of a store")).help =
                Some("words of letters and digits with one `-` or one `_` between them, such as `default`".to_owned());
        }
    }

    fn template(&mut self, path: &FieldPath, text: &str, variables: &BTreeMap<String, Variable>) -> Option<Template> {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                self.error(path, &error.to_string());
                return None;
            }
        };
        let unknown: Vec<_> =
            template.variables().filter(|name| !variables.contains_key(*name)).map(str::to_owned).collect();
        let known: Vec<_> = variables.keys().map(String::as_str).collect();
        for name in &unknown {
            self.error(path, &format!("the application has no variable `{name}`")).help =
                Some(did_you_mean(name, &known));
        }
        unknown.is_empty().then_some(template)
    }

    fn triggers(
        &mut self,
        components: &mut BTreeMap<String, Component>,
        variables: &BTreeMap<String, Variable>,
    ) -> Vec<Trigger> {
        let path = FieldPath::parse("trigger.http");
        let document = self.document;
        let Some(list) = document.get(&path) else {
            self.error(&FieldPath::root(), "there is no `[[trigger.http]]`").help =
                Some("malha runs HTTP applications".to_owned());
            return Vec::new();
        };
        let mut triggers = Vec::new();
        let mut routes = HashSet::new();
        if !matches!(list.value, Value::List(_)) {
            self.error(&path, &format!("expected a list, found {}", list.kind())).help =
                Some("write `[[trigger.http]]` with two brackets".to_owned());
        }
        for (index, node) in list.items().iter().enumerate() {
            let path = path.item(index);
            let written: Decoded<WrittenTrigger> = decode::decode_node(document, node, &path, SUBJECT);
            let Some(written) = self.take(written) else { continue };
            let Some(route) = self.route(&path.field("route"), written.route) else { continue };
            if route != Route::Private && !routes.insert(route.clone()) {
                self.error(&path.field("route"), "another trigger has the same route");
            }
            if let Some(component) =
                self.trigger_component(&path, index, node, written.component, components, variables)
            {
                triggers.push(Trigger { route, component });
            }
        }
        triggers
    }

    /// The component that a trigger names or holds.
    fn trigger_component(
        &mut self,
        path: &FieldPath,
        index: usize,
        node: &Node,
        written: Option<ComponentReference>,
        components: &mut BTreeMap<String, Component>,
        variables: &BTreeMap<String, Variable>,
    ) -> Option<String> {
        let path = path.field("component");
        match (written, node.get("component")) {
            (Some(ComponentReference::Name(name)), _) => {
                let known: Vec<_> = self
                    .document
                    .root()
                    .get("component")
                    .map(Node::entries)
                    .unwrap_or_default()
                    .iter()
                    .map(|entry| entry.key.as_str())
                    .collect();
                if !known.contains(&name.as_str()) {
                    let help = did_you_mean(&name, &known);
                    self.error(&path, &format!("there is no component `{name}`")).help = Some(help);
                }
                Some(name)
            }
            (Some(ComponentReference::Inline), Some(node)) => {
                let written: Decoded<WrittenComponent> = decode::decode_node(self.document, node, &path, SUBJECT);
                let written = self.take(written)?;
                let name = format!("inline-n{index}");
                if components.contains_key(&name) {
                    self.error(&path, &format!("the component here gets the name `{name}`, which is taken"));
                }
                let component = self.component(&path, &name, written, variables)?;
                components.insert(name.clone(), component);
                Some(name)
            }
            _ => {
                self.error(&path, "required, and not set").help = Some("the name of a component".to_owned());
                None
            }
        }
    }

    fn route(&mut self, path: &FieldPath, written: Option<WrittenRoute>) -> Option<Route> {
        let text = match written {
            Some(WrittenRoute::Path(text)) => text,
            Some(WrittenRoute::Private(true)) => return Some(Route::Private),
            Some(WrittenRoute::Private(false)) | None => {
                self.error(path, "required, and not set").help =
                    Some("`route = \"/...\"` takes every request".to_owned());
                return None;
            }
        };
        let (base, wildcard) = match text.strip_suffix("/...") {
            Some(base) => (base, true),
            None => (text.as_str(), false),
        };
        let complaint = if !text.starts_with('/') {
            Some(("a route begins with `/`", "`/name` is one path, `/name/...` is it and everything below"))
        } else if base.contains("...") {
            Some(("`...` is allowed at the end, after a `/`", "`/name/...`"))
        } else if base.split('/').any(|part| part.starts_with(':')) {
            Some((
                "malha does not carry out routes with `:` parts yet",
                "`/name/...` and a look at the path do the same",
            ))
        } else {
            None
        };
        if let Some((message, help)) = complaint {
            self.error(path, message).help = Some(help.to_owned());
            return None;
        }
        let base = base.trim_end_matches('/').to_owned();
        Some(if wildcard {
            Route::Prefix(base)
        } else if base.is_empty() {
            Route::Exact("/".to_owned())
        } else {
            Route::Exact(base)
        })
    }
}

/// Spin's rule for the names of components (crates/serde/src/id.rs, `KebabId`).
fn is_kebab(name: &str) -> bool {
    is_words(name, '-')
}

/// The same with underscores (`SnakeId`).
fn is_snake(name: &str) -> bool {
    is_words(name, '_')
}

fn is_words(name: &str, delimiter: char) -> bool {
    name.split(delimiter).all(|word| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric())
            && (word.chars().all(|c| !c.is_ascii_lowercase()) || word.chars().all(|c| !c.is_ascii_uppercase()))
    })
}

#[derive(Deserialize)]
struct WrittenManifest {
    spin_manifest_version: u32,
    application: WrittenApplication,
    #[serde(default)]
    variables: BTreeMap<String, WrittenVariable>,
    #[serde(default)]
    #[serde(rename = "trigger")]
    _trigger: Option<IgnoredAny>,
    #[serde(default)]
    component: BTreeMap<String, WrittenComponent>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WrittenApplication {
    name: String,
    version: String,
    description: String,
    authors: Vec<String>,
    targets: Option<IgnoredAny>,
    #[serde(rename = "trigger")]
    _trigger: Option<IgnoredAny>,
    tool: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WrittenVariable {
    description: Option<String>,
    required: bool,
    default: Option<String>,
    secret: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WrittenTrigger {
    id: String,
    component: Option<ComponentReference>,
    components: Option<IgnoredAny>,
    route: Option<WrittenRoute>,
    executor: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WrittenComponent {
    source: Option<Source>,
    description: String,
    variables: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    files: Option<IgnoredAny>,
    exclude_files: Vec<String>,
    allowed_http_hosts: Vec<String>,
    allowed_outbound_hosts: Vec<String>,
    key_value_stores: Vec<String>,
    sqlite_databases: Vec<String>,
    ai_models: Vec<String>,
    build: Option<WrittenBuild>,
    tool: Option<IgnoredAny>,
    dependencies_inherit_configuration: bool,
    dependencies: Option<IgnoredAny>,
    profile: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct WrittenBuild {
    command: OneOrMany,
    workdir: Option<String>,
    #[serde(default)]
    watch: Vec<String>,
}

/// A text or a list of texts.
struct OneOrMany(Vec<String>);

/// A path, or a map that names another place.
enum Source {
    Path(String),
    Elsewhere,
}

/// A name, or a whole component.
enum ComponentReference {
    Name(String),
    Inline,
}

/// A path, or `{ private = true }`.
enum WrittenRoute {
    Path(String),
    Private(bool),
}

/// A value of several forms; serde's own `untagged` would lose what exactly is wrong.
trait Forms: Sized {
    const EXPECTED: &'static str;
    fn text(text: &str) -> Self;
    fn list<'de, A: SeqAccess<'de>>(_list: A) -> Result<Self, A::Error> {
        Err(de::Error::invalid_type(de::Unexpected::Seq, &Self::EXPECTED))
    }
    fn map<'de, A: MapAccess<'de>>(_map: A) -> Result<Self, A::Error> {
        Err(de::Error::invalid_type(de::Unexpected::Map, &Self::EXPECTED))
    }
}

impl Forms for OneOrMany {
    const EXPECTED: &'static str = "a string or a list of strings";
    fn text(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(Self(texts))
    }
}

impl Forms for Source {
    const EXPECTED: &'static str = "the path of a file";
    fn text(text: &str) -> Self {
        Self::Path(text.to_owned())
    }
    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        skip(map).map(|()| Self::Elsewhere)
    }
}

impl Forms for ComponentReference {
    const EXPECTED: &'static str = "the name of a component, or a component";
    fn text(text: &str) -> Self {
        Self::Name(text.to_owned())
    }
    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        skip(map).map(|()| Self::Inline)
    }
}

impl Forms for WrittenRoute {
    const EXPECTED: &'static str = "a path or `{ private = true }`";
    fn text(text: &str) -> Self {
        Self::Path(text.to_owned())
    }
    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut private = false;
        while let Some(key) = map.next_key::<String>()? {
            if key != "private" {
                return Err(de::Error::custom(format!("unknown field `{key}`; allowed: private")));
            }
            private = map.next_value()?;
        }
        Ok(Self::Private(private))
    }
}

fn skip<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

struct FormsVisitor<T>(PhantomData<T>);

impl<'de, T: Forms> Visitor<'de> for FormsVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::map(map)
    }
}

macro_rules! deserialize_forms {
    ($($name:ty),*) => {
        $(impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(FormsVisitor(PhantomData))
            }
        })*
    };
}

deserialize_forms!(OneOrMany, Source, ComponentReference, WrittenRoute);
