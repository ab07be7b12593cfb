//! What inbound proxies demand: which policies hold for which pods.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::{HeaderMap, Method};
use malha_policy::{Decision, Identity, InboundPolicy, MtlsMode, RequestView};
use malha_routing::{KeySource, ListenerKind};

use crate::node::{Harness, deployment, service};

fn object(kind: &str, namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "
apiVersion: security.istio.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{spec}}}
---"
    )
}

async fn harness(yaml: &str) -> Harness {
    let harness = Harness::new();
    let lb = service("posts", "  type: LoadBalancer") + &deployment("posts", 2, "workshop:0.0.1", "");
    let gateway = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}]}
---";
    let outcomes = harness.apply(&(lb + gateway + yaml)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    harness
}

fn of_posts(harness: &Harness) -> Arc<InboundPolicy> {
    let cluster = harness.target("posts-service", 80).unwrap();
    Arc::clone(&cluster.hosts[0].resident.as_ref().unwrap().policy)
}

fn at(harness: &Harness, gateway: bool) -> Arc<InboundPolicy> {
    let snapshot = harness.snapshot();
    let wanted = |kind: &ListenerKind| (*kind == ListenerKind::Gateway) == gateway;
    Arc::clone(&snapshot.listeners.iter().find(|listener| wanted(&listener.kind)).unwrap().policy)
}

/// What becomes of a `GET` of a path by somebody of namespace `default`.
fn verdict(policy: &InboundPolicy, path: &str) -> u16 {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let source = Identity::new("default", "default");
    let request = RequestView {
        method: &Method::GET,
        path_and_query: path,
        scheme: "http",
        authority: "posts-service",
        headers: &HeaderMap::new(),
        destination_ip: here,
        destination_port: 80,
        source_ip: here,
        remote_ip: here,
        source: Some(&source),
        sni: None,
    };
    match policy.check(&request, 0) {
        Decision::Allowed(_) => 200,
        Decision::Denied(denied) => denied.status.as_u16(),
        Decision::Closed => 0,
    }
}

#[tokio::test]
async fn the_narrowest_peer_authentication_holds_and_the_gateway_has_none() {
    let peer = |namespace: &str, name: &str, spec: &str| object("PeerAuthentication", namespace, name, spec);
    let mesh = peer("istio-system", "default", "mtls: {mode: STRICT}");
    let own = peer("default", "default", "mtls: {mode: DISABLE}");
    let pods = peer(
        "default",
        "posts",
        "selector: {matchLabels: {app: posts}}, mtls: {mode: STRICT}, portLevelMtls: {81: {mode: PERMISSIVE}}",
    );
    let others = peer("default", "others", "selector: {matchLabels: {app: others}}, mtls: {mode: STRICT}");
    let (strict, permissive, disable) = (MtlsMode::Strict, MtlsMode::Permissive, MtlsMode::Disable);
    for (yaml, at_80, at_81) in [
        (String::new(), permissive, permissive),
        (mesh.clone(), strict, strict),
        (mesh.clone() + &own, disable, disable),
        (own.clone() + &pods, strict, permissive),
        (others, permissive, permissive),
        (mesh + &peer("default", "default", ""), strict, strict),
    ] {
        let harness = harness(&yaml).await;
        let policy = of_posts(&harness);
        assert_eq!((policy.peer.mode(80), policy.peer.mode(81)), (at_80, at_81), "{yaml}");
        assert_eq!(at(&harness, true).peer.default_mode(), permissive, "a gateway's servers say what they take");
        assert_eq!(at(&harness, false).peer.default_mode(), permissive, "a load balancer has no proxy");
    }
}

#[tokio::test]
async fn access_is_decided_by_the_policies_of_root_namespace_and_selector() {
    let policy = |namespace: &str, name: &str, spec: &str| object("AuthorizationPolicy", namespace, name, spec);
    let deny = "action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]";
    let here = "selector: {matchLabels: {app: posts}}, ";
    let gateway = "selector: {matchLabels: {istio: ingressgateway}}, ";
    for (yaml, pod, edge) in [
        (String::new(), [200, 200], [200, 200]),
        (policy("istio-system", "all", deny), [403, 200], [403, 200]),
        (policy("default", "own", deny), [403, 200], [200, 200]),
        (policy("default", "pods", &format!("{here}{deny}")), [403, 200], [200, 200]),
        (policy("istio-system", "pods", &format!("{here}{deny}")), [403, 200], [200, 200]),
        (policy("istio-system", "edge", &format!("{gateway}{deny}")), [200, 200], [403, 200]),
        (policy("kube-public", "elsewhere", deny), [200, 200], [200, 200]),
        (policy("default", "nothing", ""), [403, 403], [200, 200]),
    ] {
        let harness = harness(&yaml).await;
        let of = |policy: &InboundPolicy| ["/admin", "/posts"].map(|path| verdict(policy, path));
        assert_eq!((of(&of_posts(&harness)), of(&at(&harness, true))), (pod, edge), "{yaml}");
        assert_eq!(of(&at(&harness, false)), [200, 200]);
    }
}

#[tokio::test]
async fn pods_share_a_policy_and_it_stays_until_an_object_of_it_changes() {
    let deny = |path: &str| {
        object(
            "AuthorizationPolicy",
            "default",
            "p",
            &format!("action: DENY, rules: [{{to: [{{operation: {{paths: [{path}]}}}}]}}]"),
        )
    };
    let harness = harness(&deny("/admin")).await;
    let cluster = harness.target("posts-service", 80).unwrap();
    let policies: Vec<_> =
        cluster.hosts.iter().map(|host| Arc::clone(&host.resident.as_ref().unwrap().policy)).collect();
    assert!(policies.len() == 2 && Arc::ptr_eq(&policies[0], &policies[1]));
    harness.apply(&service("more", "")).await;
    assert!(Arc::ptr_eq(&of_posts(&harness), &policies[0]));
    harness.apply(&deny("/other")).await;
    assert_eq!((verdict(&of_posts(&harness), "/admin"), verdict(&of_posts(&harness), "/other")), (200, 403));
}

#[tokio::test]
async fn keys_from_elsewhere_are_asked_for_and_come_with_the_next_snapshot() {
    let rule = "jwtRules: [{issuer: auth, jwksUri: 'http://posts-service/jwks'}, {issuer: 'https://issuer'}]";
    let harness = harness(&object("RequestAuthentication", "default", "jwt", rule)).await;
    let uri = KeySource::Uri("http://posts-service/jwks".into());
    let sources = |harness: &Harness| {
        harness
            .snapshot()
            .remote_keys
            .iter()
            .map(|keys| (keys.source.clone(), keys.timeout.as_secs()))
            .collect::<Vec<_>>()
    };
    assert_eq!(sources(&harness), [(uri.clone(), 5), (KeySource::Issuer("https://issuer".into()), 5)]);
    let before = (of_posts(&harness), harness.snapshot().version);
    assert!(harness.cluster.learn_keys(&uri, "{}").is_err());
    assert_eq!(harness.snapshot().version, before.1, "what is no set of keys changes nothing");
    let jwks = r#"{"keys":[{"kty":"oct","k":"aGVsbG8","kid":"a"}]}"#;
    harness.cluster.learn_keys(&uri, jwks).unwrap();
    assert!(!Arc::ptr_eq(&before.0, &of_posts(&harness)), "a policy with the keys");
    let after = harness.snapshot().version;
    harness.cluster.learn_keys(&uri, jwks).unwrap();
    assert_eq!(harness.snapshot().version, after, "no news, no snapshot");
    harness.delete(malha_cluster::Kind::RequestAuthentication, "jwt").await.unwrap();
    assert_eq!(sources(&harness), []);
}

#[tokio::test]
async fn what_holds_for_nobody_is_named() {
    for (yaml, finding) in [
        (
            object("PeerAuthentication", "istio-system", "p", "selector: {matchLabels: {a: b}}, mtls: {mode: STRICT}"),
            "in the root namespace",
        ),
        (
            object("PeerAuthentication", "default", "a", "") + &object("PeerAuthentication", "default", "b", ""),
            "there is an older one",
        ),
        (
            object("AuthorizationPolicy", "default", "p", "targetRefs: [{kind: Service, name: posts-service}]"),
            "spec.targetRefs",
        ),
        (
            object("RequestAuthentication", "default", "p", "jwtRules: [{issuer: a, jwks: '{}'}]"),
            "spec.jwtRules[0].jwks",
        ),
        (
            object("AuthorizationPolicy", "default", "p", "action: CUSTOM, provider: {name: x}, rules: [{}]"),
            "requests that match are refused",
        ),
    ] {
        let loaded = malha_manifest::parse_manifests("p.yml", &yaml);
        let harness = Harness::new();
        harness.cluster.apply(loaded.objects.into_iter().map(Into::into));
        let findings: Vec<_> = harness.cluster.findings().into_iter().map(|one| one.message).collect();
        // What the manifest's own checks refuse does not come so far.
        let refused = loaded.diagnostics.iter().any(|one| one.severity == malha_manifest::Severity::Error);
        assert!(refused || findings.iter().any(|one| one.contains(finding)), "{finding}: {findings:?}");
    }
}
