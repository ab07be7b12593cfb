//! TLS of a gateway's servers (Istio: `buildGatewayListenerTLSContext` in `core/gateway.go`, `security/model`).

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::objects::{Objects, known, list, text};

/// Whether TLS ends at this server.
pub(super) fn is_terminated(server: &Value) -> bool {
    !text(&server["tls"]["mode"]).is_empty()
}

/// The chain for those who ask for one of the server's hosts.
pub(super) fn filter_chain(objects: &Objects<'_>, server: &Value, filter: &Value) -> Result<Value> {
    let tls = &server["tls"];
    known(tls, "server's TLS", &["mode", "credentialName"])?;
    let required = match text(&tls["mode"]) {
        "SIMPLE" => None,
        "MUTUAL" => Some(true),
        "OPTIONAL_MUTUAL" => Some(false),
        other => bail!("the translation for Envoy does not know the TLS mode {other}"),
    };
    let secret = secret(objects, text(&tls["credentialName"]))?;
    let inline = |name: &str| json!({"inline_string": secret["stringData"][name]});
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificates": [{"certificate_chain": inline("tls.crt"), "private_key": inline("tls.key")}],
        },
        "require_client_certificate": required == Some(true),
    });
    if required.is_some() {
        context["common_tls_context"]["validation_context"] = json!({"trusted_ca": inline("ca.crt")});
    }
    let hosts = list(&server["hosts"]).iter().map(|host| text(host).rsplit('/').next().unwrap_or_default());
    let hosts: Vec<&str> = hosts.collect();
    let mut chain = json!({
        "filters": [filter],
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
    });
    if !hosts.contains(&"*") {
        chain["filter_chain_match"] = json!({"server_names": hosts});
    }
    Ok(chain)
}

fn secret<'a>(objects: &Objects<'a>, name: &str) -> Result<&'a Value> {
    objects
        .of_kind("Secret")
        .find(|secret| secret["metadata"]["name"] == name && secret["metadata"]["namespace"] == "istio-system")
        .with_context(|| format!("no Secret {name} beside the gateway"))
}
