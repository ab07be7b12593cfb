//! What guests may do to each other and to the host: nothing.
//!
//! The guest is `components/misbehave`, which speaks plain WASI HTTP; each of its paths does one thing.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod support;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use malha_runtime::{
    App, Body, CallError, Caller, Ended, Engine, Images, Inbound, Outbound, Pod, PodLimits, PodOptions, StateFolder,
    Stopped,
};
use malha_world::{Work, World};

/// One engine and one build for all tests of this process.
static ENGINE: LazyLock<(Engine, Images)> = LazyLock::new(|| support::built("misbehave"));

fn app() -> App {
    let (engine, images) = &*ENGINE;
    images.load(engine, "misbehave:0.0.1").unwrap()
}

/// Answers every call with what it was asked, or never.
struct Echo;

impl Outbound for Echo {
    fn call(
        &self,
        caller: Caller,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Body>, CallError>> + Send>> {
        Box::pin(async move {
            match request.uri().host() {
                Some("nobody") => Err(CallError::DestinationNotFound),
                Some("refuses") => Err(CallError::ConnectionRefused),
                Some("never") => std::future::pending().await,
                _ => Ok(Response::new(format!("{} from {} at {}", request.uri(), caller.pod, caller.depth).into())),
            }
        })
    }
}

fn start(world: World, outbound: Arc<dyn Outbound>, limits: PodLimits) -> Pod {
    let options = PodOptions {
        name: "sinner",
        namespace: "default",
        environment: &[],
        world,
        outbound,
        limits,
        state: StateFolder::Temporary,
    };
    Pod::start(&ENGINE.0, &app(), options).unwrap()
}

fn pod_in(world: World) -> Pod {
    start(world, Arc::new(Echo), PodLimits::default())
}

fn pod() -> Pod {
    pod_in(World::simulated(1_000_000, 7))
}

fn request(path: &str, headers: &[(&str, &str)]) -> Inbound {
    let mut request = Request::get(path).header("host", "sinner");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let peer = SocketAddr::from(([127, 0, 0, 6], 0));
    Inbound { request: request.body(Body::empty()).unwrap(), depth: 0, peer }
}

async fn get(pod: &Pod, path: &str) -> Response<Body> {
    pod.answer(request(path, &[])).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn log(pod: &Pod) -> String {
    pod.logs().lines().iter().map(|line| line.text.to_string() + "\n").collect()
}

async fn assert_well(pod: &Pod) {
    let status = get(pod, "/ok").await.status();
    let lines = pod.logs().lines();
    let last: Vec<_> = lines.iter().rev().take(5).rev().map(|line| &line.text).collect();
    assert_eq!(status, StatusCode::OK, "{last:#?}");
}

#[tokio::test]
async fn a_failing_guest_costs_its_own_request_and_the_log_says_why() {
    for (path, why) in [
        ("/trap", "unreachable"),
        ("/memory", "more memory than 33554432 bytes"),
        ("/loop", "more than 250ms of CPU time"),
        ("/never", "without a response"),
        ("/exit", "exit status"),
    ] {
        let pod = pod();
        let response = get(&pod, path).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert_eq!(text(response).await, "", "{path}");
        assert!(log(&pod).contains(why), "{path} says: {}", log(&pod));
        assert_well(&pod).await;
    }
}

#[tokio::test]
async fn a_second_answer_is_not_one() {
    let pod = pod();
    let response = get(&pod, "/twice").await;
    // The guest is stopped at its second answer; whether the first has left by then is not for anyone to rely on.
    assert!([StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR].contains(&response.status()));
    assert_well(&pod).await;
}

#[tokio::test]
async fn a_body_that_its_guest_leaves_unfinished_is_an_error_to_its_reader() {
    let pod = pod();
    let response = get(&pod, "/cut").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
    assert_well(&pod).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_endless_loop_lets_its_neighbours_run_on_the_same_thread() {
    let pod = pod();
    let looping = tokio::spawn({
        let pod = pod.clone();
        async move { get(&pod, "/loop").await.status() }
    });
    for _ in 0..20 {
        let pod = pod.clone();
        assert_eq!(tokio::spawn(async move { get(&pod, "/ok").await.status() }).await.unwrap(), StatusCode::OK);
    }
    assert_eq!(looping.await.unwrap(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn time_on_the_cpu_is_counted() {
    let pod = pod_in(World::real());
    get(&pod, "/loop").await;
    assert!(pod.cpu_time() >= Duration::from_millis(250), "{:?}", pod.cpu_time());
    // Where work costs nothing, the account stays empty, and yet the loop is stopped.
    let pod = pod_in(World::simulated(0, 1));
    assert_eq!(get(&pod, "/loop").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(pod.cpu_time(), Duration::ZERO);
}

/// A pod with a limit of CPU time, in a world where each request costs its guest `cost`.
fn slow_pod(millis: u64, cost: Duration) -> Pod {
    let world = World { work: Work::Fixed(cost), ..World::simulated(0, 1) };
    start(world, Arc::new(Echo), PodLimits { cpu: Some(millis), ..PodLimits::default() })
}

#[tokio::test(start_paused = true)]
async fn requests_share_their_pods_quota_in_the_order_of_coming() {
    let millisecond = Duration::from_millis(1);
    // The limit, the cost of a request, and how many of forty have their answer in each period of 100 ms.
    for (limit, cost, want) in [
        (100, millisecond, &[10, 10, 10, 10][..]),
        (250, millisecond, &[25, 15]),
        (4_000, millisecond, &[40]),
        // 2 ms more than the quota: a debt, for which the next period pays.
        (100, millisecond * 4, &[3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3]),
        (100, millisecond * 25, &[1, 0, 1, 0, 0, 1, 0, 1]),
    ] {
        let pod = slow_pod(limit, cost);
        let begin = tokio::time::Instant::now();
        let count = want.iter().sum();
        let requests = (0..count).map(|_| {
            let pod = pod.clone();
            tokio::spawn(async move { (get(&pod, "/ok").await.status(), begin.elapsed().as_millis()) })
        });
        let (mut answered, mut last) = (vec![0; want.len()], 0);
        for request in requests.collect::<Vec<_>>() {
            let (status, after) = request.await.unwrap();
            assert_eq!((status, after % 100), (StatusCode::OK, 0));
            assert!(last <= after, "{limit}m, {cost:?}: in the order of coming");
            last = after;
            answered[usize::try_from(after / 100).unwrap()] += 1;
        }
        assert_eq!(answered, want, "{limit}m, {cost:?} a request");
        assert_eq!(pod.cpu_time(), cost * u32::try_from(count).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_out_of_time_answers_no_probe_and_makes_no_instance() {
    let pod = slow_pod(100, Duration::from_millis(25));
    let begin = tokio::time::Instant::now();
    get(&pod, "/ok").await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    let health = get(&pod, "/.well-known/spin/health").await;
    assert_eq!((health.status(), begin.elapsed()), (StatusCode::OK, Duration::from_millis(200)));
    get(&pod, "/ok").await;
    let waiting = tokio::spawn({
        let pod = pod.clone();
        async move { pod.answer(request("/ok", &[])).await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    assert_eq!(pod.memory(), 0);
    pod.stop();
    assert_eq!(waiting.await.unwrap(), Err(Stopped));
    assert_eq!(begin.elapsed(), Duration::from_millis(200));
}

/// More requests than the engine has slots at the edge, and for longer than a request waits for one.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_pods_quota_takes_no_slot_from_others_and_is_not_refused() {
    let (slow, other) = (slow_pod(100, Duration::from_millis(10)), slow_pod(100, Duration::from_millis(1)));
    let begin = tokio::time::Instant::now();
    let waiting = (0..700).map(|_| {
        let slow = slow.clone();
        tokio::spawn(async move { get(&slow, "/ok").await.status() })
    });
    let waiting: Vec<_> = waiting.collect();
    // Paused time goes on once all of them wait.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(get(&other, "/ok").await.status(), StatusCode::OK);
    assert_eq!(begin.elapsed(), Duration::from_millis(50));
    for request in waiting {
        assert_eq!(request.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(begin.elapsed(), Duration::from_millis(69_900));
}

#[tokio::test]
async fn an_endless_loop_within_a_limit_ends_all_the_same() {
    // 250 ms of real time on a processor, of which the pod has 50 in each 100 ms.
    let pod = start(World::real(), Arc::new(Echo), PodLimits { cpu: Some(500), ..PodLimits::default() });
    let begin = tokio::time::Instant::now();
    assert_eq!(get(&pod, "/loop").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    assert!(log(&pod).contains("more than 250ms of CPU time"));
}

#[tokio::test]
async fn a_request_body_streams_through() {
    let pod = pod();
    let mut inbound = request("/echo", &[]);
    *inbound.request.method_mut() = http::Method::POST;
    let sent = "all the way and back ".repeat(20_000);
    *inbound.request.body_mut() = Bytes::from(sent.clone()).into();
    assert_eq!(text(pod.answer(inbound).await.unwrap()).await, sent);
}

#[tokio::test(start_paused = true)]
async fn a_guest_waits_on_tokios_clock() {
    let pod = pod();
    let before = tokio::time::Instant::now();
    let body = text(get(&pod, "/stream").await).await;
    assert!(!body.is_empty());
    assert!(before.elapsed() > Duration::ZERO, "paused time moved on with the guest's timer");
}

#[tokio::test(start_paused = true)]
async fn a_guest_sees_the_worlds_clock_and_chance() {
    let see =
        |path: &'static str, seed| async move { text(get(&pod_in(World::simulated(86_400, seed)), path).await).await };
    assert!(see("/clock", 1).await.contains("86400"));
    assert_eq!(see("/random", 1).await, see("/random", 1).await);
    assert_ne!(see("/random", 1).await, see("/random", 2).await);
}

#[tokio::test(start_paused = true)]
async fn calls_go_out_through_the_pods_outbound() {
    let pod = pod();
    for (url, want) in [
        ("http://friend/path?q", "http://friend/path?q from sinner at 1"),
        ("http://nobody/", "DestinationNotFound"),
        ("http://refuses/", "ConnectionRefused"),
        ("http://never/", "no response in time"),
    ] {
        let body = text(pod.answer(request("/call", &[("x-call", url)])).await.unwrap()).await;
        assert!(body.contains(want), "{url} gives {body}");
    }
}

#[tokio::test]
async fn a_chain_of_calls_without_end_is_refused() {
    let pod = pod();
    let mut inbound = request("/ok", &[]);
    inbound.depth = 8;
    assert_eq!(pod.answer(inbound).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(log(&pod).contains("too long"));
}

#[tokio::test]
async fn spin_answers_its_own_paths() {
    let pod = pod();
    assert_eq!(text(get(&pod, "/.well-known/spin/health").await).await, "OK");
    assert_eq!(get(&pod, "/.well-known/spin/other").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_reader_that_goes_away_hurts_nobody() {
    let pod = pod();
    drop(get(&pod, "/stream").await);
    drop(get(&pod, "/cut").await);
    assert_well(&pod).await;
}

/// Two pods of the same sinner, of which one calls the other.
struct Neighbour(OnceLock<Pod>);

impl Outbound for Neighbour {
    fn call(
        &self,
        caller: Caller,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Body>, CallError>> + Send>> {
        let pod = self.0.get().unwrap().clone();
        let peer = SocketAddr::from(([127, 0, 0, 6], 0));
        Box::pin(async move { Ok(pod.answer(Inbound { request, depth: caller.depth, peer }).await.unwrap()) })
    }
}

#[tokio::test]
async fn a_callee_goes_on_while_its_caller_still_sends() {
    // The callee answers before it reads; the sender looks at the answer only when all is sent.
    let pod = pod();
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let mut inbound = request("/echo", &[]);
    *inbound.request.method_mut() = http::Method::POST;
    inbound.depth = 1;
    *inbound.request.body_mut() = Body::boxed(Channel(receiver));
    let response = pod.answer(inbound).await.unwrap();
    // No more chunks than may lie between the two without a reader.
    for _ in 0..30 {
        sender.send(Bytes::from_static(&[b'x'; 1024])).await.unwrap();
    }
    drop(sender);
    assert_eq!(text(response).await.len(), 30 * 1024);
}

/// A body that comes from a channel.
struct Channel(tokio::sync::mpsc::Receiver<Bytes>);

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = malha_runtime::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

#[tokio::test]
async fn a_guest_calls_a_guest() {
    let neighbour = Arc::new(Neighbour(OnceLock::new()));
    let world = World::simulated(0, 1);
    let caller = start(world, Arc::clone(&neighbour) as Arc<dyn Outbound>, PodLimits::default());
    assert!(neighbour.0.set(pod()).is_ok());
    for (url, want) in
        [("http://other/ok", "200\nok"), ("http://other/trap", "500\n"), ("http://other/stream", "200\n")]
    {
        let body = text(caller.answer(request("/call", &[("x-call", url)])).await.unwrap()).await;
        assert!(body.starts_with(want), "{url} gives {body}");
    }
}

/// A service that never answers.
struct Silence;

impl Outbound for Silence {
    fn call(
        &self,
        _: Caller,
        _: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Body>, CallError>> + Send>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_stopped_cuts_what_is_under_way_and_takes_nothing_new() {
    let pod = start(World::simulated(0, 1), Arc::new(Silence), PodLimits::default());
    // One whose answer has begun, and one whose answer nobody knows yet.
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let mut inbound = request("/echo", &[]);
    *inbound.request.method_mut() = http::Method::POST;
    *inbound.request.body_mut() = Body::boxed(Channel(receiver));
    let begun = pod.answer(inbound).await.unwrap();
    sender.send(Bytes::from_static(b"half of it")).await.unwrap();
    let waiting = tokio::spawn({
        let pod = pod.clone();
        async move { pod.answer(request("/call", &[("x-call", "http://other/")])).await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    pod.stop();
    assert_eq!(waiting.await.unwrap(), Err(Stopped));
    assert!(begun.into_body().collect().await.is_err(), "half a body is no body");
    assert_eq!(pod.answer(request("/ok", &[])).await.map(|_| ()), Err(Stopped));
    assert!(pod.logs().read(0).ended);
}

/// A pod whose calls nobody answers, and which may have so much memory.
fn pod_with_memory(bytes: u64) -> Pod {
    start(World::simulated(0, 1), Arc::new(Silence), PodLimits { memory: Some(bytes), ..PodLimits::default() })
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_instances_hold_too_much_together_is_killed_and_cuts_what_is_under_way() {
    // Half of what a single instance may have.
    let pod = pod_with_memory(16 << 20);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let mut inbound = request("/echo", &[]);
    *inbound.request.method_mut() = http::Method::POST;
    *inbound.request.body_mut() = Body::boxed(Channel(receiver));
    let begun = pod.answer(inbound).await.unwrap();
    sender.send(Bytes::from_static(b"half of it")).await.unwrap();
    let ask = |path| {
        let pod = pod.clone();
        tokio::spawn(async move { pod.answer(request(path, &[("x-call", "http://other/")])).await.map(|_| ()) })
    };
    let waiting = ask("/call");
    tokio::task::yield_now().await;
    assert_eq!(ask("/memory").await.unwrap(), Err(Stopped), "no status: the process is gone");
    assert_eq!(waiting.await.unwrap(), Err(Stopped));
    assert!(begun.into_body().collect().await.is_err(), "half a body is no body");
    assert_eq!(pod.ended().await, Ended::OutOfMemory);
    assert_eq!(ask("/ok").await.unwrap(), Err(Stopped));
    // What is killed says nothing; and being stopped afterwards, as every container is, changes nothing.
    assert_eq!(log(&pod), "");
    pod.stop();
    assert_eq!((pod.ended().await, pod.memory()), (Ended::OutOfMemory, 0));
}

#[tokio::test(start_paused = true)]
async fn one_greedy_instance_below_the_pods_limit_costs_its_own_request() {
    let pod = pod_with_memory(64 << 20);
    assert_eq!(get(&pod, "/memory").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(log(&pod).contains("more memory than 33554432 bytes"));
    assert_well(&pod).await;
    assert_eq!(pod.memory(), 0);
}

#[tokio::test(start_paused = true)]
async fn instances_that_wait_are_charged_what_they_touch() {
    // As many as fit into the limit of `k8s/01-composition.yml`, each with 4 MiB laid out: 1.2 GiB.
    let pod = pod_with_memory(128_000_000);
    let waiting: Vec<_> = (0..300)
        .map(|_| {
            let pod = pod.clone();
            tokio::spawn(async move { pod.answer(request("/call", &[("x-call", "http://other/")])).await.map(|_| ()) })
        })
        .collect();
    // Each may be interrupted by the ticker, some times on a busy machine.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pod.memory(), 300 * (128 << 10));
    assert_well(&pod).await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn guests_whose_clients_left_give_their_slots_back() {
    let pod = pod();
    for _ in 0..600 {
        let mut inbound = request("/echo", &[]);
        *inbound.request.method_mut() = http::Method::POST;
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        *inbound.request.body_mut() = Body::boxed(Channel(receiver));
        drop(pod.answer(inbound).await.unwrap());
        // The client never sends the body that it promised.
        std::mem::forget(sender);
    }
    assert_well(&pod).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sinners_at_once_leave_every_slot_as_they_found_it() {
    let pod = pod();
    let tasks: Vec<_> = ["/trap", "/ok", "/memory", "/never", "/cut", "/exit"]
        .into_iter()
        .cycle()
        .take(1_200)
        .map(|path| {
            let pod = pod.clone();
            tokio::spawn(async move { drop(get(&pod, path).await.into_body().collect().await) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for _ in 0..1_200 {
        assert_well(&pod).await;
    }
}
