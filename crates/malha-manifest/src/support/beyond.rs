//! Values that malha cannot carry out, of fields that it acts on.
//!
//! An error where something else would run than on a cluster; a warning where malha leaves out the whole thing, so that
//! nothing runs in its place.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PodSpec, Service};

use crate::diagnostic::Diagnostic;
use crate::istio::{
    Action, AuthorizationPolicy, DestinationRule, Gateway, JwtPresence, LoadBalancer, LoadBalancerPolicy,
    RequestAuthentication, Resolution, ServiceEntry, TlsMode,
};
use crate::object::{LoadedObject, Object};

/// Says which values of an object malha cannot carry out.
pub(super) fn beyond(object: &LoadedObject) -> Vec<Diagnostic> {
    let mut beyond = Beyond { object, found: Vec::new() };
    match &object.object {
        Object::Deployment(deployment) => beyond.deployment(deployment),
        Object::Service(service) => beyond.service(service),
        Object::Gateway(gateway) => beyond.gateway(gateway),
        Object::DestinationRule(rule) => beyond.destination_rule(rule),
        Object::ServiceEntry(entry) => beyond.service_entry(entry),
        Object::RequestAuthentication(policy) => beyond.request_authentication(policy),
        Object::AuthorizationPolicy(policy) => beyond.authorization_policy(policy),
        _ => {}
    }
    beyond.found
}

struct Beyond<'a> {
    object: &'a LoadedObject,
    found: Vec<Diagnostic>,
}

impl Beyond<'_> {
    fn error(&mut self, path: &str, message: &str, help: Option<&str>) {
        let text = format!("{path} of {}: {message}", self.object.id);
        let mut diagnostic = Diagnostic::error(text).at(self.object.at(path));
        diagnostic.help = help.map(str::to_owned);
        self.found.push(diagnostic);
    }

    fn warning(&mut self, path: &str, message: &str, help: Option<&str>) {
        let text = format!("{path} of {}: {message}", self.object.id);
        let mut diagnostic = Diagnostic::warning(text).at(self.object.at(path));
        diagnostic.help = help.map(str::to_owned);
        self.found.push(diagnostic);
    }

    fn deployment(&mut self, deployment: &Deployment) {
        let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let Some(pod) = pod else { return };
        // Its pods stay Pending and say why in an event; everything else goes on.
        if pod.containers.len() > 1 {
            let message = format!("malha runs one container a pod, and here are {}", pod.containers.len());
            self.warning("spec.template.spec.containers", &message, Some("one Spin image needs one container"));
        }
        if pod.init_containers.as_ref().is_some_and(|list| !list.is_empty()) {
            self.warning("spec.template.spec.initContainers", "malha runs no init containers", None);
        }
        self.mounts(pod);
        if let Some(command) = pod.containers.first().and_then(|container| container.command.as_ref())
            && *command != ["/"]
        {
            self.warning(
                "spec.template.spec.containers[0].command",
                "a component is not started by a command: this one is ignored",
                Some("write `command: [\"/\"]`, which the Spin shim needs for some images, or leave it out"),
            );
        }
    }

    /// Mounts in containers of Spin that their components cannot see.
    fn mounts(&mut self, pod: &PodSpec) {
        for (index, container) in pod.containers.iter().enumerate().filter(|_| pod.runtime_class_name.is_some()) {
            for (number, mount) in container.volume_mounts.iter().flatten().enumerate() {
                if mount.mount_path.trim_end_matches('/') != "/.spin" {
                    self.warning(
                        &format!("spec.template.spec.containers[{index}].volumeMounts[{number}].mountPath"),
                        &format!("components see no files: what is mounted at {} is not used", mount.mount_path),
                        Some("only `/.spin` is, where Spin keeps its stores"),
                    );
                }
            }
        }
    }

    fn service(&mut self, service: &Service) {
        let Some(spec) = &service.spec else { return };
        if spec.type_.as_deref() == Some("ExternalName") {
            self.error("spec.type", "malha does not carry out Services of type ExternalName", None);
        }
        if spec.session_affinity.as_deref() == Some("ClientIP") {
            let help = "a DestinationRule with `consistentHash.useSourceIp` keeps clients at their pods";
            self.warning("spec.sessionAffinity", "malha does not carry out ClientIP yet", Some(help));
        }
        for (index, port) in spec.ports.iter().flatten().enumerate() {
            if let Some(protocol) = port.protocol.as_deref().filter(|protocol| *protocol != "TCP") {
                let message = format!("malha carries TCP, not {protocol}");
                self.error(&format!("spec.ports[{index}].protocol"), &message, None);
            }
        }
    }

    fn gateway(&mut self, gateway: &Gateway) {
        for (index, server) in gateway.servers.iter().enumerate() {
            let path = format!("spec.servers[{index}]");
            let protocol = server.port.protocol.to_uppercase();
            if !matches!(protocol.as_str(), "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" | "HTTPS") {
                let message = format!("malha does not serve {protocol} yet");
                self.warning(&format!("{path}.port.protocol"), &message, None);
            }
            let Some(tls) = server.tls.as_ref().filter(|_| protocol == "HTTPS") else { continue };
            if !matches!(tls.mode, Some(TlsMode::Simple | TlsMode::Mutual | TlsMode::OptionalMutual)) {
                let message = "malha serves TLS of the modes SIMPLE, MUTUAL and OPTIONAL_MUTUAL only";
                self.warning(&format!("{path}.tls.mode"), message, Some("this server is left out"));
            } else if tls.credential_name.is_none() && tls.credential_names.is_empty() {
                let help = "name a Secret of type kubernetes.io/tls in `credentialName`";
                self.warning(&format!("{path}.tls"), "malha takes certificates from Secrets only", Some(help));
            }
        }
        for (index, server) in gateway.servers.iter().enumerate() {
            let Some(tls) = &server.tls else { continue };
            for (field, set) in [
                ("verifyCertificateSpki", !tls.verify_certificate_spki.is_empty()),
                ("verifyCertificateHash", !tls.verify_certificate_hash.is_empty()),
            ] {
                if set {
                    let message = "malha does not carry this out: clients that a cluster refuses would be let in";
                    self.warning(
                        &format!("spec.servers[{index}].tls.{field}"),
                        message,
                        Some("this server is left out"),
                    );
                }
            }
        }
        let own =
            |(key, value): (&String, &String)| key == "istio" && (value == "ingressgateway" || value == "ingress");
        if !gateway.selector.iter().all(own) {
            let help = "malha's gateway has the label `istio: ingressgateway`";
            self.warning("spec.selector", "selects other gateway pods than malha's", Some(help));
        }
    }

    fn destination_rule(&mut self, rule: &DestinationRule) {
        for (path, balancer) in balancers(rule) {
            if matches!(balancer.policy, Some(LoadBalancerPolicy::BackendUtilization(_))) {
                let message = "malha does not balance by what endpoints report";
                self.warning(&format!("{path}.backendUtilization"), message, None);
            }
        }
    }

    fn service_entry(&mut self, entry: &ServiceEntry) {
        if entry.resolution == Resolution::DynamicDns {
            let help = "`DNS` with full host names, or `NONE`";
            self.warning("spec.resolution", "malha does not carry out DYNAMIC_DNS yet", Some(help));
        }
        for (index, port) in entry.ports.iter().enumerate() {
            let protocol = port.protocol.to_uppercase();
            if !matches!(protocol.as_str(), "" | "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" | "HTTPS" | "TLS") {
                let message = format!("malha carries HTTP, not {protocol}");
                self.warning(&format!("spec.ports[{index}].protocol"), &message, None);
            }
        }
        for (index, _) in entry.endpoints.iter().enumerate().filter(|(_, one)| one.address.starts_with("unix://")) {
            self.error(&format!("spec.endpoints[{index}].address"), "malha reaches no Unix sockets", None);
        }
    }

    fn request_authentication(&mut self, policy: &RequestAuthentication) {
        for (index, _) in policy.jwt_rules.iter().enumerate().filter(|(_, rule)| rule.presence == JwtPresence::Required)
        {
            let message = "malha does not carry out REQUIRED: requests without a token would pass";
            let help = "an AuthorizationPolicy that denies `notRequestPrincipals: [\"*\"]` refuses them";
            self.error(&format!("spec.jwtRules[{index}].presence"), message, Some(help));
        }
    }

    fn authorization_policy(&mut self, policy: &AuthorizationPolicy) {
        if policy.action == Action::Custom {
            let message = "malha asks no external authorizers: requests that one would refuse would pass";
            self.error("spec.action", message, None);
        }
        for (rule, one) in policy.rules.iter().enumerate() {
            for (index, condition) in one.when.iter().enumerate() {
                if condition.key.starts_with("experimental.envoy.filters.") {
                    let path = format!("spec.rules[{rule}].when[{index}].key");
                    self.error(&path, "malha has no Envoy filters whose metadata this could be", None);
                }
            }
        }
    }
}

/// Every way of choosing endpoints in a `DestinationRule`, with its place.
fn balancers(rule: &DestinationRule) -> Vec<(String, &LoadBalancer)> {
    let policies = (rule.traffic_policy.iter().map(|policy| ("spec.trafficPolicy".to_owned(), policy))).chain(
        (rule.subsets.iter().enumerate()).filter_map(|(index, subset)| {
            Some((format!("spec.subsets[{index}].trafficPolicy"), subset.traffic_policy.as_ref()?))
        }),
    );
    let mut found = Vec::new();
    for (path, policy) in policies {
        found.extend(policy.load_balancer.iter().map(|balancer| (format!("{path}.loadBalancer"), balancer)));
        found.extend(policy.port_level_settings.iter().enumerate().filter_map(|(index, port)| {
            Some((format!("{path}.portLevelSettings[{index}].loadBalancer"), port.load_balancer.as_ref()?))
        }));
    }
    found
}
