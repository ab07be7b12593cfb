//! malha-routing
