//! The gateways of the samples: what they let in.

use crate::mesh::{Answer, Sample};

/// The Service and Deployment of httpbin's sample, which is more than its gateway.
pub(crate) const HTTPBIN: &str = "
apiVersion: v1
kind: Service
metadata:
  name: httpbin
spec:
  selector:
    app: httpbin
  ports:
    - name: http
      port: 8000
      targetPort: 8080
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: httpbin
spec:
  selector:
    matchLabels:
      app: httpbin
  template:
    metadata:
      labels:
        app: httpbin
    spec:
      containers:
        - name: httpbin
          image: httpbin:1
          ports:
            - containerPort: 8080
";

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn the_gateway_of_bookinfo_lets_in_what_the_product_page_needs() {
    let files = ["bookinfo.yaml", "bookinfo-gateway.yaml"];
    let Some(sample) = Sample::start(&files, "").await else { return };
    for (path, status) in [
        ("/productpage", 200),
        ("/productpage?u=normal", 200),
        ("/static", 200),
        ("/static/bootstrap/css/bootstrap.min.css", 200),
        ("/login", 200),
        ("/logout", 200),
        ("/api/v1/products", 200),
        ("/api/v1/products/0/reviews", 200),
        ("/", 404),
        ("/productpage/", 404),
        ("/login/again", 404),
        ("/reviews/0", 404),
        ("/api/v1", 404),
    ] {
        let want = if status == 200 { answer(200, "productpage-v1") } else { answer(status, "") };
        assert_eq!(sample.gateway(8080, path).await, want, "{path}");
    }
    assert_eq!(sample.gateway(80, "/productpage").await, answer(404, ""), "the gateway has port 8080 alone");
}

#[tokio::test(start_paused = true)]
async fn the_gateway_of_httpbin_lets_in_everything() {
    let Some(sample) = Sample::start(&["httpbin-gateway.yaml"], HTTPBIN).await else { return };
    for path in ["/", "/status/200", "/headers"] {
        assert_eq!(sample.gateway(80, path).await, answer(200, "httpbin"), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn both_samples_live_side_by_side() {
    let files = ["bookinfo.yaml", "bookinfo-gateway.yaml", "httpbin-gateway.yaml"];
    let Some(sample) = Sample::start(&files, HTTPBIN).await else { return };
    assert_eq!(sample.gateway(8080, "/productpage").await, answer(200, "productpage-v1"));
    assert_eq!(sample.gateway(80, "/productpage").await, answer(200, "httpbin"));
}
