//! Autoscalers under load through the gateway, from the first request to the last pod that goes: ten minutes of paused time.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use malha_cluster::{Described, Store, quantity};
use malha_world::{Work, World};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{Cluster, Manifests, NOW, get};

/// Pods that are wanted, and pods that are ready.
fn size(cluster: &Cluster) -> (i32, usize) {
    let scaler = |store: &Store| store.get::<HorizontalPodAutoscaler>("default", "posts-hpa").cloned().unwrap();
    let wanted = cluster.running.cluster().read(scaler).status.clone().unwrap_or_default().desired_replicas;
    let pods = cluster.running.pods();
    (wanted, pods.iter().filter(|pod| pod.ready && pod.name.starts_with("posts-")).count())
}

/// The average that the autoscaler's first metric shows, in thousandths.
fn average(cluster: &Cluster) -> u64 {
    let scaler = |store: &Store| store.get::<HorizontalPodAutoscaler>("default", "posts-hpa").cloned().unwrap();
    let metrics = cluster.running.cluster().read(scaler).status.clone().unwrap().current_metrics.unwrap();
    let average = metrics[0].pods.as_ref().unwrap().current.average_value.clone();
    quantity::millicores(&average.unwrap().0).unwrap()
}

/// Asks for posts at an even pace for some seconds; every request is answered by a pod. The sizes that were seen, one for each
/// that followed on another.
async fn load(cluster: &Cluster, each_second: u32, seconds: u64) -> Vec<(i32, usize)> {
    let (start, pause) = (Instant::now(), Duration::from_secs(1) / each_second);
    let mut sizes = vec![size(cluster)];
    for round in 0..u32::try_from(seconds).unwrap() * each_second {
        let answer = cluster.gateway(get("/posts/info")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        sleep_until(start + pause * (round + 1)).await;
        let now = size(cluster);
        if sizes.last() != Some(&now) {
            sizes.push(now);
        }
    }
    sizes
}

#[tokio::test(start_paused = true)]
async fn pods_follow_the_requests_that_reach_them() {
    let manifests = Manifests::step("02-hpa-requests.yml").edit("02-hpa-requests.yml", r#""50""#, r#""1""#);
    let cluster = manifests.start().await;
    let sizes = load(&cluster, 10, 180).await;
    let wanted: Vec<i32> = {
        let mut wanted: Vec<i32> = sizes.iter().map(|(wanted, _)| *wanted).filter(|wanted| *wanted > 0).collect();
        wanted.dedup();
        wanted
    };
    // To four at most, then doubled.
    assert_eq!(wanted, [4, 8, 10]);
    assert_eq!(size(&cluster), (10, 10), "{sizes:?}");
    // The rule's aim is met, but for what Prometheus' rate makes of counts that are not even, and everybody has a share.
    assert!((900..=1_100).contains(&average(&cluster)), "{}", average(&cluster));
    let rate = cluster.running.cluster().request_rates().of("default", Described::Service("posts-service"));
    assert!((9_000..=11_000).contains(&rate.unwrap()), "{rate:?}");
    let pods = cluster.running.running();
    let busy = pods.iter().filter(|(name, pod)| name.starts_with("posts-") && pod.requests() > 25);
    assert_eq!(busy.count(), 10);

    // A few go on asking while the pods go.
    let stopped = Instant::now();
    while size(&cluster).0 == 10 {
        load(&cluster, 1, 15).await;
        assert!(stopped.elapsed() < Duration::from_mins(10), "they never go");
    }
    let held = stopped.elapsed().as_secs();
    // A minute until the rate has fallen, and what was asked for on the way, until it leaves the window.
    assert!((300..=375).contains(&held), "{held}");
    let falling = load(&cluster, 1, 90).await;
    assert!(falling.is_sorted_by(|before, after| before.0 >= after.0), "{falling:?}");
    assert_eq!(size(&cluster), (1, 1), "{falling:?}");
    sleep(Duration::from_secs(90)).await;
    assert_eq!(average(&cluster), 0);
}

/// Twenty clients that ask for a post again and again until `end`: how many answers each 15 s have, from now on.
async fn clients(cluster: &Arc<Cluster>, end: Instant) -> Vec<usize> {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let cluster = Arc::clone(cluster);
        clients.spawn(async move {
            let mut answered = Vec::new();
            while Instant::now() < end {
                let answer = cluster.gateway(get("/posts/info")).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                answered.push(start.elapsed().as_secs() / 15);
            }
            answered
        });
    }
    let answered = clients.join_all().await.concat();
    (0..(end - start).as_secs() / 15).map(|turn| answered.iter().filter(|one| **one == turn).count()).collect()
}

/// A request costs 10 ms, and a pod has 100 of them a second: ten requests. `k8s/02-hpa.yml` wants each to use 20.
#[tokio::test(start_paused = true)]
async fn throughput_rises_with_the_pods_that_the_load_asks_for() {
    let world = World { work: Work::Fixed(Duration::from_millis(10)), ..World::simulated(NOW, 1) };
    let manifests = Manifests::step("02-hpa.yml");
    let cluster = Arc::new(manifests.start_in(world).await);
    // Longer than a pod counts as starting.
    sleep(Duration::from_secs(400)).await;
    assert_eq!(size(&cluster), (1, 1));
    let answered = clients(&cluster, Instant::now() + Duration::from_secs(90)).await;
    assert_eq!(size(&cluster), (10, 10), "{answered:?}");
    // Ten a second with one pod, of which there are four before the first 15 s are over, and nearly a hundred with ten:
    // clients that wait at one pod may leave another without work.
    assert!((140..=500).contains(&answered[0]), "{answered:?}");
    assert!(answered[..4].is_sorted(), "{answered:?}");
    assert!(answered[4..].iter().all(|count| (1_350..=1_500).contains(count)), "{answered:?}");

    // So few that they cost less than the kubelet's probes.
    let stopped = Instant::now();
    while size(&cluster).0 == 10 {
        load(&cluster, 1, 1).await;
        sleep(Duration::from_secs(14)).await;
        assert!(stopped.elapsed() < Duration::from_mins(10), "they never go");
    }
    let held = stopped.elapsed().as_secs();
    assert!((300..=330).contains(&held), "{held}");
    load(&cluster, 1, 30).await;
    assert_eq!(size(&cluster), (1, 1));
}
