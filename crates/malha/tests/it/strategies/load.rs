//! Clients that ask without a pause, and what each was answered.

use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use malha_mesh::{Connection, Mesh, gateway};
use malha_runtime::Body;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::Answer;

/// Each asks one request after the other. Relay takes 100 ms for one, so that every other has one under way at any moment.
const CLIENTS: u32 = 8;

/// How long a client looks at an answer before it asks again.
const PAUSE: Duration = Duration::from_millis(100);

/// A request that was asked, and its answer.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// When it was asked.
    pub(super) at: Instant,
    /// How long the answer took.
    pub(super) took: Duration,
    pub(super) status: u16,
    pub(super) version: Option<String>,
    /// The `user-agent` that it was asked with.
    pub(super) agent: &'static str,
    /// What is not JSON is null.
    pub(super) body: Value,
}

impl Seen {
    pub(super) fn is(&self, version: &str) -> bool {
        self.version.as_deref() == Some(version)
    }
}

/// Clients at work. Requests are counted as they begin, so that a number tells those before a moment from those after.
pub(super) struct Load {
    seen: Arc<Mutex<Vec<Option<Seen>>>>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Begins. The clients are these browsers by turns.
    pub(super) fn start(mesh: &Mesh, agents: &[&'static str]) -> Self {
        let (seen, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let mut clients = JoinSet::new();
        for (number, agent) in (0..CLIENTS).zip(agents.iter().copied().cycle()) {
            let (mesh, seen, stop) = (mesh.clone(), Arc::clone(&seen), Arc::clone(&stop));
            clients.spawn(async move {
                sleep(PAUSE * number / CLIENTS).await;
                while !stop.load(Ordering::Relaxed) {
                    let place = {
                        let mut seen = seen.lock();
                        seen.push(None);
                        seen.len() - 1
                    };
                    let answer = ask(&mesh, agent).await;
                    seen.lock()[place] = Some(answer);
                    sleep(PAUSE).await;
                }
            });
        }
        Self { seen, stop, clients }
    }

    /// How many requests have begun.
    pub(super) fn begun(&self) -> usize {
        self.seen.lock().len()
    }

    /// Waits until the clients have their last answers; all of them, in the order in which they were asked for.
    pub(super) async fn stop(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        mem::take(&mut *self.seen.lock()).into_iter().map(Option::unwrap).collect()
    }
}

/// One request at the gateway.
async fn ask(mesh: &Mesh, agent: &'static str) -> Seen {
    let at = Instant::now();
    let request = Request::get("/").header("host", "relay.localhost").header("user-agent", agent);
    let connection = Connection {
        client: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 50_000)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
        tls: None,
    };
    let response = mesh.enter(&gateway(80), request.body(Body::empty()).unwrap(), &connection).await;
    let answer = Answer::read(response.expect("a gateway answers")).await;
    let version = answer.header("x-app-version").map(ToOwned::to_owned);
    let body = serde_json::from_slice(&answer.body).unwrap_or_default();
    Seen { at, took: at.elapsed(), status: answer.status, version, agent, body }
}
