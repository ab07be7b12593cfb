//! One module a verb.

pub(crate) mod build;
pub(crate) mod keygen;
pub(crate) mod up;
