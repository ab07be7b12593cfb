//! The nodes' part of the state: what their kubelets say when they come, and what is looked at after they are gone.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use tokio::time::Instant;

use crate::controllers::Task;
use crate::controllers::pod_gc::QUARANTINE;
use crate::kubelet::machine;
use crate::object::Stored;
use crate::registry::Part;

use super::State;

impl<P: Clone> State<P> {
    /// The kubelet of a node says how it is, if the node is one of this machine's; also of one that was deleted and made
    /// again by hand, since its kubelet has been there all along.
    pub(super) fn register(&mut self, name: &str) {
        let Some((_, range)) = machine::ranges(&self.machine).find(|(known, _)| known == name) else { return };
        let Some(node) = self.registry.store.get::<Node>("", name).map(Arc::clone) else { return };
        let mut node = Node::clone(&node);
        node.status = Some(machine::status(&self.machine, name, range, &self.registry.store.now()));
        let uid = node.metadata.uid.clone().unwrap_or_default();
        // The node is there, and as it was a moment ago; its lease may be there still.
        let _ = self.registry.update(node.into_object(), Part::Status, false);
        let _ = self.registry.create(machine::lease(name, &uid).into_object(), false);
    }

    /// Has the pods of a node that is not there looked at when its time is over.
    pub(super) fn quarantine(&mut self, node: &str) {
        self.timers.add(Instant::now() + QUARANTINE, Task::Orphans { node: node.to_owned() });
    }
}
