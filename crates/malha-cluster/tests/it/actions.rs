//! What rules do, as the mesh is told it: each field, Istio's defaults, and delegates.

use std::time::Duration;

use http::StatusCode;
use malha_routing::{Abort, Answer, Forward, RedirectPort, RetryOn, RetryPolicy, Share};

use crate::node::{Harness, Pod, destinations, forward, service};

fn virtual_service(name: &str, hosts: &str, http: &str) -> String {
    let hosts = if hosts.is_empty() { String::new() } else { format!("hosts: [{hosts}], ") };
    format!(
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec: {{{hosts}http: [{http}]}}
---"
    )
}

const TO_OTHER: &str = "route: [{destination: {host: other-service}}]";

async fn harness(yaml: &str) -> Harness {
    let harness = Harness::new();
    let outcomes = harness.apply(&(service("posts", "") + &service("other", "") + yaml)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    harness
}

async fn rule(http: &str) -> Harness {
    let harness = harness(&virtual_service("v", "posts-service", &format!("{{{http}}}"))).await;
    assert!(harness.cluster.findings().is_empty(), "{:?}", harness.cluster.findings());
    harness
}

fn sent<R>(harness: &Harness, look: impl FnOnce(&Forward<Pod>) -> R) -> R {
    harness.route("posts-service", 80, "/", |route| look(forward(route))).unwrap()
}

#[tokio::test]
async fn retries_are_istios_unless_the_rule_says_otherwise() {
    let default = RetryPolicy::istio_default();
    let on = |text: &str| RetryOn::parse(text).0;
    for (retries, want) in [
        (String::new(), Some(default.clone())),
        (", retries: {attempts: 0}".to_owned(), None),
        (", retries: {attempts: 3}".to_owned(), Some(RetryPolicy { attempts: 3, ..default.clone() })),
        (
            ", retries: {attempts: 3, perTryTimeout: 2s, retryOn: '5xx,409', backoff: 1s, retryIgnorePreviousHosts: false}"
                .to_owned(),
            Some(RetryPolicy {
                attempts: 3,
                per_try_timeout: Some(Duration::from_secs(2)),
                on: on("5xx,409"),
                backoff: Duration::from_secs(1),
                avoid_previous_hosts: false,
            }),
        ),
    ] {
        let harness = rule(&format!("{TO_OTHER}{retries}")).await;
        assert_eq!(sent(&harness, |forward| forward.retry.clone()), want, "{retries}");
    }
    let plain = harness("").await;
    assert_eq!(sent(&plain, |forward| forward.retry.clone()), Some(default), "a service without rules");
}

#[tokio::test]
async fn a_consistent_hash_stays_with_its_host() {
    let hash = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: other}
spec: {host: other-service, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}}
---";
    for (retries, avoids) in [("", false), (", retries: {attempts: 1, retryIgnorePreviousHosts: true}", true)] {
        let rules = virtual_service("v", "posts-service", &format!("{{{TO_OTHER}{retries}}}"));
        let harness = harness(&(rules + hash)).await;
        assert_eq!(sent(&harness, |forward| forward.retry.as_ref().unwrap().avoid_previous_hosts), avoids);
    }
}

#[tokio::test]
async fn times_rewrites_and_mirrors_are_passed_on() {
    let harness = rule(&format!(
        "{TO_OTHER}, timeout: 3s, rewrite: {{uri: /x, authority: a.com}}, mirror: {{host: posts-service}}, mirrorPercentage: {{value: 50}}"
    ))
    .await;
    sent(&harness, |forward| {
        assert_eq!(forward.timeout, Some(Duration::from_secs(3)));
        assert_eq!(forward.rewrite.authority.as_deref(), Some("a.com"));
        assert_eq!((forward.mirrors.len(), forward.mirrors[0].share), (1, Share::percent(50.0)));
        assert_eq!(&*forward.mirrors[0].cluster.as_ref().unwrap().service, "posts-service.default.svc.cluster.local");
    });
    for (mirror, want) in [
        ("mirror: {host: posts-service}", vec![Share::ALL]),
        ("mirror: {host: posts-service}, mirrorPercentage: {value: 0}", vec![]),
        (
            "mirrors: [{destination: {host: posts-service}, percentage: {value: 10}}, {destination: {host: other-service}}]",
            vec![Share::percent(10.0), Share::ALL],
        ),
    ] {
        let harness = rule(&format!("{TO_OTHER}, {mirror}")).await;
        let shares = |forward: &Forward<Pod>| forward.mirrors.iter().map(|mirror| mirror.share).collect::<Vec<_>>();
        assert_eq!(sent(&harness, shares), want, "{mirror}");
    }
}

#[tokio::test]
async fn faults_and_answers_of_the_proxys_own() {
    let harness = rule(&format!(
        "{TO_OTHER}, fault: {{delay: {{fixedDelay: 5s, percentage: {{value: 50}}}}, abort: {{httpStatus: 500}}}}"
    ))
    .await;
    let fault = harness.route("posts-service", 80, "/", |route| route.action.fault.clone()).flatten().unwrap();
    assert_eq!(fault.delay, Some((Share::percent(50.0), Duration::from_secs(5))));
    assert_eq!(fault.abort, Some((Share::percent(0.0), Abort::Http(500))), "without a percentage none");
    for (redirect, status, port) in [
        ("uri: /x", 301, RedirectPort::Unchanged),
        ("port: 8080, redirectCode: 308", 308, RedirectPort::Number(8080)),
        ("port: 80", 301, RedirectPort::Unchanged),
        ("port: 80, scheme: https", 301, RedirectPort::Number(80)),
        ("derivePort: FROM_REQUEST_PORT, scheme: https", 301, RedirectPort::Number(80)),
        ("derivePort: FROM_PROTOCOL_DEFAULT", 301, RedirectPort::Unchanged),
    ] {
        let harness = rule(&format!("redirect: {{{redirect}}}")).await;
        let got = harness.route("posts-service", 80, "/", |route| match &route.action.answer {
            Answer::Redirect(redirect) => (redirect.status.as_u16(), redirect.port),
            other => panic!("{other:?}"),
        });
        assert_eq!(got, Some((status, port)), "{redirect}");
    }
    let harness = rule("directResponse: {status: 418, body: {string: tea}}").await;
    harness
        .route("posts-service", 80, "/", |route| match &route.action.answer {
            Answer::Respond { status, body } => {
                assert_eq!((*status, body.as_ref()), (StatusCode::IM_A_TEAPOT, &b"tea"[..]));
            }
            other => panic!("{other:?}"),
        })
        .unwrap();
}

#[tokio::test]
async fn a_delegates_rules_stand_where_it_is_named() {
    let root = virtual_service("root", "posts-service", "{match: [{uri: {prefix: /a}}], delegate: {name: part}}");
    let part = virtual_service(
        "part",
        "",
        &format!(
            "{{name: inner, match: [{{uri: {{prefix: /a/b}}}}], {TO_OTHER}}}, {{name: never, match: [{{uri: {{prefix: /c}}}}], {TO_OTHER}}}"
        ),
    );
    let both = harness(&(root.clone() + &part)).await;
    for (path, want) in [("/a/b", Some("inner")), ("/a", None), ("/c", None)] {
        assert_eq!(both.route("posts-service", 80, path, |route| route.name.clone()).as_deref(), want, "{path}");
    }
    let findings = both.cluster.findings();
    assert!(findings.len() == 1 && findings[0].message.starts_with("spec.http[1].match: excludes"), "{findings:?}");
    let alone = malha_manifest::parse_manifests("root.yml", &root);
    let harness = harness("").await;
    harness.cluster.apply(alone.objects.into_iter().map(Into::into));
    let findings = harness.cluster.findings();
    assert!(
        findings.iter().all(|one| one.message.contains("delegate: VirtualService part is not there")),
        "{findings:?}"
    );
    assert_eq!(harness.route("posts-service", 80, "/a", |route| route.name.clone()).as_deref(), Some("default"));
}

#[tokio::test]
async fn rules_without_a_route_here_are_not_there() {
    // Istio: `no routes matched`; the service keeps its own route.
    let other_port = virtual_service("v", "posts-service", &format!("{{match: [{{port: 81}}], {TO_OTHER}}}"));
    let other_namespace =
        virtual_service("v", "posts-service", &format!("{{match: [{{sourceNamespace: shop}}], {TO_OTHER}}}"));
    for yaml in [other_port, other_namespace] {
        let harness = harness(&yaml).await;
        let got = harness.route("posts-service", 80, "/", |route| {
            (route.name.clone(), destinations(route)[0].cluster.as_ref().unwrap().service.to_string())
        });
        assert_eq!(got, Some(("default".into(), "posts-service.default.svc.cluster.local".into())));
    }
}

#[tokio::test]
async fn what_cannot_be_read_leaves_the_rule_out() {
    for (http, finding) in [
        (format!("match: [{{uri: {{regex: '('}}}}], {TO_OTHER}"), "match[0].uri.regex"),
        (format!("{TO_OTHER}, rewrite: {{uriRegexRewrite: {{match: '(', rewrite: x}}}}"), "rewrite.uriRegexRewrite"),
        ("redirect: {redirectCode: 305}".to_owned(), "redirect.redirectCode"),
    ] {
        let yaml = virtual_service("v", "posts-service", &format!("{{{http}}}"));
        let loaded = malha_manifest::parse_manifests("v.yml", &yaml);
        let harness = harness("").await;
        harness.cluster.apply(loaded.objects.into_iter().map(Into::into));
        let findings = harness.cluster.findings();
        // What the manifest's own checks refuse does not come so far.
        assert!(findings.iter().all(|one| one.message.contains(finding)), "{findings:?}");
        let name = harness.route("posts-service", 80, "/", |route| route.name.clone());
        assert_eq!(name.as_deref(), Some("default"), "{finding}");
    }
}
