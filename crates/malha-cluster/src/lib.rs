//! malha-cluster
