//! The entrance from outside: a gateway, or a load balancer that hands through to the pods.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::header::{LOCATION, SERVER};
use http::{HeaderValue, Request, Response, StatusCode};
use malha_net::server::Connection;
use malha_policy::inline::{self, Side};
use malha_routing::{
    Cluster, Hosts, Labels, Listener, ListenerKind, Transport, Upstream, choose_weighted, grpc, https_location,
};
use malha_runtime::{Body, Pod};
use serde_json::Value;

use crate::access_log::{Ends, Record};
use crate::head::{self, X_FORWARDED_CLIENT_CERT, X_FORWARDED_PROTO, X_REQUEST_ID};
use crate::inbound::{self, Arrival, Refused, Turned, Visitor};
use crate::proxy::ISTIO_ENVOY;
use crate::replies::{Answered, NO_HEALTHY_UPSTREAM, NO_ROUTE};
use crate::road::{self, Trip};
use crate::{Mesh, View};

/// Which listener of the snapshot a socket plays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entrance {
    /// What opened it.
    pub kind: ListenerKind,
    /// The port in the manifest.
    pub port: u16,
}

impl Entrance {
    pub(crate) fn of(listener: &Listener<Pod>) -> Self {
        Self { kind: listener.kind.clone(), port: listener.port }
    }
}

/// The entrance that a Gateway's port is.
pub fn gateway(port: u16) -> Entrance {
    Entrance { kind: ListenerKind::Gateway, port }
}

/// The gateway's own address, as the sidecars behind it see it: the last of the pods' range, which no pod gets.
pub(crate) const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 255, 255));

impl Mesh {
    /// A request from outside, at the gateway or at a load balancer. Its `Host` is settled, its target is a path.
    ///
    /// `None` asks for the connection to be cut without an answer: a pod that demands mutual TLS was called in plain
    /// text.
    pub async fn enter(
        &self,
        entrance: &Entrance,
        mut request: Request<Body>,
        connection: &Connection,
    ) -> Option<Response<Body>> {
        let view = self.shared.view.load_full();
        let mut record = None;
        let answered = match head::normalize_path(&mut request) {
            Err(reply) => reply.answer(false),
            Ok(()) => match view.listener(entrance) {
                None => NO_ROUTE.answer(false),
                Some(Listener { transport: Transport::Direct(cluster), .. }) => {
                    self.hand_through(cluster, request, connection).await.ok()?
                }
                Some(listener) => self.pass_gateway(&view, listener, request, connection, &mut record).await,
            },
        };
        let mut response = match record {
            Some(record) => Record::end(record, answered),
            None => answered.into_response(),
        };
        // Both ends of the way in carry Istio's name: gateways and the inbound side of sidecars.
        response.headers_mut().insert(SERVER, ISTIO_ENVOY);
        Some(response)
    }

    async fn pass_gateway(
        &self,
        view: &View,
        listener: &Listener<Pod>,
        mut request: Request<Body>,
        connection: &Connection,
        record: &mut Option<Arc<Record>>,
    ) -> Answered {
        let mut chance = self.shared.world.chance.stream();
        let scheme = if connection.tls.is_some() { "https" } else { "http" };
        let headers = request.headers_mut();
        // First: what a client names in `connection` must not take out what is added here.
        head::strip_hop_by_hop(headers);
        head::sanitize_te(headers);
        inline::join(headers, Side::Request);
        headers.insert(X_REQUEST_ID, head::request_id(&mut chance));
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
        head::distrust(headers, connection.client.ip());
        if let Some(client) = connection.tls.as_ref().and_then(|tls| tls.client_certificate.as_ref()) {
            headers.extend(HeaderValue::try_from(&client.forwarded).ok().map(|text| (X_FORWARDED_CLIENT_CERT, text)));
        }
        if view.snapshot.access_log {
            let server_name = connection.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
            let ends = Ends { client: connection.client, local: connection.local, server_name };
            *record = Some(self.record(&self.shared.gateway, &ends, &mut request));
        }
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::client(connection);
        let arrival = Arrival { address: GATEWAY, port: listener.port, scheme };
        let claims = match inbound::admit(&listener.policy, &mut parts, &visitor, &arrival, &self.shared.world.clock) {
            Ok(claims) => claims.map(Value::Object),
            Err(Turned::Away(answered)) => return *answered,
            // Mutual TLS of the mesh is not what clients of a gateway speak, nor what it asks of them.
            Err(Turned::Cut) => None,
        };
        let host = hosts(view, listener, connection).and_then(|hosts| hosts.find(head::authority(&parts.headers)));
        let Some(host) = host else { return NO_ROUTE.answer(grpc::is_grpc(&parts.headers)) };
        if host.https_redirect && connection.tls.is_none() {
            return to_https(&parts);
        }
        let trip = Trip {
            mesh: self.clone(),
            proxy: Arc::clone(&self.shared.gateway),
            address: GATEWAY,
            client: connection.client,
            scheme,
            port: listener.port,
            depth: 0,
            claims,
            cluster: None,
            endpoint: None,
            record: record.clone(),
            chance,
        };
        road::travel(host, Request::from_parts(parts, body), trip).await
    }

    /// To any endpoint, without a proxy in between: kube-proxy knows neither hosts nor routes. What comes is plain text
    /// for the sidecar of whoever gets it.
    async fn hand_through(
        &self,
        cluster: &Arc<Cluster<Pod>>,
        mut request: Request<Body>,
        connection: &Connection,
    ) -> Result<Answered, Refused> {
        let mut chance = self.shared.world.chance.stream();
        let headers = request.headers_mut();
        if !headers.contains_key(X_REQUEST_ID) {
            headers.insert(X_REQUEST_ID, head::request_id(&mut chance));
        }
        headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
        if cluster.hosts.is_empty() {
            return Ok(NO_HEALTHY_UPSTREAM.answer(false));
        }
        let host = &cluster.hosts[choose_weighted(cluster.hosts.iter().map(|host| host.weight), &mut chance)];
        let Upstream::Pod(pod) = &host.endpoint.upstream else { return Ok(NO_HEALTHY_UPSTREAM.answer(false)) };
        let visitor = Visitor::client(connection);
        inbound::deliver(&self.shared.world.clock, host, pod, request, &visitor).await
    }
}

/// The hosts that a connection may ask for: on a port with TLS those of the server that it named.
fn hosts<'a>(view: &View, listener: &'a Listener<Pod>, connection: &Connection) -> Option<&'a Hosts<Pod>> {
    match &listener.transport {
        Transport::Plain(hosts) => Some(hosts),
        Transport::Tls(servers) => {
            // By name, not by number: the snapshot may be another one than when they shook hands.
            let tls = view.tls.get(&Entrance::of(listener))?.result.as_ref().ok()?;
            let server = tls.choose(connection.tls.as_ref()?.server_name.as_deref())?;
            servers.get(server).map(|server| &server.hosts)
        }
        Transport::Direct(_) => None,
    }
}

/// The same URL with `https` (Envoy, `require_tls`).
fn to_https(parts: &http::request::Parts) -> Answered {
    let nobody = Labels::new();
    let location = https_location(&head::view(parts, "http", None, &nobody));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Answered::by_rule(response)
}
