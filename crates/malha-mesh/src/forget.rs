//! Forgets what proxies remember of clusters that are gone: a mesh in which services come and go must not grow.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use malha_routing::{Answer, Cluster, Hosts, Sidecars, Snapshot, Transport};
use malha_runtime::Pod;
use parking_lot::Mutex;

use crate::proxy::Proxy;

/// The proxies of a mesh that there still are.
#[derive(Default)]
pub(crate) struct Proxies(Mutex<Vec<Weak<Proxy>>>);

impl Proxies {
    /// One more.
    pub(crate) fn add(&self, proxy: &Arc<Proxy>) {
        self.0.lock().push(Arc::downgrade(proxy));
    }

    /// Lets them forget what `snapshot` does not have. Called for each snapshot, never for a request.
    pub(crate) fn forget(&self, snapshot: &Snapshot<Pod>) {
        let proxies: Vec<Arc<Proxy>> = {
            let mut known = self.0.lock();
            known.retain(|proxy| proxy.strong_count() > 0);
            known.iter().filter_map(Weak::upgrade).filter(|proxy| !proxy.state.is_empty()).collect()
        };
        if proxies.is_empty() {
            return;
        }
        let names = names(snapshot);
        for proxy in &proxies {
            proxy.state.retain(|name| names.contains(name));
        }
    }
}

/// The names of all clusters that a snapshot leads to.
fn names(snapshot: &Snapshot<Pod>) -> HashSet<&str> {
    let mut walk = Walk { seen: HashSet::new(), names: HashSet::new() };
    for listener in &snapshot.listeners {
        match &listener.transport {
            Transport::Plain(hosts) => walk.hosts(hosts),
            Transport::Tls(servers) => servers.iter().for_each(|server| walk.hosts(&server.hosts)),
            Transport::Direct(cluster) => walk.cluster(cluster),
        }
    }
    for outbound in snapshot.sidecars.values().flat_map(Sidecars::all) {
        outbound.ports.values().for_each(|hosts| walk.hosts(hosts));
    }
    walk.names
}

struct Walk<'a> {
    /// Virtual hosts that were looked at, by address: namespaces share most of them.
    seen: HashSet<*const u8>,
    names: HashSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn hosts(&mut self, hosts: &'a Hosts<Pod>) {
        for host in hosts.entries() {
            if !self.seen.insert(Arc::as_ptr(host).cast()) {
                continue;
            }
            for route in host.routes.routes() {
                let Answer::Forward(plan) = &route.action.answer else { continue };
                let destinations = plan.destinations.iter().filter_map(|destination| destination.cluster.as_ref());
                let mirrors = plan.mirrors.iter().filter_map(|mirror| mirror.cluster.as_ref());
                destinations.chain(mirrors).for_each(|cluster| self.cluster(cluster));
            }
        }
    }

    fn cluster(&mut self, cluster: &'a Arc<Cluster<Pod>>) {
        self.names.insert(&cluster.name);
    }
}

#[cfg(test)]
mod tests {
    use malha_routing::Workload;
    use malha_world::World;

    use super::*;
    use crate::Mesh;

    #[test]
    fn a_proxy_that_is_gone_is_forgotten_itself() {
        let mesh = Mesh::new(World::simulated(0, 1));
        let workload = Workload {
            namespace: "default".into(),
            service_account: "default".into(),
            name: "client".into(),
            labels: malha_routing::Labels::new(),
        };
        for _ in 0..10 {
            drop(mesh.sidecar(Arc::new(workload.clone()), [10, 0, 0, 1].into()));
        }
        mesh.publish(Arc::default());
        assert_eq!(mesh.shared.proxies.0.lock().len(), 1, "the gateway");
    }
}
