//! malha-runtime
