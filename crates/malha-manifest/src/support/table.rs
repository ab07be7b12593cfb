//! The table of what malha acts on. Data: carrying out a field means adding its line here, and only here.

use super::Support::{self, ActsOn, Inert};

/// A line of the table: a kind, a field with everything below it, and what becomes of it.
///
/// `[]` stands for any item of a list and `*` for any key of a map; `POLICY` for each of [`POLICIES`]. The first line that
/// fits holds.
type Line = (&'static str, &'static str, Support);

const SANDBOX: Support = Inert("a component's sandbox is stricter than any security context");
const NO_FILES: Support = Inert("components see no files but those of their image; Spin's own state needs none here");
const ONE_NODE: Support = Inert("malha is one node");
const ONE_LOCALITY: Support = Inert("malha is one node in one locality");
const ISTIO_NEITHER: Support = Inert("Istio declares it and does not carry it out either");
const NO_WAYPOINT: Support = Inert(
    "policies for such objects are carried out by waypoints and by the Gateway API's gateways; malha has neither, and its sidecars ignore them as Istio's do",
);
const NO_ISTIOD: Support = Inert("for istiod and for the containers of real proxies");
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
    ("Gateway", "spec.servers[].tls.mode", ActsOn),
    ("Gateway", "spec.servers[].tls.httpsRedirect", ActsOn),
    ("Gateway", "spec.servers[].tls.credentialName", ActsOn),
    ("Gateway", "spec.servers[].tls.credentialNames", ActsOn),
    ("Gateway", "spec.servers[].tls.caCertCredentialName", ActsOn),
    ("Gateway", "spec.servers[].tls.subjectAltNames", ActsOn),
    ("Gateway", "spec.servers[].tls.minProtocolVersion", ActsOn),
    ("Gateway", "spec.servers[].tls.maxProtocolVersion", ActsOn),
    ("Gateway", "spec.servers[].tls.cipherSuites", ActsOn),
    // By leaving the server out, see `beyond`.
    ("Gateway", "spec.servers[].tls.verifyCertificateSpki", ActsOn),
    ("Gateway", "spec.servers[].tls.verifyCertificateHash", ActsOn),
    ("VirtualService", "spec.hosts", ActsOn),
    ("VirtualService", "spec.gateways", ActsOn),
    ("VirtualService", "spec.exportTo", ActsOn),
    ("VirtualService", "spec.http[].name", ActsOn),
    ("VirtualService", "spec.http[].match[].name", ActsOn),
    ("VirtualService", "spec.http[].match[].statPrefix", Inert("a name for statistics of single routes")),
    ("VirtualService", "spec.http[].match[].uri", ActsOn),
    ("VirtualService", "spec.http[].match[].ignoreUriCase", ActsOn),
    ("VirtualService", "spec.http[].match[].scheme", ActsOn),
    ("VirtualService", "spec.http[].match[].method", ActsOn),
    ("VirtualService", "spec.http[].match[].authority", ActsOn),
    ("VirtualService", "spec.http[].match[].headers", ActsOn),
    ("VirtualService", "spec.http[].match[].withoutHeaders", ActsOn),
    ("VirtualService", "spec.http[].match[].queryParams", ActsOn),
    ("VirtualService", "spec.http[].match[].port", ActsOn),
    ("VirtualService", "spec.http[].match[].sourceLabels", ActsOn),
    ("VirtualService", "spec.http[].match[].sourceNamespace", ActsOn),
    ("VirtualService", "spec.http[].match[].gateways", ActsOn),
    ("VirtualService", "spec.http[].route", ActsOn),
    ("VirtualService", "spec.http[].redirect", ActsOn),
    ("VirtualService", "spec.http[].directResponse", ActsOn),
    ("VirtualService", "spec.http[].delegate", ActsOn),
    ("VirtualService", "spec.http[].rewrite", ActsOn),
    ("VirtualService", "spec.http[].timeout", ActsOn),
    ("VirtualService", "spec.http[].retries.attempts", ActsOn),
    ("VirtualService", "spec.http[].retries.perTryTimeout", ActsOn),
    ("VirtualService", "spec.http[].retries.retryOn", ActsOn),
    ("VirtualService", "spec.http[].retries.backoff", ActsOn),
    ("VirtualService", "spec.http[].retries.retryIgnorePreviousHosts", ActsOn),
    ("VirtualService", "spec.http[].retries.retryRemoteLocalities", ONE_LOCALITY),
    ("VirtualService", "spec.http[].fault.delay.fixedDelay", ActsOn),
    ("VirtualService", "spec.http[].fault.delay.percentage", ActsOn),
    ("VirtualService", "spec.http[].fault.delay.percent", ActsOn),
    ("VirtualService", "spec.http[].fault.delay.exponentialDelay", ISTIO_NEITHER),
    ("VirtualService", "spec.http[].fault.abort.httpStatus", ActsOn),
    ("VirtualService", "spec.http[].fault.abort.grpcStatus", ActsOn),
    ("VirtualService", "spec.http[].fault.abort.percentage", ActsOn),
    ("VirtualService", "spec.http[].fault.abort.http2Error", ISTIO_NEITHER),
    ("VirtualService", "spec.http[].mirror", ActsOn),
    ("VirtualService", "spec.http[].mirrors", ActsOn),
    ("VirtualService", "spec.http[].mirrorPercent", ActsOn),
    ("VirtualService", "spec.http[].mirror_percent", ActsOn),
    ("VirtualService", "spec.http[].mirrorPercentage", ActsOn),
    ("VirtualService", "spec.http[].corsPolicy", ActsOn),
    ("VirtualService", "spec.http[].headers", ActsOn),
    ("DestinationRule", "spec.host", ActsOn),
    ("DestinationRule", "spec.exportTo", ActsOn),
    ("DestinationRule", "spec.workloadSelector", ActsOn),
    ("DestinationRule", "spec.subsets[].name", ActsOn),
    ("DestinationRule", "spec.subsets[].labels", ActsOn),
    ("DestinationRule", "POLICY.port", ActsOn),
    ("DestinationRule", "POLICY.loadBalancer.simple", ActsOn),
    ("DestinationRule", "POLICY.loadBalancer.consistentHash", ActsOn),
    ("DestinationRule", "POLICY.loadBalancer.localityLbSetting", ONE_LOCALITY),
    ("DestinationRule", "POLICY.loadBalancer.zoneAwareLbSetting", ONE_LOCALITY),
    ("DestinationRule", "POLICY.connectionPool.tcp.maxConnections", ActsOn),
    ("DestinationRule", "POLICY.connectionPool.tcp.connectTimeout", ActsOn),
    ("DestinationRule", "POLICY.connectionPool.tcp.idleTimeout", ActsOn),
    ("DestinationRule", "POLICY.connectionPool.http.http1MaxPendingRequests", ActsOn),
    ("DestinationRule", "POLICY.connectionPool.http.http2MaxRequests", ActsOn),
    ("DestinationRule", "POLICY.connectionPool.http.maxRetries", ActsOn),
    ("DestinationRule", "POLICY.connectionPool.http.maxRequestsPerConnection", ActsOn),
    ("DestinationRule", "POLICY.connectionPool.http.idleTimeout", ActsOn),
    ("DestinationRule", "POLICY.connectionPool.http.h2UpgradePolicy", ActsOn),
    ("DestinationRule", "POLICY.outlierDetection.consecutiveErrors", ISTIO_NEITHER),
    ("DestinationRule", "POLICY.outlierDetection", ActsOn),
    ("DestinationRule", "POLICY.retryBudget.percent", ActsOn),
    ("DestinationRule", "POLICY.retryBudget.minRetryConcurrency", ActsOn),
    ("DestinationRule", "POLICY.tls.mode", ActsOn),
    ("DestinationRule", "POLICY.tls.credentialName", ActsOn),
    ("DestinationRule", "POLICY.tls.subjectAltNames", ActsOn),
    ("DestinationRule", "POLICY.tls.sni", ActsOn),
    ("DestinationRule", "POLICY.tls.insecureSkipVerify", ActsOn),
    ("ServiceEntry", "spec.hosts", ActsOn),
    ("ServiceEntry", "spec.addresses", ActsOn),
    ("ServiceEntry", "spec.ports", ActsOn),
    ("ServiceEntry", "spec.location", ActsOn),
    ("ServiceEntry", "spec.resolution", ActsOn),
    ("ServiceEntry", "spec.endpoints[].address", ActsOn),
    ("ServiceEntry", "spec.endpoints[].ports", ActsOn),
    ("ServiceEntry", "spec.endpoints[].labels", ActsOn),
    ("ServiceEntry", "spec.endpoints[].weight", ActsOn),
    ("ServiceEntry", "spec.endpoints[].locality", ONE_LOCALITY),
    ("ServiceEntry", "spec.endpoints[].network", Inert("malha is one network")),
    ("ServiceEntry", "spec.workloadSelector", ActsOn),
    ("ServiceEntry", "spec.exportTo", ActsOn),
    ("ServiceEntry", "spec.subjectAltNames", ActsOn),
    ("Sidecar", "spec.workloadSelector", ActsOn),
    ("Sidecar", "spec.egress[].hosts", ActsOn),
    ("Sidecar", "spec.egress[].port.number", ActsOn),
    ("Sidecar", "spec.egress[].port.protocol", ActsOn),
    ("Sidecar", "spec.egress[].port.name", Inert("a name for people")),
    ("Sidecar", "spec.outboundTrafficPolicy.mode", ActsOn),
    ("PeerAuthentication", "spec", ActsOn),
    ("RequestAuthentication", "spec.selector", ActsOn),
    ("RequestAuthentication", "spec.targetRef", NO_WAYPOINT),
    ("RequestAuthentication", "spec.targetRefs", NO_WAYPOINT),
    ("RequestAuthentication", "spec.jwtRules[].issuer", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].audiences", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].jwksUri", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].jwks_uri", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].jwks", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].fromHeaders", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].fromParams", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].fromCookies", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].outputPayloadToHeader", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].outputClaimToHeaders", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].forwardOriginalToken", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].timeout", ActsOn),
    ("RequestAuthentication", "spec.jwtRules[].spaceDelimitedClaims", ActsOn),
    // By refusing `REQUIRED`, see `beyond`.
    ("RequestAuthentication", "spec.jwtRules[].presence", ActsOn),
    ("AuthorizationPolicy", "spec.selector", ActsOn),
    ("AuthorizationPolicy", "spec.targetRef", NO_WAYPOINT),
    ("AuthorizationPolicy", "spec.targetRefs", NO_WAYPOINT),
    ("AuthorizationPolicy", "spec.rules", ActsOn),
    // By refusing `CUSTOM`, see `beyond`.
    ("AuthorizationPolicy", "spec.action", ActsOn),
    ("AuthorizationPolicy", "spec.provider", ActsOn),
    (MESH_CONFIG, "outboundTrafficPolicy.mode", ActsOn),
    (MESH_CONFIG, "accessLogFile", ActsOn),
    (MESH_CONFIG, "rootNamespace", ActsOn),
    (MESH_CONFIG, "defaultHttpRetryPolicy.retryRemoteLocalities", ONE_LOCALITY),
    (MESH_CONFIG, "defaultHttpRetryPolicy", ActsOn),
    (MESH_CONFIG, "localityLbSetting", ONE_LOCALITY),
    (MESH_CONFIG, "configSources", NO_ISTIOD),
    (MESH_CONFIG, "defaultConfig.discoveryAddress", NO_ISTIOD),
    (MESH_CONFIG, "defaultConfig.controlPlaneAuthPolicy", NO_ISTIOD),
    (MESH_CONFIG, "defaultConfig.image", NO_ISTIOD),
    (MESH_CONFIG, "enablePrometheusMerge", NO_ISTIOD),
    (MESH_CONFIG, "ingressClass", NO_ISTIOD),
    (MESH_CONFIG, "ingressControllerMode", NO_ISTIOD),
    (MESH_CONFIG, "ingressService", NO_ISTIOD),
    (MESH_CONFIG, "ingressSelector", NO_ISTIOD),
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

/// The places of a `DestinationRule` that say how a service is spoken to: they have the same fields.
const POLICIES: [&str; 4] = [
    "spec.trafficPolicy",
    "spec.trafficPolicy.portLevelSettings[]",
    "spec.subsets[].trafficPolicy",
    "spec.subsets[].trafficPolicy.portLevelSettings[]",
];

/// The name under which the text of `MeshConfig` stands in the table.
pub(crate) const MESH_CONFIG: &str = "MeshConfig";

/// The name under which `spin.toml` stands in the table.
pub(crate) const SPIN: &str = "spin.toml";

/// The lines of a kind, each with the way to its field.
pub(super) fn lines(kind: &str) -> Vec<(Vec<&'static str>, Support)> {
    let mut lines = Vec::new();
    for (_, field, support) in TABLE.iter().filter(|(of, _, _)| *of == kind || *of == "*") {
        match field.strip_prefix("POLICY.") {
            Some(below) => lines.extend(POLICIES.map(|place| ([segments(place), segments(below)].concat(), *support))),
            None => lines.push((segments(field), *support)),
        }
    }
    lines
}

/// The steps of a field.
pub(super) fn segments(field: &str) -> Vec<&str> {
    field
        .split('.')
        .flat_map(|part| match part.strip_suffix("[]") {
            Some(name) => vec![name, "[]"],
            None => vec![part],
        })
        .collect()
}
