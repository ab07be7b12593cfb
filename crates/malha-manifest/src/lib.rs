//! malha-manifest
