//! Snapshots that change under the requests: each request is answered by the one that it began with, and none by nobody.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use malha_mesh::{Connection, Mesh, gateway};
use malha_policy::InboundPolicy;
use malha_routing::{
    Action, Answer, Condition, Fault, HeaderChanges, HostPattern, HostTable, Listener, ListenerKind, Route, RouteTable,
    Share, Snapshot, Transport, VirtualHost,
};
use malha_runtime::{Body, Pod};
use malha_world::World;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long an answer takes: several snapshots.
const SLOW: Duration = Duration::from_millis(50);
const SWAP: Duration = Duration::from_millis(5);

/// A mesh that answers with its version, after a while.
fn snapshot(version: u64) -> Arc<Snapshot<Pod>> {
    let action = Action {
        answer: Answer::Respond { status: StatusCode::OK, body: Bytes::from(version.to_string()) },
        fault: Some(Fault { delay: Some((Share::ALL, SLOW)), abort: None }),
        cors: None,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    };
    let route = Route { name: String::new(), condition: Condition::default(), action: Arc::new(action) };
    let host = VirtualHost { name: "all".into(), routes: RouteTable::new(vec![route]), https_redirect: false };
    let mut hosts = HostTable::default();
    hosts.insert(HostPattern::parse("*"), Arc::new(host));
    let listener = Listener {
        kind: ListenerKind::Gateway,
        port: 80,
        transport: Transport::Plain(hosts),
        policy: Arc::new(InboundPolicy::default()),
    };
    Arc::new(Snapshot { version, listeners: vec![listener], ..Snapshot::default() })
}

/// The status and body of an answer.
async fn get(mesh: Mesh) -> (u16, String) {
    let address = SocketAddr::from(([192, 0, 2, 1], 4711));
    let connection = Connection { client: address, local: address, tls: None };
    let request = Request::get("/").header("host", "shop").body(Body::empty()).unwrap();
    let response = mesh.enter(&gateway(80), request, &connection).await.unwrap();
    let status = response.status().as_u16();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn no_request_fails_or_changes_its_mind_while_snapshots_are_swapped() {
    let mesh = Mesh::new(World::simulated(0, 1));
    let mut requests = JoinSet::new();
    for version in 1..=200 {
        mesh.publish(snapshot(version));
        for _ in 0..5 {
            // Begun here: what is asked for is decided before the first wait.
            let mut asked = Box::pin(get(mesh.clone()));
            let first = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(first.is_pending(), "it waits");
            requests.spawn(async move { (version, asked.await) });
        }
        sleep(SWAP).await;
    }
    let mut answered = 0;
    while let Some(ended) = requests.join_next().await {
        let (version, (status, body)) = ended.unwrap();
        assert_eq!((status, body), (200, version.to_string()));
        answered += 1;
    }
    assert_eq!(answered, 1_000);
}
