//! Keeps the keys of issuers fresh, as istiod does for the proxies of a mesh: fetches those that a snapshot asks for, and
//! hands them to the cluster, which makes a new snapshot of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use malha_cluster::Cluster;
use malha_mesh::Mesh;
use malha_routing::KeySource;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::node::LocalNode;

/// How often keys are fetched anew (Istio, `PILOT_JWT_PUB_KEY_REFRESH_INTERVAL`).
const REFRESH: Duration = Duration::from_mins(20);

/// How soon after a failure, at first; twice as long each time after (Istio: up to the usual interval).
const RETRY: Duration = Duration::from_secs(1);

/// A task that keeps keys fresh.
pub(crate) struct KeyKeeper {
    task: AbortHandle,
    problems: Problems,
}

type Problems = Arc<Mutex<BTreeMap<KeySource, String>>>;

impl KeyKeeper {
    /// Fetches what the snapshot of now asks for before it returns, so that tokens are good as soon as pods are ready.
    pub(crate) async fn start(cluster: Cluster<LocalNode>, mesh: Mesh) -> Self {
        let problems = Problems::default();
        let mut keeper = Keeper { cluster, mesh, plans: HashMap::new(), problems: Arc::clone(&problems) };
        keeper.fetch_due().await;
        Self { task: tokio::spawn(keeper.run()).abort_handle(), problems }
    }

    /// What could not be fetched, and why.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.problems.lock().values().cloned().collect()
    }

    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

struct Keeper {
    cluster: Cluster<LocalNode>,
    mesh: Mesh,
    plans: HashMap<KeySource, Plan>,
    problems: Problems,
}

/// When a source is asked next.
struct Plan {
    at: Instant,
    pause: Duration,
}

impl Keeper {
    async fn run(mut self) {
        let mut versions = self.mesh.versions();
        loop {
            let next = self.plans.values().map(|plan| plan.at).min();
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                changed = versions.changed() => if changed.is_err() { return },
            }
            self.fetch_due().await;
        }
    }

    /// Fetches what is due, and forgets what nobody asks for any more.
    async fn fetch_due(&mut self) {
        let wanted = self.mesh.snapshot().remote_keys.clone();
        self.plans.retain(|source, _| wanted.iter().any(|keys| keys.source == *source));
        self.problems.lock().retain(|source, _| wanted.iter().any(|keys| keys.source == *source));
        for keys in &wanted {
            if self.plans.get(&keys.source).is_some_and(|plan| plan.at > Instant::now()) {
                continue;
            }
            let fetched = match self.mesh.fetch_keys(keys).await {
                Ok(text) => self.cluster.learn_keys(&keys.source, &text),
                Err(why) => Err(why),
            };
            let plan = self.plans.entry(keys.source.clone()).or_insert(Plan { at: Instant::now(), pause: RETRY });
            let wait = if fetched.is_ok() {
                plan.pause = RETRY;
                REFRESH
            } else {
                let pause = plan.pause;
                plan.pause = (pause * 2).min(REFRESH);
                pause
            };
            plan.at = Instant::now() + wait;
            let mut problems = self.problems.lock();
            match fetched {
                Ok(()) => drop(problems.remove(&keys.source)),
                Err(why) => drop(problems.insert(keys.source.clone(), why)),
            }
        }
    }
}
