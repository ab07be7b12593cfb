//! Whether a connection has to be mutual TLS (Istio, `PeerAuthentication`; `pilot/pkg/security/authn/policy_applier.go`,
//! `ComposePeerAuthentication`).

/// What a workload accepts on a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MtlsMode {
    /// Mutual TLS only: a plaintext connection is closed without an answer.
    Strict,
    /// Both. What holds where nothing is said.
    #[default]
    Permissive,
    /// Plaintext. A sidecar passes the bytes of TLS on to the pod, which here nobody sends.
    Disable,
}

/// What one `PeerAuthentication` says. `None` is `UNSET`: the next wider scope decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPolicy {
    /// `mtls.mode`.
    pub mode: Option<MtlsMode>,
    /// `portLevelMtls`, by port of the workload. Istio reads it from policies with a selector only.
    pub ports: Vec<(u16, Option<MtlsMode>)>,
}

/// The modes that hold for one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerModes {
    default: MtlsMode,
    ports: Vec<(u16, MtlsMode)>,
}

impl PeerModes {
    /// The mode of a port of the workload.
    pub fn mode(&self, port: u16) -> MtlsMode {
        self.ports.iter().find(|(own, _)| *own == port).map_or(self.default, |(_, mode)| *mode)
    }

    /// The mode of the ports that nothing else is said of.
    pub fn default_mode(&self) -> MtlsMode {
        self.default
    }
}

/// What holds for a workload. Each list has the policies of its scope, the oldest first; the oldest wins. `mesh` are those
/// of the root namespace without a selector, `namespace` those of the workload's namespace without a selector, `workload`
/// those whose selector fits.
pub fn effective(mesh: &[PeerPolicy], namespace: &[PeerPolicy], workload: &[PeerPolicy]) -> PeerModes {
    let mut modes = PeerModes::default();
    for scope in [mesh, namespace, workload] {
        if let Some(mode) = scope.first().and_then(|policy| policy.mode) {
            modes.default = mode;
        }
    }
    if let Some(policy) = workload.first() {
        modes.ports = policy.ports.iter().map(|(port, mode)| (*port, mode.unwrap_or(modes.default))).collect();
    }
    modes
}

/// Whether a connection is let in.
pub fn accepts(mode: MtlsMode, plaintext: bool) -> bool {
    !(plaintext && mode == MtlsMode::Strict)
}
