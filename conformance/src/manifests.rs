//! From a case's short forms to whole Istio objects, as bare values, which both sides read.
//!
//! An upstream `a` is the service `a.test`: a `ServiceEntry` with the address that it listens on.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::case::{Case, Member, Vantage};
use crate::{certificates, tokens};

/// What answers at the edge, and the namespace where the objects for it are.
const GATEWAY_NAMESPACE: &str = "istio-system";

/// The objects of a case, now that its upstreams have addresses.
pub(crate) fn objects(case: &Case, addresses: &BTreeMap<String, SocketAddr>) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for name in addresses.keys().filter(|name| !case.services.contains_key(*name)) {
        let alone = Member { upstream: name.clone(), labels: BTreeMap::new() };
        objects.push(service(name, &[alone], addresses)?);
    }
    for (name, members) in &case.services {
        objects.push(service(name, members, addresses)?);
    }
    let has = |kind: &str| case.manifests.iter().any(|object| object["kind"] == kind);
    if case.vantage == Vantage::Gateway && !has("Gateway") {
        objects.push(gateway());
    }
    if let Some(rules) = case.http.clone().or_else(|| (!has("VirtualService")).then(plain)) {
        objects.push(virtual_service(case.vantage, &rules));
    }
    let short = [
        ("networking.istio.io/v1", "DestinationRule", "default", &case.destination_rules),
        ("security.istio.io/v1", "RequestAuthentication", GATEWAY_NAMESPACE, &case.request_authentications),
        ("security.istio.io/v1", "AuthorizationPolicy", GATEWAY_NAMESPACE, &case.authorization_policies),
    ];
    for (version, kind, namespace, specs) in short {
        for (index, spec) in specs.iter().enumerate() {
            let name = format!("{}-{index}", kind.to_lowercase());
            objects.push(object(version, kind, &name, namespace, spec));
        }
    }
    for whole in &case.manifests {
        let mut whole = whole.clone();
        let metadata = whole.get_mut("metadata").and_then(Value::as_object_mut).context("an object has metadata")?;
        metadata.entry("namespace").or_insert("default".into());
        objects.push(whole);
    }
    for object in &mut objects {
        fill(object, &|name| word(name, addresses))?;
    }
    Ok(objects)
}

fn object(version: &str, kind: &str, name: &str, namespace: &str, spec: &Value) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn service(name: &str, members: &[Member], addresses: &BTreeMap<String, SocketAddr>) -> Result<Value> {
    let endpoint = |member: &Member| {
        let address = addresses.get(&member.upstream).with_context(|| format!("no upstream `{}`", member.upstream))?;
        Ok(json!({"address": address.ip().to_string(), "ports": {"http": address.port()}, "labels": member.labels}))
    };
    let endpoints = members.iter().map(endpoint).collect::<Result<Vec<_>>>()?;
    let spec = json!({
        "hosts": [format!("{name}.test")],
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "endpoints": endpoints,
    });
    Ok(object("networking.istio.io/v1", "ServiceEntry", name, "default", &spec))
}

fn gateway() -> Value {
    let spec = json!({
        "selector": {"istio": "ingressgateway"},
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
    });
    object("networking.istio.io/v1", "Gateway", "gateway", "default", &spec)
}

/// Everything goes to `a.test`.
fn plain() -> Vec<Value> {
    vec![json!({"route": [{"destination": {"host": "a.test"}}]})]
}

fn virtual_service(vantage: Vantage, rules: &[Value]) -> Value {
    let spec = match vantage {
        Vantage::Gateway => json!({"hosts": ["*"], "gateways": ["gateway"], "http": rules}),
        Vantage::Sidecar => json!({"hosts": ["shop.test", "a.test"], "http": rules}),
    };
    object("networking.istio.io/v1", "VirtualService", "rules", "default", &spec)
}

/// What `${name}` stands for.
fn word(name: &str, addresses: &BTreeMap<String, SocketAddr>) -> Result<Option<String>> {
    Ok(match name.split_once('.') {
        None if name == "jwks" => Some(tokens::jwks()?),
        None if name == "authority" => Some(certificates::authority()?),
        Some(("certificate", name)) => Some(certificates::of(name)?.chain),
        Some(("key", name)) => Some(certificates::of(name)?.key),
        Some(("address", name)) => {
            Some(addresses.get(name).with_context(|| format!("no upstream `{name}`"))?.to_string())
        }
        _ => None,
    })
}

fn fill(value: &mut Value, word: &dyn Fn(&str) -> Result<Option<String>>) -> Result<()> {
    match value {
        Value::String(text) => {
            let mut from = 0;
            while let Some(begin) = text[from..].find("${").map(|at| from + at)
                && let Some(end) = text[begin..].find('}').map(|at| begin + at)
            {
                from = match word(&text[begin + 2..end])? {
                    Some(word) => {
                        text.replace_range(begin..=end, &word);
                        begin + word.len()
                    }
                    None => end,
                };
            }
        }
        Value::Array(list) => list.iter_mut().try_for_each(|item| fill(item, word))?,
        Value::Object(map) => map.values_mut().try_for_each(|item| fill(item, word))?,
        _ => {}
    }
    Ok(())
}
