//! `resources.limits`: what a pod gets of the processors.

use std::sync::Arc;
use std::time::Duration;

use malha_world::{Work, World};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Cluster, Manifests, NOW, get};

/// How long each load is kept up.
const LOAD: Duration = Duration::from_secs(4);

/// Asks for a post with ten clients at a time, through the gateway: how many answers there are, and the longest wait.
async fn load(cluster: &Arc<Cluster>) -> (u64, Duration) {
    let end = Instant::now() + LOAD;
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        let cluster = Arc::clone(cluster);
        clients.spawn(async move {
            let (mut count, mut longest) = (0, Duration::ZERO);
            while Instant::now() < end {
                let start = Instant::now();
                assert_eq!(cluster.gateway(get("/posts/1").bearer(Cluster::admin())).await.status, 200);
                longest = longest.max(start.elapsed());
                count += 1;
            }
            (count, longest)
        });
    }
    let all = clients.join_all().await.into_iter();
    all.fold((0, Duration::ZERO), |(count, longest), (more, wait)| (count + more, longest.max(wait)))
}

/// Each request costs 10 ms. So one of 100m has one each 100 ms, one of 250m five each 200 ms.
#[tokio::test(start_paused = true)]
async fn throughput_follows_the_limit_of_the_cpu() {
    for (limit, each_second, longest) in [("100m", 10, 1_100), ("250m", 25, 600), ("500m", 50, 300), ("2", 200, 100)] {
        let world = World { work: Work::Fixed(Duration::from_millis(10)), ..World::simulated(NOW, 1) };
        let manifests = Manifests::base().edit("01-posts.yml", "cpu: 100m", &format!("cpu: {limit}"));
        let cluster = Arc::new(manifests.start_in(world).await);
        let (count, slowest) = load(&cluster).await;
        // What the kubelet's probes cost is not theirs; and what waited at the end is.
        let want = each_second * LOAD.as_secs();
        assert!((want - 3..=want + 12).contains(&count), "{limit}: {count} answers and not {want}");
        assert!(slowest <= Duration::from_millis(longest), "{limit}: an answer after {slowest:?}");
    }
}
