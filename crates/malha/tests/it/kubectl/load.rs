//! Changing the cluster while requests flow: not one is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use malha_mesh::{Connection, Mesh, gateway};

use crate::support::{Answer, Call, get, post};

use super::cluster::{Cluster, kubectl_is_there};

/// Clients that ask, each one request after the other.
const CLIENTS: usize = 8;

/// Everything that makes pods come and go.
const CHANGES: &[&str] = &[
    "kubectl scale deployment/posts-deployment --replicas 3",
    "kubectl rollout status deployment/posts-deployment",
    "kubectl rollout restart deployment/posts-deployment",
    "kubectl rollout status deployment/posts-deployment",
    "kubectl set env deployment/posts-deployment LOG_LEVEL=warn",
    "kubectl apply -k $K8S",
    "kubectl rollout status deployment/posts-deployment",
    "kubectl patch virtualservice app-route --type=merge -p '{\"metadata\":{\"labels\":{\"a\":\"b\"}}}'",
    "kubectl delete pod \"$(kubectl get pods -l app=posts -o name | head -1 | cut -d/ -f2)\"",
    "kubectl scale deployment/posts-deployment --replicas 1",
    "kubectl rollout status deployment/posts-deployment",
];

async fn ask(mesh: &Mesh, call: Call) -> Answer {
    let connection =
        Connection { client: "192.0.2.1:50000".parse().unwrap(), local: "127.0.0.1:80".parse().unwrap(), tls: None };
    Answer::read(mesh.enter(&gateway(80), call.request(), &connection).await.expect("an answer")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_updates_scaling_and_applying_lose_no_request() {
    if !kubectl_is_there() {
        return;
    }
    let cluster = Cluster::start().await;
    let mesh = cluster.running().mesh().clone();
    let token = ask(&mesh, post("/auth").basic("admin", "admin")).await.json()["access_token"].clone();
    let token: Arc<str> = token.as_str().unwrap().into();
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (mesh, token, stop, asked) = (mesh.clone(), Arc::clone(&token), Arc::clone(&stop), Arc::clone(&asked));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = ask(&mesh, get("/posts/1").bearer(&token)).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for command in CHANGES {
        let output = cluster.shell(command).await;
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stdout));
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no request is lost");
    }
    assert!(asked.load(Ordering::Relaxed) > CLIENTS);
}
