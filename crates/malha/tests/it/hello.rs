//! `k8s/hello`: the smallest service.

use crate::support::{Cluster, Manifests, get, load_balancer};

const REQUESTS: u32 = 1_000;

async fn ask(cluster: &Cluster) {
    for _ in 0..REQUESTS {
        let answer = cluster.enter(&load_balancer("hello-service"), &get("/")).await.unwrap();
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn five_pods_answer_behind_a_load_balancer() {
    let cluster = Manifests::of("k8s/hello").start().await;
    let ready = cluster.running.pods().iter().filter(|pod| pod.ready).count();
    let ports: Vec<u16> = cluster.running.running().values().map(malha_runtime::Pod::port).collect();
    assert_eq!((ready, ports), (5, vec![3000; 5]));
    let answer = cluster.enter(&load_balancer("hello-service"), &get("/")).await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "Hello, world!\n"));
    ask(&cluster).await;
}

/// hello says nothing in its log. So a component takes its place that writes a line for each request.
#[tokio::test(start_paused = true)]
async fn five_pods_share_the_requests() {
    let cluster =
        Manifests::of("k8s/hello").edit("hello.yml", "image: hello:0.0.1", "image: relay:0.0.1").start().await;
    ask(&cluster).await;
    let pods = cluster.running.running();
    let counts: Vec<u32> = pods.values().map(|pod| u32::try_from(pod.logs().lines().len()).unwrap()).collect();
    assert_eq!((counts.len(), counts.iter().sum()), (5, REQUESTS));
    // kube-proxy picks a pod for each connection: a fifth each, give or take six standard deviations.
    let expected = f64::from(REQUESTS) / 5.0;
    let allowed = 6.0 * (expected * 0.8).sqrt();
    assert!(counts.iter().all(|count| (f64::from(*count) - expected).abs() < allowed), "{counts:?}");
}
