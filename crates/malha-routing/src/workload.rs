//! Whom a proxy works for.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Labels of a pod.
pub type Labels = BTreeMap<String, String>;

/// A workload: pods that have all of this in common. What a proxy is told about itself and about those it sends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Namespace.
    pub namespace: Arc<str>,
    /// `spec.serviceAccountName`; `default` where the manifest names none.
    pub service_account: Arc<str>,
    /// What made its pods, as Istio names it in telemetry: the Deployment's name.
    pub name: Arc<str>,
    /// Labels of its pods.
    pub labels: Labels,
}
