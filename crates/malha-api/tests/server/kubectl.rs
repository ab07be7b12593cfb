//! The real `kubectl` (1.28 or later), with a kubeconfig of its own.

use std::path::Path;
use std::time::Duration;

use malha_world::World;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::harness::Harness;

/// What a command came to: whether it went well, and all that it printed.
async fn kubectl(home: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("kubectl");
    command.args(arguments).env("KUBECONFIG", home.join("config")).env("HOME", home).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_mins(1), command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("kubectl {arguments:?} does not end")).unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Whether there is one; where there must be, none is a failure.
#[expect(clippy::print_stdout, reason = "whoever runs the tests has to know what was not tested")]
fn there() -> bool {
    let found = std::process::Command::new("kubectl").args(["version", "--client"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "there is no kubectl on PATH, and CI needs one");
    println!("NOT TESTED: there is no kubectl on PATH; install one (1.28 or later) to test the API with it");
    false
}

/// A command, whether it goes well, and something that it prints.
type Step<'a> = (&'a [&'a str], bool, &'a str);

const MANIFEST: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: posts}
spec:
  replicas: 2
  selector: {matchLabels: {app: posts}}
  template:
    metadata: {labels: {app: posts}}
    spec:
      runtimeClassName: wasmtime-spin-v2
      containers: [{name: app, image: 'workshop:0.0.1', command: [/]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: posts}
spec: {host: posts}
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: wasmtime-spin-v2}
handler: spin-v2
scheduling: {nodeSelector: {spin: 'true'}}
";

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_finds_its_way() {
    if !there() {
        return;
    }
    let harness = Harness::of(World::real());
    let running = harness.api.serve(TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap();
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("config"), harness.credentials.kubeconfig(running.address())).unwrap();
    let file = home.path().join("posts.yml");
    std::fs::write(&file, MANIFEST).unwrap();
    let file = file.to_str().unwrap();
    let steps: &[Step<'_>] = &[
        (&["version"], true, "Server Version: v1.34.0+malha"),
        (&["api-resources"], true, "networking.istio.io/v1"),
        (&["explain", "deployment.spec.replicas"], true, "replicas <integer>"),
        (&["diff", "-f", file], false, "+  name: posts"),
        (&["apply", "-f", file, "--dry-run=server", "-o", "name"], true, "runtimeclass.node.k8s.io/wasmtime-spin-v2"),
        (&["apply", "-f", file], true, "deployment.apps/posts created"),
        (&["apply", "-f", file], true, "deployment.apps/posts unchanged"),
        (&["apply", "-f", file], true, "destinationrule.networking.istio.io/posts unchanged"),
        (&["diff", "-f", file], true, ""),
        (&["rollout", "status", "deployment/posts", "--timeout=30s"], true, "successfully rolled out"),
        (&["get", "deployments", "-o", "wide"], true, "posts   2/2     2            2"),
        (&["get", "all", "-A"], true, "replicaset.apps/posts-"),
        (&["get", "dr"], true, "posts   posts   "),
        (&["describe", "deployment", "posts"], true, "2 desired | 2 updated | 2 total | 2 available"),
        (&["scale", "deployment/posts", "--replicas=3"], true, "scaled"),
        (&["set", "image", "deployment/posts", "app=workshop:0.0.2"], true, "image updated"),
        (&["rollout", "status", "deployment/posts", "--timeout=30s"], true, "successfully rolled out"),
        (&["autoscale", "deployment", "posts", "--cpu-percent=20", "--min=1", "--max=10"], true, "posts autoscaled"),
        (&["get", "hpa"], true, "Deployment/posts   cpu: <unknown>/20%   1         10"),
        (
            &[
                "get",
                "horizontalpodautoscalers.v1.autoscaling",
                "-o",
                "jsonpath={.items[0].spec.targetCPUUtilizationPercentage}",
            ],
            true,
            "20",
        ),
        (&["describe", "hpa", "posts"], true, "<unknown> / 20%"),
        (
            &["patch", "horizontalpodautoscalers.v1.autoscaling", "posts", "-p", r#"{"spec":{"maxReplicas":3}}"#],
            true,
            "patched",
        ),
        (&["delete", "hpa", "posts"], true, "deleted"),
        (&["rollout", "history", "deployment/posts"], true, "2         <none>"),
        (&["rollout", "undo", "deployment/posts"], true, "rolled back"),
        (&["label", "deployment", "posts", "tier=web"], true, "labeled"),
        (&["annotate", "deployment", "posts", "a=b"], true, "annotated"),
        (&["get", "deployments", "-l", "tier in (web)"], true, "posts"),
        (&["get", "pods", "--field-selector=spec.nodeName=malha", "--chunk-size=1"], true, "posts-"),
        (
            &[
                "patch",
                "deployment",
                "posts",
                "--type=json",
                "-p",
                r#"[{"op":"test","path":"/spec/replicas","value":9}]"#,
            ],
            false,
            "error",
        ),
        (&["patch", "deployment", "posts", "-p", r#"{"spec":{"replicas":1}}"#], true, "patched"),
        (&["apply", "--server-side", "-f", file], false, "conflict"),
        (&["apply", "--server-side", "--force-conflicts", "-f", file], true, "serverside-applied"),
        // These send protobuf.
        (&["create", "namespace", "shop"], true, "namespace/shop created"),
        (&["create", "configmap", "a", "--from-literal=key=value", "-n", "shop"], true, "configmap/a created"),
        (&["create", "secret", "generic", "a", "--from-literal=key=value", "-n", "shop"], true, "secret/a created"),
        (&["get", "configmap", "a", "-n", "shop", "-o", "jsonpath={.data.key}"], true, "value"),
        (&["get", "secret", "a", "-n", "shop", "-o", "jsonpath={.data.key}"], true, "dmFsdWU="),
        (
            &["create", "deployment", "b", "--image=workshop:0.0.1", "--replicas=0", "-n", "shop"],
            true,
            "deployment.apps/b created",
        ),
        (&["get", "deployment", "b", "-n", "shop"], true, "0/0"),
        (&["describe", "node", "malha"], true, "HolderIdentity:  malha"),
        (&["delete", "namespace", "shop"], true, "namespace \"shop\" deleted"),
        (&["get", "pods", "nosuch"], false, "Error from server (NotFound): pods \"nosuch\" not found"),
        (&["get", "cronjobs"], false, "the server doesn't have a resource type \"cronjobs\""),
        (&["exec", "deployment/posts", "--", "ls"], false, "not supported"),
        (&["logs", "deployment/posts", "--previous"], false, "previous terminated container \"app\""),
        (&["get", "--raw", "/readyz?verbose"], true, "readyz check passed"),
        (&["delete", "-f", file], true, "deployment.apps \"posts\" deleted"),
        (&["wait", "--for=delete", "pod", "-l", "app=posts", "--timeout=60s"], true, ""),
    ];
    for (arguments, well, words) in steps {
        let (went_well, text) = kubectl(home.path(), arguments).await;
        assert_eq!(went_well, *well, "kubectl {arguments:?}: {text}");
        assert!(text.contains(words), "kubectl {arguments:?}: {text}");
        assert!(!text.contains("missing the kubectl.kubernetes.io/last-applied"), "kubectl {arguments:?}: {text}");
    }
    running.drain(Duration::from_secs(5)).await;
}
