//! What the mesh is told: hosts, routes and destinations, as Istio would tell Envoy.

use malha_manifest::parse_manifests;
use malha_routing::{ListenerKind, PathRewrite, Route, Transport};

use crate::node::{Harness, Pod, deployment, destinations, find, forward, service};

/// Gateway and routes of the workshop.
const WORKSHOP: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: workshop-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app-route}
spec:
  hosts: ['*']
  gateways: [workshop-gateway]
  http:
  - match: [{uri: {prefix: /posts}}]
    route: [{destination: {host: posts-service}}]
  - match: [{uri: {exact: /composition}}]
    rewrite: {uri: /}
    route: [{destination: {host: composition-service, port: {number: 80}}}]
---";

fn gateway(name: &str, hosts: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [{hosts}]}}]
---"
    )
}

fn virtual_service(name: &str, hosts: &str, gateways: &str, http: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{hosts}]
  gateways: [{gateways}]
  http:
{http}
---"
    )
}

/// A rule to `host`, with what comes before.
fn to(before: &str, host: &str) -> String {
    format!("  - {{{before}route: [{{destination: {{host: {host}}}}}]}}\n")
}

/// Three Services without pods; the manifest's own findings (what is not acted on yet) do not matter here.
async fn mesh(yaml: &str) -> Harness {
    let harness = Harness::new();
    let services: String = ["posts", "comments", "composition"].iter().map(|name| service(name, "")).collect();
    let loaded = parse_manifests("test.yml", &(services + yaml));
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    let outcomes = harness.cluster.apply(loaded.objects.into_iter().map(Into::into));
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    harness.cluster.settled().await;
    harness
}

fn name_of(route: &Route<Pod>) -> String {
    let cluster = destinations(route)[0].cluster.as_ref();
    cluster.map_or("nowhere", |cluster| &cluster.name).to_owned()
}

/// The route of a request to the gateway; `None` is a 404.
fn at_gateway<R>(harness: &Harness, host: &str, path: &str, look: impl FnOnce(&Route<Pod>) -> R) -> Option<R> {
    let snapshot = harness.snapshot();
    let listener = snapshot.listeners.iter().find(|listener| listener.kind == ListenerKind::Gateway)?;
    let Transport::Plain(hosts) = &listener.transport else { panic!("plain HTTP") };
    find(hosts, host, path, &[]).map(look)
}

/// The destination of a request to the gateway; `None` is a 404.
fn through(harness: &Harness, host: &str, path: &str) -> Option<String> {
    at_gateway(harness, host, path, |route| short(&name_of(route)))
}

/// The destination of a call inside the mesh.
fn inside(harness: &Harness, host: &str, port: u16, path: &str) -> Option<String> {
    harness.route(host, port, path, |route| short(&name_of(route)))
}

fn short(cluster: &str) -> String {
    let short =
        cluster.strip_prefix("outbound|80||").and_then(|name| name.strip_suffix("-service.default.svc.cluster.local"));
    short.unwrap_or(cluster).to_owned()
}

fn findings(harness: &Harness) -> Vec<String> {
    harness.cluster.findings().into_iter().map(|finding| format!("{}: {}", finding.object, finding.message)).collect()
}

#[tokio::test]
async fn the_workshops_gateway_leads_to_its_services() {
    let harness = mesh(WORKSHOP).await;
    for (path, want) in [
        ("/posts/1?x", Some("posts")),
        ("/postsx", Some("posts")),
        ("/composition", Some("composition")),
        ("/", None),
        ("/composition/", None),
    ] {
        assert_eq!(through(&harness, "localhost:8080", path).as_deref(), want, "{path}");
    }
    let snapshot = harness.snapshot();
    assert_eq!((snapshot.listeners[0].port, snapshot.listeners.len()), (80, 1));
    at_gateway(&harness, "any", "/composition?a", |route| {
        assert_eq!(forward(route).rewrite.path, Some(PathRewrite::Matched("/".into())));
    })
    .unwrap();
    // The mesh itself is not concerned.
    assert_eq!(inside(&harness, "posts-service", 80, "/anything").as_deref(), Some("posts"));
    let row = &harness.cluster.gateways()[0];
    assert_eq!(row.servers, [(80, vec!["*".to_owned()])]);
    let routes: Vec<_> = row.routes.iter().map(|route| (route.path.as_str(), route.exact)).collect();
    assert_eq!(routes, [("/posts", false), ("/composition", true)]);
    assert_eq!(findings(&harness), [""; 0]);
}

#[tokio::test]
async fn a_gateway_without_routes_listens_and_knows_nobody() {
    let harness = mesh(&gateway("g", "'*'")).await;
    assert_eq!(harness.snapshot().listeners.len(), 1);
    assert_eq!(through(&harness, "localhost", "/"), None);
}

#[tokio::test]
async fn the_narrower_of_two_overlapping_hosts_counts() {
    for (server, wanted, host, found) in [
        ("'*.example.com'", "posts.example.com", "posts.example.com", true),
        ("'*.example.com'", "posts.example.com", "other.example.com", false),
        ("posts.example.com", "'*.example.com'", "posts.example.com", true),
        ("posts.example.com", "'*'", "other.example.com", false),
        ("'default/*'", "a.com", "a.com", true),
        ("'./*'", "a.com", "a.com", true),
        ("'*/*'", "a.com", "a.com", true),
        ("'other/*'", "a.com", "a.com", false),
        ("a.com", "b.com", "a.com", false),
        // A short name means a full one.
        ("'*'", "posts-service", "posts-service.default.svc.cluster.local", true),
        ("'*'", "posts-service", "posts-service", false),
    ] {
        let rules = virtual_service("v", wanted, "g", &to("", "posts-service"));
        let harness = mesh(&(gateway("g", server) + &rules)).await;
        let got = through(&harness, host, "/").is_some();
        assert_eq!(got, found, "server {server}, virtual service {wanted}, request {host}");
    }
}

#[tokio::test]
async fn virtual_services_of_one_gateway_host_are_joined_with_catch_alls_last() {
    let first = virtual_service("a", "'*'", "g", &to("", "posts-service"));
    let second =
        virtual_service("b", "'*'", "default/g", &to("match: [{uri: {prefix: /comments}}], ", "comments-service"));
    let harness = mesh(&(gateway("g", "'*'") + &second + &first)).await;
    assert_eq!(through(&harness, "x", "/comments/1").as_deref(), Some("comments"));
    assert_eq!(through(&harness, "x", "/").as_deref(), Some("posts"));
}

#[tokio::test]
async fn a_gateway_of_another_namespace_needs_its_full_name() {
    for (name, found) in [("g", true), ("default/g", true), ("other/g", false), ("mesh", false)] {
        let rules = virtual_service("v", "a.com", name, &to("", "posts-service"));
        let harness = mesh(&(gateway("g", "'*'") + &rules)).await;
        assert_eq!(through(&harness, "a.com", "/").is_some(), found, "{name}");
    }
}

#[tokio::test]
async fn a_mesh_virtual_service_replaces_the_default_route_under_every_name() {
    let rules =
        virtual_service("v", "posts-service", "", &to("match: [{uri: {prefix: /posts}}], ", "comments-service"));
    let harness = mesh(&rules).await;
    for host in [
        "posts-service",
        "posts-service.default",
        "POSTS-SERVICE.default.svc:80",
        "posts-service.default.svc.cluster.local",
    ] {
        assert_eq!(inside(&harness, host, 80, "/posts").as_deref(), Some("comments"), "{host}");
        assert_eq!(inside(&harness, host, 80, "/else"), None, "{host}: no rule, so 404");
    }
    assert_eq!(inside(&harness, "comments-service", 80, "/posts").as_deref(), Some("comments"));
}

#[tokio::test]
async fn in_the_mesh_the_exact_host_beats_the_wildcard_and_the_first_beats_the_next() {
    let wild = virtual_service("a", "'*.default.svc.cluster.local'", "mesh", &to("", "composition-service"));
    let first = virtual_service("b", "posts-service", "mesh", &to("", "comments-service"));
    let second = virtual_service("c", "posts-service", "mesh", &to("", "posts-service"));
    let harness = mesh(&(second + &wild + &first)).await;
    assert_eq!(inside(&harness, "posts-service", 80, "/").as_deref(), Some("comments"));
    assert_eq!(inside(&harness, "comments-service", 80, "/").as_deref(), Some("composition"));
}

#[tokio::test]
async fn a_host_that_is_no_service_is_known_at_port_80() {
    let harness = mesh(&virtual_service("v", "api.example.com", "", &to("", "posts-service"))).await;
    assert_eq!(inside(&harness, "api.example.com", 80, "/").as_deref(), Some("posts"));
    assert_eq!(inside(&harness, "api.example.com", 81, "/"), None);
}

#[tokio::test]
async fn conditions_on_gateway_and_port_are_decided_here() {
    let http = to("match: [{gateways: [g], uri: {prefix: /}}], ", "posts-service")
        + &to("match: [{port: 81}], ", "composition-service")
        + &to("match: [{gateways: [mesh]}], ", "comments-service");
    let rules = virtual_service("v", "posts-service.default.svc.cluster.local", "g, mesh", &http);
    let harness = mesh(&(gateway("g", "'*'") + &rules)).await;
    let host = "posts-service.default.svc.cluster.local";
    assert_eq!(through(&harness, host, "/").as_deref(), Some("posts"));
    assert_eq!(inside(&harness, host, 80, "/").as_deref(), Some("comments"));
}

#[tokio::test]
async fn weights_of_zero_are_dropped_and_one_destination_takes_all() {
    let weighted = |weights: [&str; 2]| {
        let one = |name: &str, weight: &str| format!("{{destination: {{host: {name}-service}}{weight}}}");
        format!("  - {{route: [{}, {}]}}\n", one("posts", weights[0]), one("comments", weights[1]))
    };
    for (weights, want) in [
        ([", weight: 1", ", weight: 3"], vec![("posts", 1), ("comments", 3)]),
        ([", weight: 0", ", weight: 100"], vec![("comments", 100)]),
        (["", ", weight: 100"], vec![("comments", 100)]),
    ] {
        let harness = mesh(&virtual_service("v", "posts-service", "", &weighted(weights))).await;
        let got = harness.route("posts-service", 80, "/", |route| {
            let one = |destination: &malha_routing::Destination<Pod>| {
                (short(&destination.cluster.as_ref().unwrap().name), destination.weight)
            };
            destinations(route).iter().map(one).collect::<Vec<_>>()
        });
        let got = got.unwrap();
        assert_eq!(got, want.into_iter().map(|(name, weight)| (name.to_owned(), weight)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_destination_that_does_not_exist_is_a_missing_cluster() {
    for (destination, message) in [
        ("{host: nobody}", "destination nobody.default.svc.cluster.local is no service of the mesh"),
        ("{host: posts-service.default}", "write a name without dots, or the full one"),
        ("{host: posts-service, port: {number: 81}}", "has no port 81"),
        (
            "{host: posts-service, subset: v1}",
            "subset v1 of posts-service.default.svc.cluster.local: no DestinationRule",
        ),
    ] {
        let http = format!("  - {{route: [{{destination: {destination}}}]}}\n");
        let harness = mesh(&virtual_service("v", "posts-service", "", &http)).await;
        assert_eq!(inside(&harness, "posts-service", 80, "/").as_deref(), Some("nowhere"), "{destination}");
        let findings = findings(&harness);
        assert!(findings.len() == 1 && findings[0].contains(message), "{findings:?}");
    }
}

#[tokio::test]
async fn with_several_ports_the_destination_has_the_port_of_the_request() {
    let two = "
apiVersion: v1
kind: Service
metadata: {name: two}
spec:
  selector: {app: two}
  ports: [{name: http, port: 80}, {name: http-admin, port: 81}]
---";
    let harness = mesh(&(two.to_owned() + &virtual_service("v", "two", "", &to("", "two")))).await;
    for port in [80, 81] {
        let want = format!("outbound|{port}||two.default.svc.cluster.local");
        let got = harness.route("two", port, "/", name_of);
        assert_eq!(got, Some(want));
    }
}

#[tokio::test]
async fn servers_that_are_not_carried_out_do_not_listen() {
    let server = |server: &str| gateway("g", "'*'").replace("number: 80, name: http, protocol: HTTP}", server);
    for (yaml, message) in [
        (server("number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}"), "port.protocol"),
        (
            server("number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}"),
            "tls.credentialName: Secret istio-system/c is not there",
        ),
        (gateway("g", "'*'").replace("istio: ingressgateway", "istio: egressgateway"), "spec.selector"),
    ] {
        let harness = mesh(&yaml).await;
        assert!(harness.snapshot().listeners.is_empty(), "{yaml}");
        let findings = findings(&harness);
        assert!(findings.len() == 1 && findings[0].contains(message), "{findings:?}");
    }
}

#[tokio::test]
async fn a_load_balancer_leads_to_its_endpoints_past_all_rules() {
    let rules = virtual_service("v", "lb-service", "", &to("", "posts-service"));
    let yaml = service("lb", "  type: LoadBalancer") + &deployment("lb", 1, "workshop:0.0.1", "") + &rules;
    let harness = mesh(&yaml).await;
    let snapshot = harness.snapshot();
    let kind = ListenerKind::LoadBalancer { namespace: "default".into(), service: "lb-service".into() };
    let listener = snapshot.listeners.iter().find(|listener| listener.kind == kind).unwrap();
    let Transport::Direct(cluster) = &listener.transport else { panic!("straight to the pods") };
    assert_eq!((&*cluster.name, cluster.hosts.len()), ("outbound|80||lb-service.default.svc.cluster.local", 1));
    assert_eq!(cluster.hosts[0].endpoint.address, "10.244.0.1:80");
    assert_eq!(inside(&harness, "lb-service", 80, "/").as_deref(), Some("posts"));
}

#[tokio::test]
async fn a_bare_name_is_of_the_callers_namespace() {
    let elsewhere = "\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---".to_owned()
        + &service("cart", "").replace("{name: cart-service}", "{name: cart-service, namespace: shop}");
    let harness = mesh(&elsewhere).await;
    for (namespace, host, known) in [
        ("default", "cart-service", false),
        ("default", "cart-service.shop", true),
        ("default", "cart-service.shop.svc.cluster.local.", true),
        ("shop", "cart-service", true),
        ("shop", "posts-service", false),
        ("shop", "posts-service.default.svc", true),
        ("istio-system", "posts-service", false),
    ] {
        let found = harness.route_from(namespace, host, 80, "/", |_| ()).is_some();
        assert_eq!(found, known, "{host} from {namespace}");
    }
}

#[tokio::test]
async fn a_named_target_port_is_looked_up_in_each_pod() {
    let other = deployment("posts", 1, "workshop:0.0.1", "")
        .replace("metadata: {name: posts}\nspec", "metadata: {name: posts-v2}\nspec")
        .replace("{app: posts}", "{app: posts, version: v2}")
        .replace("containerPort: 80", "containerPort: 8080");
    let harness = mesh(&(deployment("posts", 1, "workshop:0.0.1", "") + &other)).await;
    let cluster = harness.target("posts-service", 80).unwrap();
    let mut ports: Vec<_> = cluster.hosts.iter().map(|host| host.endpoint.address.split(':').nth(1).unwrap()).collect();
    ports.sort_unstable();
    assert_eq!(ports, ["80", "8080"]);
}
