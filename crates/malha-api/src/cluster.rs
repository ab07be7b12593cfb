//! [`ControlPlane`]'s looks and writes as functions that return something.

use malha_cluster::{ControlPlane, Registry, Store};

/// Looks at the objects; see [`ControlPlane::read`].
pub(crate) fn read<R>(control: &dyn ControlPlane, look: impl FnOnce(&Store) -> R) -> R {
    let (mut look, mut result) = (Some(look), None);
    control.read(&mut |store| result = look.take().map(|look| look(store)));
    result.expect("a control plane calls what it is given, once")
}

/// Writes; see [`ControlPlane::write`].
pub(crate) fn write<R>(control: &dyn ControlPlane, act: impl FnOnce(&mut Registry) -> R) -> R {
    let (mut act, mut result) = (Some(act), None);
    control.write(&mut |registry| result = act.take().map(|act| act(registry)));
    result.expect("a control plane calls what it is given, once")
}
