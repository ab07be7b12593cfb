//! A Spin application: its components, which of them answers a path, and what they may know and call.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use malha_manifest::spin::{self, Route, SpinManifest};

use crate::code::{Code, CodeError};
use crate::engine::Engine;
use crate::outbound::AllowedHosts;
use crate::storage::DEFAULT;

/// An application with the code of its components. Pods share it.
pub struct App {
    manifest: SpinManifest,
    code: BTreeMap<String, Code>,
}

/// What of an application and its environment cannot be.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A component cannot run.
    #[error("component `{component}`: {error}")]
    Code {
        /// Its name.
        component: String,
        /// Why.
        error: CodeError,
    },
    /// `SPIN_COMPONENTS_TO_RETAIN` names one that is not there.
    #[error("{0} (SPIN_COMPONENTS_TO_RETAIN); it has: {1}")]
    NoSuchComponent(String, String),
    /// A required variable has no value.
    #[error(
        "variable `{name}` of the application is required and has no value\n  hint: set the environment variable \
         `{upper}` in the container, or give `{name}` a default in spin.toml"
    )]
    MissingVariable {
        /// Its name in spin.toml.
        name: String,
        /// The environment variable that feeds it.
        upper: String,
    },
    /// A component's template names a variable that the application does not have.
    #[error("component `{component}` uses the variable `{name}`, which [variables] of spin.toml does not have")]
    UnknownVariable {
        /// The component.
        component: String,
        /// The variable.
        name: String,
    },
    /// `allowed_outbound_hosts` is not as Spin wants it.
    #[error("component `{component}`: {error}")]
    AllowedHosts {
        /// The component.
        component: String,
        /// What is wrong.
        error: String,
    },
    /// Components list key-value stores that there are not.
    #[error(
        "unknown key_value_stores label {label:?} for component {component:?}\n  hint: malha has the store \"default\"; \
         others come from a runtime configuration file, which it does not read"
    )]
    UnknownStore {
        /// The component.
        component: String,
        /// What it lists.
        label: String,
    },
    /// Components list databases that there are not.
    #[error(
        "One or more components use SQLite databases which are not defined.\n{0}\n  hint: malha has the database \
         \"default\"; others come from a runtime configuration file, which it does not read"
    )]
    UnknownDatabases(String),
}

impl App {
    /// Loads the code of every component from the file that `source` names for it. May compile.
    ///
    /// # Errors
    /// [`AppError::Code`] for the first component that cannot run.
    pub fn load(engine: &Engine, manifest: SpinManifest, source: impl Fn(&str) -> PathBuf) -> Result<Self, AppError> {
        let load = |component: &spin::Component| match engine.load(&source(&component.name)) {
            Ok(code) => Ok((component.name.clone(), code)),
            Err(error) => Err(AppError::Code { component: component.name.clone(), error }),
        };
        let code = manifest.components.values().map(load).collect::<Result<_, _>>()?;
        Ok(Self { manifest, code })
    }

    /// Prepares the components that `retain` names (all, if it is empty) with the variables of `environment`.
    pub(crate) fn configure(&self, retain: &[&str], environment: &HashMap<&str, &str>) -> Result<Routes, AppError> {
        let kept = self.manifest.retain(retain).map_err(|what| {
            AppError::NoSuchComponent(what, self.code.keys().cloned().collect::<Vec<_>>().join(", "))
        })?;
        let variables = self.variables(environment)?;
        check_labels(&kept)?;
        let components = kept
            .into_iter()
            .map(|component| self.component(component, &variables).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Routes::new(&self.manifest, &components))
    }

    /// The application's variables. `FOO` feeds variable `foo` and wins over `SPIN_VARIABLE_FOO`, as in the shim;
    /// what is required must be given, even if no kept component reads it.
    fn variables(&self, environment: &HashMap<&str, &str>) -> Result<HashMap<&str, String>, AppError> {
        self.manifest
            .variables
            .iter()
            .map(|(name, variable)| {
                let upper = name.to_ascii_uppercase();
                let given = environment.get(&*upper).or_else(|| environment.get(&*format!("SPIN_VARIABLE_{upper}")));
                match given.map(|value| (*value).to_owned()).or_else(|| variable.default.clone()) {
                    Some(value) => Ok((name.as_str(), value)),
                    None => Err(AppError::MissingVariable { name: name.clone(), upper }),
                }
            })
            .collect()
    }

    fn component(&self, component: &spin::Component, variables: &HashMap<&str, String>) -> Result<Component, AppError> {
        let name = || component.name.clone();
        let resolve = |template: &spin::Template| {
            template
                .resolve(|variable| variables.get(variable))
                .map_err(|variable| AppError::UnknownVariable { component: name(), name: variable })
        };
        let hosts = component.allowed_outbound_hosts.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
        let allowed_hosts = AllowedHosts::parse(hosts.iter().map(String::as_str))
            .map_err(|error| AppError::AllowedHosts { component: name(), error })?;
        let variables = component
            .variables
            .iter()
            .map(|(key, template)| resolve(template).map(|value| (key.clone(), value)))
            .collect::<Result<_, _>>()?;
        Ok(Component {
            name: name(),
            code: self.code[&component.name].clone(),
            allowed_hosts,
            variables,
            environment: component.environment.clone().into_iter().collect(),
            key_value_stores: component.key_value_stores.clone(),
            sqlite_databases: component.sqlite_databases.clone(),
        })
    }
}

/// Whether there are the stores that components list. Spin asks before it starts, in these words
/// (crates/factor-key-value/src/lib.rs, crates/factor-sqlite/src/lib.rs).
fn check_labels(components: &[&spin::Component]) -> Result<(), AppError> {
    let is_unknown = |label: &&String| *label != DEFAULT;
    for component in components {
        if let Some(label) = component.key_value_stores.iter().find(is_unknown) {
            return Err(AppError::UnknownStore { component: component.name.clone(), label: label.clone() });
        }
    }
    let unknown: Vec<_> = components
        .iter()
        .flat_map(|component| component.sqlite_databases.iter().map(|label| (&component.name, label)))
        .filter(|(_, label)| is_unknown(label))
        .map(|(component, label)| format!("- Component {component} uses database '{label}'"))
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(AppError::UnknownDatabases(unknown.join("\n"))) }
}

/// A component as one pod runs it.
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) code: Code,
    pub(crate) allowed_hosts: AllowedHosts,
    pub(crate) variables: HashMap<String, String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) key_value_stores: Vec<String>,
    pub(crate) sqlite_databases: Vec<String>,
}

/// Which component answers a path: an exact route before a prefix, a longer prefix before a shorter one.
pub(crate) struct Routes {
    exact: HashMap<String, Target>,
    /// Longest first.
    prefixes: Vec<(String, Target)>,
}

struct Target {
    component: Arc<Component>,
    /// As written in spin.toml.
    raw: String,
}

/// A path that has somebody to answer it.
pub(crate) struct RouteMatch<'r, 'p> {
    pub(crate) component: &'r Arc<Component>,
    /// The route as written: `/posts/...`.
    pub(crate) raw: &'r str,
    /// What the `...` stands for, with its leading slash; empty for an exact route.
    pub(crate) rest: &'p str,
}

impl RouteMatch<'_, '_> {
    /// The route without its wildcard.
    pub(crate) fn prefix(&self) -> &str {
        self.raw.strip_suffix("/...").unwrap_or(self.raw)
    }
}

impl Routes {
    fn new(manifest: &SpinManifest, components: &[Arc<Component>]) -> Self {
        let mut routes = Self { exact: HashMap::new(), prefixes: Vec::new() };
        for trigger in &manifest.triggers {
            let Some(component) = components.iter().find(|component| component.name == trigger.component) else {
                continue;
            };
            let component = Arc::clone(component);
            match &trigger.route {
                Route::Exact(path) => {
                    routes.exact.insert(trim(path).to_owned(), Target { component, raw: path.clone() });
                }
                Route::Prefix(path) => {
                    let raw = format!("{path}/...");
                    routes.prefixes.push((path.clone(), Target { component, raw }));
                }
                Route::Private => {}
            }
        }
        routes.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        routes
    }

    pub(crate) fn find<'p>(&self, path: &'p str) -> Option<RouteMatch<'_, 'p>> {
        if let Some(target) = self.exact.get(trim(path)) {
            return Some(RouteMatch { component: &target.component, raw: &target.raw, rest: "" });
        }
        self.prefixes.iter().find_map(|(prefix, target)| {
            let rest = path.strip_prefix(prefix.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then_some(RouteMatch {
                component: &target.component,
                raw: &target.raw,
                rest,
            })
        })
    }
}

/// A slash at the end does not count.
fn trim(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}
