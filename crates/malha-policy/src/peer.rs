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

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(mode: Option<MtlsMode>) -> PeerPolicy {
        PeerPolicy { mode, ports: Vec::new() }
    }

    #[test]
    fn the_narrowest_scope_that_says_something_decides() {
        use MtlsMode::{Disable, Permissive, Strict};
        for (mesh, namespace, workload, expected) in [
            (vec![], vec![], vec![], Permissive),
            (vec![Some(Strict)], vec![], vec![], Strict),
            (vec![Some(Strict)], vec![Some(Disable)], vec![], Disable),
            (vec![Some(Strict)], vec![Some(Disable)], vec![Some(Permissive)], Permissive),
            (vec![Some(Strict)], vec![None], vec![None], Strict),
            // The oldest of a scope decides, even if it says nothing.
            (vec![Some(Strict), Some(Disable)], vec![], vec![], Strict),
            (vec![None, Some(Disable)], vec![], vec![], Permissive),
        ] {
            let [mesh, namespace, workload] =
                [mesh, namespace, workload].map(|modes: Vec<_>| modes.into_iter().map(mode).collect::<Vec<_>>());
            let modes = effective(&mesh, &namespace, &workload);
            assert_eq!(
                (modes.mode(80), modes.default_mode()),
                (expected, expected),
                "{mesh:?} {namespace:?} {workload:?}"
            );
        }
    }

    #[test]
    fn a_port_may_have_a_mode_of_its_own() {
        let ports = vec![(80, Some(MtlsMode::Disable)), (81, None)];
        let workload = PeerPolicy { mode: None, ports: ports.clone() };
        let modes = effective(&[mode(Some(MtlsMode::Strict))], &[], &[workload]);
        assert_eq!([80, 81, 82].map(|port| modes.mode(port)), [MtlsMode::Disable, MtlsMode::Strict, MtlsMode::Strict]);
        let wider = PeerPolicy { mode: Some(MtlsMode::Strict), ports };
        assert_eq!(effective(&[], &[wider], &[]).mode(80), MtlsMode::Strict, "only a policy with a selector has ports");
    }

    #[test]
    fn only_strict_refuses_and_only_plaintext() {
        for (mode, plaintext, expected) in [
            (MtlsMode::Strict, true, false),
            (MtlsMode::Strict, false, true),
            (MtlsMode::Permissive, true, true),
            (MtlsMode::Disable, true, true),
        ] {
            assert_eq!(accepts(mode, plaintext), expected, "{mode:?} {plaintext}");
        }
    }
}
