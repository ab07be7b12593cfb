//! The workshop in a cluster, as its manifests describe it, with keys of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use malha::{Plan, Running, Volumes};
use malha_cluster::Nodes;
use malha_manifest::{Diagnostic, Input};
use malha_mesh::{Connection, Entrance, Mesh, gateway};
use malha_routing::ListenerKind;
use malha_runtime::Step;
use malha_world::World;
use serde_json::Value;
use tempfile::TempDir;

use super::project::root;
use super::{Answer, Call, Issuer, NOW, claims, engine, project};

/// The version of posts that some steps put beside the first.
const NEXT_VERSION: &str = "0.0.2";

/// What Envoy answers where a rule aborts a request.
const ABORTED: &str = "fault filter abort";

/// The manifests of a folder, with changes.
pub(crate) struct Manifests {
    files: BTreeMap<String, String>,
    /// What is applied on top of them.
    step: Option<&'static str>,
    nodes: u16,
    /// Where the volumes are, if they outlive the cluster.
    volumes: Option<PathBuf>,
}

impl Manifests {
    /// Those of `k8s/` as they are in the repository, with the keys of [`Issuer::trusted`].
    pub(crate) fn base() -> Self {
        let mut base = Self::of("k8s");
        base.files.insert("00-jwt.yml".into(), keys(&Issuer::trusted()));
        base
    }

    /// Those of a folder of the repository, not of folders below it: what `malha up -k` reads there, or `-f` where it has
    /// no kustomization.
    pub(crate) fn of(folder: &str) -> Self {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file()).map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        });
        Self { files: files.collect(), step: None, nodes: 1, volumes: None }
    }

    /// One of a test's own, and no other.
    pub(crate) fn only(text: &str) -> Self {
        let files = BTreeMap::from([("manifest.yml".into(), text.into())]);
        Self { files, step: None, nodes: 1, volumes: None }
    }

    /// With a step of the workshop on top, as `malha up -k k8s -f k8s/<file>` has it.
    pub(crate) fn step(file: &'static str) -> Self {
        Self { step: Some(file), ..Self::base() }
    }

    /// In a cluster of so many nodes.
    pub(crate) fn on_nodes(self, nodes: u16) -> Self {
        Self { nodes, ..self }
    }

    /// With volumes in a folder, where the next cluster finds them.
    pub(crate) fn keeping(self, volumes: &Path) -> Self {
        Self { volumes: Some(volumes.to_owned()), ..self }
    }

    /// The text of a file.
    pub(crate) fn text(&self, file: &str) -> &str {
        &self.files[file]
    }

    /// With another text in place of each `from`, which must be there.
    #[track_caller]
    pub(crate) fn edit(mut self, file: &str, from: &str, to: &str) -> Self {
        let text = self.files.get_mut(file).unwrap();
        assert!(text.contains(from), "{file} has no `{from}`");
        *text = text.replace(from, to);
        self
    }

    /// With one more file, which the kustomization names.
    pub(crate) fn with(mut self, file: &str, text: &str) -> Self {
        self.files.insert(file.into(), text.into());
        self.edit("kustomization.yaml", "resources:\n", &format!("resources:\n  - {file}\n"))
    }

    /// With one more environment variable in a service's container.
    #[track_caller]
    pub(crate) fn env(self, service: &str, name: &str, value: &str) -> Self {
        let file = format!("01-{service}.yml");
        let entry = format!("          env:\n            - name: {name}\n              value: \"{value}\"\n");
        self.edit(&file, "          env:\n", &entry)
    }

    /// Without an environment variable: its value goes to another that nobody reads.
    #[track_caller]
    pub(crate) fn without_env(self, service: &str, name: &str) -> Self {
        self.edit(&format!("01-{service}.yml"), &format!("- name: {name}\n"), "- name: NOBODY_READS_THIS\n")
    }

    /// With no pod of a service.
    #[track_caller]
    pub(crate) fn scaled_to_zero(self, service: &str) -> Self {
        self.edit(&format!("01-{service}.yml"), "replicas: 1", "replicas: 0")
    }

    /// Writes them to a folder, keys included.
    pub(crate) fn write(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in &self.files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    /// Runs them in a simulated world.
    pub(crate) async fn start(&self) -> Cluster {
        self.start_in(World::simulated(NOW, 1)).await
    }

    /// What is said of them.
    pub(crate) fn load(&self) -> (Plan, Vec<Diagnostic>) {
        let folder = self.write();
        let path = folder.path().to_owned();
        let has_kustomization = self.files.contains_key("kustomization.yaml");
        let mut inputs = vec![if has_kustomization { Input::Kustomize(path) } else { Input::File(path) }];
        inputs.extend(self.step.map(|file| Input::File(folder.path().join(file))));
        let (plan, diagnostics) = Plan::load(&inputs);
        let plan = plan.on_nodes(Nodes { count: self.nodes, ..Nodes::default() });
        let volumes = self.volumes.as_ref().map(|folder| Volumes::in_folder(folder).unwrap());
        (plan.keeping(volumes.unwrap_or_default()), diagnostics)
    }

    /// Runs them in some world.
    pub(crate) async fn start_in(&self, world: World) -> Cluster {
        self.start_on(Mesh::new(world.clone()), world).await
    }

    /// Runs them on a mesh of some world.
    pub(crate) async fn start_on(&self, mesh: Mesh, world: World) -> Cluster {
        let (plan, diagnostics) = self.load();
        assert!(!diagnostics.iter().any(Diagnostic::is_error), "{diagnostics:#?}");
        plan.images().keys().for_each(|image| build(image));
        let (running, results) =
            Running::start_on(mesh, plan, engine().clone(), project().images().clone(), world).await;
        for result in results {
            result.unwrap();
        }
        Cluster { running }
    }
}

/// The image that the steps put beside the first, built once, by whichever test comes first.
pub(crate) fn build_next_version() {
    build(&format!("workshop:{NEXT_VERSION}"));
}

/// Builds an image of the project, as far as something changed.
pub(crate) fn build(image: &str) {
    let (name, version) = image.split_once(':').unwrap();
    let application = project().application(name).unwrap();
    project().build(engine(), application, Some(version), &mut |_: Step<'_>| {}).unwrap();
}

fn keys(issuer: &Issuer) -> String {
    // A JSON string is a YAML string too.
    let [private, public] = [issuer.private_pem(), issuer.public_pem()].map(Value::from);
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: jwt-keys\n\
         stringData:\n  private.pem: {private}\n  public.pem: {public}\n"
    )
}

/// A cluster that runs, and requests to it from outside.
pub(crate) struct Cluster {
    pub(crate) running: Running,
}

impl Cluster {
    /// The workshop as it is.
    pub(crate) async fn start() -> Self {
        Manifests::base().start().await
    }

    /// Sends a request to the gateway.
    pub(crate) async fn gateway(&self, call: Call) -> Answer {
        self.enter(&gateway(80), &call).await.expect("an answer")
    }

    /// Sends a request to the load balancer of one of the workshop's services.
    pub(crate) async fn service(&self, name: &str, call: Call) -> Answer {
        self.enter(&load_balancer(&format!("{name}-service")), &call).await.expect("an answer")
    }

    /// The same where the connection may be cut instead.
    pub(crate) async fn service_or_cut(&self, name: &str, call: Call) -> Option<Answer> {
        self.enter(&load_balancer(&format!("{name}-service")), &call).await
    }

    /// Sends a request to some entrance.
    pub(crate) async fn enter(&self, entrance: &Entrance, call: &Call) -> Option<Answer> {
        let client = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 50_000));
        let connection =
            Connection { client, local: SocketAddr::from((Ipv4Addr::LOCALHOST, entrance.port)), tls: None };
        let response = self.running.mesh().enter(entrance, call.request(), &connection).await;
        let answer = Answer::read(response?).await;
        // What Spin answers for a guest that failed. No service does so on purpose.
        let failed = answer.status == 500 && answer.body != ABORTED;
        assert!(!failed, "{call:?}: {:#?}", self.lines(""));
        Some(answer)
    }

    /// All lines of the pods whose names begin like this.
    fn lines(&self, name: &str) -> Vec<Arc<str>> {
        let pods = self.running.running().into_iter().filter(|(pod, _)| pod.starts_with(name));
        pods.flat_map(|(_, pod)| pod.logs().lines()).map(|line| line.text).collect()
    }

    /// What the pods of a service logged on their JSON lines, oldest first, but for what the kubelet's probes asked.
    pub(crate) fn log(&self, service: &str) -> Vec<Value> {
        let pods = self.running.running().into_iter().filter(|(name, _)| name.starts_with(service));
        let lines = pods.flat_map(|(_, pod)| pod.logs().lines());
        lines
            .map(|line| serde_json::from_str(&line.text).unwrap_or_else(|_| panic!("not JSON: {}", line.text)))
            .filter(|line: &Value| !line["path"].as_str().is_some_and(|path| path.ends_with("/healthz")))
            .collect()
    }
}

/// The entrance of a load balancer at port 80.
pub(crate) fn load_balancer(service: &str) -> Entrance {
    let kind = ListenerKind::LoadBalancer { namespace: "default".into(), service: service.into() };
    Entrance { kind, port: 80 }
}

/// Tokens as the workshop's two users have them.
impl Cluster {
    /// May read posts and comments.
    pub(crate) fn admin() -> String {
        Issuer::trusted().token(&claims(&["posts", "comments"]))
    }

    /// May read posts.
    pub(crate) fn nocomments() -> String {
        Issuer::trusted().token(&claims(&["posts"]))
    }
}
