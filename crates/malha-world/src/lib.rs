//! malha-world
