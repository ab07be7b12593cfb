//! Services of type `LoadBalancer`: an entrance for each port. As kube-proxy would, it goes to any endpoint whatever host is
//! asked for, past all rules and without a proxy's retries; and it speaks plain text to the pods.

use std::sync::Arc;

use malha_routing::{HostPattern, HostTable, Listener, ListenerKind, RouteTable, Transport, VirtualHost};

use super::clusters::Clusters;
use super::outbound::default_route;
use super::registry::Origin;

/// The listeners, Services by age.
pub(super) fn listeners<P>(clusters: &mut Clusters<'_, P>) -> Vec<Listener<P>> {
    let mut listeners = Vec::new();
    for (index, service) in clusters.registry.all() {
        let Origin::Kubernetes { name, load_balancer: true } = &service.origin else { continue };
        for port in &service.ports {
            let cluster = clusters.without_rules(index, port.number);
            let routes = RouteTable::new(vec![default_route(cluster, None)]);
            let host = VirtualHost { name: format!("{}:{}", service.host, port.number), routes, https_redirect: false };
            let mut hosts = HostTable::default();
            hosts.insert(HostPattern::Any, Arc::new(host));
            let kind = ListenerKind::LoadBalancer { namespace: service.namespace.clone(), service: name.clone() };
            listeners.push(Listener {
                kind,
                port: port.number,
                transport: Transport::Plain(hosts),
                policy: Arc::default(),
            });
        }
    }
    listeners
}
