//! `ServiceEntry`s and visibility: what pods of a namespace can name besides Services.

use malha_routing::{Balancer, HostTable, Protocol, UnknownHosts, Upstream};

use crate::node::{Harness, deployment, destinations, find, service};

fn entry(name: &str, spec: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec: {{{spec}}}
---"
    )
}

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---";

async fn harness(yaml: &str) -> Harness {
    let harness = Harness::new();
    let outcomes = harness.apply(&(SHOP.to_owned() + yaml)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    harness
}

fn findings(harness: &Harness) -> Vec<String> {
    harness.cluster.findings().into_iter().map(|one| one.message).collect()
}

/// Where the hosts of a cluster are, with their weights.
fn hosts(harness: &Harness, host: &str, port: u16) -> Option<Vec<(String, u32)>> {
    let cluster = harness.target(host, port)?;
    Some(cluster.hosts.iter().map(|host| (host.endpoint.address.clone(), host.weight)).collect())
}

#[tokio::test]
async fn an_entrys_endpoints_are_where_its_resolution_says() {
    let http = "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]";
    for (spec, want) in [
        (format!("hosts: [a.com], {http}, resolution: DNS"), vec![("a.com:8080", 1)]),
        (format!("hosts: [a.com], {http}, resolution: DNS_ROUND_ROBIN"), vec![("a.com:8080", 1)]),
        (
            format!(
                "hosts: [a.com], {http}, resolution: DNS, endpoints: [{{address: b.com, weight: 3}}, {{address: c.com, ports: {{http: 81}}}}]"
            ),
            vec![("b.com:8080", 3), ("c.com:81", 1)],
        ),
        (
            format!(
                "hosts: [a.com], {http}, resolution: STATIC, endpoints: [{{address: 10.0.0.1}}, {{address: '2001:db8::1'}}]"
            ),
            vec![("10.0.0.1:8080", 1), ("[2001:db8::1]:8080", 1)],
        ),
    ] {
        let harness = harness(&entry("e", &spec)).await;
        let want: Vec<_> = want.into_iter().map(|(address, weight)| (address.to_owned(), weight)).collect();
        assert_eq!(hosts(&harness, "a.com", 80), Some(want), "{spec}");
        assert_eq!(&*harness.target("a.com", 80).unwrap().name, "outbound|80||a.com");
    }
}

#[tokio::test]
async fn without_resolution_requests_go_where_the_caller_wanted() {
    let spec = "hosts: ['*.a.com', b.com], ports: [{number: 80, name: http, protocol: HTTP}]";
    let harness = harness(&entry("e", spec)).await;
    assert_eq!(harness.target("b.com", 80).unwrap().policy.balancer, Balancer::OriginalDestination);
    assert_eq!(hosts(&harness, "b.com", 80), Some(vec![("b.com:80".to_owned(), 1)]));
    // A wildcard is known, and nothing is done to its requests.
    let snapshot = harness.snapshot();
    let passes = |host: &str| snapshot.sidecars["default"].others.passthrough[&80].find(host).is_some();
    assert_eq!((passes("x.a.com"), passes("a.com"), passes("b.com")), (true, false, false));
    assert!(harness.target("x.a.com", 80).is_none() && findings(&harness).is_empty());
}

#[tokio::test]
async fn a_ports_protocol_says_what_is_seen_of_it() {
    let ports = "ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: grpc, protocol: GRPC}, \
                 {number: 443, name: https, protocol: HTTPS}, {number: 444, name: tls-a}, {number: 5432, name: tcp, protocol: TCP}]";
    let harness = harness(&entry("e", &format!("hosts: [a.com], {ports}, resolution: DNS"))).await;
    let snapshot = harness.snapshot();
    let outbound = &snapshot.sidecars["default"].others;
    assert_eq!(harness.target("a.com", 81).unwrap().policy.protocol, Protocol::Http2);
    for port in [443, 444, 5432] {
        assert!(outbound.ports.get(&port).is_none_or(|table| find(table, "a.com", "/", &[]).is_none()), "{port}");
        let passes = outbound.passthrough.get(&port).and_then(|table: &HostTable<_>| table.find("a.com"));
        assert_eq!(passes.map(|cluster| cluster.port), (port != 5432).then_some(port));
    }
    let findings = findings(&harness);
    assert_eq!(findings, ["spec.ports[4].protocol: TCP is not carried out; the port is left out"]);
}

#[tokio::test]
async fn what_makes_no_endpoint_is_named() {
    let http = "ports: [{number: 80, name: http, protocol: HTTP}]";
    for (spec, finding) in [
        ("hosts: ['*.a.com'], resolution: DNS", "cannot be resolved"),
        ("hosts: [a.com], resolution: STATIC, endpoints: [{address: b.com}]", "is no address"),
        ("hosts: [a.com], resolution: STATIC, endpoints: [{address: 'unix:///x'}]", "Unix sockets"),
    ] {
        let loaded = malha_manifest::parse_manifests("e.yml", &entry("e", &format!("{spec}, {http}")));
        let harness = Harness::new();
        harness.cluster.apply(loaded.objects.into_iter().map(Into::into));
        harness.cluster.settled().await;
        let findings = findings(&harness);
        // What the manifest's own checks refuse does not come so far.
        assert!(findings.iter().all(|one| one.contains(finding)) && findings.len() <= 1, "{findings:?}");
        assert!(hosts(&harness, "a.com", 80).is_none_or(|hosts| hosts.is_empty()), "{spec}");
    }
}

#[tokio::test]
async fn pods_can_be_an_entrys_endpoints() {
    let spec = "hosts: [shop.internal], location: MESH_INTERNAL, resolution: STATIC, \
                ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], workloadSelector: {labels: {app: posts}}";
    let harness = harness(&(deployment("posts", 2, "workshop:0.0.1", "") + &entry("e", spec))).await;
    let cluster = harness.target("shop.internal", 80).unwrap();
    assert!(cluster.hosts.iter().all(|host| host.resident.is_some() && host.endpoint.port == 8080));
    assert_eq!(crate::node::pods(&cluster).len(), 2);
    // By their addresses too.
    let address = crate::node::pods(&cluster)[0].ip;
    let spec = format!(
        "hosts: [a.com], resolution: STATIC, ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{{address: {address}}}]"
    );
    harness.apply(&entry("by-address", &spec)).await;
    let cluster = harness.target("a.com", 80).unwrap();
    assert!(matches!(cluster.hosts[0].endpoint.upstream, Upstream::Pod(_)) && cluster.hosts[0].resident.is_some());
}

#[tokio::test]
async fn a_rule_can_send_to_an_entry() {
    let rules = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec:
  hosts: [posts-service]
  http: [{route: [{destination: {host: a.com, port: {number: 8443}}}]}]
---";
    let spec = "hosts: [a.com], resolution: DNS, ports: [{number: 8443, name: http, protocol: HTTP}]";
    let harness = harness(&(service("posts", "") + &entry("e", spec) + rules)).await;
    assert_eq!(&*harness.target("posts-service", 80).unwrap().name, "outbound|8443||a.com");
}

#[tokio::test]
async fn what_is_not_exported_is_not_seen() {
    let spec = |export: &str| {
        entry(
            "e",
            &format!(
                "hosts: [a.com], resolution: DNS, ports: [{{number: 80, name: http, protocol: HTTP}}], exportTo: {export}"
            ),
        )
    };
    let annotated = |export: &str| {
        let name = format!("metadata: {{name: a-service, annotations: {{networking.istio.io/exportTo: '{export}'}}}}");
        service("a", "").replace("metadata: {name: a-service}", &name)
    };
    for (export, from_default, from_shop) in
        [("['*']", true, true), ("['.']", true, false), ("[shop]", false, true), ("['~']", false, false)]
    {
        let harness = harness(&(spec(export) + &annotated(export.trim_matches(['[', ']', '\''])))).await;
        for (namespace, want) in [("default", from_default), ("shop", from_shop)] {
            let route = |host: &str| harness.route_from(namespace, host, 80, "/", |route| route.name.clone());
            assert_eq!(route("a.com").is_some(), want, "exported to {export}, from {namespace}");
            // A Service is there all the same, as what leaves for somewhere unknown.
            let name = if want { "default" } else { "allow_any" };
            assert_eq!(
                route("a-service.default.svc.cluster.local").as_deref(),
                Some(name),
                "{export}, from {namespace}"
            );
        }
    }
}

#[tokio::test]
async fn rules_that_are_not_exported_hold_for_nobody_else() {
    let rules = |name: &str, namespace: &str, export: &str, path: &str| {
        format!(
            "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: [posts-service.default.svc.cluster.local]
  exportTo: [{export}]
  http: [{{name: {name}, match: [{{uri: {{prefix: {path}}}}}], route: [{{destination: {{host: posts-service.default.svc.cluster.local}}}}]}}]
---"
        )
    };
    let private = rules("private", "shop", "'.'", "/");
    let public = rules("a-public", "default", "'*'", "/");
    let harness = harness(&(service("posts", "") + &public + &private)).await;
    for (namespace, want) in [("default", "a-public"), ("shop", "private")] {
        let host = "posts-service.default.svc.cluster.local";
        let name = harness.route_from(namespace, host, 80, "/", |route| route.name.clone());
        assert_eq!(name.as_deref(), Some(want), "{namespace}: private rules come first");
    }
}

#[tokio::test]
async fn unknown_hosts_are_the_namespaces_sidecars_business_and_then_the_meshs() {
    let sidecar = |namespace: &str, mode: &str| {
        format!(
            "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default, namespace: {namespace}}}
spec: {{outboundTrafficPolicy: {{mode: {mode}}}, egress: [{{hosts: ['*/*']}}]}}
---"
        )
    };
    let mesh = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'}
---";
    let (any, only) = (UnknownHosts::AllowAny, UnknownHosts::RegistryOnly);
    for (yaml, in_default, in_shop) in [
        (String::new(), any, any),
        (sidecar("shop", "REGISTRY_ONLY"), any, only),
        (sidecar("istio-system", "REGISTRY_ONLY"), only, only),
        (sidecar("istio-system", "REGISTRY_ONLY") + &sidecar("shop", "ALLOW_ANY"), only, any),
        (mesh.to_owned(), only, only),
        (mesh.to_owned() + &sidecar("shop", "ALLOW_ANY"), only, any),
    ] {
        let harness = harness(&yaml).await;
        let snapshot = harness.snapshot();
        let got = (snapshot.sidecars["default"].others.unknown, snapshot.sidecars["shop"].others.unknown);
        assert_eq!(got, (in_default, in_shop), "{yaml}");
        assert_eq!(findings(&harness), [""; 0]);
    }
}

#[tokio::test]
async fn the_port_of_a_call_is_the_destinations_port_inside_the_mesh() {
    // A gateway would take the only port that there is; a sidecar knows the services of its port only.
    let other = service("other", "").replace("port: 80,", "port: 8080,");
    let rules = |port: &str| {
        format!(
            "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v}}
spec:
  hosts: [posts-service]
  http: [{{route: [{{destination: {{host: other-service{port}}}}}]}}]
---"
        )
    };
    let without = harness(&(service("posts", "") + &other + &rules(""))).await;
    let found = without.route("posts-service", 80, "/", |route| destinations(route)[0].cluster.is_some());
    assert_eq!(found, Some(false), "503 NC");
    assert!(findings(&without)[0].contains("write port: {number: 8080}"), "{:?}", findings(&without));
    let with = harness(&(service("posts", "") + &other + &rules(", port: {number: 8080}"))).await;
    assert_eq!(with.target("posts-service", 80).unwrap().port, 8080);
}
