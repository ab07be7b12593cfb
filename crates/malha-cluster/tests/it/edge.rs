//! Gateways: several servers, ports and hosts, redirects to HTTPS, and TLS with certificates out of Secrets.

use malha_routing::{ClientCertificates, HostPattern, Listener, TlsVersion, Transport};

use crate::node::{Harness, Pod, find, service};

fn gateway(name: &str, servers: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{servers}]
---"
    )
}

fn server(port: u16, protocol: &str, hosts: &str, tls: &str) -> String {
    let tls = if tls.is_empty() { String::new() } else { format!(", tls: {{{tls}}}") };
    format!("{{port: {{number: {port}, name: p{port}, protocol: {protocol}}}, hosts: [{hosts}]{tls}}}")
}

fn rules(name: &str, hosts: &str, gateway: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec: {{hosts: [{hosts}], gateways: [{gateway}], http: [{{name: {name}, route: [{{destination: {{host: posts-service}}}}]}}]}}
---"
    )
}

fn secret(name: &str, data: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: istio-system}}
stringData: {{{data}}}
---"
    )
}

async fn harness(yaml: &str) -> Harness {
    let harness = Harness::new();
    let outcomes = harness.apply(&(service("posts", "") + yaml)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    harness
}

fn findings(harness: &Harness) -> Vec<String> {
    harness.cluster.findings().into_iter().map(|one| format!("{}: {}", one.object, one.message)).collect()
}

fn listener<R>(harness: &Harness, port: u16, look: impl FnOnce(&Listener<Pod>) -> R) -> Option<R> {
    harness.snapshot().listeners.iter().find(|listener| listener.port == port).map(look)
}

#[tokio::test]
async fn servers_of_a_port_are_one_listener_and_each_port_has_its_own() {
    let a = gateway("a", &format!("{}, {}", server(80, "HTTP", "a.com", ""), server(8080, "HTTP", "'*'", "")));
    let b = gateway("b", &server(80, "HTTP2", "b.com", ""));
    let harness = harness(&(a + &b + &rules("for-a", "'*.com'", "a") + &rules("for-b", "b.com", "b"))).await;
    assert_eq!(harness.snapshot().listeners.len(), 2);
    for (port, host, want) in [
        (80, "a.com", Some("for-a")),
        (80, "b.com", Some("for-b")),
        (80, "c.com", None),
        (8080, "c.com", Some("for-a")),
        (8080, "b.com", Some("for-a")),
    ] {
        let got = listener(&harness, port, |listener| {
            let Transport::Plain(hosts) = &listener.transport else { panic!("plain HTTP") };
            find(hosts, host, "/", &[]).map(|route| route.name.clone())
        });
        assert_eq!(got.flatten().as_deref(), want, "{host}:{port}");
    }
    assert_eq!(findings(&harness), [""; 0]);
}

#[tokio::test]
async fn hosts_of_a_redirecting_server_are_redirected_with_and_without_routes() {
    let redirect = server(80, "HTTP", "a.com, '*.b.com'", "httpsRedirect: true");
    let harness = harness(&(gateway("g", &redirect) + &rules("v", "a.com", "g"))).await;
    for (host, want) in [("a.com", Some(true)), ("x.b.com", Some(true)), ("c.com", None)] {
        let got = listener(&harness, 80, |listener| {
            let Transport::Plain(hosts) = &listener.transport else { panic!("plain HTTP") };
            hosts.find(host).map(|host| host.https_redirect)
        });
        assert_eq!(got.flatten(), want, "{host}");
    }
}

#[tokio::test]
async fn a_tls_server_has_the_certificate_of_a_secret_of_the_gateways_namespace() {
    let simple = |name: &str| server(443, "HTTPS", "a.com", &format!("mode: SIMPLE, credentialName: {name}"));
    for (data, found) in [
        ("tls.crt: chain, tls.key: key", true),
        ("cert: chain, key: key", true),
        ("tls.crt: chain", false),
        ("tls.crt: '', tls.key: ''", false),
    ] {
        let harness = harness(&(secret("c", data) + &gateway("g", &simple("c")) + &rules("v", "a.com", "g"))).await;
        let got = listener(&harness, 443, |listener| {
            let Transport::Tls(servers) = &listener.transport else { panic!("TLS") };
            let server = &servers[0];
            assert_eq!(server.names, [HostPattern::Exact("a.com".into())]);
            assert_eq!((server.options.lowest, server.options.highest), (TlsVersion::V1_2, TlsVersion::V1_3));
            assert_eq!(server.options.clients, ClientCertificates::Unasked);
            assert!(find(&server.hosts, "a.com", "/", &[]).is_some());
            let certificate = &server.options.certificates[0];
            (certificate.chain.clone(), certificate.key.clone())
        });
        assert_eq!(got, found.then(|| (b"chain".to_vec(), b"key".to_vec())), "{data}");
        let findings = findings(&harness);
        assert_eq!(findings.len(), usize::from(!found), "{findings:?}");
        assert!(findings.iter().all(|one| one.contains("has neither tls.crt and tls.key nor cert and key")));
    }
    // The Secret comes later, or is somewhere else.
    let harness = harness(&(gateway("g", &simple("c")) + &secret("d", "a: b"))).await;
    harness.apply(&secret("c", "a: b").replace("istio-system", "default")).await;
    assert!(
        findings(&harness)[0]
            .contains("Secret istio-system/c is not there. A gateway reads Secrets of its own namespace")
    );
    harness.apply(&secret("c", "tls.crt: chain, tls.key: key")).await;
    assert_eq!((harness.snapshot().listeners.len(), findings(&harness).len()), (1, 0));
}

#[tokio::test]
async fn authorities_of_clients_are_in_the_secret_or_beside_it() {
    let pair = "tls.crt: chain, tls.key: key";
    let mutual = |mode: &str| {
        gateway("g", &server(443, "HTTPS", "a.com", &format!("mode: {mode}, credentialName: c, subjectAltNames: [x]")))
    };
    for (secrets, mode, want) in [
        (secret("c", &format!("{pair}, ca.crt: own")), "MUTUAL", Some(("own", false))),
        (secret("c", &format!("{pair}, cacert: own")), "MUTUAL", Some(("own", false))),
        (
            secret("c", &format!("{pair}, ca.crt: own")) + &secret("c-cacert", "ca.crt: beside"),
            "OPTIONAL_MUTUAL",
            Some(("beside", true)),
        ),
        (secret("c", pair), "MUTUAL", None),
    ] {
        let harness = harness(&(secrets + &mutual(mode))).await;
        let got = listener(&harness, 443, |listener| {
            let Transport::Tls(servers) = &listener.transport else { panic!("TLS") };
            servers[0].options.clients.clone()
        });
        let want = want.map(|(authorities, optional)| ClientCertificates::Required {
            authorities: authorities.as_bytes().to_vec(),
            subject_alt_names: vec!["x".into()],
            optional,
        });
        assert_eq!(got, want);
    }
}

#[tokio::test]
async fn servers_that_exclude_each_other_are_named() {
    let tls = "mode: SIMPLE, credentialName: c";
    let secret = secret("c", "tls.crt: chain, tls.key: key");
    for (first, second, finding) in [
        (server(443, "HTTPS", "a.com", tls), server(443, "HTTP", "b.com", ""), "443 is HTTPS for an older server"),
        (server(443, "HTTP", "a.com", ""), server(443, "HTTPS", "b.com", tls), "443 is plain HTTP for an older server"),
        (server(443, "HTTPS", "a.com, b.com", tls), server(443, "HTTPS", "b.com", tls), "has b.com already"),
    ] {
        let harness = harness(&(secret.clone() + &gateway("a", &first) + &gateway("b", &second))).await;
        let findings = findings(&harness);
        assert!(
            findings.len() == 1 && findings[0].starts_with("Gateway b:") && findings[0].contains(finding),
            "{findings:?}"
        );
        assert_eq!(harness.snapshot().listeners.len(), 1);
    }
}

#[tokio::test]
async fn what_a_virtual_service_says_for_itself_alone_the_gateway_does_not_see() {
    let private = rules("v", "a.com", "g").replace("spec: {", "spec: {exportTo: ['.'], ");
    let harness = harness(&(gateway("g", &server(80, "HTTP", "a.com", "")) + &private)).await;
    let found = listener(&harness, 80, |listener| {
        let Transport::Plain(hosts) = &listener.transport else { panic!("plain HTTP") };
        hosts.find("a.com").is_some()
    });
    assert_eq!(found, Some(false), "the gateway's pods are in istio-system");
}
