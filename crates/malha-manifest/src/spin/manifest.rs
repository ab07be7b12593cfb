//! What a `spin.toml` says, typed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::template::Template;
use crate::node::Document;
use crate::path::FieldPath;
use crate::source::Location;

/// A Spin application.
#[derive(Debug, Clone)]
pub struct SpinManifest {
    /// `[application]`
    pub application: Application,
    /// `[variables]` by name.
    pub variables: BTreeMap<String, Variable>,
    /// `[[trigger.http]]` in the order of the file.
    pub triggers: Vec<Trigger>,
    /// `[component.<name>]` by name, those written inside a trigger included.
    pub components: BTreeMap<String, Component>,
    pub(super) document: Document,
}

impl SpinManifest {
    /// The place of the field `path` (`component.posts.source`), or of the nearest field above it that is written down.
    ///
    /// Variables' defaults are masked: some are secret.
    pub fn at(&self, path: impl Into<FieldPath>) -> Option<Location> {
        let path = path.into();
        let place = self.document.at(&path);
        if super::read::may_be_secret(&path) { place.map(Location::masked) } else { place }
    }

    /// The components that `SPIN_COMPONENTS_TO_RETAIN` keeps: those of `names`, or all of them if it names none.
    /// The error says which name no component has.
    pub fn retain(&self, names: &[&str]) -> Result<Vec<&Component>, String> {
        if names.is_empty() {
            return Ok(self.components.values().collect());
        }
        names
            .iter()
            .map(|name| {
                // The shim's own words, as measured: people search for them.
                self.components
                    .get(*name)
                    .ok_or_else(|| format!("Specified component \"{name}\" not found in application"))
            })
            .collect()
    }
}

/// `[application]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Application {
    /// Name; also the name of the image that malha builds.
    pub name: String,
    /// Version; also the tag of the image that malha builds. Empty when missing, as in Spin.
    pub version: String,
    /// What it is.
    pub description: String,
    /// Who wrote it.
    pub authors: Vec<String>,
}

/// One of `[variables]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Value when nothing else gives one; `None` when it is `required`.
    pub default: Option<String>,
    /// Whether its value must not be shown.
    pub secret: bool,
}

impl fmt::Debug for Variable {
    /// Everything but a secret's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.secret { self.default.as_ref().map(|_| "…") } else { self.default.as_deref() };
        f.debug_struct("Variable").field("default", &shown).field("secret", &self.secret).finish()
    }
}

/// One of `[[trigger.http]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Which requests.
    pub route: Route,
    /// Name of the component that answers them.
    pub component: String,
}

/// Which requests a trigger takes, by path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// This path only; a `/` at its end does not count.
    Exact(String),
    /// This path and everything below: written `/path/...`, kept as `/path`; `/...` is kept as an empty text.
    Prefix(String),
    /// None: reached by other components only (`route = { private = true }`).
    Private,
}

/// One `[component.<name>]`.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// The wasm file, as written: relative to the manifest's folder.
    pub source: PathBuf,
    /// What it is.
    pub description: String,
    /// Hosts that it may call; may contain variables.
    pub allowed_outbound_hosts: Vec<Template>,
    /// Its variables by name; may contain variables of the application.
    pub variables: BTreeMap<String, Template>,
    /// WASI environment.
    pub environment: BTreeMap<String, String>,
    /// Labels of the key-value stores that it may open.
    pub key_value_stores: Vec<String>,
    /// Labels of the SQLite databases that it may open.
    pub sqlite_databases: Vec<String>,
    /// How its wasm file is made.
    pub build: Option<Build>,
}

/// `[component.<name>.build]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Commands for a shell, one after another.
    pub commands: Vec<String>,
    /// Where to run them, relative to the manifest's folder.
    pub workdir: Option<PathBuf>,
    /// Files whose change asks for a new build, as glob patterns relative to `workdir`.
    pub watch: Vec<String>,
}
