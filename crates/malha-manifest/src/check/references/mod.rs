//! Names of one object in another that lead nowhere. Those of Istio's policies are in `mesh`.
//!
//! Warnings, not errors: a cluster takes the objects in any order, and what is missing may come later.

mod mesh;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::decode::closest;
use crate::diagnostic::Diagnostic;
use crate::istio::{Destination, VirtualService};
use crate::object::{LoadedObject, Object};
use crate::path::FieldPath;

/// Namespaces that every cluster with Istio has.
const GIVEN_NAMESPACES: [&str; 5] = ["default", "istio-system", "kube-system", "kube-public", "kube-node-lease"];

/// Says which gateways, Services, subsets, pods, keys and namespaces are named and not there.
pub fn check_references(objects: &[LoadedObject]) -> Vec<Diagnostic> {
    let mut references = References { objects, diagnostics: Vec::new() };
    for object in objects {
        references.namespace(object);
        match &object.object {
            Object::VirtualService(service) => references.virtual_service(object, service),
            Object::Service(service) => references.service(object, service),
            Object::Gateway(gateway) => references.gateway(object, gateway),
            Object::DestinationRule(rule) => references.destination_rule(object, rule),
            Object::Sidecar(sidecar) => references.sidecar(object, sidecar),
            Object::PeerAuthentication(policy) => references.selector(object, policy.selector.as_ref()),
            Object::RequestAuthentication(policy) => references.selector(object, policy.selector.as_ref()),
            Object::AuthorizationPolicy(policy) => references.authorization_policy(object, policy),
            Object::Deployment(deployment) => {
                if let Some(pod) = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()) {
                    references.pod(object, pod);
                }
            }
            _ => {}
        }
    }
    references.diagnostics
}

struct References<'a> {
    objects: &'a [LoadedObject],
    diagnostics: Vec<Diagnostic>,
}

impl<'a> References<'a> {
    fn warn(&mut self, object: &LoadedObject, path: &FieldPath, message: &str, help: Option<String>) {
        let text = format!("{path} of {}: {message}", object.id);
        let mut diagnostic = Diagnostic::warning(text).at(object.at(path));
        diagnostic.help = help;
        self.diagnostics.push(diagnostic);
    }

    fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &'a LoadedObject> {
        self.objects.iter().filter(move |object| object.id.kind == kind)
    }

    fn find(&self, kind: &'static str, namespace: &str, name: &str) -> Option<&'a LoadedObject> {
        self.of_kind(kind).find(|object| object.id.namespace.as_deref() == Some(namespace) && object.id.name == name)
    }

    /// A hint with the name that was probably meant, or all there are.
    fn similar(&self, kind: &'static str, namespace: &str, name: &str) -> Option<String> {
        let names: Vec<_> = self
            .of_kind(kind)
            .filter(|object| object.id.namespace.as_deref() == Some(namespace))
            .map(|object| object.id.name.as_str())
            .collect();
        did_you_mean(name, &names)
    }

    fn namespace(&mut self, object: &LoadedObject) {
        let Some(namespace) = object.id.namespace.as_deref() else { return };
        if !GIVEN_NAMESPACES.contains(&namespace) && self.of_kind("Namespace").all(|other| other.id.name != namespace) {
            let message = format!("namespace `{namespace}` is not among the manifests");
            let help =
                "a cluster refuses objects of a namespace that does not exist; add a Namespace object".to_owned();
            self.warn(object, &FieldPath::parse("metadata.namespace"), &message, Some(help));
        }
    }

    fn virtual_service(&mut self, object: &LoadedObject, service: &VirtualService) {
        let own = object.id.namespace.clone().unwrap_or_default();
        let mut gateways: Vec<_> = (service.gateways.iter().enumerate())
            .map(|(index, name)| (FieldPath::parse("spec.gateways").item(index), name))
            .collect();
        for (rule, route) in service.http.iter().enumerate() {
            for (condition, matches) in route.r#match.iter().enumerate() {
                let path = FieldPath::parse("spec.http").item(rule).field("match").item(condition).field("gateways");
                gateways.extend(matches.gateways.iter().enumerate().map(|(index, name)| (path.item(index), name)));
            }
        }
        for (path, name) in gateways.into_iter().filter(|(_, name)| *name != "mesh") {
            let (namespace, short) = name.split_once('/').unwrap_or((&own, name));
            let namespace = if namespace == "." { &own } else { namespace };
            if self.find("Gateway", namespace, short).is_none() {
                self.warn(
                    object,
                    &path,
                    &format!("there is no Gateway `{name}`"),
                    self.similar("Gateway", namespace, short),
                );
            }
        }
        for (rule, route) in service.http.iter().enumerate() {
            let path = FieldPath::parse("spec.http").item(rule);
            for (index, one) in route.route.iter().enumerate() {
                self.destination(object, &own, &path.field("route").item(index).field("destination"), &one.destination);
            }
            if let Some(delegate) = &route.delegate {
                let namespace = delegate.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(&own);
                if self.find("VirtualService", namespace, &delegate.name).is_none() {
                    let message = format!("there is no VirtualService `{}`", delegate.name);
                    let help = self.similar("VirtualService", namespace, &delegate.name);
                    self.warn(object, &path.field("delegate").field("name"), &message, help);
                }
            }
            if let Some(mirror) = &route.mirror {
                self.destination(object, &own, &path.field("mirror"), mirror);
            }
            for (index, mirror) in route.mirrors.iter().enumerate() {
                self.destination(
                    object,
                    &own,
                    &path.field("mirrors").item(index).field("destination"),
                    &mirror.destination,
                );
            }
        }
    }

    fn destination(&mut self, object: &LoadedObject, own: &str, path: &FieldPath, destination: &Destination) {
        let (name, namespace) = service_name(&destination.host, own);
        if let Some(subset) = destination.subset.as_ref().filter(|subset| !subset.is_empty()) {
            self.subset(object, own, path, &destination.host, subset);
        }
        let Some(found) = self.find("Service", namespace, name) else {
            if self.is_entry(&destination.host) {
                return;
            }
            let message = format!("there is no Service `{}`; requests for it are answered with 503", destination.host);
            self.warn(object, &path.field("host"), &message, self.similar("Service", namespace, name));
            return;
        };
        let Object::Service(service) = &found.object else { return };
        let ports: Vec<_> =
            service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).map(|port| port.port).collect();
        let listed = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match destination.port {
            Some(port) if ports.iter().all(|known| i64::from(*known) != i64::from(port.number)) => {
                let message = format!("Service `{name}` has no port {}", port.number);
                self.warn(object, &path.field("port").field("number"), &message, Some(format!("its ports: {listed}")));
            }
            None if ports.len() > 1 => {
                let message = format!("Service `{name}` has several ports, and none is chosen");
                self.warn(object, path, &message, Some(format!("write `port: {{number: …}}`; its ports: {listed}")));
            }
            _ => {}
        }
    }

    fn service(&mut self, object: &LoadedObject, service: &Service) {
        let Some(spec) = &service.spec else { return };
        let Some(selector) = spec.selector.as_ref().filter(|selector| !selector.is_empty()) else { return };
        let deployments: Vec<_> = self
            .of_kind("Deployment")
            .filter(|other| other.id.namespace == object.id.namespace)
            .filter_map(|other| {
                if let Object::Deployment(deployment) = &other.object { deployment.spec.as_ref() } else { None }
            })
            .collect();
        let empty = BTreeMap::new();
        let selected: Vec<_> = deployments
            .iter()
            .filter(|spec| {
                let labels = spec.template.metadata.as_ref().and_then(|meta| meta.labels.as_ref()).unwrap_or(&empty);
                selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            })
            .collect();
        if selected.is_empty() {
            let message = "no Deployment makes pods with these labels; the Service has no endpoints";
            self.warn(object, &FieldPath::parse("spec.selector"), message, None);
            return;
        }
        let names: Vec<_> = (selected.iter())
            .flat_map(|spec| spec.template.spec.iter().flat_map(|pod| &pod.containers))
            .flat_map(|container| container.ports.iter().flatten())
            .filter_map(|port| port.name.as_deref())
            .collect();
        for (index, port) in spec.ports.iter().flatten().enumerate() {
            if let Some(IntOrString::String(name)) = &port.target_port
                && !names.contains(&name.as_str())
            {
                let path = FieldPath::parse("spec.ports").item(index).field("targetPort");
                self.warn(
                    object,
                    &path,
                    &format!("no container has a port named `{name}`"),
                    did_you_mean(name, &names),
                );
            }
        }
    }

    fn pod(&mut self, object: &LoadedObject, pod: &PodSpec) {
        for (index, container) in pod.containers.iter().enumerate() {
            let path = FieldPath::parse("spec.template.spec.containers").item(index);
            self.container(object, &path, container);
        }
    }

    fn container(&mut self, object: &LoadedObject, path: &FieldPath, container: &Container) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let path = path.field("env").item(index).field("valueFrom");
            let Some(source) = &variable.value_from else { continue };
            if let Some(from) = source.secret_key_ref.as_ref().filter(|from| from.optional != Some(true)) {
                self.key(object, &path.field("secretKeyRef"), "Secret", &from.name, Some(&from.key));
            }
            if let Some(from) = source.config_map_key_ref.as_ref().filter(|from| from.optional != Some(true)) {
                self.key(object, &path.field("configMapKeyRef"), "ConfigMap", &from.name, Some(&from.key));
            }
        }
        for (index, source) in container.env_from.iter().flatten().enumerate() {
            let path = path.field("envFrom").item(index);
            if let Some(from) = source.secret_ref.as_ref().filter(|from| from.optional != Some(true)) {
                self.key(object, &path.field("secretRef"), "Secret", &from.name, None);
            }
            if let Some(from) = source.config_map_ref.as_ref().filter(|from| from.optional != Some(true)) {
                self.key(object, &path.field("configMapRef"), "ConfigMap", &from.name, None);
            }
        }
    }

    /// A Secret or `ConfigMap`, and perhaps a key of it, that a container cannot start without.
    fn key(&mut self, object: &LoadedObject, path: &FieldPath, kind: &'static str, name: &str, key: Option<&str>) {
        let namespace = object.id.namespace.clone().unwrap_or_default();
        let Some(found) = self.find(kind, &namespace, name) else {
            let message = format!("there is no {kind} `{name}`; the pod cannot start without it");
            self.warn(object, &path.field("name"), &message, self.similar(kind, &namespace, name));
            return;
        };
        let keys: Vec<&str> = match &found.object {
            Object::Secret(secret) => secret
                .data
                .iter()
                .flat_map(BTreeMap::keys)
                .chain(secret.string_data.iter().flat_map(BTreeMap::keys))
                .map(String::as_str)
                .collect(),
            Object::ConfigMap(map) => map
                .data
                .iter()
                .flat_map(BTreeMap::keys)
                .chain(map.binary_data.iter().flat_map(BTreeMap::keys))
                .map(String::as_str)
                .collect(),
            _ => Vec::new(),
        };
        if let Some(key) = key.filter(|key| !keys.contains(key)) {
            let message = format!("{kind} `{name}` has no key `{key}`; the pod cannot start without it");
            self.warn(object, &path.field("key"), &message, did_you_mean(key, &keys));
        }
    }
}

/// Name and namespace of a host as Kubernetes' DNS has it: `name`, `name.namespace`, `name.namespace.svc…`.
fn service_name<'h>(host: &'h str, own: &'h str) -> (&'h str, &'h str) {
    match host.split_once('.') {
        None => (host, own),
        Some((name, rest)) => {
            let namespace =
                rest.strip_suffix(".svc.cluster.local").or_else(|| rest.strip_suffix(".svc")).unwrap_or(rest);
            (name, namespace)
        }
    }
}

fn did_you_mean(name: &str, known: &[&str]) -> Option<String> {
    match closest(name, known) {
        Some(similar) => Some(format!("did you mean `{similar}`?")),
        None if known.is_empty() => None,
        None => Some(format!("there are: {}", known.join(", "))),
    }
}
