//! malha-mesh
