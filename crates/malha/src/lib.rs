//! malha
