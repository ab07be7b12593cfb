//! One replica of an application: from a request to a response.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use malha_world::World;
use tokio::sync::watch;

use crate::app::{App, AppError, RouteMatch, Routes};
use crate::body::Body;
use crate::cpu::Account;
use crate::engine::Engine;
use crate::guest::{self, GuestError};
use crate::logs::{LogStream, Logs};
use crate::outbound::Outbound;
use crate::quota::Quota;
use crate::storage::{StateFolder, Storage};

/// Paths that Spin answers itself.
const WELL_KNOWN: &str = "/.well-known/spin/";

/// Where the containerd shim listens.
const PORT: u16 = 80;

/// What makes a pod of an application.
pub struct PodOptions<'a> {
    /// Its name.
    pub name: &'a str,
    /// The namespace it is in.
    pub namespace: &'a str,
    /// The container's environment. `SPIN_COMPONENTS_TO_RETAIN`, `SPIN_MAX_INSTANCE_MEMORY` and `SPIN_HTTP_LISTEN_ADDR` mean
    /// what they mean to the containerd shim; the others feed the application's variables.
    pub environment: &'a [(String, String)],
    /// Time and chance.
    pub world: World,
    /// Who carries its calls.
    pub outbound: Arc<dyn Outbound>,
    /// What it may use, unless the engine holds no pod to its limits.
    pub limits: PodLimits,
    /// Where its databases are.
    pub state: StateFolder,
}

/// `resources.limits` of a container. Nothing is unlimited, and so is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodLimits {
    /// Thousandths of a processor, which all of its guests share.
    pub cpu: Option<u64>,
    /// Bytes, which all of its instances hold together. More ends the pod.
    pub memory: Option<u64>,
}

/// Why a pod cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// The application does not work with this environment.
    #[error(transparent)]
    App(#[from] AppError),
    /// `SPIN_MAX_INSTANCE_MEMORY` is no number of bytes.
    #[error("SPIN_MAX_INSTANCE_MEMORY is `{0}`, not a number of bytes")]
    MaxInstanceMemory(String),
    /// `SPIN_HTTP_LISTEN_ADDR` is no address.
    #[error("SPIN_HTTP_LISTEN_ADDR is `{0}`, not an address and a port")]
    ListenAddress(String),
}

/// One replica. A handle: clones are the same pod.
#[derive(Clone)]
pub struct Pod {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) namespace: Arc<str>,
    pub(crate) engine: Engine,
    pub(crate) world: World,
    pub(crate) outbound: Arc<dyn Outbound>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) cpu: Arc<Account>,
    /// Bytes that its instances hold now, and may hold at most.
    memory: AtomicU64,
    memory_limit: u64,
    pub(crate) memory_per_instance: u64,
    pub(crate) storage: Arc<Storage>,
    /// Requests that reached it through its sidecar.
    requests: AtomicU64,
    /// Why it has ended, if it has.
    ended: watch::Sender<Option<Ended>>,
    port: u16,
    routes: Routes,
}

/// Why a pod has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// Its instances held more memory than it may have.
    OutOfMemory,
}

/// The pod has ended: whoever asked it sees a connection that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pod has ended")]
pub struct Stopped;

/// A request on its way into a pod.
#[derive(Debug)]
pub struct Inbound {
    /// With a path; `Host` or an authority is expected, as HTTP/1.1 demands.
    pub request: Request<Body>,
    /// How many calls led here: 0 for a request from outside the mesh.
    pub depth: usize,
    /// Who connected, as the application sees it.
    pub peer: SocketAddr,
}

impl Pod {
    /// Makes a pod ready to answer. Starts nothing: instances begin with requests.
    ///
    /// # Errors
    /// [`PodError`]: when variables, components or limits do not fit together.
    pub fn start(engine: &Engine, app: &App, options: PodOptions<'_>) -> Result<Self, PodError> {
        let environment: HashMap<&str, &str> =
            options.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let retain: Vec<&str> = match environment.get("SPIN_COMPONENTS_TO_RETAIN") {
            // The shim does not trim the names either.
            Some(names) if !names.is_empty() => names.split(',').collect(),
            _ => Vec::new(),
        };
        let memory_per_instance = match environment.get("SPIN_MAX_INSTANCE_MEMORY") {
            Some(text) => text.parse().map_err(|_| PodError::MaxInstanceMemory((*text).to_owned()))?,
            None => engine.shared.options.memory_per_instance,
        };
        let port = match environment.get("SPIN_HTTP_LISTEN_ADDR") {
            Some(text) => text.parse::<SocketAddr>().map_err(|_| PodError::ListenAddress((*text).to_owned()))?.port(),
            None => PORT,
        };
        let routes = app.configure(&retain, &environment)?;
        let limits = if engine.shared.options.pod_limits { options.limits } else { PodLimits::default() };
        Ok(Self {
            shared: Arc::new(Shared {
                name: options.name.into(),
                namespace: options.namespace.into(),
                engine: engine.clone(),
                logs: Logs::new(options.world.clock),
                cpu: Arc::new(Account::new(options.world.work, limits.cpu.and_then(Quota::new))),
                world: options.world,
                outbound: options.outbound,
                memory: AtomicU64::new(0),
                memory_limit: limits.memory.filter(|bytes| *bytes > 0).unwrap_or(u64::MAX),
                requests: AtomicU64::new(0),
                memory_per_instance,
                storage: Arc::new(Storage::new(options.state)),
                ended: watch::Sender::new(None),
                port,
                routes,
            }),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether the other is this very pod, and not another of its name.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The port that it listens on, for those who connect to it as to a machine.
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// Waits until it has ended, and says why.
    pub async fn ended(&self) -> Ended {
        self.shared.ended().await
    }

    /// What its guests printed.
    pub fn logs(&self) -> &Arc<Logs> {
        &self.shared.logs
    }

    /// Stops it as a signal stops the containerd shim: at once. What is under way is cut, in the middle of a body too, and
    /// its log has come to its end.
    pub fn stop(&self) {
        self.shared.end(Ended::Stopped);
    }

    /// Time that its guests spent on a processor, all requests together.
    pub fn cpu_time(&self) -> Duration {
        self.shared.cpu.used()
    }

    /// Bytes of memory that its instances hold now, all requests together: what its limit is held against.
    pub fn memory(&self) -> u64 {
        self.shared.memory.load(Ordering::Relaxed)
    }

    /// Notes that a request has reached its sidecar, whatever becomes of it there.
    pub fn count_request(&self) {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that were counted since it started.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Answers a request, unless the pod ends before the head of the answer is there: as Spin's HTTP trigger does, 404
    /// without a body where no component has the route, 500 without a body when the guest fails; the log says why.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn answer(&self, inbound: Inbound) -> Result<Response<Body>, Stopped> {
        if self.shared.has_ended() {
            return Err(Stopped);
        }
        tokio::select! {
            // First: most guests have answered when they are polled once, and nobody has to wait for the other.
            biased;
            response = self.handle(inbound) => response,
            _ = self.shared.ended() => Err(Stopped),
        }
    }

    /// Does not ask first whether the pod has ended, but says so if it ends meanwhile.
    async fn handle(&self, inbound: Inbound) -> Result<Response<Body>, Stopped> {
        let Inbound { mut request, depth, peer } = inbound;
        let uri = request.uri().clone();
        let well_known = uri.path().strip_prefix(WELL_KNOWN);
        let route = if well_known.is_some() { None } else { self.shared.routes.find(uri.path()) };
        let Some(route) = route else {
            // A pod that is out of CPU time answers nothing, but what costs it none does not wait for what does.
            self.shared.cpu.thawed().await;
            return Ok(match well_known {
                Some("health") => Response::new("OK".into()),
                _ => empty(StatusCode::NOT_FOUND),
            });
        };
        add_spin_headers(request.headers_mut(), &uri, &route, peer);
        match guest::respond(&self.shared, route.component, request, depth).await {
            Ok(response) => Ok(response),
            // Not this request has failed: its process is gone.
            Err(_) if self.shared.has_ended() => Err(Stopped),
            Err(error) => {
                self.shared.complain(&format!("{}: {error}", uri.path()));
                Ok(empty(match error {
                    GuestError::NoInstance(_) => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                }))
            }
        }
    }
}

impl Shared {
    /// Waits until the pod has ended.
    pub(crate) async fn ended(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        let why = ended.wait_for(Option::is_some).await.ok().and_then(|why| *why);
        // The sender is in `self`: it cannot be gone.
        why.unwrap_or(Ended::Stopped)
    }

    fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Ends the pod, once.
    fn end(&self, why: Ended) {
        if self.ended.send_if_modified(|ended| ended.is_none() && ended.replace(why).is_none()) {
            self.logs.end();
        }
    }

    /// An instance holds more memory; whether the pod may have it. If not, the pod has ended.
    pub(crate) fn hold(&self, bytes: u64) -> bool {
        let before = self.memory.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.memory_limit;
        if !fits {
            self.end(Ended::OutOfMemory);
        }
        fits
    }

    /// An instance holds less.
    pub(crate) fn let_go(&self, bytes: u64) {
        self.memory.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Says something in the pod's log, where the shim too would say it. A pod that has ended says nothing any more.
    pub(crate) fn complain(&self, text: &str) {
        if self.has_ended() {
            return;
        }
        for line in text.lines() {
            self.logs.push(LogStream::Stderr, line.as_bytes());
        }
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The headers by which Spin tells a component where it is mounted and what was asked.
fn add_spin_headers(headers: &mut HeaderMap, uri: &http::Uri, route: &RouteMatch<'_, '_>, peer: SocketAddr) {
    let host = uri.authority().map(http::uri::Authority::as_str);
    let host = host.or_else(|| headers.get(HOST)?.to_str().ok()).unwrap_or("localhost");
    let path_and_query = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let full_url = format!("http://{host}{path_and_query}");
    let mut add = |name: &'static str, value: Result<HeaderValue, _>| {
        // What came in a header or a path can always be written into a header again.
        if let Ok(value) = value {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    add("spin-full-url", HeaderValue::try_from(full_url));
    add("spin-path-info", HeaderValue::from_str(route.rest));
    add("spin-matched-route", HeaderValue::from_str(route.raw));
    add("spin-raw-component-route", HeaderValue::from_str(route.raw));
    add("spin-component-route", HeaderValue::from_str(route.prefix()));
    add("spin-base-path", Ok(HeaderValue::from_static("/")));
    add("spin-client-addr", HeaderValue::try_from(peer.to_string()));
}
