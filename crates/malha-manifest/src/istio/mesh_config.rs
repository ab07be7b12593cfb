//! `MeshConfig`: what holds for the whole mesh.
//!
//! No object of its own: Istio keeps it as a text under the key `mesh` of the `ConfigMap` `istio` in `istio-system`
//! (`istio.io/api/mesh/v1alpha1/config.proto`; defaults in `pkg/config/mesh/mesh.go`).

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::sidecar::OutboundMode;
use super::virtual_service::Retries;
use crate::check;
use crate::decode::{self, Subject};
use crate::diagnostic::Diagnostic;
use crate::node::{Document, Limits, Value, parse_yaml};
use crate::path::FieldPath;
use crate::source::SourceFile;
use crate::support;

/// Settings of the mesh, as far as malha acts on them.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshConfig {
    /// Whether calls to hosts that the mesh does not know may leave, where no `Sidecar` says it.
    pub outbound_traffic_policy: OutboundMode,
    /// Where proxies write their access log; nowhere when empty.
    pub access_log_file: String,
    /// The namespace whose policies hold for the whole mesh.
    pub root_namespace: String,
    /// Retries of routes that say nothing about them.
    pub default_http_retry_policy: Option<Retries>,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            outbound_traffic_policy: OutboundMode::AllowAny,
            access_log_file: String::new(),
            root_namespace: Self::NAMESPACE.to_owned(),
            default_http_retry_policy: None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OutboundWritten {
    mode: OutboundMode,
}

impl MeshConfig {
    /// Name of the `ConfigMap`.
    pub const NAME: &str = "istio";
    /// Namespace of the `ConfigMap`.
    pub const NAMESPACE: &str = "istio-system";
    /// Key of the text in it.
    pub const KEY: &str = "mesh";

    /// Reads the text. What does not fit keeps its default, and is said; so is everything that malha does not act on.
    pub fn parse(text: &str) -> (Self, Vec<Diagnostic>) {
        Self::parse_as("data.mesh of ConfigMap istio-system/istio", text)
    }

    /// The same for a text that `name` stands for in messages.
    pub(crate) fn parse_as(name: &str, text: &str) -> (Self, Vec<Diagnostic>) {
        let subject = Subject { name: "MeshConfig", secret: |_| false };
        let source = SourceFile::new(name, text);
        let (documents, mut diagnostics) = parse_yaml(&source, Limits::default());
        let mut config = Self::default();
        let Some(document) = documents.first() else { return (config, diagnostics) };
        match document.root().value {
            Value::Map(_) => {}
            Value::Null => return (config, diagnostics),
            _ => {
                let message = format!("MeshConfig: expected a map, found {}", document.root().kind());
                diagnostics.push(Diagnostic::error(message).at(document.at("")));
                return (config, diagnostics);
            }
        }
        let mut reader = Reader { document, subject, diagnostics: &mut diagnostics };
        if let Some(outbound) = reader.field::<OutboundWritten>("outboundTrafficPolicy") {
            config.outbound_traffic_policy = outbound.mode;
        }
        if let Some(file) = reader.field("accessLogFile") {
            config.access_log_file = file;
        }
        if let Some(namespace) = reader.field::<String>("rootNamespace").filter(|name| !name.is_empty()) {
            config.root_namespace = namespace;
        }
        config.default_http_retry_policy = reader.field("defaultHttpRetryPolicy");
        diagnostics.extend(check::check_mesh_config(&config, document, subject));
        diagnostics.extend(support::report_mesh_config(document));
        diagnostics.sort_by_key(|found| found.location.as_ref().map(|place| (place.line(), place.column())));
        (config, diagnostics)
    }
}

/// Reads single fields: the many others are known to the table of `support` only.
struct Reader<'a> {
    document: &'a Document,
    subject: Subject<'a>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn field<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let path = FieldPath::root().field(name);
        let node = self.document.get(&path).filter(|node| node.value != Value::Null)?;
        let decoded = decode::decode_node(self.document, node, &path, self.subject);
        self.diagnostics.extend(decoded.diagnostics);
        decoded.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        MeshConfig::parse(text).1.iter().map(|found| format!("{}: {}", found.severity, found.message)).collect()
    }

    #[test]
    fn what_is_missing_is_as_in_istio() {
        for text in ["", "{}", "# nothing\n"] {
            let (config, diagnostics) = MeshConfig::parse(text);
            assert_eq!(config, MeshConfig::default(), "{text}");
            assert!(diagnostics.is_empty(), "{text}");
        }
        let config = MeshConfig::default();
        assert_eq!(config.outbound_traffic_policy, OutboundMode::AllowAny);
        assert_eq!(config.root_namespace, "istio-system");
    }

    #[test]
    fn what_is_written_is_taken() {
        let text = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\naccessLogFile: /dev/stdout\nrootNamespace: mesh\n\
                    defaultHttpRetryPolicy: {attempts: 4, retryOn: 5xx}\n";
        let (config, diagnostics) = MeshConfig::parse(text);
        assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
        assert_eq!(config.outbound_traffic_policy, OutboundMode::RegistryOnly);
        assert_eq!(config.access_log_file, "/dev/stdout");
        assert_eq!(config.root_namespace, "mesh");
        assert_eq!(config.default_http_retry_policy.unwrap().attempts, 4);
    }

    #[test]
    fn what_is_wrong_or_not_acted_on_is_said() {
        assert_eq!(
            said("pathNormalization: {normalization: NONE}\nlocalityLbSetting: {enabled: true}\n"),
            ["note: pathNormalization of MeshConfig is not acted on by malha yet"]
        );
        assert_eq!(said("[a]"), ["error: MeshConfig: expected a map, found a list"]);
        assert_eq!(said("outboundTrafficPolicy: {mode: SOME}").len(), 1);
        assert_eq!(
            said("defaultHttpRetryPolicy: {attempts: -1}"),
            ["error: defaultHttpRetryPolicy.attempts of MeshConfig: attempts cannot be negative"]
        );
    }

    #[test]
    fn places_are_those_of_the_text() {
        let (_, diagnostics) = MeshConfig::parse("accessLogFile: ''\nrootNamespace: [a]\n");
        assert_eq!(
            diagnostics[0].location.as_ref().unwrap().to_string(),
            "data.mesh of ConfigMap istio-system/istio:2:16"
        );
    }
}
