//! A listener for a port: its connection manager, filters and virtual hosts
//! (Istio: `core/listener_builder.go`, `core/gateway.go`, `core/httproute.go`).

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::objects::{Objects, list, qualified, text};
use super::{authorization, name, routes, tls, tokens};
use crate::case::Vantage;
use crate::upstream::TAG;

/// A server with its Gateway.
type Server<'a> = (&'a Value, &'a Value);

const TYPE: &str = "type.googleapis.com/envoy.extensions.filters";

pub(super) fn listener(objects: &Objects<'_>, port: u16, log: &Path) -> Result<Value> {
    let mut listener = json!({
        "name": name(objects.id(), port),
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
    });
    if objects.vantage() == Vantage::Sidecar {
        listener["filter_chains"] = json!([{"filters": [manager(objects, &sidecar_hosts(objects, port)?, log)?]}]);
        return Ok(listener);
    }
    let here: Vec<Server<'_>> = objects.servers().filter(|(_, server)| server["port"]["number"] == port).collect();
    let encrypted: Vec<&Server<'_>> = here.iter().filter(|(_, server)| tls::is_terminated(server)).collect();
    if encrypted.is_empty() {
        listener["filter_chains"] =
            json!([{"filters": [manager(objects, &gateway_hosts(objects, port, &here)?, log)?]}]);
        return Ok(listener);
    }
    // Each server has routes of its own, and a chain that is chosen by the name that the client asks for.
    let mut chains = Vec::new();
    for server in encrypted {
        let filter = manager(objects, &gateway_hosts(objects, port, &[*server])?, log)?;
        chains.push(tls::filter_chain(objects, server.1, &filter)?);
    }
    listener["filter_chains"] = chains.into();
    listener["listener_filters"] = json!([{"name": "envoy.filters.listener.tls_inspector", "typed_config": {
        "@type": format!("{TYPE}.listener.tls_inspector.v3.TlsInspector"),
    }}]);
    Ok(listener)
}

/// The connection manager with its filters.
fn manager(objects: &Objects<'_>, virtual_hosts: &[Value], log: &Path) -> Result<Value> {
    let gateway = objects.vantage() == Vantage::Gateway;
    let mut filters = Vec::new();
    filters.extend(tokens::filter(objects)?);
    filters.append(&mut authorization::filters(objects)?);
    for (filter, config) in [("fault", "fault.v3.HTTPFault"), ("cors", "cors.v3.Cors"), ("router", "router.v3.Router")]
    {
        let config = json!({"@type": format!("{TYPE}.http.{config}")});
        filters.push(json!({"name": format!("envoy.filters.http.{filter}"), "typed_config": config}));
    }
    let mut manager = json!({
        "@type": format!("{TYPE}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "conformance",
        "use_remote_address": gateway,
        "normalize_path": true,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "forward_client_cert_details": if gateway { "SANITIZE_SET" } else { "APPEND_FORWARD" },
        "route_config": {
            "virtual_hosts": virtual_hosts,
            "validate_clusters": false,
            "ignore_port_in_host_matching": true,
            "max_direct_response_body_size_bytes": 1_048_576,
        },
        "http_filters": filters,
        "access_log": [access_log(objects, log)],
    });
    if gateway {
        manager["server_name"] = "istio-envoy".into();
        manager["set_current_client_cert_details"] = json!({"subject": true, "cert": true, "dns": true, "uri": true});
    }
    Ok(json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}))
}

/// A line for each request: case, tag, response flags.
fn access_log(objects: &Objects<'_>, log: &Path) -> Value {
    let line = format!("{}\t%REQ({TAG})%\t%RESPONSE_FLAGS%\n", objects.id());
    json!({"name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": log,
        "log_format": {"text_format_source": {"inline_string": line}},
    }})
}

fn virtual_host(host: &str, routes: &[Value]) -> Value {
    json!({"name": host, "domains": [host], "routes": routes, "include_request_attempt_count": true})
}

/// `buildGatewayHTTPRouteConfig`: the hosts that a server and a `VirtualService` both name.
fn gateway_hosts(objects: &Objects<'_>, port: u16, servers: &[Server<'_>]) -> Result<Vec<Value>> {
    let mut hosts: Vec<(String, Vec<Value>, bool)> = Vec::new();
    for (gateway, server) in servers.iter().copied() {
        let namespace = text(&gateway["metadata"]["namespace"]);
        let gateway = qualified(text(&gateway["metadata"]["name"]), namespace);
        let redirects = server["tls"]["httpsRedirect"] == true;
        for service in objects.of_kind("VirtualService") {
            let home = text(&service["metadata"]["namespace"]);
            if !list(&service["spec"]["gateways"]).iter().any(|name| qualified(text(name), home) == gateway) {
                continue;
            }
            let mine = list(&server["hosts"]).iter().filter_map(|host| match text(host).split_once('/') {
                None => Some(text(host)),
                Some((wanted, host)) => {
                    (wanted == "*" || wanted == home || (wanted == "." && namespace == home)).then_some(host)
                }
            });
            let mine: Vec<&str> = mine.collect();
            let theirs = list(&service["spec"]["hosts"]).iter().map(text);
            let built = routes::routes(objects, service, port, &gateway)?;
            let both: Vec<String> =
                theirs.flat_map(|theirs| mine.iter().filter_map(move |mine| narrower(mine, theirs))).collect();
            for host in both {
                match hosts.iter_mut().find(|known| known.0 == host) {
                    Some(known) => {
                        known.1.extend(built.iter().cloned());
                        known.2 |= redirects;
                    }
                    None => hosts.push((host, built.clone(), redirects)),
                }
            }
        }
        for host in
            list(&server["hosts"]).iter().map(|host| text(host).rsplit('/').next().unwrap_or_default().to_lowercase())
        {
            match hosts.iter_mut().find(|known| known.0 == host) {
                Some(known) => known.2 |= redirects,
                None if redirects => hosts.push((host, Vec::new(), true)),
                None => {}
            }
        }
    }
    let built = hosts.into_iter().map(|(host, routes, redirects)| {
        let mut built = virtual_host(&host, &routes::catch_all_last(routes));
        if redirects {
            built["require_tls"] = "ALL".into();
        }
        built
    });
    Ok(built.collect())
}

/// The narrower one of two hosts of which one covers the other.
fn narrower(one: &str, other: &str) -> Option<String> {
    let covers = |wide: &str, narrow: &str| match wide.strip_prefix('*') {
        Some(suffix) => narrow.trim_start_matches('*').ends_with(suffix),
        None => wide == narrow,
    };
    let [one, other] = [one.to_lowercase(), other.to_lowercase()];
    if covers(&one, &other) {
        Some(other)
    } else if covers(&other, &one) {
        Some(one)
    } else {
        None
    }
}

/// The hosts of `VirtualServices` for the mesh, then services as they are, then whatever is left.
fn sidecar_hosts(objects: &Objects<'_>, port: u16) -> Result<Vec<Value>> {
    let mut hosts: Vec<(String, Vec<Value>)> = Vec::new();
    for service in objects.of_kind("VirtualService") {
        let gateways = list(&service["spec"]["gateways"]);
        if !gateways.is_empty() && !gateways.iter().any(|name| name == "mesh") {
            continue;
        }
        let built = routes::routes(objects, service, port, "mesh")?;
        for host in list(&service["spec"]["hosts"]).iter().map(text) {
            if !hosts.iter().any(|known| known.0 == host) {
                hosts.push((host.to_owned(), built.clone()));
            }
        }
    }
    for entry in objects.of_kind("ServiceEntry") {
        for host in list(&entry["spec"]["hosts"]).iter().map(text) {
            if !hosts.iter().any(|known| known.0 == host) {
                hosts.push((host.to_owned(), vec![routes::plain(objects, host, port)]));
            }
        }
    }
    let mut built: Vec<Value> = hosts.into_iter().map(|(host, routes)| virtual_host(&host, &routes)).collect();
    if objects.registry_only() {
        let refuse = json!({"match": {"prefix": "/"}, "direct_response": {"status": 502}});
        built.push(json!({"name": "block_all", "domains": ["*"], "routes": [refuse]}));
    }
    Ok(built)
}
