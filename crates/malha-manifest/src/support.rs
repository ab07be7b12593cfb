//! What malha acts on now: a table, and what it says about given objects.
//!
//! A field that is neither in the table nor unknown is a field that a cluster acts on and malha does not: each is reported once
//! with its first place. The table is data; carrying out a field means adding its line here.

use std::collections::BTreeMap;

use crate::decode::Subject;
use crate::diagnostic::Diagnostic;
use crate::node::{Document, Node, Value};
use crate::object::{LoadedObject, Object};
use crate::path::FieldPath;
use crate::source::Location;

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// malha acts on it.
    ActsOn,
    /// It has nothing to act on here, for this reason: ignoring it changes nothing.
    Inert(&'static str),
    /// malha does not act on it yet.
    NotYet,
}

use Support::{ActsOn, Inert};

/// A line of the table: a kind, a field with everything below it, and what becomes of it.
///
/// `[]` stands for any item of a list and `*` for any key of a map.
type Line = (&'static str, &'static str, Support);

const SANDBOX: Support = Inert("a component's sandbox is stricter than any security context");
const NO_FILES: Support = Inert("components see no files but those of their image; Spin's own state needs none here");
const ONE_NODE: Support = Inert("malha is one node");
const NO_TOKEN: Support = Inert("components never get a Kubernetes token");
const RECORD: Support = Inert("written by a cluster for its own use");

const TABLE: &[Line] = &[
    ("*", "apiVersion", ActsOn),
    ("*", "kind", ActsOn),
    ("*", "metadata", ActsOn),
    ("*", "status", RECORD),
    ("Namespace", "spec", RECORD),
    ("ConfigMap", "data", ActsOn),
    ("ConfigMap", "binaryData", Inert("environment variables take text only")),
    ("ConfigMap", "immutable", Inert("malha reads manifests once")),
    ("Secret", "data", ActsOn),
    ("Secret", "stringData", ActsOn),
    ("Secret", "type", ActsOn),
    ("Secret", "immutable", Inert("malha reads manifests once")),
    ("ServiceAccount", "*", NO_TOKEN),
    ("RuntimeClass", "handler", ActsOn),
    ("RuntimeClass", "scheduling", ONE_NODE),
    ("RuntimeClass", "overhead", ONE_NODE),
    ("Service", "spec.type", ActsOn),
    ("Service", "spec.selector", ActsOn),
    ("Service", "spec.ports[].name", ActsOn),
    ("Service", "spec.ports[].port", ActsOn),
    ("Service", "spec.ports[].targetPort", ActsOn),
    ("Service", "spec.ports[].protocol", ActsOn),
    ("Deployment", "spec.replicas", ActsOn),
    ("Deployment", "spec.selector.matchLabels", ActsOn),
    ("Deployment", "spec.template.metadata", ActsOn),
    ("Deployment", "spec.template.spec.runtimeClassName", ActsOn),
    ("Deployment", "spec.template.spec.restartPolicy", ActsOn),
    // By refusing them, see `beyond`.
    ("Deployment", "spec.template.spec.initContainers", ActsOn),
    ("Deployment", "spec.template.spec.securityContext", SANDBOX),
    ("Deployment", "spec.template.spec.volumes", NO_FILES),
    ("Deployment", "spec.template.spec.serviceAccountName", NO_TOKEN),
    ("Deployment", "spec.template.spec.automountServiceAccountToken", NO_TOKEN),
    ("Deployment", "spec.template.spec.enableServiceLinks", Inert("malha sets no variables for Services")),
    ("Deployment", "spec.template.spec.nodeSelector", ONE_NODE),
    ("Deployment", "spec.template.spec.tolerations", ONE_NODE),
    ("Deployment", "spec.template.spec.affinity", ONE_NODE),
    ("Deployment", "spec.template.spec.topologySpreadConstraints", ONE_NODE),
    ("Deployment", "spec.template.spec.containers[].name", ActsOn),
    ("Deployment", "spec.template.spec.containers[].image", ActsOn),
    ("Deployment", "spec.template.spec.containers[].imagePullPolicy", Inert("malha's images are always local")),
    ("Deployment", "spec.template.spec.containers[].command", ActsOn),
    ("Deployment", "spec.template.spec.containers[].env[].name", ActsOn),
    ("Deployment", "spec.template.spec.containers[].env[].value", ActsOn),
    ("Deployment", "spec.template.spec.containers[].env[].valueFrom.secretKeyRef", ActsOn),
    ("Deployment", "spec.template.spec.containers[].env[].valueFrom.configMapKeyRef", ActsOn),
    ("Deployment", "spec.template.spec.containers[].envFrom", ActsOn),
    ("Deployment", "spec.template.spec.containers[].ports", ActsOn),
    ("Deployment", "spec.template.spec.containers[].securityContext", SANDBOX),
    ("Deployment", "spec.template.spec.containers[].volumeMounts", NO_FILES),
    ("Gateway", "spec.selector", ActsOn),
    ("Gateway", "spec.servers[].port.number", ActsOn),
    ("Gateway", "spec.servers[].port.name", ActsOn),
    ("Gateway", "spec.servers[].port.protocol", ActsOn),
    ("Gateway", "spec.servers[].hosts", ActsOn),
    ("Gateway", "spec.servers[].name", Inert("a name for telemetry")),
    ("VirtualService", "spec.hosts", ActsOn),
    ("VirtualService", "spec.gateways", ActsOn),
    ("VirtualService", "spec.http[].name", Inert("a name for logs")),
    ("VirtualService", "spec.http[].match[].name", Inert("a name for logs")),
    ("VirtualService", "spec.http[].match[].uri.exact", ActsOn),
    ("VirtualService", "spec.http[].match[].uri.prefix", ActsOn),
    ("VirtualService", "spec.http[].rewrite.uri", ActsOn),
    ("VirtualService", "spec.http[].route[].destination.host", ActsOn),
    ("VirtualService", "spec.http[].route[].destination.port", ActsOn),
    ("VirtualService", "spec.http[].route[].weight", ActsOn),
    (SPIN, "spin_manifest_version", ActsOn),
    (SPIN, "application.name", ActsOn),
    (SPIN, "application.version", ActsOn),
    (SPIN, "application.description", ActsOn),
    (SPIN, "application.authors", ActsOn),
    (SPIN, "application.targets", Inert("a promise that other tools check")),
    (SPIN, "application.tool", Inert("for other tools; Spin ignores it too")),
    (SPIN, "variables", ActsOn),
    (SPIN, "trigger.http[].id", ActsOn),
    (SPIN, "trigger.http[].route", ActsOn),
    (SPIN, "trigger.http[].component", ActsOn),
    (SPIN, "component.*.source", ActsOn),
    (SPIN, "component.*.description", ActsOn),
    (SPIN, "component.*.allowed_outbound_hosts", ActsOn),
    (SPIN, "component.*.variables", ActsOn),
    (SPIN, "component.*.environment", ActsOn),
    (SPIN, "component.*.build", ActsOn),
    (SPIN, "component.*.tool", Inert("for other tools; Spin ignores it too")),
];

/// The name under which `spin.toml` stands in the table.
pub(crate) const SPIN: &str = "spin.toml";

/// A field that given objects have.
#[derive(Debug, Clone)]
pub struct Use {
    /// Kind of the objects.
    pub kind: String,
    /// The field, with `[]` for items of lists.
    pub field: String,
    /// What becomes of it.
    pub support: Support,
    /// How often it is written.
    pub count: usize,
    /// Where it is written first.
    pub first: Option<Location>,
}

/// Every field that `objects` have and that malha does not act on, with the reason where there is one.
pub fn survey(objects: &[LoadedObject]) -> Vec<Use> {
    let mut survey = Survey::default();
    for object in objects {
        survey.object(&object.id.kind, &object.document, |path| object.at_key(path));
    }
    survey.uses
}

/// What is to be said to a person about fields and values that malha does not act on yet.
pub(crate) fn report(objects: &[LoadedObject]) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<_> = objects.iter().flat_map(beyond).collect();
    diagnostics.extend(survey(objects).into_iter().filter_map(Use::into_diagnostic));
    diagnostics
}

/// The same for a `spin.toml`.
pub(crate) fn report_spin(document: &Document, subject: Subject<'_>) -> Vec<Diagnostic> {
    let mut survey = Survey::default();
    survey.object(SPIN, document, |path| subject.mask(path, document.at_key(path)));
    survey.uses.into_iter().filter_map(Use::into_diagnostic).collect()
}

impl Use {
    fn into_diagnostic(self) -> Option<Diagnostic> {
        if self.support != Support::NotYet {
            return None;
        }
        let times =
            if self.count == 1 { String::new() } else { format!(" (written {} times, first here)", self.count) };
        let message = format!("{} of {} is not acted on by malha yet{times}", self.field, self.kind);
        Some(Diagnostic::note(message).at(self.first))
    }
}

#[derive(Default)]
struct Survey {
    uses: Vec<Use>,
    positions: BTreeMap<(String, String), usize>,
}

impl Survey {
    fn object(&mut self, kind: &str, document: &Document, at: impl Fn(&FieldPath) -> Option<Location>) {
        let lines: Vec<Vec<&str>> = (TABLE.iter())
            .map(|(of, field, _)| if *of == kind || *of == "*" { segments(field) } else { Vec::new() })
            .collect();
        self.node(kind, &lines, document.root(), &mut Vec::new(), &FieldPath::root(), &at);
    }

    fn node(
        &mut self,
        kind: &str,
        lines: &[Vec<&str>],
        node: &Node,
        way: &mut Vec<String>,
        path: &FieldPath,
        at: &impl Fn(&FieldPath) -> Option<Location>,
    ) {
        let mut deeper = way.is_empty();
        for ((_, _, support), line) in TABLE.iter().zip(lines) {
            if line.is_empty() || !agree(line, way) {
                continue;
            }
            if line.len() <= way.len() {
                if *support != ActsOn {
                    self.count(kind, way, *support, at(path));
                }
                return;
            }
            deeper = true;
        }
        match &node.value {
            Value::Null => {}
            // Nothing inside: nothing that could be acted on.
            Value::Map(entries) if deeper => {
                for entry in entries {
                    way.push(entry.key.clone());
                    self.node(kind, lines, &entry.value, way, &path.field(&entry.key), at);
                    way.pop();
                }
            }
            Value::List(items) if deeper => {
                for (index, item) in items.iter().enumerate() {
                    way.push("[]".to_owned());
                    self.node(kind, lines, item, way, &path.item(index), at);
                    way.pop();
                }
            }
            _ => self.count(kind, way, Support::NotYet, at(path)),
        }
    }

    fn count(&mut self, kind: &str, way: &[String], support: Support, first: Option<Location>) {
        let field = way.join(".").replace(".[]", "[]");
        let key = (kind.to_owned(), field.clone());
        if let Some(position) = self.positions.get(&key) {
            self.uses[*position].count += 1;
            return;
        }
        self.positions.insert(key, self.uses.len());
        self.uses.push(Use { kind: kind.to_owned(), field, support, count: 1, first });
    }
}

fn segments(field: &'static str) -> Vec<&'static str> {
    field
        .split('.')
        .flat_map(|part| match part.strip_suffix("[]") {
            Some(name) => vec![name, "[]"],
            None => vec![part],
        })
        .collect()
}

/// Whether a line and a way agree as far as both go.
fn agree(line: &[&str], way: &[String]) -> bool {
    line.iter().zip(way).all(|(part, step)| *part == "*" || part == step)
}

/// Values that malha cannot carry out: without them, something else would run than on a cluster.
fn beyond(object: &LoadedObject) -> Vec<Diagnostic> {
    let say = |path: &str, message: String| {
        Diagnostic::error(format!("{path} of {}: {message}", object.id)).at(object.at(path))
    };
    let mut found = Vec::new();
    match &object.object {
        Object::Deployment(deployment) => {
            let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
            let Some(pod) = pod else { return found };
            if pod.containers.len() > 1 {
                let message = format!("malha runs one container a pod, and here are {}", pod.containers.len());
                found.push(say("spec.template.spec.containers", message).help("one Spin image needs one container"));
            }
            if pod.init_containers.as_ref().is_some_and(|list| !list.is_empty()) {
                found.push(say("spec.template.spec.initContainers", "malha runs no init containers".to_owned()));
            }
            if let Some(command) = pod.containers.first().and_then(|container| container.command.as_ref())
                && *command != ["/"]
            {
                let message = "a component is not started by a command".to_owned();
                found.push(
                    say("spec.template.spec.containers[0].command", message)
                        .help("write `command: [\"/\"]`, which the Spin shim needs for some images, or leave it out"),
                );
            }
        }
        Object::Service(service) => {
            let Some(spec) = &service.spec else { return found };
            if spec.type_.as_deref() == Some("ExternalName") {
                found.push(say("spec.type", "malha does not carry out Services of type ExternalName".to_owned()));
            }
            for (index, port) in spec.ports.iter().flatten().enumerate() {
                if let Some(protocol) = port.protocol.as_deref().filter(|protocol| *protocol != "TCP") {
                    found.push(say(
                        &format!("spec.ports[{index}].protocol"),
                        format!("malha carries TCP, not {protocol}"),
                    ));
                }
            }
        }
        Object::Gateway(gateway) => {
            for (index, server) in gateway.servers.iter().enumerate() {
                let protocol = server.port.protocol.to_uppercase();
                if !matches!(protocol.as_str(), "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB") {
                    let mut diagnostic = say(
                        &format!("spec.servers[{index}].port.protocol"),
                        format!("malha does not serve {protocol} yet"),
                    );
                    diagnostic.severity = crate::diagnostic::Severity::Warning;
                    found.push(diagnostic);
                }
            }
            let own =
                |(key, value): (&String, &String)| key == "istio" && (value == "ingressgateway" || value == "ingress");
            if !gateway.selector.iter().all(own) {
                let mut diagnostic = say("spec.selector", "selects other gateway pods than malha's".to_owned())
                    .help("malha's gateway has the label `istio: ingressgateway`");
                diagnostic.severity = crate::diagnostic::Severity::Warning;
                found.push(diagnostic);
            }
        }
        _ => {}
    }
    found
}
