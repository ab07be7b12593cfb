//! kubectl as far as the READMEs type it, in this process, where time is paused. Each command sends the Kubernetes API what
//! the real one sends (`kubectl -v 8` shows it); `kubectl/transcripts/` has the real one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use malha::LocalNode;
use malha_api::{Api, Credentials};
use malha_cluster::{Cluster, Object};
use malha_manifest::{Diagnostic, Input, load};
use malha_world::World;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::root;

const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";

/// No rollout takes longer.
const PATIENCE: Duration = Duration::from_mins(5);

/// Somebody with a kubeconfig.
pub(super) struct Kubectl {
    cluster: Cluster<LocalNode>,
    api: Api,
    token: String,
    world: World,
}

impl Kubectl {
    pub(super) fn new(cluster: &Cluster<LocalNode>, world: &World) -> Self {
        let credentials = Credentials::make(world).unwrap();
        let api = Api::new(Arc::new(cluster.clone()), credentials.clone(), world);
        let config = credentials.kubeconfig("127.0.0.1:6443".parse().unwrap());
        let token = config.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap().to_owned();
        Self { cluster: cluster.clone(), api, token, world: world.clone() }
    }

    /// Runs a line of a README, and waits for what the real one waits for.
    pub(super) async fn run(&self, line: &str) {
        let words = words(line);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        match words[1..] {
            ["apply", "-k", folder] => self.apply(Input::Kustomize(root().join(folder))),
            ["apply", "-f", file] => self.apply(Input::File(root().join(file))),
            ["scale", object, "--replicas", count] => {
                let count: u32 = count.parse().unwrap();
                let path = format!("{}/scale", path(object));
                self.patch(&path, MERGE, &json!({"spec": {"replicas": count}})).await;
            }
            ["set", "image", object, assignment] => {
                let (name, image) = assignment.split_once('=').unwrap();
                self.template(object, &json!({"containers": [{"name": name, "image": image}]})).await;
            }
            ["set", "env", object, assignment] => {
                let (variable, value) = assignment.split_once('=').unwrap();
                let env = json!([{"name": variable, "value": value}]);
                self.template(object, &json!({"containers": [{"name": "relay", "env": env}]})).await;
            }
            ["patch", kind, name, "-p", patch] => self.patch(&named(kind, name), STRATEGIC, &body(patch)).await,
            ["patch", kind, name, "--type=json", "-p", patch] => {
                self.patch(&named(kind, name), JSON, &body(patch)).await;
            }
            ["rollout", "restart", object] => {
                // The real one writes it as a date. It only has to be another than before.
                let now = self.world.clock.since_epoch().as_secs().to_string();
                let restarted = json!({"kubectl.kubernetes.io/restartedAt": now});
                let template = json!({"metadata": {"annotations": restarted}});
                self.patch(&path(object), STRATEGIC, &json!({"spec": {"template": template}})).await;
            }
            ["rollout", "status", object] => self.rolled_out(&path(object)).await,
            ["rollout", "undo", object] => self.undo(object).await,
            _ => panic!("nobody here knows `{line}`"),
        }
    }

    fn apply(&self, input: Input) {
        let loaded = load(&[input]);
        assert!(!loaded.diagnostics.iter().any(Diagnostic::is_error), "{:#?}", loaded.diagnostics);
        for result in self.cluster.apply(loaded.objects.into_iter().map(Object::from)) {
            result.unwrap();
        }
    }

    /// Changes the pods that a Deployment makes.
    async fn template(&self, object: &str, spec: &Value) {
        self.patch(&path(object), STRATEGIC, &json!({"spec": {"template": {"spec": spec}}})).await;
    }

    /// Waits as `DeploymentStatusViewer` does (kubectl, `pkg/polymorphichelpers/rollout_status.go`).
    async fn rolled_out(&self, path: &str) {
        let pause = Duration::from_millis(70);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            let deployment = self.get(path).await;
            let status = |field: &str| deployment["status"][field].as_i64().unwrap_or(0);
            let wanted = deployment["spec"]["replicas"].as_i64().unwrap();
            let known = status("observedGeneration") >= deployment["metadata"]["generation"].as_i64().unwrap();
            let updated = status("updatedReplicas");
            if known && updated >= wanted && status("replicas") <= updated && status("availableReplicas") >= updated {
                return;
            }
            sleep(pause).await;
        }
        panic!("{path} does not roll out: {:#}", self.get(path).await["status"]);
    }

    /// Goes back as `DeploymentRollbacker` does (kubectl, `pkg/polymorphichelpers/rollback.go`): the template of the
    /// revision before is the Deployment's again.
    async fn undo(&self, object: &str) {
        const REVISION: &str = "deployment.kubernetes.io/revision";
        let deployment = self.get(&path(object)).await;
        let sets = self.get("/apis/apps/v1/namespaces/default/replicasets").await;
        let own = |set: &&Value| set["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"];
        let mut sets: Vec<_> = sets["items"].as_array().unwrap().iter().filter(own).collect();
        sets.sort_by_key(|set| set["metadata"]["annotations"][REVISION].as_str().unwrap().parse::<u64>().unwrap());
        let mut template = sets[sets.len() - 2]["spec"]["template"].clone();
        template["metadata"]["labels"].as_object_mut().unwrap().remove("pod-template-hash");
        let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
        self.patch(&path(object), JSON, &patch).await;
    }

    async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, "application/json", Bytes::new()).await
    }

    async fn patch(&self, path: &str, kind: &str, changes: &Value) {
        self.send(Method::PATCH, path, kind, changes.to_string().into()).await;
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Value {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:6443");
        let request = request.header("authorization", format!("Bearer {}", self.token)).header("content-type", kind);
        let response = self.api.handle(request.body(Full::new(body)).unwrap()).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }
}

fn body(patch: &str) -> Value {
    serde_json::from_str(patch).unwrap_or_else(|error| panic!("{patch}: {error}"))
}

/// Where the API has an object, `KIND/NAME` as it is typed.
fn path(object: &str) -> String {
    let (kind, name) = object.split_once('/').unwrap();
    named(kind, name)
}

fn named(kind: &str, name: &str) -> String {
    let group = match kind {
        "deployment" => "apis/apps/v1",
        "virtualservice" => "apis/networking.istio.io/v1",
        "configmap" | "service" => "api/v1",
        _ => panic!("nobody here knows a {kind}"),
    };
    format!("/{group}/namespaces/default/{kind}s/{name}")
}

/// The words of a line, as a shell splits it that knows single quotes alone.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(ToOwned::to_owned));
        }
    }
    words
}
