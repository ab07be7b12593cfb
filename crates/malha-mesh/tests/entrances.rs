//! What the mesh answers by itself, at each of its entrances, and how it takes its leave.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use malha_mesh::{Connection, Entrance, Mesh, Server, Sidecar, gateway};
use malha_policy::InboundPolicy;
use malha_routing::{
    Action, Answer, Cluster, Condition, Destination, Forward, HeaderChanges, HostPattern, HostTable, Hosts, Labels,
    Listener, ListenerKind, Outbound as Known, PathMatch, PathRewrite, Rewrite, Route, RouteTable, Sidecars, Snapshot,
    Transport, UnknownHosts, VirtualHost, Workload,
};
use malha_runtime::{Body, CallError, Caller, Outbound, Pod};
use malha_world::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn route(condition: Condition, cluster: Option<Arc<Cluster<Pod>>>, rewrite: Option<&str>) -> Route<Pod> {
    let destination = Destination {
        weight: 1,
        cluster,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    };
    let forward = Forward {
        destinations: vec![destination],
        rewrite: Rewrite { path: rewrite.map(|to| PathRewrite::Matched(to.into())), authority: None },
        timeout: None,
        retry: None,
        mirrors: Vec::new(),
    };
    let action = Action {
        answer: Answer::Forward(forward),
        fault: None,
        cors: None,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    };
    Route { name: String::new(), condition, action: Arc::new(action) }
}

fn host(name: &str, routes: Vec<Route<Pod>>, https_redirect: bool) -> Arc<VirtualHost<Pod>> {
    Arc::new(VirtualHost { name: name.into(), routes: RouteTable::new(routes), https_redirect })
}

/// `/nowhere` leads to a service that does not exist, `/nobody` to one without pods, `/slashless` to a path that is
/// none, anything else nowhere at all.
fn snapshot(unknown: UnknownHosts) -> Snapshot<Pod> {
    let prefix = |path: &str| Condition::path_only(PathMatch::Prefix(path.into()));
    let empty = Arc::new(Cluster {
        name: "outbound|80||empty.default.svc.cluster.local".into(),
        service: "empty.default.svc.cluster.local".into(),
        port: 80,
        hosts: vec![],
        policy: Arc::default(),
    });
    let routes = || {
        vec![
            route(prefix("/nowhere"), None, None),
            route(prefix("/nobody"), Some(Arc::clone(&empty)), None),
            route(prefix("/slashless"), Some(Arc::clone(&empty)), Some("x")),
        ]
    };
    let everything = || vec![route(Condition::default(), Some(Arc::clone(&empty)), None)];
    let hosts = |pattern: &str| -> Hosts<Pod> {
        let mut hosts = HostTable::default();
        hosts.insert(HostPattern::parse("open.example.com"), host("open", everything(), false));
        hosts.insert(HostPattern::parse("safe.example.com"), host("safe", everything(), true));
        hosts.insert(HostPattern::parse(pattern), host("test", routes(), false));
        hosts
    };
    let listener = |kind, transport| Listener { kind, port: 80, transport, policy: Arc::new(InboundPolicy::default()) };
    let known = Known { ports: HashMap::from([(80, hosts("empty"))]), passthrough: HashMap::new(), unknown };
    Snapshot {
        version: 1,
        listeners: vec![
            listener(ListenerKind::Gateway, Transport::Plain(hosts("*.example.com"))),
            listener(load_balancer().kind, Transport::Direct(Arc::clone(&empty))),
        ],
        sidecars: HashMap::from([("default".into(), Sidecars::same(Arc::new(known)))]),
        ..Snapshot::default()
    }
}

fn load_balancer() -> Entrance {
    Entrance { kind: ListenerKind::LoadBalancer { namespace: "default".into(), service: "empty".into() }, port: 80 }
}

fn mesh() -> Mesh {
    mesh_with(UnknownHosts::AllowAny)
}

fn mesh_with(unknown: UnknownHosts) -> Mesh {
    let mesh = Mesh::new(World::simulated(0, 1));
    mesh.publish(Arc::new(snapshot(unknown)));
    mesh
}

fn sidecar(mesh: &Mesh) -> Sidecar {
    let workload = Workload {
        namespace: "default".into(),
        service_account: "default".into(),
        name: "caller".into(),
        labels: Labels::new(),
    };
    mesh.sidecar(Arc::new(workload), IpAddr::V4(Ipv4Addr::new(10, 244, 0, 1)))
}

/// Sends a request to an entrance, which does not cut its connection.
async fn enter(mesh: &Mesh, entrance: &Entrance, request: Request<Body>) -> Response<Body> {
    let connection = Connection { client: CLIENT, local: SocketAddr::from(([127, 0, 0, 1], 80)), tls: None };
    mesh.enter(entrance, request, &connection).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4711);

#[tokio::test]
async fn generated_replies_are_envoys() {
    for (entrance, host, path, status, body) in [
        (gateway(80), Some("www.example.com"), "/other", 404, ""),
        (gateway(80), Some("elsewhere"), "/nobody", 404, ""),
        (gateway(80), Some("www.example.com:8080"), "/nowhere", 503, ""),
        (gateway(80), Some("WWW.example.com"), "/nobody", 503, "no healthy upstream"),
        (gateway(80), Some("www.example.com"), "/other/../%6eobody", 503, "no healthy upstream"),
        (gateway(80), Some("www.example.com"), "/nobody/../other", 404, ""),
        (gateway(80), Some("elsewhere"), "/%00", 400, ""),
        (gateway(80), Some("www.example.com"), "/slashless", 400, ""),
        (gateway(80), Some("open.example.com"), "/", 503, "no healthy upstream"),
        (gateway(443), Some("www.example.com"), "/nobody", 404, ""),
        (load_balancer(), Some("anything"), "/nobody", 503, "no healthy upstream"),
    ] {
        let mut request = Request::get(path);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let response = enter(&mesh(), &entrance, request.body(Body::empty()).unwrap()).await;
        let case = format!("{host:?} {path} at {entrance:?}");
        assert_eq!(response.status().as_u16(), status, "{case}");
        assert_eq!(response.headers()["server"], "istio-envoy", "{case}");
        assert_eq!(response.headers().get("content-type").is_some(), !body.is_empty(), "{case}");
        assert_eq!(text(response).await, body, "{case}");
    }
}

#[tokio::test]
async fn a_host_that_wants_https_sends_there() {
    let request = Request::get("/a?b").header("host", "safe.example.com:8080").body(Body::empty()).unwrap();
    let response = enter(&mesh(), &gateway(80), request).await;
    assert_eq!(response.status(), 301);
    assert_eq!(response.headers()["location"], "https://safe.example.com:8080/a?b");
}

#[tokio::test]
async fn what_has_no_path_has_no_route() {
    for (method, target, status) in [
        (Method::CONNECT, "open.example.com:80", 404),
        (Method::CONNECT, "http://open.example.com/", 404),
        (Method::OPTIONS, "*", 404),
        (Method::OPTIONS, "/", 503),
    ] {
        let request = Request::builder().method(&method).uri(target).header("host", "open.example.com");
        let response = enter(&mesh(), &gateway(80), request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status().as_u16(), status, "{method} {target}");
    }
    let request = Request::connect("http://open.example.com/").body(Body::empty()).unwrap();
    assert_eq!(sidecar(&mesh()).call(caller(), request).await.unwrap().status(), 404);
}

fn caller() -> Caller {
    Caller { pod: "caller".into(), namespace: "default".into(), depth: 1 }
}

#[tokio::test]
async fn a_pod_meets_the_same_road_with_its_sidecars_name_on_it() {
    for (path, status, body) in [
        ("/nobody", StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream"),
        ("/x/../nobody", StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream"),
        ("/nobody/../x", StatusCode::NOT_FOUND, ""),
        ("/%00", StatusCode::BAD_REQUEST, ""),
    ] {
        let request = Request::get(format!("http://empty{path}")).body(Body::empty()).unwrap();
        let response = sidecar(&mesh()).call(caller(), request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["server"], "envoy", "{path}");
        assert_eq!(text(response).await, body, "{path}");
    }
}

/// A server of one reply on the machine, outside the mesh.
async fn outsider(reply: &'static str) -> io::Result<SocketAddr> {
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    Ok(address)
}

#[tokio::test]
async fn hosts_that_the_mesh_does_not_know_are_reached_outside() {
    let address = outsider("HTTP/1.1 203 Fine\r\ncontent-length: 4\r\nserver: own\r\n\r\nhere").await.unwrap();
    let request = Request::get(format!("http://{address}/")).body(Body::empty()).unwrap();
    let response = sidecar(&mesh()).call(caller(), request).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["server"]), (203, &"own".parse().unwrap()));
    assert_eq!(text(response).await, "here");
}

#[tokio::test]
async fn a_registry_only_sidecar_lets_nothing_else_out() {
    let mesh = mesh_with(UnknownHosts::RegistryOnly);
    for (url, want) in [
        ("http://elsewhere.invalid/", Ok(502)),
        ("http://elsewhere.invalid:8080/", Err(CallError::ConnectionTerminated)),
        ("https://elsewhere.invalid/", Err(CallError::ConnectionTerminated)),
        ("http://empty/nobody", Ok(503)),
    ] {
        let request = Request::get(url).body(Body::empty()).unwrap();
        let got = sidecar(&mesh).call(caller(), request).await.map(|response| response.status().as_u16());
        assert_eq!(got, want, "{url}");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_outside_says_why() {
    let closed = {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap()
    };
    let hangs_up = outsider("").await.unwrap();
    let plain = outsider("HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    for (url, want) in [
        (format!("http://{closed}/"), CallError::ConnectionRefused),
        (format!("http://{hangs_up}/"), CallError::ConnectionTerminated),
        (format!("https://{closed}/"), CallError::ConnectionRefused),
        (format!("https://{hangs_up}/"), CallError::ConnectionTerminated),
        (format!("https://{plain}/"), CallError::Tls("received corrupt message of type InvalidContentType".into())),
        ("https://nobody.invalid/".into(), CallError::DestinationNotFound),
        // RFC 6761 §6.4: `.invalid` never resolves.
        ("http://nobody.invalid/".into(), CallError::DestinationNotFound),
    ] {
        let request = Request::get(&url).body(Body::empty()).unwrap();
        assert_eq!(sidecar(&mesh()).call(caller(), request).await.unwrap_err(), want, "{url}");
    }
}

async fn serve() -> Server {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    mesh().serve(gateway(80), socket).unwrap()
}

/// Sends bytes and reads until the other side closes.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test]
async fn a_socket_serves_its_entrance_and_refuses_what_is_not_http() {
    let server = serve().await;
    for (bytes, status) in [
        (&b"GET /nobody HTTP/1.1\r\nhost: a.example.com\r\nconnection: close\r\n\r\n"[..], "HTTP/1.1 503"),
        (b"GET /other\\..\\nobody HTTP/1.1\r\nhost: a.example.com\r\nconnection: close\r\n\r\n", "HTTP/1.1 503"),
        (b"GET http://a.example.com/nobody HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n", "HTTP/1.1 503"),
        (b"GET http://b/nobody HTTP/1.1\r\nhost: a.example.com\r\nconnection: close\r\n\r\n", "HTTP/1.1 404"),
        (b"GET http://a.example.com/nobody HTTP/1.1\r\nconnection: close\r\n\r\n", "HTTP/1.1 503"),
        (b"GET /nobody HTTP/1.1\r\nconnection: close\r\n\r\n", "HTTP/1.1 400"),
        (b"GET /nobody HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", "HTTP/1.1 404"),
        (b"\x16\x03\x01\x02\x00\x01", "HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", "HTTP/1.1 400"),
    ] {
        let reply = exchange(server.address(), bytes).await;
        assert!(reply.starts_with(status), "{:?} gives {reply:?}", String::from_utf8_lossy(bytes));
    }
    let huge = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(300_000));
    assert!(exchange(server.address(), huge.as_bytes()).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn draining_closes_idle_connections_and_the_socket() {
    let server = serve().await;
    let address = server.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /nobody HTTP/1.1\r\nhost: a.example.com\r\n\r\n").await.unwrap();
    let mut reply = [0; 512];
    assert!(idle.read(&mut reply).await.unwrap() > 0);
    assert!(server.drain(Duration::from_secs(5)).await);
    assert_eq!(idle.read(&mut reply).await.unwrap(), 0, "the connection is closed");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_new_snapshot_counts_from_the_next_request_on() {
    let mesh = mesh();
    let get = || async {
        let request = Request::get("/nobody").header("host", "a.example.com").body(Body::empty()).unwrap();
        enter(&mesh, &gateway(80), request).await.status().as_u16()
    };
    assert_eq!(get().await, 503);
    mesh.publish(Arc::default());
    assert_eq!(get().await, 404);
}
