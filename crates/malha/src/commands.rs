//! One module a verb.

pub(crate) mod build;
pub(crate) mod keygen;
pub(crate) mod kubeconfig;
pub(crate) mod kubectl;
pub(crate) mod up;
