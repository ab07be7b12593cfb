//! The objects of a case, as bare values, and how to read them without overlooking a field.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::case::{Vantage, seconds};
use crate::side::Prepared;

/// Where the ingress gateway runs: policies there, and in no other namespace, concern it.
const GATEWAY_NAMESPACE: &str = "istio-system";

/// The objects of one case.
pub(super) struct Objects<'a> {
    prepared: &'a Prepared<'a>,
}

impl<'a> Objects<'a> {
    pub(super) fn new(prepared: &'a Prepared<'a>) -> Self {
        Self { prepared }
    }

    /// The case's name.
    pub(super) fn id(&self) -> &str {
        &self.prepared.case.id
    }

    pub(super) fn vantage(&self) -> Vantage {
        self.prepared.case.vantage
    }

    /// Whether a match speaks of the workload at the vantage (`sourceMatchHTTP`, for a match without gateways).
    pub(super) fn is_source(&self, wanted: &Value) -> bool {
        // The gateway's workload has other labels than any case asks for.
        let pod = &self.prepared.case.pod;
        let here = self.vantage() == Vantage::Sidecar;
        let has = |(name, value): (&String, &Value)| here && pod.labels.get(name).is_some_and(|label| value == label);
        let namespace = if here { pod.namespace.as_str() } else { GATEWAY_NAMESPACE };
        let from = text(&wanted["sourceNamespace"]);
        entries(&wanted["sourceLabels"]).all(has) && (from.is_empty() || from == namespace)
    }

    /// Whether a sidecar refuses hosts that the mesh does not know.
    pub(super) fn registry_only(&self) -> bool {
        self.prepared.case.outbound_traffic_policy.as_deref() == Some("REGISTRY_ONLY")
    }

    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &'a Value> {
        self.prepared.of_kind(kind)
    }

    /// The specs of the policies of a kind that the workload at the vantage has.
    pub(super) fn policies(&self, kind: &str) -> impl Iterator<Item = &'a Value> {
        let concerns = |object: &&Value| {
            let labels = &object["spec"]["selector"]["matchLabels"];
            let selected = labels.is_null() || labels["istio"] == "ingressgateway";
            object["metadata"]["namespace"] == GATEWAY_NAMESPACE && selected
        };
        let here = self.vantage() == Vantage::Gateway;
        self.of_kind(kind).filter(move |object| here && concerns(object))
    }

    /// The ports that the vantage listens on.
    pub(super) fn ports(&self) -> Vec<u16> {
        let ports: Vec<&Value> = match self.vantage() {
            Vantage::Gateway => self.servers().map(|(_, server)| &server["port"]["number"]).collect(),
            Vantage::Sidecar => self
                .of_kind("ServiceEntry")
                .flat_map(|entry| list(&entry["spec"]["ports"]))
                .map(|port| &port["number"])
                .collect(),
        };
        let mut ports: Vec<u16> =
            ports.into_iter().filter_map(Value::as_u64).filter_map(|port| port.try_into().ok()).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// All servers of all Gateways, each with its Gateway.
    pub(super) fn servers(&self) -> impl Iterator<Item = (&'a Value, &'a Value)> {
        self.of_kind("Gateway")
            .flat_map(|gateway| list(&gateway["spec"]["servers"]).iter().map(move |server| (gateway, server)))
    }

    /// The `ServiceEntry` of a host, with its port of a number.
    pub(super) fn service(&self, host: &str) -> Option<&'a Value> {
        self.of_kind("ServiceEntry").find(|entry| list(&entry["spec"]["hosts"]).iter().any(|name| name == host))
    }
}

/// A cluster's name, apart from those of other cases.
pub(super) fn cluster_name(id: &str, port: u64, subset: &str, host: &str) -> String {
    format!("{id} outbound|{port}|{subset}|{host}")
}

/// The items of a list; none where there is no list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty where there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The fields of a map; none where there is no map.
pub(super) fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Refuses fields that are not translated: a case must not pass for what Envoy was never told.
pub(super) fn known(value: &Value, what: &str, fields: &[&str]) -> Result<()> {
    for (name, _) in entries(value) {
        if !fields.contains(&name.as_str()) {
            bail!("the translation for Envoy does not know the field `{name}` of a {what}");
        }
    }
    Ok(())
}

/// A duration as Go writes it, as protobuf's JSON has it.
pub(super) fn duration(value: &Value) -> Result<String> {
    let written = value.as_str().context("a duration is a text")?;
    let seconds = seconds(written).with_context(|| format!("no duration: {written}"))?;
    Ok(format!("{seconds:.6}s"))
}

/// `namespace/name` of a name that may stand alone.
pub(super) fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("{namespace}/{name}") }
}
