//! `DestinationRule`s: which one holds for whom, and what clusters are made of them.

use std::sync::Arc;
use std::time::Duration;

use malha_routing::{Balancer, ClientTls, HashKey, Protocol, Ring};

use crate::node::{Harness, deployment, service};

fn rule(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{spec}}}
---"
    )
}

/// The balancer that tells rules apart.
fn policy(balancer: &str) -> String {
    format!("trafficPolicy: {{loadBalancer: {{simple: {balancer}}}}}")
}

const NAMESPACES: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---";

const POSTS: &str = "posts-service.default.svc.cluster.local";

async fn harness(rules: &str) -> Harness {
    let harness = Harness::new();
    let outcomes = harness.apply(&(NAMESPACES.to_owned() + &service("posts", "") + rules)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    harness
}

fn balancer(harness: &Harness, namespace: &str) -> Balancer {
    let found = harness.route_from(namespace, POSTS, 80, "/", |route| {
        let cluster = crate::node::destinations(route)[0].cluster.clone().unwrap();
        cluster.policy.balancer.clone()
    });
    found.unwrap()
}

#[tokio::test]
async fn the_callers_namespace_comes_first_then_the_services_then_the_root() {
    let own = rule("own", "shop", &format!("host: {POSTS}, {}", policy("RANDOM")));
    let services = rule("services", "default", &format!("host: posts-service, {}", policy("ROUND_ROBIN")));
    let root = rule("root", "istio-system", &format!("host: '*.local', {}", policy("PASSTHROUGH")));
    let private = rule("private", "default", &format!("host: posts-service, exportTo: ['.'], {}", policy("RANDOM")));
    let private_root = rule("private", "istio-system", &format!("host: '*', exportTo: ['.'], {}", policy("RANDOM")));
    let to_shop = rule("to-shop", "default", &format!("host: posts-service, exportTo: [shop], {}", policy("RANDOM")));
    for (case, rules, want) in [
        ("none", String::new(), ["LeastRequest"; 3]),
        ("own", own.clone(), ["LeastRequest", "Random", "LeastRequest"]),
        ("own and the service's", own + &services, ["RoundRobin", "Random", "RoundRobin"]),
        ("the service's and the root's", services + &root, ["RoundRobin"; 3]),
        ("the root's", root.clone(), ["OriginalDestination"; 3]),
        ("private and the root's", private + &root, ["Random", "OriginalDestination", "OriginalDestination"]),
        ("private in the root", private_root, ["LeastRequest"; 3]),
        ("exported to one", to_shop, ["LeastRequest", "Random", "LeastRequest"]),
    ] {
        let harness = harness(&rules).await;
        let got = ["default", "shop", "other"].map(|namespace| format!("{:?}", balancer(&harness, namespace)));
        assert_eq!(got, want, "{case}");
    }
}

#[tokio::test]
async fn the_most_specific_host_has_its_rule_alone() {
    let wide = rule("a", "default", &format!("host: '*.svc.cluster.local', {}", policy("RANDOM")));
    let narrow = rule("b", "default", "host: posts-service, subsets: [{name: v1, labels: {version: v1}}]");
    let harness = harness(&(wide + &narrow)).await;
    assert_eq!(balancer(&harness, "default"), Balancer::LeastRequest, "rules for other hosts are not inherited");
}

#[tokio::test]
async fn two_rules_for_a_host_are_one_the_older_first() {
    let first = rule("a", "default", "host: posts-service, subsets: [{name: v1, labels: {version: v1}}]");
    let second = rule(
        "b",
        "default",
        &format!(
            "host: posts-service, {}, subsets: [{{name: v1, labels: {{}}}}, {{name: v2, labels: {{version: v2}}}}]",
            policy("RANDOM")
        ),
    );
    let third = rule("c", "default", &format!("host: posts-service, {}", policy("ROUND_ROBIN")));
    let harness = harness(&(second + &first + &third)).await;
    assert_eq!(balancer(&harness, "default"), Balancer::Random, "the first policy that there is");
    let findings: Vec<_> = harness.cluster.findings().into_iter().map(|one| one.message).collect();
    assert!(findings.len() == 1 && findings[0].contains("v1 is there already"), "{findings:?}");
}

#[tokio::test]
async fn subsets_have_the_pods_with_their_labels_and_policies_of_their_own() {
    let version = |version: &str| {
        deployment("posts", 1, &format!("workshop:{version}"), "")
            .replace("metadata: {name: posts}\nspec", &format!("metadata: {{name: posts-{version}}}\nspec"))
            .replace("{app: posts}", &format!("{{app: posts, version: {version}}}"))
    };
    let rules = rule(
        "posts",
        "default",
        "host: posts-service, trafficPolicy: {loadBalancer: {simple: RANDOM}, connectionPool: {http: {http1MaxPendingRequests: 3}}, \
         portLevelSettings: [{port: {number: 81}, connectionPool: {tcp: {maxConnections: 7}}}]}, \
         subsets: [{name: v1, labels: {version: v1}}, \
         {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}, {name: none, labels: {version: v3}}]",
    );
    let routes = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec:
  hosts: [posts-service]
  http:
  - match: [{uri: {prefix: /v1}}]
    route: [{destination: {host: posts-service, subset: v1}}]
  - match: [{uri: {prefix: /v2}}]
    route: [{destination: {host: posts-service, subset: v2}}]
  - match: [{uri: {prefix: /none}}]
    route: [{destination: {host: posts-service, subset: none}}]
  - match: [{uri: {prefix: /missing}}]
    route: [{destination: {host: posts-service, subset: v4}}]
---";
    let harness = harness(&(version("v1") + &version("v2") + &rules + routes)).await;
    let cluster = |path: &str| {
        harness.route("posts-service", 80, path, |route| crate::node::destinations(route)[0].cluster.clone()).flatten()
    };
    for (path, name, images, balancer) in [
        ("/v1", "outbound|80|v1|posts-service.default.svc.cluster.local", vec!["workshop:v1"], Balancer::Random),
        ("/v2", "outbound|80|v2|posts-service.default.svc.cluster.local", vec!["workshop:v2"], Balancer::RoundRobin),
        ("/none", "outbound|80|none|posts-service.default.svc.cluster.local", vec![], Balancer::Random),
    ] {
        let cluster = cluster(path).unwrap();
        let pods: Vec<_> = crate::node::pods(&cluster).iter().map(|pod| pod.image.clone()).collect();
        assert_eq!((&*cluster.name, pods), (name, images.into_iter().map(ToOwned::to_owned).collect()));
        assert_eq!((&cluster.policy.balancer, cluster.policy.limits.pending), (&balancer, 3));
    }
    assert!(cluster("/missing").is_none(), "503 NC");
}

#[tokio::test]
async fn a_setting_of_a_port_takes_nothing_from_around_it() {
    let rules = rule(
        "posts",
        "default",
        "host: posts-service, trafficPolicy: {loadBalancer: {simple: RANDOM}, outlierDetection: {}, \
         portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 7, connectTimeout: 1s}, http: {h2UpgradePolicy: UPGRADE}}}]}",
    );
    let harness = harness(&rules).await;
    let cluster = harness.target("posts-service", 80).unwrap();
    let policy = &cluster.policy;
    assert_eq!((&policy.balancer, &policy.outlier), (&Balancer::LeastRequest, &None));
    assert_eq!((policy.limits.connections, policy.limits.connect_timeout), (7, Duration::from_secs(1)));
    assert_eq!(policy.protocol, Protocol::Http2);
}

#[tokio::test]
async fn a_hash_has_a_key_and_a_table() {
    let ring = Ring::Ketama { minimum_size: 1024 };
    for (written, want) in [
        ("httpHeaderName: x-user", Balancer::ConsistentHash { key: HashKey::Header("x-user".parse().unwrap()), ring }),
        (
            "useSourceIp: true, minimumRingSize: 7",
            Balancer::ConsistentHash { key: HashKey::SourceIp, ring: Ring::Ketama { minimum_size: 7 } },
        ),
        ("useSourceIp: false", Balancer::Random),
        (
            "httpQueryParameterName: q, maglev: {tableSize: 101}",
            Balancer::ConsistentHash {
                key: HashKey::QueryParameter("q".into()),
                ring: Ring::Maglev { table_size: 101 },
            },
        ),
        (
            "httpCookie: {name: c, path: /, ttl: 0s}",
            Balancer::ConsistentHash {
                key: HashKey::Cookie {
                    name: "c".into(),
                    path: Some("/".into()),
                    ttl: Some(Duration::ZERO),
                    attributes: Vec::new(),
                },
                ring,
            },
        ),
    ] {
        let spec = format!("host: posts-service, trafficPolicy: {{loadBalancer: {{consistentHash: {{{written}}}}}}}");
        let harness = harness(&rule("posts", "default", &spec)).await;
        assert_eq!(balancer(&harness, "default"), want, "{written}");
    }
}

#[tokio::test]
async fn outlier_detection_has_istios_defaults_where_it_says_nothing() {
    let spec = |outlier: &str| format!("host: posts-service, trafficPolicy: {{outlierDetection: {{{outlier}}}}}");
    for (written, local, five, gateway, percent) in [
        ("", None, 5, 0, 10),
        ("consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, maxEjectionPercent: 100", None, 0, 2, 100),
        ("splitExternalLocalOriginErrors: true", Some(5), 5, 0, 10),
        ("splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3", Some(3), 5, 0, 10),
    ] {
        let harness = harness(&rule("posts", "default", &spec(written))).await;
        let outlier = harness.target("posts-service", 80).unwrap().policy.outlier.clone().unwrap();
        let got = (
            outlier.consecutive_local,
            outlier.consecutive_5xx,
            outlier.consecutive_gateway,
            outlier.max_ejection_percent,
        );
        assert_eq!(got, (local, five, gateway, percent), "{written}");
        assert_eq!(
            (outlier.interval.as_secs(), outlier.base_ejection.as_secs(), outlier.min_health_percent),
            (10, 30, 0)
        );
    }
}

#[tokio::test]
async fn tls_is_the_meshs_own_unless_a_rule_says_otherwise() {
    let tls = |tls: &str| rule("posts", "default", &format!("host: posts-service, trafficPolicy: {{tls: {{{tls}}}}}"));
    for (written, want, finding) in [
        ("mode: ISTIO_MUTUAL", Some(ClientTls::Mesh), None),
        ("mode: DISABLE", Some(ClientTls::Disable), None),
        ("mode: SIMPLE, credentialName: c", Some(ClientTls::Disable), Some("others send plaintext")),
        ("mode: MUTUAL, clientCertificate: /a, privateKey: /b", None, Some("answered with 503")),
        ("mode: SIMPLE, caCertificates: /a", None, Some("answered with 503")),
    ] {
        let harness = harness(&tls(written)).await;
        assert_eq!(harness.target("posts-service", 80).map(|cluster| cluster.policy.tls.clone()), want, "{written}");
        let findings: Vec<_> = harness.cluster.findings().into_iter().map(|one| one.message).collect();
        assert_eq!(findings.len(), usize::from(finding.is_some()), "{findings:?}");
        assert!(finding.is_none_or(|finding| findings[0].contains(finding)), "{findings:?}");
    }
    let harness = harness(&tls("mode: SIMPLE, sni: a.com, subjectAltNames: [b.com]")).await;
    let ClientTls::Originate(tls) = &harness.target("posts-service", 80).unwrap().policy.tls else { panic!("TLS") };
    assert_eq!(
        (tls.server_name.as_deref(), tls.subject_alt_names.as_slice()),
        (Some("a.com"), &["b.com".to_owned()][..])
    );
}

#[tokio::test]
async fn namespaces_that_see_the_same_share_a_cluster_and_what_stays_is_the_same_value() {
    let harness = harness(&deployment("posts", 2, "workshop:0.0.1", "")).await;
    let cluster = |namespace: &str| {
        let first = |route: &malha_routing::Route<_>| crate::node::destinations(route)[0].cluster.clone().unwrap();
        harness.route_from(namespace, POSTS, 80, "/", first).unwrap()
    };
    let before = cluster("default");
    assert!(Arc::ptr_eq(&before, &cluster("shop")));
    harness.apply(&service("more", "")).await;
    assert!(Arc::ptr_eq(&before, &cluster("default")), "another service changes nothing here");
    harness.apply(&rule("own", "shop", &format!("host: {POSTS}, {}", policy("RANDOM")))).await;
    assert!(Arc::ptr_eq(&before, &cluster("default")) && !Arc::ptr_eq(&before, &cluster("shop")));
    let residents: Vec<_> = before.hosts.iter().map(|host| Arc::clone(host.resident.as_ref().unwrap())).collect();
    assert_eq!((&*residents[0].workload.name, &*residents[0].workload.service_account), ("posts", "default"));
    harness.apply(&deployment("posts", 1, "workshop:0.0.1", "")).await;
    let after = cluster("default");
    assert!(!Arc::ptr_eq(&before, &after) && after.hosts.len() == 1);
    assert!(residents.iter().any(|old| Arc::ptr_eq(old, after.hosts[0].resident.as_ref().unwrap())));
}
