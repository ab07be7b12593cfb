//! The real `kubectl port-forward` against the API, in both of its ways, and what it says where there is nothing to connect to.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::env;
use std::future::ready;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use malha_api::{Api, Credentials, Running};
use malha_cluster::{Cluster, ConnectError, Connecting, Kind, Node, PodRequest, PodStream, StartError, decode};
use malha_world::World;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The oldest kubectl that malha talks to.
const OLDEST: u32 = 28;
/// The first that speaks through a WebSocket, without being told.
const WEBSOCKETS: u32 = 31;
/// Nothing takes as long; what hangs fails its test.
const PATIENCE: Duration = Duration::from_mins(1);

/// Pods give back on port 80 whatever comes, and then a full stop; no other port is listened on.
struct Echo;

impl Node for Echo {
    type Pod = ();

    async fn start(&self, _: PodRequest) -> Result<(), StartError> {
        Ok(())
    }

    async fn stop(&self, (): ()) {}

    fn connect(&self, (): &(), port: u16, stream: Box<dyn PodStream>) -> Connecting {
        if port != 80 {
            return Box::pin(ready(Err(ConnectError::Refused)));
        }
        Box::pin(async move {
            let (mut read, mut write) = split(stream);
            let _ = copy(&mut read, &mut write).await;
            let _ = write.write_all(b".").await;
            let _ = write.shutdown().await;
            Ok(())
        })
    }
}

/// The minor version of the kubectl to test with. Without one these tests show nothing, and where `CI` is set they fail.
async fn kubectl() -> Option<u32> {
    let output = Command::new("kubectl").args(["version", "--client", "-o", "json"]).output().await;
    let version: Option<serde_json::Value> = output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
    let minor = version.as_ref().and_then(|version| version["clientVersion"]["minor"].as_str());
    let minor = minor.and_then(|minor| minor.trim_end_matches('+').parse().ok());
    let minor = minor.filter(|minor| *minor >= OLDEST);
    if minor.is_none() {
        let problem = "NOT TESTED: port-forward with the real kubectl, of which there is none from 1.28 on\n";
        assert!(env::var_os("CI").is_none(), "{problem}");
        // Past the test harness, which keeps what a test that passes prints.
        let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), problem.as_bytes());
    }
    minor
}

/// A cluster with a pod, and its API.
struct Server {
    api: Running,
    home: TempDir,
}

impl Server {
    async fn start() -> Self {
        let world = World::real();
        let cluster = Cluster::new(Echo, &world, drop);
        let labels = json!({"app": "echo"});
        let container = json!({"name": "echo", "image": "echo:1", "command": ["/"], "ports": [{"containerPort": 80}]});
        let template = json!({
            "metadata": {"labels": labels},
            "spec": {"runtimeClassName": "wasmtime-spin-v2", "containers": [container]},
        });
        let objects = [
            (Kind::RuntimeClass, "node.k8s.io/v1", "wasmtime-spin-v2", json!({"handler": "spin"})),
            (
                Kind::Deployment,
                "apps/v1",
                "echo",
                json!({"spec": {"selector": {"matchLabels": labels}, "template": template}}),
            ),
            (
                Kind::Service,
                "v1",
                "echo",
                json!({"spec": {"selector": labels, "ports": [{"port": 8080, "targetPort": 80}]}}),
            ),
        ];
        let results = cluster.apply(objects.map(|(kind, version, name, mut object)| {
            object["apiVersion"] = version.into();
            object["kind"] = kind.name().into();
            object["metadata"] = json!({"name": name});
            decode(kind, object).unwrap().object
        }));
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        cluster.settled().await;
        let credentials = Credentials::make(&world).unwrap();
        let api = Api::new(Arc::new(cluster), credentials.clone(), &world);
        let api = api.serve(TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("kubeconfig"), credentials.kubeconfig(api.address())).unwrap();
        Self { api, home }
    }

    fn kubectl(&self, websockets: bool, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments).env("HOME", self.home.path()).env("KUBECONFIG", self.home.path().join("kubeconfig"));
        command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Forwards a port of the pod, and says where.
    async fn forward(&self, websockets: bool, target: &str, port: u16) -> (Child, String) {
        let arguments = ["port-forward", "-v=4", "--address=127.0.0.1", target, &format!(":{port}")];
        let mut child = self.kubectl(websockets, &arguments).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        timeout(PATIENCE, stdout.read_line(&mut line)).await.unwrap().unwrap();
        let Some((address, _)) = line.strip_prefix("Forwarding from ").and_then(|line| line.split_once(" -> ")) else {
            panic!("{line:?}: {:?}", child.wait_with_output().await);
        };
        // Until its end, lest it be ended by a pipe that nobody reads.
        tokio::spawn(async move { copy(&mut stdout, &mut tokio::io::sink()).await });
        (child, address.to_owned())
    }
}

/// All that comes back for what is sent.
async fn send(address: &str, bytes: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let mut answer = Vec::new();
    let both = async {
        tokio::join!(
            async {
                write.write_all(bytes).await.unwrap();
                write.shutdown().await.unwrap();
            },
            read.read_to_end(&mut answer),
        )
    };
    timeout(PATIENCE, both).await.unwrap().1.unwrap();
    answer
}

/// Ends a kubectl; what it said on stderr.
async fn end(mut child: Child) -> String {
    let mut stderr = child.stderr.take().unwrap();
    child.start_kill().unwrap();
    let mut said = String::new();
    stderr.read_to_string(&mut said).await.unwrap();
    child.wait().await.unwrap();
    said
}

#[tokio::test]
async fn kubectl_forwards_connections_in_both_of_its_ways() {
    let Some(minor) = kubectl().await else { return };
    let server = Server::start().await;
    for websockets in [true, false] {
        for (target, port) in [("deployment/echo", 80), ("service/echo", 8080)] {
            let (child, address) = server.forward(websockets, target, port).await;
            assert_eq!(send(&address, b"hello").await, b"hello.");
            assert_eq!(send(&address, b"").await, b".");
            let long: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
            let (first, second) = tokio::join!(send(&address, &long), send(&address, &long));
            assert!(first == second && first.len() == long.len() + 1 && first.starts_with(&long), "{}", first.len());
            let said = end(child).await;
            assert!(!said.contains("fallback"), "{said}");
            assert!(!websockets || minor < WEBSOCKETS || said.contains("WebSocket"), "{said}");
        }
    }
    server.api.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn many_connections_at_a_time_are_forwarded_each_by_itself() {
    if kubectl().await.is_none() {
        return;
    }
    let server = Server::start().await;
    for websockets in [true, false] {
        let (child, address) = server.forward(websockets, "deployment/echo", 80).await;
        let texts: Vec<String> = (0..100).map(|number| format!("{number} ").repeat(1_000)).collect();
        let mut sending = tokio::task::JoinSet::new();
        for text in texts {
            let address = address.clone();
            sending.spawn(async move { (send(&address, text.as_bytes()).await, format!("{text}.").into_bytes()) });
        }
        while let Some(result) = sending.join_next().await {
            let (came, expected) = result.unwrap();
            assert!(came == expected, "{} of {}", came.len(), expected.len());
        }
        drop(child);
    }
}

#[tokio::test]
async fn a_port_that_nothing_listens_on_is_told_to_the_user_and_so_is_a_pod_that_is_not_there() {
    if kubectl().await.is_none() {
        return;
    }
    let server = Server::start().await;
    for websockets in [true, false] {
        let (child, address) = server.forward(websockets, "deployment/echo", 81).await;
        assert_eq!(send(&address, b"").await, b"");
        // kubectl ends by itself: it has lost the pod.
        let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("dial tcp4 127.0.0.1:81: connect: connection refused"), "{said}");
        assert!(said.contains("error: lost connection to pod") && !output.status.success(), "{said}");
    }
    let output = server.kubectl(true, &["port-forward", "pod/nosuch", ":80"]).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "Error from server (NotFound): pods \"nosuch\" not found\n");
}

#[tokio::test]
async fn exec_and_attach_fail_in_words() {
    if kubectl().await.is_none() {
        return;
    }
    let server = Server::start().await;
    for arguments in [&["exec", "deployment/echo", "--", "ls"][..], &["attach", "deployment/echo"]] {
        let output = timeout(PATIENCE, server.kubectl(true, arguments).output()).await.unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("a WebAssembly container has no shell"), "{said}");
    }
}
