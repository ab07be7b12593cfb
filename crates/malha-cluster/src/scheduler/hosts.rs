//! The nodes with what is on them (`framework.NodeInfo`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::controllers::name;
use crate::selector::Labels;
use crate::store::Store;

use super::resources::{self, Requests};

/// A node.
pub(super) struct Host<'a> {
    pub(super) name: &'a str,
    pub(super) node: &'a Node,
    /// Those that have not ended, also the ones on their way out.
    pub(super) pods: Vec<&'a Pod>,
    /// What they request.
    pub(super) requested: Requests,
    /// The same, where those that request nothing count for a little.
    pub(super) reckoned: Requests,
}

impl<'a> Host<'a> {
    /// The value of a label.
    pub(super) fn label(&self, key: &str) -> Option<&'a str> {
        self.labels()?.get(key).map(String::as_str)
    }

    pub(super) fn labels(&self) -> Option<&'a Labels> {
        self.node.metadata.labels.as_ref()
    }

    fn add(&mut self, pod: &'a Pod) {
        self.pods.push(pod);
        resources::add(&mut self.requested, &resources::of(pod));
        resources::add(&mut self.reckoned, &resources::reckoned(pod));
    }
}

/// All nodes.
pub(super) struct Hosts<'a>(BTreeMap<&'a str, Host<'a>>);

impl<'a> Hosts<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        let host = |node: &'a Node| Host {
            name: name(node),
            node,
            pods: Vec::new(),
            requested: Requests::new(),
            reckoned: Requests::new(),
        };
        let mut hosts = Self(store.list::<Node>().map(|node| (name(node.as_ref()), host(node))).collect());
        for pod in store.list::<Pod>().filter(|pod| !over(pod)) {
            if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
                hosts.add(node, pod);
            }
        }
        hosts
    }

    /// By name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Host<'a>> {
        self.0.values()
    }

    /// Counts a pod on a node.
    pub(super) fn add(&mut self, node: &str, pod: &'a Pod) {
        if let Some(host) = self.0.get_mut(node) {
            host.add(pod);
        }
    }
}

/// Whether a pod has ended, and takes no room any more.
pub(super) fn over(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}
