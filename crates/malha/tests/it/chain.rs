//! `k8s/chain`: four services that call each other, and what each says of those behind it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use malha_cluster::{Key, Kind, Object, Part, PodRow};
use malha_mesh::Mesh;
use malha_world::World;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Answer, Authority, Cluster, Manifests, NOW, get, load_balancer, post, serve_json};

/// Where srv-4 finds its API, but for tests.
const API: &str = "https://api.tvmaze.com/shows/1";

/// The chain without the API outside: nothing of a test leaves the process, and time may stand still.
fn chain() -> Manifests {
    Manifests::of("k8s/chain").edit("srv-4.yml", API, "\"\"")
}

/// A link whose variable has another value, or has one at all.
fn with(manifests: Manifests, link: u8, name: &str, value: &str) -> Manifests {
    let entry = format!("          env:\n            - name: {name}\n              value: \"{value}\"\n");
    manifests.edit(&format!("srv-{link}.yml"), "          env:\n", &entry)
}

async fn ask(cluster: &Cluster) -> Answer {
    cluster.enter(&load_balancer("srv-1"), &get("/")).await.unwrap()
}

/// What a link says of itself: in which pod it runs is known here.
fn link(cluster: &Cluster, number: u8) -> Value {
    let name = format!("srv-{number}");
    let pods = cluster.running.running();
    let hostname = pods.keys().find(|pod| pod.starts_with(&name)).unwrap();
    json!({"name": name, "version": "0.0.1", "hostname": hostname, "status": "up"})
}

/// An answer, and what srv-3 found in its database.
fn without_show(mut answer: Value) -> (Value, Value) {
    let show = answer["service3"].as_object_mut().unwrap().remove("db_data").unwrap();
    (answer, show)
}

/// What is said of whoever does not answer.
fn down() -> Value {
    json!({"status": "down"})
}

#[tokio::test(start_paused = true)]
async fn every_link_speaks_for_itself_and_those_behind_it() {
    let cluster = chain().start().await;
    let answer = ask(&cluster).await;
    assert_eq!((answer.status, answer.header("x-app-version")), (200, Some("0.0.1")));
    let links = [1, 2, 3, 4].map(|number| (format!("service{number}"), link(&cluster, number)));
    let (answer, show) = without_show(answer.json());
    assert_eq!(answer, Value::from_iter(links));
    let members: Vec<_> = show.as_object().unwrap().keys().collect();
    assert_eq!(members, ["id", "name", "score", "year"]);
}

#[tokio::test(start_paused = true)]
async fn a_link_without_pods_is_down_and_those_before_it_answer() {
    let cluster = chain().edit("srv-3.yml", "replicas: 1", "replicas: 0").start().await;
    let expected = json!({"service1": link(&cluster, 1), "service2": link(&cluster, 2), "http://srv-3/": down()});
    let answer = ask(&cluster).await;
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!(cluster.log("srv-2")[0]["message"], "http://srv-3/ is down: status 503");
}

#[tokio::test(start_paused = true)]
async fn the_database_has_every_show_once_however_many_ask_first() {
    let cluster = chain().start().await;
    let entrance = load_balancer("srv-1");
    let call = get("/");
    let answers = join_all((0..20).map(|_| cluster.enter(&entrance, &call))).await;
    let mut shows = std::collections::BTreeMap::new();
    for answer in answers {
        let (_, show) = without_show(answer.unwrap().json());
        shows.insert(show["id"].as_u64().unwrap(), show["name"].to_string());
    }
    // The rows are those of the migration, once each.
    assert!(shows.len() > 1 && shows.keys().all(|id| (1..=10).contains(id)), "{shows:?}");
}

/// Somebody else at the database of srv-3: carries out the SQL that it is sent.
const EDITOR: &str = r#"apiVersion: v1
kind: Service
metadata: {name: editor}
spec:
  type: LoadBalancer
  selector: {app: editor}
  ports: [{name: http, port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: editor}
spec:
  selector: {matchLabels: {app: editor}}
  template:
    metadata: {labels: {app: editor}}
    spec:
      runtimeClassName: wasmtime-spin-v2
      containers:
        - name: stores
          image: stores:0.0.1
          command: ["/"]
          volumeMounts: [{name: spin, mountPath: /.spin}]
      volumes: [{name: spin, persistentVolumeClaim: {claimName: srv-3}}]
"#;

/// The only pod of srv-3.
fn third(cluster: &Cluster) -> PodRow {
    let pods: Vec<_> = cluster.running.pods().into_iter().filter(|pod| pod.name.starts_with("srv-3")).collect();
    let [pod] = pods.as_slice() else { panic!("{pods:?}") };
    assert!(pod.ready, "{pod:?}");
    pod.clone()
}

/// The name of the show that srv-3 answers with.
async fn show(cluster: &Cluster) -> String {
    let (_, show) = without_show(ask(cluster).await.json());
    show["name"].as_str().unwrap().to_owned()
}

/// What `kubectl rollout restart deployment/srv-3` writes.
fn restart(cluster: &Cluster) {
    cluster.running.cluster().write(|registry| {
        let mut deployment = Deployment::clone(registry.store().get("default", "srv-3").unwrap());
        let template = &mut deployment.spec.as_mut().unwrap().template;
        let annotations = template.metadata.get_or_insert_default().annotations.get_or_insert_default();
        annotations.insert("kubectl.kubernetes.io/restartedAt".into(), "now".into());
        registry.update(Object::Deployment(Arc::new(deployment)), Part::Whole, false).unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn the_database_outlives_its_container_its_pod_and_malha() {
    let folder = tempfile::tempdir().unwrap();
    // Its requests wait for srv-4, and more than some of them need too much memory together.
    let manifests = with(chain(), 4, "SLEEP_TIME", "1").edit("srv-3.yml", "memory: 128M", "memory: 4M");
    let manifests = manifests.with("editor.yml", EDITOR).keeping(folder.path());
    let cluster = manifests.start().await;
    assert!(!show(&cluster).await.starts_with("Edited"));
    // No migration writes that: whoever sees it has the same file. And whoever carries one out again fails.
    let edit = post("/sqlite").body("UPDATE tv_show SET name = 'Edited ' || name");
    assert_eq!(cluster.enter(&load_balancer("editor"), &edit).await.unwrap().text(), "[]\n");
    let edited = async |cluster: &Cluster| {
        let name = show(cluster).await;
        assert!(name.starts_with("Edited "), "{name}");
    };
    edited(&cluster).await;

    let pod = third(&cluster);
    let (entrance, call) = (load_balancer("srv-1"), get("/"));
    join_all((0..50).map(|_| cluster.enter(&entrance, &call))).await;
    sleep(Duration::from_mins(1)).await;
    let again = third(&cluster);
    assert_eq!((again.name.as_str(), again.restarts), (pod.name.as_str(), 1));
    edited(&cluster).await;

    cluster.running.cluster().delete(&Key::new(Kind::Pod, "default", &pod.name)).unwrap();
    sleep(Duration::from_mins(1)).await;
    let other = third(&cluster);
    assert_ne!(other.name, pod.name);
    edited(&cluster).await;

    restart(&cluster);
    sleep(Duration::from_mins(1)).await;
    assert_ne!(third(&cluster).name, other.name);
    edited(&cluster).await;

    cluster.running.stop(Duration::ZERO).await;
    edited(&manifests.start().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_sleeps_delays_the_answer() {
    let cluster = with(with(chain(), 2, "SLEEP_TIME", "1.5"), 4, "SLEEP_TIME", "2").start().await;
    let start = Instant::now();
    assert_eq!(ask(&cluster).await.json().as_object().unwrap().len(), 4);
    assert_eq!(start.elapsed().as_millis(), 3_500);
}

/// Each link waits for less than the one before it: so who gives up first is who waits for the culprit.
#[tokio::test(start_paused = true)]
async fn of_a_link_that_sleeps_too_long_the_one_before_it_says_that_it_is_down() {
    let cluster = with(chain(), 4, "SLEEP_TIME", "60").start().await;
    let start = Instant::now();
    let (answer, _) = without_show(ask(&cluster).await.json());
    assert_eq!(start.elapsed().as_secs(), 6);
    assert_eq!((&answer["service3"], &answer["http://srv-4/"]), (&link(&cluster, 3), &down()));
}

#[tokio::test(start_paused = true)]
async fn the_trace_and_the_client_s_name_reach_the_end() {
    let cluster = chain().start().await;
    let id = "5f0c0d1e-0000-4000-8000-000000000001";
    let call = get("/").header("x-request-id", id).header("b3", "t-s-1");
    cluster.enter(&load_balancer("srv-1"), &call).await.unwrap();
    let line = &cluster.log("srv-4")[0];
    assert_eq!((&line["request_id"], &line["trace_id"]), (&json!(id), &json!("t")));
}

/// What a mesh that lets nobody unknown pass is told, as a cluster is.
const REGISTRY_ONLY: &str = "apiVersion: v1
kind: ConfigMap
metadata:
  name: istio
  namespace: istio-system
data:
  mesh: |
    outboundTrafficPolicy:
      mode: REGISTRY_ONLY
";

/// The chain with an API of the test's own, which the mesh is told to trust or not; and the API's URL. Sockets wait in
/// real time, so the clock is not paused.
async fn with_api(trusted: bool, edit: impl FnOnce(Manifests) -> Manifests) -> (Cluster, String) {
    let authority = Authority::new();
    let port = serve_json(&authority, r#"{"id": 1, "rating": 6.50}"#).await.port();
    let url = format!("https://localhost:{port}/shows/1");
    let manifests = Manifests::of("k8s/chain")
        .edit("srv-4.yml", API, &url)
        .edit("api.yml", "- api.tvmaze.com", "- localhost")
        .edit("api.yml", "number: 443", &format!("number: {port}"));
    let world = World::simulated(NOW, 1);
    let mesh = Mesh::new(world.clone());
    if trusted {
        mesh.trust(authority.pem()).unwrap();
    }
    (edit(manifests).start_on(mesh, world).await, url)
}

#[tokio::test]
async fn the_last_link_adds_what_an_api_outside_says() {
    let (cluster, _) = with_api(true, |chain| chain.with("mesh.yml", REGISTRY_ONLY)).await;
    let answer = ask(&cluster).await;
    assert!(answer.text().contains(r#""API_Data":{"id": 1, "rating": 6.50}"#), "{}", answer.text());
    assert_eq!(answer.json().as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn an_api_that_nobody_vouches_for_is_down() {
    let (cluster, url) = with_api(false, |chain| chain).await;
    let answer = ask(&cluster).await.json();
    assert_eq!((&answer["service4"], &answer[&url]), (&link(&cluster, 4), &down()));
    let message = cluster.log("srv-4")[0]["message"].as_str().unwrap().to_owned();
    assert_eq!(message, format!("{url} is down: ErrorCode::TlsProtocolError"));
}

#[tokio::test]
async fn an_api_that_no_service_entry_names_is_down_where_the_mesh_lets_nobody_unknown_pass() {
    let unknown =
        |chain: Manifests| chain.with("mesh.yml", REGISTRY_ONLY).edit("kustomization.yaml", "  - api.yml\n", "");
    let (cluster, url) = with_api(true, unknown).await;
    let answer = ask(&cluster).await.json();
    assert_eq!((&answer["service4"], &answer[&url]), (&link(&cluster, 4), &down()));
}
