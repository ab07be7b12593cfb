//! Services of type `LoadBalancer`: an entrance for each port. As kube-proxy would, it goes to any endpoint whatever host is
//! asked for, past all rules and without a proxy's retries; and it speaks plain text to the pods.

use std::sync::Arc;

use malha_routing::{Listener, ListenerKind, Transport};

use super::clusters::Clusters;
use super::registry::Origin;

/// The listeners, Services by age.
pub(super) fn listeners<P>(clusters: &mut Clusters<'_, P>) -> Vec<Listener<P>> {
    let mut listeners = Vec::new();
    for (index, service) in clusters.registry.all() {
        let Origin::Kubernetes { name, load_balancer: true } = &service.origin else { continue };
        for port in &service.ports {
            let Some(cluster) = clusters.without_rules(index, port.number) else { continue };
            let kind = ListenerKind::LoadBalancer { namespace: service.namespace.clone(), service: name.clone() };
            let transport = Transport::Direct(cluster);
            listeners.push(Listener { kind, port: port.number, transport, policy: Arc::default() });
        }
    }
    listeners
}
