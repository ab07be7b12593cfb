//! Tasks of Istio's documentation that go on from the samples, with manifests of our own: "Fault Injection" (the delay),
//! "Ingress Gateways", "Accessing External Services"; and the reference of `Sidecar`.

use tokio::time::Instant;

use crate::gateways::HTTPBIN;
use crate::mesh::{Answer, Sample};

const ALL: &str = "destination-rule-all-mtls.yaml";

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_for_the_user_that_it_is_meant_for() {
    let delay = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    fault: {delay: {percentage: {value: 100}, fixedDelay: 7s}}
    route: [{destination: {host: ratings, subset: v1}}]
  - route: [{destination: {host: ratings, subset: v1}}]
";
    let Some(sample) = Sample::start(&["bookinfo.yaml", ALL], delay).await else { return };
    for (user, seconds) in [(Some("jason"), 7), (Some("Jason"), 0), (None, 0)] {
        let start = Instant::now();
        assert_eq!(sample.pod("http://ratings:9080/ratings/0", user).await, answer(200, "ratings-v1"));
        assert_eq!(start.elapsed().as_secs(), seconds, "{user:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_ingress_gateway_lets_in_the_paths_of_its_host() {
    let ingress = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: httpbin-gateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [httpbin.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: [httpbin.example.com]
  gateways: [httpbin-gateway]
  http:
  - match: [{uri: {prefix: /status}}, {uri: {prefix: /delay}}]
    route: [{destination: {host: httpbin, port: {number: 8000}}}]
---";
    let Some(sample) = Sample::start(&[], &format!("{ingress}{HTTPBIN}")).await else { return };
    let found = answer(200, "httpbin");
    let missing = answer(404, "");
    for (host, path, want) in [
        ("httpbin.example.com", "/status/200", &found),
        ("httpbin.example.com:8080", "/delay/2", &found),
        ("httpbin.example.com", "/headers", &missing),
        ("other.example.com", "/status/200", &missing),
    ] {
        assert_eq!(sample.gateway_of(host, 80, path).await, *want, "{host}{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_registered_is_reached_where_the_mesh_says_so() {
    let egress = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: books}
spec:
  hosts: [books.example.com]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9080}]
  resolution: STATIC
  workloadSelector: {labels: {app: details}}
";
    let Some(sample) = Sample::start(&["bookinfo.yaml"], egress).await else { return };
    for (url, want) in [
        ("http://books.example.com/", answer(200, "details-v1")),
        ("http://edition.example.com/", answer(502, "")),
        ("http://details:9080/details/0", answer(200, "details-v1")),
        ("http://edition.example.com:9080/", answer(502, "")),
    ] {
        assert_eq!(sample.pod(url, None).await, want, "{url}");
    }
}

/// "The services can still be reached": what a `Sidecar` leaves out is no part of the mesh for its pods.
#[tokio::test(start_paused = true)]
async fn a_sidecar_that_leaves_a_service_out_leaves_its_rules_out_too() {
    for (mode, want) in [("ALLOW_ANY", answer(200, "details-v1")), ("REGISTRY_ONLY", answer(502, ""))] {
        let sidecar = format!(
            "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: productpage}}
spec:
  workloadSelector: {{labels: {{app: productpage}}}}
  egress: [{{hosts: [./ratings.default.svc.cluster.local]}}]
  outboundTrafficPolicy: {{mode: {mode}}}
"
        );
        let files = ["bookinfo.yaml", "fault-injection-details-v1.yaml"];
        let Some(sample) = Sample::start(&files, &sidecar).await else { return };
        assert_eq!(sample.pod("http://details:9080/details/0", None).await, want, "{mode}");
        assert_eq!(sample.pod("http://ratings:9080/ratings/0", None).await, answer(200, "ratings-v1"));
    }
}
