//! What is different for callers with labels: conditions, `DestinationRule`s and `Sidecar`s for some pods only.

use malha_routing::{Balancer, Labels, Outbound, UnknownHosts};
use std::sync::Arc;

use crate::node::{Harness, Pod, deployment, destinations, find, service};

const NAMESPACES: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---";

/// Pods of the app `web` in two versions and of the app `api`; a Service of `web` and one of `api`.
async fn harness(yaml: &str) -> Harness {
    let version = |name: &str, version: &str| {
        deployment("web", 1, "workshop:0.0.1", "")
            .replace("metadata: {name: web}", &format!("metadata: {{name: {name}}}"))
            .replace("{app: web}", &format!("{{app: web, version: {version}}}"))
    };
    let web = version("web-v1", "v1") + &version("web-v2", "v2");
    let services = service("web", "") + &service("api", "") + &deployment("api", 1, "workshop:0.0.1", "");
    let harness = Harness::new();
    let outcomes = harness.apply(&(NAMESPACES.to_owned() + &web + &services + yaml)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    harness
}

fn labels(text: &str) -> Labels {
    text.split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

/// What the sidecar of a pod of `default` knows.
fn known(harness: &Harness, pod: &str) -> Arc<Outbound<Pod>> {
    Arc::clone(harness.snapshot().sidecars["default"].of(&labels(pod)))
}

/// The name of the route that a call of a pod takes; `None` is a host that is not known or a path without a route.
fn route(harness: &Harness, pod: &str, host: &str, port: u16, path: &str) -> Option<String> {
    let known = known(harness, pod);
    find(known.ports.get(&port)?, host, path, &[]).map(|route| route.name.clone())
}

fn findings(harness: &Harness) -> Vec<String> {
    harness.cluster.findings().into_iter().map(|one| one.message).collect()
}

fn rules(name: &str, hosts: &str, http: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{hosts}]
  http: [{http}]
---"
    )
}

fn named(name: &str, conditions: &str) -> String {
    format!("{{name: {name}, match: [{conditions}], route: [{{destination: {{host: api-service}}}}]}}")
}

#[tokio::test]
async fn a_service_whose_rules_are_for_others_has_its_default_route() {
    let only =
        rules("only", "api-service", &named("for-v1", "{sourceLabels: {app: web, version: v1}, uri: {prefix: /a}}"));
    let harness = harness(&only).await;
    for (pod, path, want) in [
        ("app=web version=v1", "/a", Some("for-v1")),
        // The rules are there, and none of them fits.
        ("app=web version=v1", "/b", None),
        ("app=web version=v2", "/a", Some("default")),
        ("app=api", "/b", Some("default")),
        ("", "/a", Some("default")),
        ("app=web version=v1 more=x", "/a", Some("for-v1")),
    ] {
        assert_eq!(route(&harness, pod, "api-service", 80, path).as_deref(), want, "{pod} {path}");
    }
    assert_eq!(findings(&harness), [""; 0]);
}

#[tokio::test]
async fn rules_that_are_for_others_leave_the_host_to_the_next() {
    let first = rules("a", "api-service", &named("first", "{sourceLabels: {version: v1}}"));
    let second = rules("b", "api-service", &named("second", "{uri: {prefix: /}}"));
    let harness = harness(&(first + &second)).await;
    for (pod, want) in [("app=web version=v1", "first"), ("app=web version=v2", "second"), ("app=api", "second")] {
        assert_eq!(route(&harness, pod, "api-service", 80, "/").as_deref(), Some(want), "{pod}");
    }
}

#[tokio::test]
async fn pods_that_agree_in_what_is_asked_share_what_they_know() {
    let harness = harness(&rules("a", "api-service", &named("first", "{sourceLabels: {version: v1}}"))).await;
    assert!(Arc::ptr_eq(&known(&harness, "app=web version=v2"), &known(&harness, "app=api")));
    assert!(!Arc::ptr_eq(&known(&harness, "app=web version=v1"), &known(&harness, "app=api")));
    // The hosts that labels do not matter for are the same values.
    let host = |pod: &str| Arc::clone(known(&harness, pod).ports[&80].find("web-service").unwrap());
    assert!(Arc::ptr_eq(&host("version=v1"), &host("app=api")));
    // Nobody has them: nobody is looked at by them.
    let nobody = rules("a", "api-service", &named("first", "{sourceLabels: {version: v9}}"));
    assert!(self::harness(&nobody).await.snapshot().sidecars["default"].labelled.is_empty());
}

#[tokio::test]
async fn a_destination_rule_for_some_callers_comes_before_one_for_all() {
    let rule = |name: &str, selector: &str, more: &str| {
        format!(
            "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec: {{host: api-service{selector}{more}}}
---"
        )
    };
    let balancer = |balancer: &str| format!(", trafficPolicy: {{loadBalancer: {{simple: {balancer}}}}}");
    let all = |more: &str| {
        rule("all", "", &format!("{}, subsets: [{{name: v1, labels: {{app: api}}}}]{more}", balancer("ROUND_ROBIN")))
    };
    let some = rule("some", ", workloadSelector: {matchLabels: {version: v1}}", &balancer("RANDOM"));
    let bare = rule("bare", ", workloadSelector: {matchLabels: {version: v2}}", "");
    let to_subset = rules("r", "api-service", "{route: [{destination: {host: api-service, subset: v1}}]}")
        .replace("  http:", "  exportTo: ['.']\n  http:");
    let of = |harness: &Harness, pod: &str| {
        let known = known(harness, pod);
        let route = find(&known.ports[&80], "api-service", "/", &[]).unwrap();
        destinations(route)[0].cluster.as_ref().map(|cluster| cluster.policy.balancer.clone())
    };
    for (more, of_v1, of_v2, finds) in [
        // What is for all stands beside what is for some, which then lacks its subsets.
        ("", None, None, 1),
        // As private as they are, it adds its subsets, and its policy where there is none.
        (", exportTo: ['.']", Some(Balancer::Random), Some(Balancer::RoundRobin), 0),
    ] {
        let harness = harness(&(all(more) + &some + &bare + &to_subset)).await;
        for (pod, want) in
            [("app=web version=v1", of_v1), ("app=web version=v2", of_v2), ("app=api", Some(Balancer::RoundRobin))]
        {
            assert_eq!(of(&harness, pod), want, "{pod} {more}");
        }
        assert_eq!(findings(&harness).len(), finds, "{:?}", findings(&harness));
    }
    // Nobody else sees the rules that name the subset.
    let harness = harness(&(all("") + &some)).await;
    assert_eq!(findings(&harness), [""; 0]);
    // Pods of other namespaces are others' business, whatever their labels.
    let elsewhere = harness.snapshot().sidecars["shop"].of(&labels("app=web version=v1")).clone();
    let route = find(&elsewhere.ports[&80], "web-service.default.svc.cluster.local", "/", &[]).unwrap();
    assert_eq!(destinations(route)[0].cluster.as_ref().unwrap().policy.balancer, Balancer::LeastRequest);
}

fn sidecar(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{spec}}}
---"
    )
}

#[tokio::test]
async fn a_sidecar_is_for_the_pods_that_it_selects_and_else_for_the_namespace() {
    let only = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}";
    let some = sidecar("some", "default", &format!("workloadSelector: {{labels: {{version: v1}}}}, {only}"));
    let rest = sidecar("rest", "default", "outboundTrafficPolicy: {mode: ALLOW_ANY}");
    let root = sidecar("root", "istio-system", only);
    let (allow, refuse) = (UnknownHosts::AllowAny, UnknownHosts::RegistryOnly);
    for (yaml, of_v1, of_v2) in [
        (some.clone(), refuse, allow),
        (rest.clone() + &some, refuse, allow),
        (root.clone() + &rest, allow, allow),
        (root.clone() + &rest + &some, refuse, allow),
        (root, refuse, refuse),
    ] {
        let harness = harness(&yaml).await;
        let got = ["app=web version=v1", "app=web version=v2"].map(|pod| known(&harness, pod).unknown);
        assert_eq!(got, [of_v1, of_v2], "{yaml}");
        assert_eq!(findings(&harness), [""; 0]);
    }
}

#[tokio::test]
async fn a_sidecar_says_which_hosts_its_pods_know() {
    let elsewhere = service("cart", "")
        .replace("metadata: {name: cart-service}", "metadata: {name: cart-service, namespace: shop}");
    let entry = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e}
spec: {hosts: [api.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: more, protocol: HTTP}]}
---";
    let both = elsewhere + entry + &rules("r", "api-service", &named("rule", "{uri: {prefix: /}}"));
    let (api, web, cart, out) = ("api-service", "web-service", "cart-service.shop", "api.example.com");
    for (egress, at_80) in [
        ("{hosts: ['*/*']}", &[api, web, cart, out][..]),
        ("{hosts: ['./*']}", &[api, web, out]),
        ("{hosts: ['shop/*']}", &[cart]),
        ("{hosts: ['./api-service.default.svc.cluster.local', 'shop/*']}", &[api, cart]),
        ("{hosts: ['*/api.example.com']}", &[out]),
        ("{hosts: ['*/*.example.com']}", &[out]),
        ("{hosts: ['*/*', '~shop/*']}", &[api, web, out]),
        ("{hosts: ['*/*', '~./web-service.default.svc.cluster.local']}", &[api, cart, out]),
        ("{hosts: ['~/*']}", &[]),
        ("{hosts: ['./*'], port: {number: 80, name: http, protocol: HTTP}}", &[api, web, out]),
        ("{hosts: ['./*'], port: {number: 81, name: http, protocol: HTTP}}, {hosts: ['shop/*']}", &[cart]),
    ] {
        let harness = harness(&(both.clone() + &sidecar("s", "default", &format!("egress: [{egress}]")))).await;
        for host in [api, web, cart, out] {
            // A Service that is not known can be reached all the same, past the mesh.
            let want = match (at_80.contains(&host), host == api, host == out) {
                (true, true, _) => Some("rule"),
                (true, false, _) => Some("default"),
                (false, _, false) => Some("allow_any"),
                (false, _, true) => None,
            };
            assert_eq!(route(&harness, "app=api", host, 80, "/").as_deref(), want, "{egress}: {host}");
        }
        let at_81 = egress.contains("*/*'")
            || egress.contains("81")
            || egress == "{hosts: ['./*']}"
            || egress.contains("example");
        assert_eq!(route(&harness, "app=api", out, 81, "/").is_some(), at_81, "{egress}: port 81");
        assert_eq!(findings(&harness), [""; 0]);
    }
    // Where unknown hosts are refused, it cannot.
    let strict = "egress: [{hosts: ['shop/*']}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}";
    let harness = harness(&(both + &sidecar("s", "default", strict))).await;
    assert_eq!(route(&harness, "app=api", cart, 80, "/").as_deref(), Some("default"));
    assert_eq!(route(&harness, "app=api", api, 80, "/"), None);
}

#[tokio::test]
async fn listeners_that_pods_call_by_themselves_are_named() {
    let port = |protocol: &str| format!("port: {{number: 8080, name: p, protocol: {protocol}}}, hosts: ['*/*']");
    for (egress, finds) in [
        (port("HTTP"), 0),
        (port("HTTP") + ", bind: 127.0.0.1", 1),
        (port("HTTP") + ", captureMode: NONE", 1),
        (port("HTTP") + ", captureMode: IPTABLES", 0),
    ] {
        let harness = harness(&sidecar("s", "default", &format!("egress: [{{{egress}}}]"))).await;
        assert_eq!(findings(&harness).len(), finds, "{egress}: {:?}", findings(&harness));
    }
}

#[tokio::test]
async fn what_a_destination_rule_gets_wrong_is_said_though_rules_lead_to_it() {
    let yaml = rules("r", "api-service", &named("rule", "{uri: {prefix: /}}"))
        + "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d}
spec: {host: api-service, trafficPolicy: {tls: {mode: SIMPLE, credentialName: c}}}
---";
    let findings = findings(&harness(&yaml).await);
    assert!(findings.len() == 1 && findings[0].contains("credentialName"), "{findings:?}");
}

#[tokio::test]
async fn rules_for_a_service_of_another_port_say_nothing_of_port_80() {
    let other = service("other", "").replace("port: 80,", "port: 9080,");
    let harness =
        harness(&(other + &rules("r", "other-service", "{route: [{destination: {host: other-service}}]}"))).await;
    assert_eq!(findings(&harness), [""; 0]);
    assert!(route(&harness, "", "other-service", 9080, "/").is_some());
    // Istio knows the full name at port 80 all the same, and the cluster is not there: 503.
    let known = known(&harness, "");
    let at_80 =
        |host: &str| find(&known.ports[&80], host, "/", &[]).map(|route| destinations(route)[0].cluster.is_some());
    assert_eq!(at_80("other-service.default.svc.cluster.local"), Some(false));
    assert_eq!(at_80("other-service"), None);
}
