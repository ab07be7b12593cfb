//! The immutable picture of the mesh that the data plane works from.

use std::collections::HashMap;
use std::sync::Arc;

use crate::host::HostTable;
use crate::route::{Route, RouteMatch};

/// One version of the mesh.
#[derive(Debug)]
pub struct Snapshot<P> {
    /// Grows with every change; shown to people, never compared by the data plane.
    pub version: u64,
    /// Where traffic enters from outside.
    pub listeners: Vec<Listener<P>>,
    /// What a sidecar knows: every name of every service (`posts-service`, `posts-service.default`, …) and port.
    /// Port first: the port of an outbound call decides the set of hosts, as Istio's outbound listeners do.
    pub outbound: HashMap<u16, HostTable<Arc<VirtualHost<P>>>>,
}

impl<P> Default for Snapshot<P> {
    fn default() -> Self {
        Self { version: 0, listeners: Vec::new(), outbound: HashMap::new() }
    }
}

/// An entrance of the mesh.
#[derive(Debug)]
pub struct Listener<P> {
    /// What opened it.
    pub kind: ListenerKind,
    /// The port that the manifest names; where it is bound on the machine is the listener's own business.
    pub port: u16,
    /// The hosts it answers for.
    pub hosts: HostTable<Arc<VirtualHost<P>>>,
}

/// What opened a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// A server of a Gateway: plays `istio-ingressgateway`.
    Gateway,
    /// A Service of type `LoadBalancer`: traffic goes to its endpoints as kube-proxy would send it.
    LoadBalancer {
        /// Namespace of the Service.
        namespace: String,
        /// Name of the Service.
        service: String,
    },
}

/// A set of hosts with rules in common.
#[derive(Debug)]
pub struct VirtualHost<P> {
    /// For people, e.g. `posts-service.default.svc.cluster.local:80`.
    pub name: String,
    /// In order of precedence.
    pub routes: Vec<Route<P>>,
}

impl<P> VirtualHost<P> {
    /// The first rule that matches, with the alternative that did.
    pub fn route(&self, path_and_query: &str) -> Option<(&Route<P>, &RouteMatch)> {
        self.routes.iter().find_map(|route| route.matched(path_and_query).map(|matched| (route, matched)))
    }
}
