//! `Gateway`: what listens at the edge of the mesh.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// `spec` of a `Gateway`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Gateway {
    /// Labels of the gateway pods that this configures; malha's own has `istio: ingressgateway`.
    pub selector: BTreeMap<String, String>,
    /// What listens.
    pub servers: Vec<Server>,
}

/// One listener.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Server {
    /// Its port.
    pub port: GatewayPort,
    /// Address to listen on.
    pub bind: Option<String>,
    /// Hosts that it serves: `name`, `*.name`, `*`, each with an optional `namespace/` before it.
    pub hosts: Vec<String>,
    /// TLS of clients' connections.
    pub tls: Option<ServerTls>,
    /// A loopback address for traffic that no route takes (not carried out by Istio itself).
    pub default_endpoint: Option<String>,
    /// Name, for telemetry.
    pub name: Option<String>,
}

/// Port of a [`Server`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayPort {
    /// Port number.
    pub number: u32,
    /// `HTTP`, `HTTPS`, `HTTP2`, `GRPC`, `GRPC-WEB`, `MONGO`, `REDIS`, `MYSQL`, `TCP`, `TLS`, `UDP`.
    pub protocol: String,
    /// Label of the port.
    pub name: String,
    /// Port of the pod.
    pub target_port: Option<u32>,
}

/// TLS of a [`Server`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ServerTls {
    /// Answer plain HTTP with a redirect to HTTPS.
    pub https_redirect: bool,
    /// Which side shows a certificate. Missing means `PASSTHROUGH`, protobuf's first value.
    pub mode: Option<TlsMode>,
    /// File with the server's certificate.
    pub server_certificate: Option<String>,
    /// File with the server's key.
    pub private_key: Option<String>,
    /// File with the authorities that sign clients' certificates.
    pub ca_certificates: Option<String>,
    /// File with revoked certificates.
    pub ca_crl: Option<String>,
    /// Secret with certificate and key.
    pub credential_name: Option<String>,
    /// Secrets with certificates and keys, at most two (one RSA, one ECDSA).
    pub credential_names: Vec<String>,
    /// Secret with the authorities that sign clients' certificates.
    pub ca_cert_credential_name: Option<String>,
    /// Files, at most two pairs.
    pub tls_certificates: Vec<TlsCertificate>,
    /// Names that a client's certificate must carry one of.
    pub subject_alt_names: Vec<String>,
    /// Base64 SHA-256 of the public keys that clients may have.
    pub verify_certificate_spki: Vec<String>,
    /// Hexadecimal SHA-256 of the certificates that clients may have.
    pub verify_certificate_hash: Vec<String>,
    /// Lowest version.
    pub min_protocol_version: Option<TlsVersion>,
    /// Highest version.
    pub max_protocol_version: Option<TlsVersion>,
    /// Cipher suites, in Envoy's names.
    pub cipher_suites: Vec<String>,
    /// Elliptic curves, in Envoy's names.
    pub ecdh_curves: Vec<String>,
    /// Take any certificate.
    pub insecure_skip_verify: Option<bool>,
}

/// Files of one certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsCertificate {
    /// File with the certificate.
    pub server_certificate: Option<String>,
    /// File with the key.
    pub private_key: Option<String>,
    /// File with authorities.
    pub ca_certificates: Option<String>,
}

/// Who shows a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsMode {
    /// TLS goes through to the service that its server name names.
    Passthrough,
    /// The server.
    Simple,
    /// Both.
    Mutual,
    /// Like pass-through, but the server name names a destination itself.
    AutoPassthrough,
    /// Both, with the mesh's own certificates.
    IstioMutual,
    /// The server, and the client if it likes.
    OptionalMutual,
}

/// Version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// The proxy's default.
    #[serde(rename = "TLS_AUTO")]
    Auto,
    /// 1.0
    #[serde(rename = "TLSV1_0")]
    V1_0,
    /// 1.1
    #[serde(rename = "TLSV1_1")]
    V1_1,
    /// 1.2
    #[serde(rename = "TLSV1_2")]
    V1_2,
    /// 1.3
    #[serde(rename = "TLSV1_3")]
    V1_3,
}
