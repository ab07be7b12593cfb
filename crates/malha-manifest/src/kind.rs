//! The kinds of objects that malha knows, and what becomes of each. Data: a new kind is a new line.

/// What becomes of objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// malha carries them out.
    CarriedOut,
    /// malha knows them and does nothing with them, for this reason.
    Ignored(&'static str),
}

/// A kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// API versions that mean the same to malha, the current one first.
    pub(crate) versions: &'static [&'static str],
    pub(crate) namespaced: bool,
    pub(crate) fate: Fate,
}

const CORE: &[&str] = &["v1"];
const APPS: &[&str] = &["apps/v1"];
const NODE: &[&str] = &["node.k8s.io/v1"];
const NETWORKING: &[&str] = &["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"];
const SECURITY: &[&str] = &["security.istio.io/v1", "security.istio.io/v1beta1"];
const TELEMETRY: &[&str] = &["telemetry.istio.io/v1", "telemetry.istio.io/v1alpha1"];
const EXTENSIONS: &[&str] = &["extensions.istio.io/v1alpha1"];

const NOT_YET: Fate = Fate::Ignored("malha does not carry out this kind yet");
const ENVOY: Fate = Fate::Ignored("malha has no Envoy that this could configure");

const fn kind(name: &'static str, versions: &'static [&'static str], fate: Fate) -> Kind {
    Kind { name, versions, namespaced: true, fate }
}

const fn cluster(name: &'static str, versions: &'static [&'static str], fate: Fate) -> Kind {
    Kind { name, versions, namespaced: false, fate }
}

const KINDS: &[Kind] = &[
    cluster("Namespace", CORE, Fate::CarriedOut),
    kind("ConfigMap", CORE, Fate::CarriedOut),
    kind("Secret", CORE, Fate::CarriedOut),
    kind("Service", CORE, Fate::CarriedOut),
    kind("ServiceAccount", CORE, Fate::CarriedOut),
    kind("PersistentVolumeClaim", CORE, Fate::CarriedOut),
    kind("Deployment", APPS, Fate::CarriedOut),
    kind("HorizontalPodAutoscaler", &["autoscaling/v2"], Fate::CarriedOut),
    kind("PodDisruptionBudget", &["policy/v1"], Fate::CarriedOut),
    cluster("RuntimeClass", NODE, Fate::CarriedOut),
    kind("Gateway", NETWORKING, Fate::CarriedOut),
    kind("VirtualService", NETWORKING, Fate::CarriedOut),
    kind("DestinationRule", NETWORKING, Fate::CarriedOut),
    kind("ServiceEntry", NETWORKING, Fate::CarriedOut),
    kind("Sidecar", NETWORKING, Fate::CarriedOut),
    kind("WorkloadEntry", NETWORKING, NOT_YET),
    kind("WorkloadGroup", NETWORKING, NOT_YET),
    kind("EnvoyFilter", NETWORKING, ENVOY),
    kind("ProxyConfig", NETWORKING, ENVOY),
    kind("AuthorizationPolicy", SECURITY, Fate::CarriedOut),
    kind("PeerAuthentication", SECURITY, Fate::CarriedOut),
    kind("RequestAuthentication", SECURITY, Fate::CarriedOut),
    kind("Telemetry", TELEMETRY, NOT_YET),
    kind("WasmPlugin", EXTENSIONS, ENVOY),
    kind("TrafficExtension", EXTENSIONS, ENVOY),
    cluster("Shim", &["runtime.spinkube.dev/v1alpha1"], Fate::Ignored("malha is its own shim: no node needs one")),
];

/// The kind, or why there is none: the message and the hint.
pub(crate) fn find(name: &str, version: &str) -> Result<&'static Kind, (String, String)> {
    // Gateways are also a kind of the Kubernetes Gateway API: the version decides.
    if let Some(kind) = KINDS.iter().find(|kind| kind.name == name && kind.versions.contains(&version)) {
        return Ok(kind);
    }
    // kubectl's words.
    let message = format!("no matches for kind \"{name}\" in version \"{version}\"");
    if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
        return Err((message, format!("write `apiVersion: {}`", kind.versions[0])));
    }
    let known: Vec<_> = KINDS.iter().filter(|kind| kind.fate == Fate::CarriedOut).map(|kind| kind.name).collect();
    let allowed = format!("malha carries out {}", known.join(", "));
    Err((
        message,
        match crate::decode::closest(name, &KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>()) {
            Some(similar) => format!("did you mean `{similar}`? {allowed}"),
            None => allowed,
        },
    ))
}
