//! Clusters from `ServiceEntries` and `DestinationRules` (Istio: `core/cluster_traffic_policy.go`).

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::objects::{Objects, cluster_name, duration, entries, known, list, text};

const UNLIMITED: u32 = u32::MAX;

/// For each port of each service, one for the service and one for each of its subsets.
pub(super) fn clusters(objects: &Objects<'_>) -> Result<Vec<Value>> {
    let mut clusters = Vec::new();
    for entry in objects.of_kind("ServiceEntry") {
        let spec = &entry["spec"];
        known(spec, "ServiceEntry", &["hosts", "ports", "location", "resolution", "endpoints"])?;
        for host in list(&spec["hosts"]).iter().map(text) {
            let rule = rule(objects, host)?;
            for port in list(&spec["ports"]) {
                let number = port["number"].as_u64().unwrap_or_default();
                let policy = merge(None, rule.policy, number);
                clusters.push(cluster(objects, spec, [host, ""], port, &policy, &Value::Null)?);
                for subset in &rule.subsets {
                    known(subset, "subset", &["name", "labels", "trafficPolicy"])?;
                    let policy = merge(Some(&policy), Some(&subset["trafficPolicy"]), number);
                    clusters.push(cluster(
                        objects,
                        spec,
                        [host, text(&subset["name"])],
                        port,
                        &policy,
                        &subset["labels"],
                    )?);
                }
            }
        }
    }
    Ok(clusters)
}

/// The rules for one host, merged (`model/destination_rule.go`): the first traffic policy, the subsets of all.
pub(super) struct Rule<'a> {
    pub(super) policy: Option<&'a Value>,
    pub(super) subsets: Vec<&'a Value>,
}

pub(super) fn rule<'a>(objects: &Objects<'a>, host: &str) -> Result<Rule<'a>> {
    let mut merged = Rule { policy: None, subsets: Vec::new() };
    let fits = |object: &&Value| {
        let wanted = text(&object["spec"]["host"]);
        wanted == host || wanted.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix))
    };
    for object in objects.of_kind("DestinationRule").filter(fits) {
        let spec = &object["spec"];
        known(spec, "DestinationRule", &["host", "trafficPolicy", "subsets"])?;
        merged.policy = merged.policy.or_else(|| spec.get("trafficPolicy"));
        for subset in list(&spec["subsets"]) {
            if !merged.subsets.iter().any(|there| there["name"] == subset["name"]) {
                merged.subsets.push(subset);
            }
        }
    }
    Ok(merged)
}

/// `util.MergeTrafficPolicy`: what the narrower policy says replaces, block by block; settings for the port replace
/// all blocks, also with nothing.
pub(super) fn merge(wide: Option<&Map<String, Value>>, narrow: Option<&Value>, port: u64) -> Map<String, Value> {
    let mut merged = wide.cloned().unwrap_or_default();
    let narrow = narrow.unwrap_or(&Value::Null);
    merged.extend(
        entries(narrow)
            .filter(|(name, _)| *name != "portLevelSettings")
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    if let Some(settings) =
        list(&narrow["portLevelSettings"]).iter().find(|settings| settings["port"]["number"] == port)
    {
        for block in ["connectionPool", "outlierDetection", "loadBalancer", "tls"] {
            merged.remove(block);
        }
        merged.extend(
            entries(settings).filter(|(name, _)| *name != "port").map(|(name, value)| (name.clone(), value.clone())),
        );
    }
    merged
}

fn cluster(
    objects: &Objects<'_>,
    spec: &Value,
    [host, subset]: [&str; 2],
    port: &Value,
    policy: &Map<String, Value>,
    labels: &Value,
) -> Result<Value> {
    let policy = Value::Object(policy.clone());
    known(&policy, "traffic policy", &["loadBalancer", "connectionPool", "outlierDetection"])?;
    let name = cluster_name(objects.id(), port["number"].as_u64().unwrap_or_default(), subset, host);
    let has_labels =
        |endpoint: &&Value| entries(labels).all(|(name, value)| endpoint["labels"].get(name) == Some(value));
    let endpoints = list(&spec["endpoints"]).iter().filter(has_labels).map(|endpoint| {
        let address = json!({"address": endpoint["address"], "port_value": endpoint["ports"][text(&port["name"])]});
        json!({"endpoint": {"address": {"socket_address": address}}})
    });
    let endpoints: Vec<Value> = endpoints.collect();
    let mut cluster = json!({
        "name": name,
        "type": match text(&spec["resolution"]) { "DNS" => "STRICT_DNS", _ => "STATIC" },
        "connect_timeout": "10s",
        "common_lb_config": {},
        "load_assignment": {"cluster_name": name, "endpoints": if endpoints.is_empty() { json!([]) } else { json!([{"lb_endpoints": endpoints}]) }},
    });
    connection_pool(&mut cluster, &policy["connectionPool"])?;
    load_balancer(&mut cluster, &policy["loadBalancer"])?;
    outlier_detection(&mut cluster, &policy["outlierDetection"])?;
    Ok(cluster)
}

fn connection_pool(cluster: &mut Value, pool: &Value) -> Result<()> {
    known(pool, "connection pool", &["http", "tcp"])?;
    let (http, tcp) = (&pool["http"], &pool["tcp"]);
    known(
        http,
        "connection pool",
        &[
            "http1MaxPendingRequests",
            "http2MaxRequests",
            "maxRetries",
            "maxRequestsPerConnection",
            "idleTimeout",
            "h2UpgradePolicy",
        ],
    )?;
    known(tcp, "connection pool", &["maxConnections", "connectTimeout"])?;
    let limit = |value: &Value| value.as_u64().filter(|limit| *limit > 0).map_or(json!(UNLIMITED), Value::from);
    cluster["circuit_breakers"] = json!({"thresholds": [{
        "max_connections": limit(&tcp["maxConnections"]),
        "max_pending_requests": limit(&http["http1MaxPendingRequests"]),
        "max_requests": limit(&http["http2MaxRequests"]),
        "max_retries": limit(&http["maxRetries"]),
    }]});
    if !tcp["connectTimeout"].is_null() {
        cluster["connect_timeout"] = duration(&tcp["connectTimeout"])?.into();
    }
    let mut common = Map::new();
    if let Some(most) = http["maxRequestsPerConnection"].as_u64().filter(|most| *most > 0) {
        common.insert("max_requests_per_connection".to_owned(), most.into());
    }
    if !http["idleTimeout"].is_null() {
        common.insert("idle_timeout".to_owned(), duration(&http["idleTimeout"])?.into());
    }
    let upgraded = http["h2UpgradePolicy"] == "UPGRADE";
    let protocol = if upgraded { "http2_protocol_options" } else { "http_protocol_options" };
    if upgraded || !common.is_empty() {
        cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] = json!({
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "common_http_protocol_options": common,
            "explicit_http_config": {protocol: {}},
        });
    }
    Ok(())
}

fn load_balancer(cluster: &mut Value, balancer: &Value) -> Result<()> {
    known(balancer, "load balancer", &["simple", "consistentHash"])?;
    cluster["lb_policy"] = match text(&balancer["simple"]) {
        "" | "UNSPECIFIED" | "LEAST_CONN" | "LEAST_REQUEST" => "LEAST_REQUEST",
        "RANDOM" => "RANDOM",
        "ROUND_ROBIN" => "ROUND_ROBIN",
        other => bail!("the translation for Envoy does not know the balancer {other}"),
    }
    .into();
    let hash = &balancer["consistentHash"];
    if hash.is_null() {
        return Ok(());
    }
    if let Some(maglev) = hash.get("maglev") {
        cluster["lb_policy"] = "MAGLEV".into();
        if let Some(size) = maglev.get("tableSize") {
            cluster["maglev_lb_config"] = json!({"table_size": size});
        }
        return Ok(());
    }
    let size = hash["ringHash"].get("minimumRingSize").or_else(|| hash.get("minimumRingSize"));
    cluster["lb_policy"] = "RING_HASH".into();
    cluster["ring_hash_lb_config"] = json!({"minimum_ring_size": size.cloned().unwrap_or(1024.into())});
    Ok(())
}

fn outlier_detection(cluster: &mut Value, detection: &Value) -> Result<()> {
    if detection.is_null() {
        return Ok(());
    }
    let fields = [
        "consecutive5xxErrors",
        "consecutiveGatewayErrors",
        "interval",
        "baseEjectionTime",
        "maxEjectionPercent",
        "minHealthPercent",
        "splitExternalLocalOriginErrors",
        "consecutiveLocalOriginFailures",
    ];
    known(detection, "outlier detection", &fields)?;
    let mut out = json!({"enforcing_success_rate": 0});
    let enforced = |value: &Value| if value.as_u64() == Some(0) { 0 } else { 100 };
    for (field, name) in
        [("consecutive5xxErrors", "consecutive_5xx"), ("consecutiveGatewayErrors", "consecutive_gateway_failure")]
    {
        if let Some(value) = detection.get(field) {
            out[name] = value.clone();
            out[format!("enforcing_{name}")] = enforced(value).into();
        }
    }
    for (field, name) in [("interval", "interval"), ("baseEjectionTime", "base_ejection_time")] {
        if let Some(value) = detection.get(field) {
            out[name] = duration(value)?.into();
        }
    }
    if let Some(percent) = detection["maxEjectionPercent"].as_u64().filter(|percent| *percent > 0) {
        out["max_ejection_percent"] = percent.into();
    }
    if detection["splitExternalLocalOriginErrors"] == true {
        out["split_external_local_origin_errors"] = true.into();
        out["enforcing_local_origin_success_rate"] = 0.into();
        if let Some(failures) = detection["consecutiveLocalOriginFailures"].as_u64().filter(|failures| *failures > 0) {
            out["consecutive_local_origin_failure"] = failures.into();
            out["enforcing_consecutive_local_origin_failure"] = 100.into();
        }
    }
    cluster["outlier_detection"] = out;
    let least = detection["minHealthPercent"].as_u64().unwrap_or(0);
    cluster["common_lb_config"] = json!({"healthy_panic_threshold": {"value": least}});
    Ok(())
}
