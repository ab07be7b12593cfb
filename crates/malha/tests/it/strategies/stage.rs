//! A strategy in a cluster of its own, and its README as whoever types it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use std::vec;

use malha::{Plan, Running};
use malha_world::World;
use serde_json::Value;
use tokio::time::sleep;

use super::VERSIONS;
use super::load::{Load, Seen};
use super::typed::Kubectl;
use crate::support::{NOW, build, engine, project, root};

/// A cluster, and what is left to be typed.
pub(super) struct Stage {
    pub(super) running: Running,
    kubectl: Kubectl,
    lines: vec::IntoIter<String>,
    agents: Vec<&'static str>,
    load: Option<Load>,
}

/// The folder of a strategy.
pub(super) fn folder(strategy: &str) -> PathBuf {
    root().join("k8s/strategies").join(strategy)
}

/// What a README says to type into kubectl: the lines between fences that begin with it.
pub(super) fn lines(strategy: &str) -> Vec<String> {
    let text = fs::read_to_string(folder(strategy).join("README.md")).unwrap();
    let fenced = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    // What only shows something goes on for ever, or changes nothing.
    let shows = |line: &str| ["kubectl get ", "kubectl logs "].iter().any(|verb| line.starts_with(verb));
    fenced.filter(|line| line.starts_with("kubectl ") && !shows(line)).map(ToOwned::to_owned).collect()
}

impl Stage {
    /// Types the first line of a strategy's README, which brings it up, and lets its clients begin.
    pub(super) async fn of(strategy: &str) -> Self {
        Self::with_clients(strategy, &["curl/8.5.0"]).await
    }

    /// The same with these browsers for clients.
    pub(super) async fn with_clients(strategy: &str, agents: &[&'static str]) -> Self {
        for version in VERSIONS {
            build(&format!("relay:{version}"));
        }
        let world = World::simulated(NOW, 1);
        let (empty, _) = Plan::load(&[]);
        let (running, _) = Running::start(empty, engine().clone(), project().images().clone(), world.clone()).await;
        let kubectl = Kubectl::new(running.cluster(), &world);
        let lines = lines(strategy).into_iter();
        let mut stage = Self { running, kubectl, lines, agents: agents.to_vec(), load: None };
        stage.types(&format!("apply -k k8s/strategies/{strategy}")).await;
        stage.running.cluster().settled().await;
        // Until the probes are content.
        sleep(Duration::from_secs(10)).await;
        assert_eq!(stage.running.findings(), []);
        assert_eq!(stage.running.problems(), Vec::<String>::new());
        assert!(stage.running.pods().iter().all(|pod| pod.ready), "{:?}", stage.running.pods());
        stage.clients_begin();
        stage
    }

    /// Types the README's next line, which has to be this one, in short. Says how many requests had begun before.
    pub(super) async fn types(&mut self, expected: &str) -> usize {
        let line = self.lines.next().expect("the README has one more line for kubectl");
        assert!(line.starts_with(&format!("kubectl {expected}")), "the README says `{line}`, not `{expected}`");
        let begun = self.begun();
        self.kubectl.run(&line).await;
        begun
    }

    /// How many requests have begun.
    pub(super) fn begun(&self) -> usize {
        self.load.as_ref().map_or(0, Load::begun)
    }

    /// Types what no README says.
    pub(super) async fn also(&self, line: &str) {
        self.kubectl.run(line).await;
    }

    /// Lets the clients ask.
    pub(super) fn clients_begin(&mut self) {
        self.load = Some(Load::start(self.running.mesh(), &self.agents));
    }

    /// Stops the clients; every answer that they got, in the order of the requests.
    pub(super) async fn clients_end(&mut self) -> Vec<Seen> {
        self.load.take().unwrap().stop().await
    }

    /// The same at the end, when all that the README says has been typed.
    pub(super) async fn ends(mut self) -> Vec<Seen> {
        assert_eq!(self.lines.as_slice(), Vec::<String>::new(), "the README says more");
        self.clients_end().await
    }

    /// The `request_id` of each request that pods whose names begin like this logged.
    pub(super) fn logged(&self, pods: &str) -> Vec<Value> {
        let pods = self.running.running().into_iter().filter(|(name, _)| name.starts_with(pods));
        let lines = pods.flat_map(|(_, pod)| pod.logs().lines());
        let lines = lines.map(|line| serde_json::from_str::<Value>(&line.text).unwrap());
        let mut requests: Vec<_> =
            lines.filter(|line| line["path"] == "/").map(|line| line["request_id"].clone()).collect();
        requests.sort_by_key(ToString::to_string);
        requests
    }
}

/// Lets the clients ask for a while.
pub(super) async fn wait(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
