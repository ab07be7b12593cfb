//! A cluster with its API on a socket, and kubectl beside it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use malha::{Plan, Running};
use malha_cluster::Nodes;
use malha_manifest::Input;
use malha_world::{Chance, World};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Manifests, build, build_next_version, engine, project};

/// The oldest kubectl that malha promises to talk to.
const OLDEST: u32 = 28;

/// No command takes this long; one that hangs should fail its test rather than all of them.
const PATIENCE: Duration = Duration::from_mins(2);

/// Whether there is a kubectl to test with. Without one these tests show nothing, and where `CI` is set they fail.
pub(super) fn kubectl_is_there() -> bool {
    static VERSION: LazyLock<Result<u32, String>> = LazyLock::new(|| {
        let output = std::process::Command::new("kubectl").args(["version", "--client", "-o", "json"]).output();
        let output = output.map_err(|error| format!("kubectl: {error}"))?;
        let json: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("kubectl version: {error}"))?;
        let minor = json["clientVersion"]["minor"].as_str().unwrap_or_default().trim_end_matches('+');
        minor.parse().map_err(|_| format!("kubectl has no minor version: {json}"))
    });
    let problem = match &*VERSION {
        Ok(minor) if *minor >= OLDEST => return true,
        Ok(minor) => format!("kubectl is 1.{minor}, and these tests want 1.{OLDEST} or later"),
        Err(problem) => problem.clone(),
    };
    assert!(std::env::var_os("CI").is_none(), "{problem}");
    // Past the test harness, which keeps what a test that passes prints.
    let _ = std::io::Write::write_all(
        &mut std::io::stderr().lock(),
        format!("NOT TESTED: the Kubernetes API with the real kubectl: {problem}\n").as_bytes(),
    );
    false
}

/// The workshop, running, with an API that kubectl finds.
pub(super) struct Cluster {
    running: Running,
    home: TempDir,
    manifests: TempDir,
    pub(super) gateway: SocketAddr,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        Self::of_nodes(1).await
    }

    pub(super) async fn of_nodes(count: u16) -> Self {
        // Before anything has a deadline: a build beside them makes probes late.
        build_next_version();
        ["relay:0.0.1", "relay:0.0.2"].into_iter().for_each(build);
        let manifests = Manifests::base().write();
        let (plan, _) = Plan::load(&[Input::Kustomize(manifests.path().to_owned())]);
        let plan = plan.on_nodes(Nodes { count, ..Nodes::default() });
        let doors = plan.doors();
        // Seeded: pods of one manifest have the same names in every run.
        let world = World { chance: Chance::seeded(1), ..World::real() };
        let (mut running, results) = Running::start(plan, engine().clone(), project().images().clone(), world).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let mut bound = Vec::new();
        for door in doors.into_iter().filter(|door| door.node_port.is_none()) {
            bound.push((door, tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()));
        }
        let gateway = running.open("127.0.0.1:0".parse().unwrap(), bound, drop).unwrap()[0].1;
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = running.serve_api(socket).unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("kubeconfig"), kubeconfig).unwrap();
        Self { running, home, manifests, gateway }
    }

    /// The manifests of the base, as `k8s`; what a command writes goes to its home.
    pub(super) fn manifests(&self) -> &Path {
        self.manifests.path()
    }

    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs a line of shell at the top of the repository, as its users would, with nothing of their own setup.
    pub(super) async fn shell(&self, line: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{line} 2>&1")]).current_dir(root()).kill_on_drop(true).stdin(Stdio::null());
        command.env("KUBECONFIG", self.home.path().join("kubeconfig"));
        command.env("HOME", self.home.path());
        command.env("K8S", self.manifests());
        command.env("GATEWAY", format!("http://{}", self.gateway));
        timeout(PATIENCE, command.output()).await.unwrap_or_else(|_| panic!("`{line}` does not end")).unwrap()
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}
