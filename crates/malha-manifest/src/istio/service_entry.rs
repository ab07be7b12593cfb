//! `ServiceEntry`: services that are not Kubernetes' own, mostly outside of the mesh.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::selector::WorkloadSelector;

/// `spec` of a `ServiceEntry`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceEntry {
    /// Its names: full host names, or `*.name`.
    pub hosts: Vec<String>,
    /// Its virtual addresses, or networks.
    pub addresses: Vec<String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Whether its endpoints are part of the mesh.
    pub location: Location,
    /// Where the addresses of its endpoints come from.
    pub resolution: Resolution,
    /// Its endpoints.
    pub endpoints: Vec<WorkloadEntry>,
    /// Pods and `WorkloadEntry` objects that are its endpoints; not beside `endpoints`.
    pub workload_selector: Option<WorkloadSelector>,
    /// Namespaces that see this: `.`, `*`, or names.
    pub export_to: Vec<String>,
    /// Names that a certificate of its endpoints must carry one of.
    pub subject_alt_names: Vec<String>,
}

/// A port of a service, or of a sidecar's listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ServicePort {
    /// The number.
    pub number: u32,
    /// `HTTP`, `HTTPS`, `HTTP2`, `GRPC`, `MONGO`, `TCP`, `TLS`, …; without one, the name's beginning says it, or else it is TCP.
    pub protocol: String,
    /// Its name.
    pub name: String,
    /// Port of the endpoints; the same number when missing.
    pub target_port: Option<u32>,
}

/// Whether endpoints are part of the mesh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Location {
    /// They are not: no mutual TLS.
    #[default]
    MeshExternal,
    /// They are.
    MeshInternal,
}

/// Where the addresses of endpoints come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    /// From the caller, which has resolved the name itself.
    #[default]
    None,
    /// From the entry.
    Static,
    /// From DNS; requests are shared among all addresses of an answer.
    Dns,
    /// From DNS; new connections go to the first address of an answer.
    DnsRoundRobin,
    /// From DNS at the time of the request, by its host: for wildcard hosts.
    DynamicDns,
}

/// An endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadEntry {
    /// An address, a name to resolve, or the path of a Unix socket (`unix:///…`).
    pub address: String,
    /// Its ports by the names of the service's.
    pub ports: BTreeMap<String, u32>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its network.
    pub network: Option<String>,
    /// Its locality.
    pub locality: Option<String>,
    /// Its share.
    pub weight: u32,
    /// Its service account.
    pub service_account: Option<String>,
}
