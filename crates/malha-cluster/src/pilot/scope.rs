//! What a `Sidecar` lets its pods know of: `egress` (Istio, `convertIstioListenerToWrapper` and `hostClassification` in
//! `pilot/pkg/model/sidecar.go`).

use std::collections::HashMap;

use malha_manifest::istio::{EgressListener, Sidecar};
use malha_routing::HostPattern;

/// Hosts by the namespace of what is meant; `*` is any.
type ByNamespace = HashMap<String, Vec<Host>>;

/// What is known at each port. Without a `Sidecar`, or without `egress`, everything.
#[derive(Debug, Default)]
pub(super) struct Scope {
    egress: Option<Egress>,
}

#[derive(Debug, Default)]
struct Egress {
    ports: HashMap<u16, Imports>,
    /// At every other port.
    rest: Option<Imports>,
}

/// What one of the lists names.
#[derive(Debug, Default)]
pub(super) struct Imports {
    wanted: ByNamespace,
    unwanted: ByNamespace,
}

#[derive(Debug)]
struct Host {
    text: String,
    pattern: HostPattern,
}

/// What is known at a port.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known<'a> {
    Everything,
    These(&'a Imports),
    Nothing,
}

impl Scope {
    /// The scope of pods of `namespace` that a `Sidecar` is for.
    pub(super) fn new(sidecar: Option<&Sidecar>, namespace: &str) -> Self {
        let Some(sidecar) = sidecar.filter(|sidecar| !sidecar.egress.is_empty()) else { return Self::default() };
        let mut egress = Egress::default();
        for listener in &sidecar.egress {
            let imports = Imports::new(listener, namespace);
            match listener.port.as_ref().map(|port| u16::try_from(port.number)) {
                None => egress.rest = egress.rest.or(Some(imports)),
                Some(Ok(port)) => {
                    egress.ports.entry(port).or_insert(imports);
                }
                Some(Err(_)) => {}
            }
        }
        Self { egress: Some(egress) }
    }

    pub(super) fn at(&self, port: u16) -> Known<'_> {
        let Some(egress) = &self.egress else { return Known::Everything };
        egress.ports.get(&port).or(egress.rest.as_ref()).map_or(Known::Nothing, Known::These)
    }
}

impl Known<'_> {
    /// Whether a service of `namespace` is among it.
    pub(super) fn service(self, host: &str, namespace: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::These(imports) => imports.service(&Host::new(host), namespace),
            Self::Nothing => false,
        }
    }

    /// Whether a `VirtualService` of `namespace` with these hosts is among it.
    pub(super) fn rules(self, hosts: &[String], namespace: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::These(imports) => hosts.iter().any(|host| imports.rules(&Host::new(host), namespace)),
            Self::Nothing => false,
        }
    }
}

impl Imports {
    fn new(listener: &EgressListener, home: &str) -> Self {
        let mut imports = Self::default();
        for (namespace, host) in listener.hosts.iter().filter_map(|host| host.split_once('/')) {
            let (list, namespace) = match namespace.strip_prefix('~') {
                None => (&mut imports.wanted, namespace),
                Some("") => (&mut imports.unwanted, "*"),
                Some(namespace) => (&mut imports.unwanted, namespace),
            };
            let namespace = if namespace == "." { home } else { namespace };
            list.entry(namespace.to_owned()).or_default().push(Host::new(&host.to_ascii_lowercase()));
        }
        imports
    }

    fn service(&self, host: &Host, namespace: &str) -> bool {
        let has = |list: &ByNamespace| {
            [namespace, "*"].iter().filter_map(|namespace| list.get(*namespace)).flatten().any(|one| one.covers(host))
        };
        has(&self.wanted) && !has(&self.unwanted)
    }

    /// Hosts of rules count if they overlap with what is wanted, which is more than what holds for services.
    fn rules(&self, host: &Host, namespace: &str) -> bool {
        let all = |list: &ByNamespace, fits: &dyn Fn(&Host) -> bool| {
            [namespace, "*"].iter().filter_map(|namespace| list.get(*namespace)).flatten().any(fits)
        };
        all(&self.wanted, &|one| one.covers(host) || host.covers(one)) && !all(&self.unwanted, &|one| one.covers(host))
    }
}

impl Host {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), pattern: HostPattern::parse(text) }
    }

    fn covers(&self, other: &Self) -> bool {
        self.text == other.text || self.text.starts_with('*') && self.pattern.covers(&other.pattern)
    }
}
