//! TLS at the gateway: from what the snapshot says to what a socket speaks.

use std::collections::HashMap;
use std::sync::Arc;

use malha_net::server::ServerTls;
use malha_net::server::tls::{CertificatePem, ClientCertificates as Asked, ClientTrust, TlsServerConfig, Version};
use malha_routing::{
    Certificate, ClientCertificates, HostPattern, Snapshot, TlsOptions, TlsServer, TlsVersion, Transport,
};
use malha_runtime::Pod;

use crate::Mesh;
use crate::edge::Entrance;

/// The TLS of each entrance that has any.
pub(crate) type Servers = HashMap<Entrance, Made>;

/// What was made of the settings of an entrance.
pub(crate) struct Made {
    settings: Vec<(Vec<HostPattern>, Arc<TlsOptions>)>,
    /// The error is for people.
    pub(crate) result: Result<Arc<ServerTls>, String>,
}

/// Makes what a snapshot asks for, and takes from before what is still the same.
pub(crate) fn servers(snapshot: &Snapshot<Pod>, before: Option<&Servers>) -> Servers {
    let encrypted = snapshot.listeners.iter().filter_map(|listener| match &listener.transport {
        Transport::Tls(servers) => Some((Entrance::of(listener), servers)),
        Transport::Plain(_) | Transport::Direct(_) => None,
    });
    let made = encrypted.map(|(entrance, servers)| {
        let settings: Vec<_> = servers.iter().map(|one| (one.names.clone(), Arc::clone(&one.options))).collect();
        let known = before.and_then(|before| before.get(&entrance)).filter(|known| known.settings == settings);
        let result = match known {
            Some(known) => known.result.clone(),
            None => {
                ServerTls::new(servers.iter().map(config).collect()).map(Arc::new).map_err(|error| error.to_string())
            }
        };
        (entrance, Made { settings, result })
    });
    made.collect()
}

fn config(server: &TlsServer<Pod>) -> TlsServerConfig {
    let TlsOptions { certificates, clients, lowest, highest, cipher_suites } = &*server.options;
    TlsServerConfig {
        server_names: server.names.iter().map(written).collect(),
        certificates: certificates.iter().map(pem).collect(),
        min: version(*lowest),
        max: version(*highest),
        cipher_suites: cipher_suites.clone(),
        clients: match clients {
            ClientCertificates::Unasked => Asked::None,
            ClientCertificates::Required { authorities, subject_alt_names, optional } => {
                let trust =
                    ClientTrust { authorities: authorities.clone(), subject_alt_names: subject_alt_names.clone() };
                if *optional { Asked::Optional(trust) } else { Asked::Required(trust) }
            }
        },
        ..TlsServerConfig::default()
    }
}

fn written(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Suffix(suffix) => format!("*{suffix}"),
        HostPattern::Any => "*".to_owned(),
    }
}

fn pem(certificate: &Certificate) -> CertificatePem {
    CertificatePem { chain: certificate.chain.clone(), key: certificate.key.clone() }
}

fn version(version: TlsVersion) -> Version {
    match version {
        TlsVersion::V1_2 => Version::Tls12,
        TlsVersion::V1_3 => Version::Tls13,
    }
}

impl Mesh {
    /// What a socket of an entrance speaks: nothing but TLS where there is any.
    pub fn tls(&self, entrance: &Entrance) -> Option<Arc<ServerTls>> {
        let view = self.shared.view.load();
        let made = view.tls.get(entrance)?;
        // Settings that cannot be are those of a listener that does not exist: it shakes hands with nobody.
        Some(made.result.clone().unwrap_or_else(|_| Arc::clone(&self.shared.no_tls)))
    }

    /// What is wrong with the TLS of gateways, for people.
    pub fn problems(&self) -> Vec<String> {
        let view = self.shared.view.load();
        let problems = view.tls.iter().filter_map(|(entrance, made)| {
            let problem = made.result.as_ref().err()?;
            Some(format!("port {}: {problem}; nobody is answered there", entrance.port))
        });
        problems.collect()
    }
}
