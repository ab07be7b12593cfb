//! What Kubernetes and Istio ask of an object beyond its types, said at the place.
//!
//! Messages follow the API server's and Istio's own where they are short, since people search for them.

mod autoscaler;
mod budget;
mod claim;
mod istio;
mod kubernetes;
mod quantity;
mod references;
mod workload;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::decode::{Subject, did_you_mean};
use crate::diagnostic::Diagnostic;
use crate::istio::MeshConfig;
use crate::kind::Kind;
use crate::names::{self, Rule};
use crate::node::{Document, Node, Value};
use crate::object::Object;
use crate::path::FieldPath;

pub use references::check_references;

/// What stands around the `spec` of every object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read for its unknown fields and wrong types only")]
pub(crate) struct Envelope {
    api_version: String,
    kind: String,
    #[serde(default)]
    metadata: ObjectMeta,
    spec: Option<IgnoredAny>,
    status: Option<IgnoredAny>,
}

/// Checks what belongs to an object's kind.
pub(crate) fn check_object(object: &Object, document: &Document, subject: Subject<'_>) -> Vec<Diagnostic> {
    let mut checker = Checker::new(document, subject);
    match object {
        Object::ConfigMap(map) => kubernetes::config_map(&mut checker, map),
        Object::Secret(secret) => kubernetes::secret(&mut checker, secret),
        Object::Service(service) => kubernetes::service(&mut checker, service),
        Object::PersistentVolumeClaim(claim) => claim::claim(&mut checker, claim),
        Object::Deployment(deployment) => kubernetes::deployment(&mut checker, deployment),
        Object::HorizontalPodAutoscaler(scaler) => autoscaler::autoscaler(&mut checker, scaler),
        Object::PodDisruptionBudget(budget) => budget::budget(&mut checker, budget),
        Object::RuntimeClass(class) => checker.name("handler", &class.handler, names::LABEL),
        Object::Gateway(gateway) => istio::gateway(&mut checker, gateway),
        Object::VirtualService(service) => istio::virtual_service(&mut checker, service),
        Object::DestinationRule(rule) => istio::destination_rule(&mut checker, rule),
        Object::ServiceEntry(entry) => istio::service_entry(&mut checker, entry),
        Object::Sidecar(sidecar) => istio::sidecar(&mut checker, sidecar),
        Object::PeerAuthentication(policy) => istio::peer_authentication(&mut checker, policy),
        Object::RequestAuthentication(policy) => istio::request_authentication(&mut checker, policy),
        Object::AuthorizationPolicy(policy) => istio::authorization_policy(&mut checker, policy),
        Object::Namespace(_) | Object::ServiceAccount(_) => {}
    }
    match object {
        Object::AuthorizationPolicy(policy) => istio::dry_run(&mut checker, Some(policy.action)),
        Object::Gateway(_)
        | Object::VirtualService(_)
        | Object::DestinationRule(_)
        | Object::ServiceEntry(_)
        | Object::Sidecar(_)
        | Object::PeerAuthentication(_)
        | Object::RequestAuthentication(_) => istio::dry_run(&mut checker, None),
        _ => {}
    }
    checker.diagnostics
}

/// Checks what `MeshConfig` shares with routes.
pub(crate) fn check_mesh_config(config: &MeshConfig, document: &Document, subject: Subject<'_>) -> Vec<Diagnostic> {
    let mut checker = Checker::new(document, subject);
    if let Some(retries) = &config.default_http_retry_policy {
        istio::retries(&mut checker, &FieldPath::parse("defaultHttpRetryPolicy"), retries);
    }
    checker.name("rootNamespace", &config.root_namespace, names::LABEL);
    checker.diagnostics
}

/// Checks `metadata`, which all kinds share.
pub(crate) fn check_metadata(kind: &Kind, document: &Document, subject: Subject<'_>) -> Vec<Diagnostic> {
    let mut checker = Checker::new(document, subject);
    let rule = match kind.name {
        "Service" => names::SERVICE,
        "Namespace" => names::LABEL,
        _ => names::SUBDOMAIN,
    };
    let text = |path: &str| document.get(path).and_then(Node::as_str).unwrap_or_default();
    match text("metadata.name") {
        // A name of another type has been complained about already.
        "" if document
            .get("metadata.name")
            .is_some_and(|node| !matches!(node.value, Value::Null | Value::String(_))) => {}
        "" if !text("metadata.generateName").is_empty() => {
            checker.error("metadata.generateName", "names are not made up here").help("write `metadata.name`");
        }
        name => checker.name("metadata.name", name, rule),
    }
    let namespace = text("metadata.namespace");
    if !namespace.is_empty() {
        if kind.namespaced {
            checker.name("metadata.namespace", namespace, names::LABEL);
        } else {
            let message = format!("a {} belongs to the whole cluster and takes no namespace", kind.name);
            checker.error("metadata.namespace", message).help("leave it out");
        }
    }
    for (field, values) in [("metadata.labels", true), ("metadata.annotations", false)] {
        let path = FieldPath::parse(field);
        for entry in document.get(&path).map(Node::entries).unwrap_or_default() {
            let place = path.field(&entry.key);
            checker.key(&place, &entry.key, names::QUALIFIED);
            if let (true, Some(value)) = (values, entry.value.as_str()) {
                checker.name(&place, value, names::LABEL_VALUE);
            }
        }
    }
    checker.diagnostics
}

/// Collects what is wrong with one object.
pub(crate) struct Checker<'a> {
    document: &'a Document,
    subject: Subject<'a>,
    diagnostics: Vec<Diagnostic>,
}

/// Lets a hint follow a finding.
struct Found<'a>(&'a mut Diagnostic);

impl Found<'_> {
    fn help(self, help: impl Into<String>) {
        self.0.help = Some(help.into());
    }
}

impl<'a> Checker<'a> {
    fn new(document: &'a Document, subject: Subject<'a>) -> Self {
        Self { document, subject, diagnostics: Vec::new() }
    }

    /// Complains about the value at `path`.
    fn error(&mut self, path: impl Into<FieldPath>, message: impl AsRef<str>) -> Found<'_> {
        let path = path.into();
        let place = self.document.at(&path);
        self.push(Diagnostic::error(format!("{}: {}", self.subject.field(&path), message.as_ref())), &path, place)
    }

    /// Complains about `path`, and shows the value at `place` inside it.
    fn error_inside(&mut self, path: &FieldPath, place: &FieldPath, message: impl AsRef<str>) -> Found<'_> {
        let shown = self.document.at(place);
        self.push(Diagnostic::error(format!("{}: {}", self.subject.field(path), message.as_ref())), place, shown)
    }

    /// Says something about the value at `path` that does no harm to the rest.
    fn warning(&mut self, path: impl Into<FieldPath>, message: impl AsRef<str>) -> Found<'_> {
        let path = path.into();
        let place = self.document.at(&path);
        self.push(Diagnostic::warning(format!("{}: {}", self.subject.field(&path), message.as_ref())), &path, place)
    }

    /// Whether the field is written, with whatever value.
    fn is_set(&self, path: &FieldPath) -> bool {
        self.document.get(path).is_some_and(|node| node.value != Value::Null)
    }

    /// The text at `path`, if there is one.
    fn text(&self, path: &FieldPath) -> Option<String> {
        self.document.get(path).and_then(Node::as_str).map(str::to_owned)
    }

    /// The object's namespace.
    fn namespace(&self) -> String {
        let written = self.document.get("metadata.namespace").and_then(Node::as_str).unwrap_or_default();
        if written.is_empty() { "default" } else { written }.to_owned()
    }

    /// Complains about the field's name at `path`.
    fn error_at_key(&mut self, path: impl Into<FieldPath>, message: impl AsRef<str>) -> Found<'_> {
        let path = path.into();
        let place = self.document.at_key(&path);
        self.push(Diagnostic::error(format!("{}: {}", self.subject.field(&path), message.as_ref())), &path, place)
    }

    fn push(&mut self, diagnostic: Diagnostic, path: &FieldPath, place: Option<crate::source::Location>) -> Found<'_> {
        self.diagnostics.push(diagnostic.at(self.subject.mask(path, place)));
        let last = self.diagnostics.len() - 1;
        Found(&mut self.diagnostics[last])
    }

    /// Complains if a required text is missing.
    fn required(&mut self, path: impl Into<FieldPath>, text: &str) -> bool {
        if text.is_empty() {
            self.error(path, "required, and not set");
        }
        !text.is_empty()
    }

    /// Complains if a name is missing or against a rule.
    fn name(&mut self, path: impl Into<FieldPath>, name: &str, rule: Rule) {
        let path = path.into();
        if (rule.holds)(name) {
            return;
        }
        if name.is_empty() {
            self.required(path, name);
        } else {
            self.error(path, format!("`{name}` is not allowed")).help(format!("allowed: {}", rule.words));
        }
    }

    /// Complains if the name of a field is against a rule.
    fn key(&mut self, path: &FieldPath, key: &str, rule: Rule) {
        if !(rule.holds)(key) {
            self.error_at_key(path, format!("`{key}` is not allowed as a key"))
                .help(format!("allowed: {}", rule.words));
        }
    }

    /// Complains about a word that is not among those a field takes.
    fn word(&mut self, path: impl Into<FieldPath>, word: &str, allowed: &[&str]) {
        if !allowed.contains(&word) {
            self.error(path, format!("`{word}` is not one of the values that this field takes"))
                .help(did_you_mean(word, allowed));
        }
    }

    /// Complains about a port outside 1 to 65535.
    fn port(&mut self, path: impl Into<FieldPath>, port: i64) {
        let path = path.into();
        if (1..=65535).contains(&port) {
            return;
        }
        if port == 0 && self.document.get(&path).is_none() {
            self.error(path, "required, and not set");
        } else {
            self.error(path, format!("{port} is not a port")).help("allowed: 1 to 65535");
        }
    }

    /// Complains about keys and values that no label has.
    fn labels(&mut self, path: &FieldPath, labels: Option<&BTreeMap<String, String>>) {
        for (key, value) in labels.into_iter().flatten() {
            let place = path.field(key);
            self.key(&place, key, names::QUALIFIED);
            self.name(&place, value, names::LABEL_VALUE);
        }
    }

    /// Complains about the second use of something that may be used once.
    fn unique<'v>(&mut self, what: &str, values: impl IntoIterator<Item = (FieldPath, &'v str)>) {
        let mut seen = std::collections::HashSet::new();
        for (path, value) in values {
            if !value.is_empty() && !seen.insert(value) {
                self.error(path, format!("{what} `{value}` is used twice"));
            }
        }
    }
}
