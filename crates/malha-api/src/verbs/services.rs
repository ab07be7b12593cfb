//! What a change of a Service's type leaves behind: fields that the new type does not have, and that the change only carries
//! along, are dropped before anybody checks them (Kubernetes, `pkg/registry/core/service/strategy.go`,
//! `dropTypeDependentFields`).

use serde_json::{Map, Value};

/// The type of a Service: `ClusterIP` where it says none.
fn kind(spec: &Value) -> &str {
    spec["type"].as_str().filter(|kind| !kind.is_empty()).unwrap_or("ClusterIP")
}

fn needs_cluster_ip(spec: &Value) -> bool {
    kind(spec) != "ExternalName"
}

fn needs_node_port(spec: &Value) -> bool {
    match kind(spec) {
        "NodePort" => true,
        "LoadBalancer" => spec["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

fn needs_health_port(spec: &Value) -> bool {
    kind(spec) == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

fn takes_from_outside(spec: &Value) -> bool {
    let external = || spec["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty());
    matches!(kind(spec), "NodePort" | "LoadBalancer") || (kind(spec) == "ClusterIP" && external())
}

fn balanced(spec: &Value) -> bool {
    kind(spec) == "LoadBalancer"
}

/// Says of a `spec` whether its type has the fields.
type Needs = fn(&Value) -> bool;

/// Fields that go together, and which types have them.
const DEPENDENT: &[(Needs, &[&str])] = &[
    (needs_cluster_ip, &["clusterIP", "clusterIPs"]),
    (needs_cluster_ip, &["ipFamilies"]),
    (needs_cluster_ip, &["ipFamilyPolicy"]),
    (needs_health_port, &["healthCheckNodePort"]),
    (balanced, &["allocateLoadBalancerNodePorts"]),
    (balanced, &["loadBalancerClass"]),
    (takes_from_outside, &["externalTrafficPolicy"]),
];

/// Takes out of `new` what only the type of `old` needs, unless the change is about it.
pub(super) fn drop_type_dependent(new: &mut Value, old: &Value) {
    let (Some(spec), old) = (new.get_mut("spec"), &old["spec"]) else { return };
    if !spec.is_object() {
        return;
    }
    // Each looks at what came, not at what the others have dropped of it.
    let came = spec.clone();
    for (needs, fields) in DEPENDENT {
        if needs(old) && !needs(&came) && fields.iter().all(|field| came[*field] == old[*field]) {
            for field in *fields {
                spec.as_object_mut().and_then(|spec: &mut Map<_, _>| spec.remove(*field));
            }
        }
    }
    if needs_node_port(old)
        && !needs_node_port(&came)
        && node_ports(&came).all(|port| node_ports(old).any(|old| old == port))
    {
        for port in spec["ports"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            port.remove("nodePort");
        }
    }
}

fn node_ports(spec: &Value) -> impl Iterator<Item = &Value> {
    let ports = spec["ports"].as_array().into_iter().flatten();
    ports.filter_map(|port| port.get("nodePort")).filter(|port| !port.is_null() && **port != 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_new_type_does_not_have_goes_if_it_was_there_before() {
        let balancer = json!({
            "type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilyPolicy": "SingleStack",
            "allocateLoadBalancerNodePorts": true, "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001,
            "ports": [{"port": 80, "nodePort": 30000}],
        });
        let with = |changes: Value| {
            let mut spec = balancer.clone();
            for (field, value) in changes.as_object().unwrap() {
                spec[field] = value.clone();
            }
            spec
        };
        for (changes, gone) in [
            (json!({"type": "LoadBalancer"}), &[][..]),
            (
                json!({"type": "ClusterIP"}),
                &["allocateLoadBalancerNodePorts", "externalTrafficPolicy", "healthCheckNodePort", "nodePort"],
            ),
            (json!({"type": "NodePort"}), &["allocateLoadBalancerNodePorts", "healthCheckNodePort"]),
            (
                json!({"type": "ExternalName"}),
                &[
                    "allocateLoadBalancerNodePorts",
                    "clusterIP",
                    "clusterIPs",
                    "externalTrafficPolicy",
                    "healthCheckNodePort",
                    "ipFamilyPolicy",
                    "nodePort",
                ],
            ),
            // What the change is about stays, and is refused.
            (
                json!({"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30002}], "externalTrafficPolicy": "Cluster"}),
                &["allocateLoadBalancerNodePorts", "healthCheckNodePort"],
            ),
            (json!({"externalTrafficPolicy": "Cluster"}), &["healthCheckNodePort"]),
        ] {
            let came = with(changes.clone());
            let mut service = json!({"spec": came.clone()});
            drop_type_dependent(&mut service, &json!({"spec": balancer}));
            let after = &service["spec"];
            let mut lost: Vec<_> =
                came.as_object().unwrap().keys().filter(|field| after.get(field).is_none()).collect();
            let node_port = "nodePort".to_owned();
            if after["ports"][0].get("nodePort").is_none() {
                lost.push(&node_port);
            }
            lost.sort();
            assert_eq!(lost, gone, "{changes}");
        }
    }
}
