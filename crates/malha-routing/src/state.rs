//! What one proxy remembers of the clusters it sends to: requests in flight, ejected hosts, whose turn it is.
//!
//! Clusters are shared and immutable; this is the part that two proxies do not share. It follows the snapshots as Envoy
//! follows its configuration: when only the hosts of a cluster change, those that stay keep their accounts; when its
//! policy changes, Envoy makes a new cluster, and nothing is remembered.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rand::Rng;

use crate::balance::{Lineup, Turns};
use crate::cluster::{Cluster, Endpoint, Host};
use crate::limits::{Account, Admission, Breakers, Moment, RetryLimit, admit};
use crate::outcome::Outcome;
use crate::outlier::Detector;
use crate::retry::HOST_SELECTION_RETRIES;
use crate::traffic::TrafficPolicy;

/// All clusters that a proxy has sent to, by name.
#[derive(Debug)]
pub struct ProxyState<P> {
    clusters: ArcSwap<HashMap<Arc<str>, Arc<ClusterState<P>>>>,
    /// Held while the table is replaced.
    change: Mutex<()>,
}

impl<P> Default for ProxyState<P> {
    fn default() -> Self {
        Self { clusters: ArcSwap::default(), change: Mutex::default() }
    }
}

impl<P> ProxyState<P> {
    /// What is remembered of `cluster`, made at first use and brought up to date.
    pub fn cluster(&self, cluster: &Arc<Cluster<P>>, now: Moment) -> Arc<ClusterState<P>> {
        let known = self.clusters.load().get(&cluster.name).map(Arc::clone);
        let state = known.unwrap_or_else(|| self.insert(cluster, now));
        state.align(cluster);
        state
    }

    fn insert(&self, cluster: &Arc<Cluster<P>>, now: Moment) -> Arc<ClusterState<P>> {
        let _change = self.change.lock();
        let before = self.clusters.load_full();
        if let Some(known) = before.get(&cluster.name) {
            return Arc::clone(known);
        }
        let state = Arc::new(ClusterState::new(cluster, now));
        let mut clusters = HashMap::clone(&before);
        clusters.insert(Arc::clone(&cluster.name), Arc::clone(&state));
        self.clusters.store(Arc::new(clusters));
        state
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.clusters.load().is_empty()
    }

    /// Forgets the clusters whose names `keep` does not want: those that a new snapshot does not have.
    pub fn retain(&self, mut keep: impl FnMut(&str) -> bool) {
        let _change = self.change.lock();
        let before = self.clusters.load();
        let mut clusters = HashMap::clone(&before);
        clusters.retain(|name, _| keep(name));
        if clusters.len() < before.len() {
            self.clusters.store(Arc::new(clusters));
        }
    }
}

/// What one proxy remembers of one cluster.
#[derive(Debug)]
pub struct ClusterState<P> {
    view: ArcSwap<View<P>>,
    /// Held while the view is replaced.
    change: Mutex<()>,
    /// When it was made, which is when Envoy's timers begin.
    start: Moment,
}

/// A version of a cluster, and the accounts of its hosts in the same order.
#[derive(Debug)]
struct View<P> {
    cluster: Arc<Cluster<P>>,
    accounts: Vec<Arc<Account>>,
    core: Arc<Core>,
    lineup: ArcSwap<Current>,
    /// Versions before this one that some request may still know.
    superseded: Vec<Weak<Cluster<P>>>,
}

/// What lives as long as the policy does.
#[derive(Debug)]
struct Core {
    policy: Arc<TrafficPolicy>,
    breakers: Arc<Breakers>,
    detector: Option<Detector>,
    turns: Turns,
}

/// A line-up, and how many changes of health it knows of.
#[derive(Debug)]
struct Current {
    changes: u64,
    lineup: Lineup,
}

impl<P> ClusterState<P> {
    /// Nothing is remembered yet.
    pub fn new(cluster: &Arc<Cluster<P>>, now: Moment) -> Self {
        let core = Arc::new(Core::new(&cluster.policy, now));
        let view = View::new(Arc::clone(cluster), core, &HashMap::new(), Vec::new());
        Self { view: ArcSwap::from_pointee(view), change: Mutex::default(), start: now }
    }

    /// Brings the hosts and the policy up to date. Costs a comparison, if they are. A request that began with an older
    /// version than the last one does not bring it back: like Envoy's, its next try goes to the hosts of now.
    pub fn align(&self, cluster: &Arc<Cluster<P>>) {
        if self.view.load().knows(cluster) {
            return;
        }
        let _change = self.change.lock();
        let before = self.view.load_full();
        if before.knows(cluster) {
            return;
        }
        let same_policy =
            Arc::ptr_eq(&before.cluster.policy, &cluster.policy) || before.cluster.policy == cluster.policy;
        let (core, accounts) = if same_policy {
            (Arc::clone(&before.core), before.accounts_by_endpoint())
        } else {
            (Arc::new(Core::new(&cluster.policy, self.start)), HashMap::new())
        };
        let mut superseded: Vec<_> =
            before.superseded.iter().filter(|version| version.strong_count() > 0).map(Weak::clone).collect();
        superseded.push(Arc::downgrade(&before.cluster));
        let view = Arc::new(View::new(Arc::clone(cluster), core, &accounts, superseded));
        for (account, _) in before.accounts.iter().zip(&before.cluster.hosts) {
            if !view.accounts.iter().any(|kept| Arc::ptr_eq(kept, account)) {
                account.retire(&before.core.breakers);
            }
        }
        self.view.store(view);
    }

    /// The version of the cluster that tries go to.
    pub fn cluster(&self) -> Arc<Cluster<P>> {
        Arc::clone(&self.view.load().cluster)
    }

    /// How many retries may be in flight.
    pub fn retries(&self) -> RetryLimit {
        RetryLimit::new(Arc::clone(&self.view.load().core.breakers))
    }

    /// A host for a try. `hash` is of use to a consistent hash only; without one, any host will do. `tried` are the
    /// hosts to pass over if up to five more draws find another ([`RetryPolicy::avoid_previous_hosts`]); after those,
    /// one of them it is. `None`: there is no host, or none is healthy, which is 503 with flag `UH`.
    ///
    /// [`RetryPolicy::avoid_previous_hosts`]: crate::RetryPolicy::avoid_previous_hosts
    pub fn pick(&self, hash: Option<u64>, tried: &[Pick<P>], now: Moment, chance: &mut impl Rng) -> Option<Pick<P>> {
        let view = self.view.load();
        if let Some(detector) = &view.core.detector {
            detector.tick(now);
        }
        let current = view.current();
        let hosts = &view.cluster.hosts;
        let most = if tried.is_empty() { 1 } else { HOST_SELECTION_RETRIES + 1 };
        let hash = hash.unwrap_or_else(|| chance.next_u64());
        let mut drawn = None;
        for attempt in 0..most {
            let active = |index: usize| view.accounts[index].active.read();
            let (balancer, turns) = (&view.core.policy.balancer, &view.core.turns);
            let index = current.lineup.draw(balancer, hosts, active, turns, (hash, attempt), chance)?;
            drawn = Some(index);
            if !tried.iter().any(|pick| Arc::ptr_eq(&pick.host().endpoint, &hosts[index].endpoint)) {
                break;
            }
        }
        drawn.map(|index| Pick { view: Arc::clone(&view), index })
    }
}

impl Core {
    fn new(policy: &Arc<TrafficPolicy>, start: Moment) -> Self {
        let policy = Arc::clone(policy);
        let breakers = Arc::new(Breakers::new(policy.limits.clone(), policy.protocol));
        let detector = policy.outlier.clone().map(|rules| Detector::new(rules, start));
        Self { policy, breakers, detector, turns: Turns::default() }
    }
}

impl<P> View<P> {
    fn new(
        cluster: Arc<Cluster<P>>,
        core: Arc<Core>,
        known: &HashMap<*const Endpoint<P>, Arc<Account>>,
        superseded: Vec<Weak<Cluster<P>>>,
    ) -> Self {
        let account = |host: &Host<P>| known.get(&Arc::as_ptr(&host.endpoint)).map(Arc::clone).unwrap_or_default();
        let accounts: Vec<_> = cluster.hosts.iter().map(account).collect();
        if let Some(detector) = &core.detector {
            detector.align(&accounts);
        }
        let lineup = ArcSwap::from_pointee(Current::new(&cluster, &accounts, &core));
        Self { cluster, accounts, core, lineup, superseded }
    }

    fn knows(&self, cluster: &Arc<Cluster<P>>) -> bool {
        let asked = Arc::as_ptr(cluster);
        Arc::as_ptr(&self.cluster) == asked || self.superseded.iter().any(|version| version.as_ptr() == asked)
    }

    fn accounts_by_endpoint(&self) -> HashMap<*const Endpoint<P>, Arc<Account>> {
        let hosts = self.cluster.hosts.iter().map(|host| Arc::as_ptr(&host.endpoint));
        hosts.zip(self.accounts.iter().map(Arc::clone)).collect()
    }

    /// The line-up of now. Whoever sees a change of health first makes the next.
    fn current(&self) -> arc_swap::Guard<Arc<Current>> {
        let current = self.lineup.load();
        let changed = self.core.detector.as_ref().is_some_and(|detector| detector.changes() != current.changes);
        if !changed {
            return current;
        }
        self.lineup.store(Arc::new(Current::new(&self.cluster, &self.accounts, &self.core)));
        self.lineup.load()
    }
}

impl Current {
    fn new<P>(cluster: &Cluster<P>, accounts: &[Arc<Account>], core: &Core) -> Self {
        // Read before the hosts' health: a change in between is then seen as one.
        let changes = core.detector.as_ref().map_or(0, Detector::changes);
        let minimum = core.detector.as_ref().map_or(0, |detector| detector.rules().min_health_percent);
        let healthy = |index: usize| !accounts[index].ejected.load(Ordering::Acquire);
        Self { changes, lineup: Lineup::new(&cluster.hosts, healthy, minimum) }
    }
}

/// A host, for one try.
#[derive(Debug)]
pub struct Pick<P> {
    view: Arc<View<P>>,
    index: usize,
}

impl<P> Clone for Pick<P> {
    fn clone(&self) -> Self {
        Self { view: Arc::clone(&self.view), index: self.index }
    }
}

impl<P> Pick<P> {
    /// The host.
    pub fn host(&self) -> &Host<P> {
        &self.view.cluster.hosts[self.index]
    }

    fn account(&self) -> &Arc<Account> {
        &self.view.accounts[self.index]
    }

    /// Whether the try may begin: circuit breakers, and who may use which connection.
    pub fn admit(&self, now: Moment) -> Admission {
        admit(&self.view.core.breakers, self.account(), &self.view.accounts, now)
    }

    /// How the try ended, for outlier detection. Once for each try; for a timeout, when it passes.
    pub fn report(&self, outcome: &Outcome<'_>, now: Moment) {
        if let Some(detector) = &self.view.core.detector {
            detector.report(self.account(), outcome, now);
        }
    }

    /// The try has its connection, a new or an old one: with `split_external_local_origin_errors`, failures in a row end
    /// here. A timeout that follows begins another row, so timeouts alone never eject, as with a real Envoy.
    pub fn connected(&self) {
        Detector::connected(self.account());
    }

    /// Requests in flight at this host.
    pub fn active(&self) -> u32 {
        self.account().active.read()
    }

    /// Whether outlier detection leaves it in.
    pub fn healthy(&self, now: Moment) -> bool {
        if let Some(detector) = &self.view.core.detector {
            detector.tick(now);
        }
        !self.account().ejected.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
