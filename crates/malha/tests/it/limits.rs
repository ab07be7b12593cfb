//! `resources.limits`: what a pod gets of the processors, and what becomes of it when it wants too much memory.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;
use malha_mesh::{Connection, gateway};
use malha_world::{Work, World};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::{Cluster, Manifests, NOW, get};

/// How long each load is kept up.
const LOAD: Duration = Duration::from_secs(4);

/// Asks for a post with ten clients at a time, through the gateway: how many answers there are, and the longest wait.
async fn load(cluster: &Arc<Cluster>) -> (u64, Duration) {
    let end = Instant::now() + LOAD;
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        let cluster = Arc::clone(cluster);
        clients.spawn(async move {
            let (mut count, mut longest) = (0, Duration::ZERO);
            while Instant::now() < end {
                let start = Instant::now();
                assert_eq!(cluster.gateway(get("/posts/1").bearer(Cluster::admin())).await.status, 200);
                longest = longest.max(start.elapsed());
                count += 1;
            }
            (count, longest)
        });
    }
    let all = clients.join_all().await.into_iter();
    all.fold((0, Duration::ZERO), |(count, longest), (more, wait)| (count + more, longest.max(wait)))
}

/// Each request costs 10 ms. So one of 100m has one each 100 ms, one of 250m five each 200 ms.
#[tokio::test(start_paused = true)]
async fn throughput_follows_the_limit_of_the_cpu() {
    for (limit, each_second, longest) in [("100m", 10, 1_100), ("250m", 25, 600), ("500m", 50, 300), ("2", 200, 100)] {
        let world = World { work: Work::Fixed(Duration::from_millis(10)), ..World::simulated(NOW, 1) };
        let manifests = Manifests::base().edit("01-posts.yml", "cpu: 100m", &format!("cpu: {limit}"));
        let cluster = Arc::new(manifests.start_in(world).await);
        let (count, slowest) = load(&cluster).await;
        // What the kubelet's probes cost is not theirs; and what waited at the end is.
        let want = each_second * LOAD.as_secs();
        assert!((want - 3..=want + 12).contains(&count), "{limit}: {count} answers and not {want}");
        assert!(slowest <= Duration::from_millis(longest), "{limit}: an answer after {slowest:?}");
    }
}

/// A guest that takes memory until it gets no more at `/memory`, behind a gateway. What it calls at its own Service comes
/// three seconds later.
const MISBEHAVE: &str = r#"apiVersion: v1
kind: Service
metadata: {name: misbehave}
spec:
  selector: {app: misbehave}
  ports: [{name: http, port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: misbehave}
spec:
  selector: {matchLabels: {app: misbehave}}
  template:
    metadata: {labels: {app: misbehave}}
    spec:
      runtimeClassName: wasmtime-spin-v2
      containers:
        - name: misbehave
          image: misbehave:0.0.1
          command: ["/"]
          env: [{name: SPIN_MAX_INSTANCE_MEMORY, value: "67108864"}]
          resources: {limits: {memory: 32Mi}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: misbehave}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: at-the-gateway}
spec:
  hosts: ["*"]
  gateways: [misbehave]
  http: [{route: [{destination: {host: misbehave}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: in-the-mesh}
spec:
  hosts: [misbehave]
  http: [{fault: {delay: {fixedDelay: 3s, percentage: {value: 100}}}, route: [{destination: {host: misbehave}}]}]
"#;

/// What the gateway answers: the head, and the body unless it was cut.
async fn ask(cluster: &Cluster, path: &str) -> (u16, Option<String>) {
    let connection =
        Connection { client: "192.0.2.1:50000".parse().unwrap(), local: "127.0.0.1:80".parse().unwrap(), tls: None };
    let request = get(path).header("x-call", "http://misbehave/ok").request();
    let response = Box::pin(cluster.running.mesh().enter(&gateway(80), request, &connection)).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.ok();
    (status, body.map(|body| String::from_utf8(body.to_bytes().to_vec()).unwrap()))
}

/// What `kubectl` shows of the only pod: READY, RESTARTS, and exit code and reason of Last State.
fn shown(cluster: &Cluster) -> (bool, i32, Option<(i32, String)>) {
    cluster.running.cluster().read(|store| {
        let [pod] = store.list::<Pod>().collect::<Vec<_>>().try_into().expect("one pod");
        let status = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
        let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let ended = ended.map(|ended| (ended.exit_code, ended.reason.clone().unwrap()));
        (status.ready, status.restart_count, ended)
    })
}

/// One greedy request, while two others are under way, one of them with half of its body out.
async fn three(cluster: &Cluster) -> [(u16, Option<String>); 3] {
    let greedy = async {
        sleep(Duration::from_millis(50)).await;
        ask(cluster, "/memory").await
    };
    let (waiting, reading, greedy) = tokio::join!(ask(cluster, "/call"), ask(cluster, "/stream"), greedy);
    [waiting, reading, greedy]
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_wants_more_memory_than_its_limit_is_killed_with_all_that_is_under_way_and_comes_back() {
    let cluster = Manifests::only(MISBEHAVE).start().await;
    assert_eq!(shown(&cluster), (true, 0, None));
    let start = Instant::now();
    let why = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
    let reset = || (503, Some(why.to_owned()));
    assert_eq!(three(&cluster).await, [reset(), (200, None), reset()]);
    assert_eq!(start.elapsed().as_millis(), 50, "nobody waits for an answer that cannot come");
    sleep(Duration::from_secs(15)).await;
    assert_eq!(shown(&cluster), (true, 1, Some((137, "Error".to_owned()))));
    assert_eq!(ask(&cluster, "/ok").await, (200, Some("ok\n".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_bound_for_each_instance_below_the_limit_costs_the_greedy_request_alone() {
    let cluster = Manifests::only(&MISBEHAVE.replace("67108864", "16777216")).start().await;
    let fine = |text: &str| (200, Some(text.to_owned()));
    let chunks = "chunk 1\nchunk 2\nchunk 3\nchunk 4\nchunk 5\n";
    assert_eq!(three(&cluster).await, [fine("200\nok\n"), fine(chunks), (500, Some(String::new()))]);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(shown(&cluster), (true, 0, None));
    assert_eq!(ask(&cluster, "/ok").await, fine("ok\n"));
}
