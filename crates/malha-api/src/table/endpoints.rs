//! Endpoints, in both forms.

use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::common::{age, first, name, or};

/// As many are shown.
const MOST: usize = 3;

pub(super) fn all(endpoints: &Endpoints, now: Timestamp) -> Vec<Value> {
    let subsets = endpoints.subsets.as_deref().unwrap_or_default();
    let mut list = Vec::new();
    for subset in subsets {
        let addresses = subset.addresses.as_deref().unwrap_or_default();
        let ports = subset.ports.as_deref().unwrap_or_default();
        if ports.is_empty() {
            list.extend(addresses.iter().map(|address| address.ip.clone()));
        }
        for port in ports {
            list.extend(addresses.iter().map(|address| joined(&address.ip, port.port)));
        }
    }
    let shown = if subsets.is_empty() { "<none>".to_owned() } else { first(&list, MOST, ",") };
    vec![name(&endpoints.metadata), json!(shown), age(&endpoints.metadata, now)]
}

/// Addresses of IPv6 stand in brackets before a port.
fn joined(address: &str, port: i32) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

pub(super) fn slice(slice: &EndpointSlice, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = slice.ports.iter().flatten().map(port).collect();
    let addresses: Vec<String> =
        slice.endpoints.iter().flat_map(|endpoint| endpoint.addresses.iter().cloned()).collect();
    let shown = |list: &[String]| json!(or(Some(&first(list, MOST, ",")), "<unset>"));
    vec![name(&slice.metadata), json!(slice.address_type), shown(&ports), shown(&addresses), age(&slice.metadata, now)]
}

fn port(port: &EndpointPort) -> String {
    match (port.port, &port.name) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.clone(),
        (None, None) => "*".to_owned(),
    }
}
