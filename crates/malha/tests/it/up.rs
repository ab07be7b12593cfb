//! `malha up` from its first line to Ctrl-C, over real sockets.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use malha::{Plan, Running};
use malha_manifest::Input;
use malha_world::World;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Cluster, Folder, Manifests, NOW, Up, engine, project};

/// Sends a request over a connection of its own; the whole response as text.
async fn send(address: SocketAddr, method: &str, path: &str, authorization: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

/// The address in `http://127.0.0.1:40001   gateway   workshop-gateway:80`.
fn address(row: &str) -> SocketAddr {
    row.split_whitespace().next().unwrap().split_once("://").unwrap().1.parse().unwrap()
}

/// The rest of a row: `gateway   workshop-gateway:80`.
fn door(row: &str) -> String {
    row.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_newcomer_gets_from_nothing_to_posts_and_out_again() {
    let folder = Folder::clone_of_the_project();
    let mut files = folder.files();
    let manifests = folder.path("k8s");
    let mut up = Up::in_the_project(&["up", "-k", manifests.to_str().unwrap(), "--gateway", "127.0.0.1:0"]).await;

    let mut rows = Vec::new();
    for _ in 0..6 {
        rows.push(up.line().await);
    }
    assert_eq!(
        rows.iter().map(|row| door(row)).collect::<Vec<_>>(),
        [
            "gateway workshop-gateway:80",
            "load balancer auth-service:80",
            "load balancer posts-service:80",
            "load balancer comments-service:80",
            "load balancer composition-service:80",
            "kubernetes kubectl, see below",
        ]
    );
    assert!(up.said().contains("Ready 4 of 4 pods"), "{}", up.said());

    // admin:admin
    let answer = send(address(&rows[0]), "POST", "/auth", "Basic YWRtaW46YWRtaW4=").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let token = format!("Bearer {}", body["access_token"].as_str().unwrap());
    for (row, path) in [(0, "/posts"), (0, "/composition"), (2, "/posts/1"), (3, "/comments?postId=1"), (4, "/")] {
        let answer = send(address(&rows[row]), "GET", path, &token).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path} at {}: {answer}", rows[row]);
    }

    let said = up.interrupt().await;
    assert_eq!((said.status, said.stdout.as_str()), (Some(0), ""), "{}", said.stderr);
    assert!(said.stderr.contains("Stopped all requests ended"), "{}", said.stderr);
    for row in &rows {
        assert!(TcpListener::bind(address(row)).is_ok(), "{row} is free again");
    }
    files.push("k8s/00-jwt.yml".into());
    files.sort();
    assert_eq!(folder.files(), files, "the keys are all that is left");
}

#[tokio::test]
async fn pods_log_to_the_screen_where_that_is_asked_for() {
    let folder = Folder::clone_of_the_project();
    let manifests = folder.path("k8s");
    let arguments = ["up", "--logs", "--gateway", "127.0.0.1:0", "-k", manifests.to_str().unwrap()];
    let mut up = Up::in_the_project(&arguments).await;
    let gateway = address(&up.line().await);
    assert!(send(gateway, "GET", "/posts", "Bearer forged").await.starts_with("HTTP/1.1 401 "));
    let said = up.interrupt().await;
    let lines = said.stderr.lines().filter(|line| line.starts_with("[posts-deployment-"));
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(line.split_once("] ").unwrap().1).unwrap());
    // Beside what the kubelet's probes ask.
    assert!(lines.any(|line| line["path"] == "/posts" && line["status"] == 401), "{}", said.stderr);
}

#[tokio::test]
async fn doors_open_on_sockets_and_close_when_drained() {
    let folder = Manifests::base().write();
    let (plan, _) = Plan::load(&[Input::Kustomize(folder.path().to_owned())]);
    let doors = plan.doors();
    let world = World::simulated(NOW, 1);
    let (mut running, _) = Running::start(plan, engine().clone(), project().images().clone(), world).await;
    let mut bound = Vec::new();
    for door in doors {
        bound.push((door, tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()));
    }
    let opened = running.open("127.0.0.1:0".parse().unwrap(), bound, drop).unwrap();
    let addresses: Vec<_> = opened.into_iter().map(|(_, address)| address).collect();
    let token = format!("Bearer {}", Cluster::admin());
    // The gateway, and posts-service after auth-service.
    for address in [addresses[0], addresses[2]] {
        assert!(send(address, "GET", "/posts/1", &token).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert!(running.stop(std::time::Duration::from_secs(5)).await);
    for address in addresses {
        assert!(TcpStream::connect(address).await.is_err(), "{address}");
    }
}

#[tokio::test]
async fn kubectl_finds_the_cluster_that_runs_and_none_that_does_not() {
    let folder = Folder::shop();
    for command in [["kubeconfig"].as_slice(), &["kubectl", "--", "get", "pods"]] {
        let said = folder.run(command).await;
        assert_eq!(said.status, Some(1));
        assert_eq!(said.stderr, "error: no cluster of this project runs\n  hint: start one: `malha up`\n");
    }
    let up = Up::start(folder.malha(&["up", "--gateway", "127.0.0.1:0", "--api", "127.0.0.1:0"])).await;
    let said = folder.run(&["kubeconfig"]).await;
    assert_eq!((said.status, said.stdout.as_str()), (Some(0), "FOLDER/.malha/kubeconfig\n"));
    let mode = std::fs::metadata(folder.path(".malha/kubeconfig")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // In place of kubectl: what it is given, and how it ends.
    folder.script("bin/kubectl", "echo \"$KUBECONFIG: $*\"; exit 7");
    let said = folder.run_with_programs("bin", &["kubectl", "--", "get", "pods"]).await;
    assert_eq!((said.status, said.stdout.as_str()), (Some(7), "FOLDER/.malha/kubeconfig: get pods\n"));
    // Another cluster of the same project has a file of its own, and leaves the first one's alone.
    let second = Up::start(folder.malha(&["up", "--gateway", "127.0.0.1:0", "--api", "127.0.0.1:0"])).await;
    assert!(second.said().contains(".malha/kubeconfig-"), "{}", second.said());
    assert_eq!(second.interrupt().await.status, Some(0));
    assert_eq!(folder.run(&["kubeconfig"]).await.status, Some(0));
    // What its user changes in the file, such as the namespace, does not keep it from going.
    folder.edit(".malha/kubeconfig", "namespace: default", "namespace: shop");
    assert_eq!(up.interrupt().await.status, Some(0));
    assert!(!folder.path(".malha/kubeconfig").exists());
}

#[tokio::test]
async fn the_api_listens_on_this_machine_alone() {
    let folder = Folder::shop();
    let said = folder.run(&["up", "--gateway", "127.0.0.1:0", "--api", "0.0.0.0:0"]).await;
    assert_eq!(said.status, Some(1));
    assert!(said.stderr.contains("0.0.0.0 is no loopback address"), "{}", said.stderr);
}

#[tokio::test]
async fn a_linux_pod_stays_pending_and_everything_else_goes_on() {
    let folder = Folder::shop();
    let linux = folder.read("k8s/shop.yml").replace("      runtimeClassName: wasmtime-spin-v2\n", "");
    folder.write("linux.yml", linux.replace("shop", "nginx"));
    let arguments = ["up", "-k", "k8s", "-f", "linux.yml", "--gateway", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    let up = Up::start(folder.malha(&arguments)).await;
    assert!(up.said().contains("Ready 1 of 2 pods"), "{}", up.said());
    assert!(up.said().contains("a pod without runtimeClassName is a Linux container"), "{}", up.said());
    assert_eq!(up.interrupt().await.status, Some(0));
}
