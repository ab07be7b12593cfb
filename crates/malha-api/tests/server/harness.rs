//! A cluster on a node that pretends, and its API.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use malha_api::{Api, Body, Credentials};
use malha_cluster::{Cluster, Log, LogLine, LogPage, Node, PodRequest, StartError, Usage};
use malha_world::World;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

/// Lines that a test writes.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: Mutex<(Vec<LogLine>, bool)>,
    changes: watch::Sender<u64>,
}

impl Lines {
    fn new() -> Arc<Self> {
        Arc::new(Self { lines: Mutex::default(), changes: watch::Sender::new(0) })
    }

    pub(crate) fn write(&self, time: SystemTime, text: &str) {
        self.lines.lock().0.push(LogLine { time, text: text.into() });
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn end(&self) {
        self.lines.lock().1 = true;
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Log for Lines {
    fn read(&self, from: u64) -> LogPage {
        let kept = self.lines.lock();
        let lines = kept.0.iter().skip(usize::try_from(from).unwrap()).cloned().collect();
        LogPage { lines, next: kept.0.len() as u64, ended: kept.1 }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// Starts every pod but those whose image is `never:…` (it takes for ever) or `missing:…` (there is none).
#[derive(Clone, Default)]
pub(crate) struct Pretending(pub(crate) Arc<Mutex<HashMap<String, Arc<Lines>>>>);

impl Node for Pretending {
    type Pod = Arc<Lines>;

    async fn start(&self, request: PodRequest) -> Result<Arc<Lines>, StartError> {
        match request.image.split(':').next().unwrap_or_default() {
            "never" => std::future::pending().await,
            "missing" => return Err(StartError::new("ErrImageNeverPull", "no such image")),
            _ => {}
        }
        let lines = Lines::new();
        self.0.lock().insert(request.name, Arc::clone(&lines));
        Ok(lines)
    }

    async fn stop(&self, pod: Arc<Lines>) {
        pod.end();
    }

    fn usage(&self, pod: &Arc<Lines>) -> Option<Usage> {
        // As if each line were a second of work, and for ten requests.
        let lines = pod.lines.lock().0.len() as u64;
        Some(Usage { cpu_time: std::time::Duration::from_secs(lines), memory: 3 << 20, requests: lines * 10 })
    }

    fn log(&self, pod: &Arc<Lines>) -> Arc<dyn Log> {
        Arc::clone(pod) as Arc<dyn Log>
    }
}

/// An API and what is behind it.
pub(crate) struct Harness {
    pub(crate) cluster: Cluster<Pretending>,
    pub(crate) node: Pretending,
    pub(crate) api: Api,
    pub(crate) credentials: Credentials,
    pub(crate) world: World,
    pub(crate) token: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Code, reason and message of a failure.
    pub(crate) fn failure(&self) -> (u16, String, String) {
        let status = self.json();
        assert_eq!((&status["kind"], &status["status"]), (&"Status".into(), &"Failure".into()), "{status}");
        assert_eq!(status["code"], self.code.as_u16());
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        (self.code.as_u16(), text("reason"), text("message"))
    }

    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.headers.get_all("warning").iter().map(|value| std::str::from_utf8(value.as_bytes()).unwrap()).collect()
    }
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::of(World::simulated(1_700_000_000, 1))
    }

    pub(crate) fn of(world: World) -> Self {
        let node = Pretending::default();
        let cluster = Cluster::new(node.clone(), &world, |_| {});
        let credentials = Credentials::make(&world).unwrap();
        let api = Api::new(Arc::new(cluster.clone()), credentials.clone(), &world);
        let config = credentials.kubeconfig("127.0.0.1:6443".parse().unwrap());
        let token = config.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap().to_owned();
        Self { cluster, node, api, credentials, world, token }
    }

    /// A request with the credential.
    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:6443");
        request.header("authorization", format!("Bearer {}", self.token)).header("user-agent", "tests/1.0")
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.api.handle(request).await;
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { code: parts.status, headers: parts.headers, text }
    }

    pub(crate) async fn open(&self, path: &str) -> Response<Body> {
        self.api.handle(self.request(Method::GET, path).body(Full::<Bytes>::default()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).body(Full::default()).unwrap()).await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(self.request(Method::GET, path).header("accept", accept).body(Full::default()).unwrap()).await
    }

    pub(crate) async fn write(&self, method: Method, path: &str, kind: &str, body: impl ToString) -> Answer {
        let request = self.request(method, path).header("content-type", kind);
        self.send(request.body(Full::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.write(Method::POST, path, "application/json", body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.write(Method::PUT, path, "application/json", body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path).body(Full::default()).unwrap()).await
    }
}
