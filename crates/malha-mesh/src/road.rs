//! The one road of a request behind its entrance, in the order of Envoy's filters: route → fault → cross-origin rules →
//! whoever answers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, request};
use malha_routing::{Abort, Answer, Cluster, CorsDecision, Endpoint, Exchange, Fault, Redirect, Route, VirtualHost};
use malha_runtime::{Body, Pod};
use malha_world::Stream;
use serde_json::Value;
use tokio::time::sleep;

use crate::Mesh;
use crate::access_log::Record;
use crate::flags::{Flag, Flags};
use crate::forward;
use crate::head;
use crate::proxy::Proxy;
use crate::replies::{Answered, NO_ROUTE};

/// What a request carries along its road.
#[derive(Clone)]
pub(crate) struct Trip {
    pub(crate) mesh: Mesh,
    /// Whose road it is.
    pub(crate) proxy: Arc<Proxy>,
    /// The proxy's address, as those that it calls see it.
    pub(crate) address: IpAddr,
    /// Who connected to the proxy.
    pub(crate) client: SocketAddr,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The port that was asked for.
    pub(crate) port: u16,
    /// How many calls led here; 0 at the edge.
    pub(crate) depth: usize,
    /// Payload of the token that the proxy checked.
    pub(crate) claims: Option<Value>,
    /// Where it was sent last.
    pub(crate) cluster: Option<Arc<Cluster<Pod>>>,
    /// To which host of it.
    pub(crate) endpoint: Option<Arc<Endpoint<Pod>>>,
    /// What its proxy logs of it, if it logs.
    pub(crate) record: Option<Arc<Record>>,
    /// Its share of chance.
    pub(crate) chance: Stream,
}

impl Trip {
    /// What values of headers may speak of.
    pub(crate) fn exchange<'a>(
        &'a self,
        route: &'a Route<Pod>,
        parts: &'a request::Parts,
        status: Option<StatusCode>,
    ) -> Exchange<'a> {
        Exchange {
            start: Some(self.mesh.shared.world.clock.now()),
            protocol: Some(if parts.version == http::Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" }),
            method: parts.method.as_str(),
            scheme: self.scheme,
            authority: head::authority(&parts.headers),
            path_and_query: head::path(&parts.method, &parts.uri),
            request: Some(&parts.headers),
            client: Some(self.client),
            peer: Some(self.client),
            local: Some(SocketAddr::new(self.address, self.port)),
            server_name: None,
            route: &route.name,
            cluster: self.cluster.as_ref().map(|cluster| &*cluster.name),
            host: self.endpoint.as_ref().map(|endpoint| endpoint.address.as_str()),
            status,
            flags: "",
            hostname: Some(&self.proxy.workload.name),
        }
    }
}

/// Takes a request from its virtual host to its response.
pub(crate) async fn travel(host: &VirtualHost<Pod>, request: Request<Body>, mut trip: Trip) -> Answered {
    let (mut parts, body) = request.into_parts();
    let grpc = malha_routing::grpc::is_grpc(&parts.headers);
    let head = head::view(&parts, trip.scheme, trip.claims.as_ref(), &trip.proxy.workload.labels);
    let Some(route) = host.routes.find(&head) else { return NO_ROUTE.answer(grpc) };

    let mut flags = Flags::NONE;
    let aborted = match &route.action.fault {
        Some(fault) => inject(fault, grpc, &mut flags, &mut trip.chance).await,
        None => None,
    };
    let mut answered = match aborted {
        Some(aborted) => {
            let mut answered = aborted;
            respond(route, &parts, &mut answered, &trip);
            answered
        }
        None => answer(route, &mut parts, body, &mut trip).await,
    };
    let own = std::mem::replace(&mut answered.flags, flags);
    answered.flags.raise_all(own);
    if let Some(record) = &trip.record {
        record.took(&route.name, trip.cluster.as_ref(), trip.endpoint.as_ref());
    }
    answered
}

/// Whoever is to answer does, between the cross-origin rules of the route.
async fn answer(route: &Route<Pod>, parts: &mut request::Parts, body: Body, trip: &mut Trip) -> Answered {
    let mut marked = None;
    let mut answered = match &route.action.answer {
        Answer::Forward(plan) => {
            if let Some(cors) = &route.action.cors {
                match cors.decide(&parts.method, &parts.headers) {
                    CorsDecision::Answer(headers) => return preflight(headers),
                    CorsDecision::Mark(origin) => marked = Some((cors, origin)),
                    CorsDecision::Pass => {}
                }
            }
            forward::forward(route, plan, parts, body, trip).await
        }
        Answer::Redirect(redirect) => self::redirect(redirect, route, parts, trip),
        Answer::Respond { status, body } => {
            let mut response = Response::new(Body::from(body.clone()));
            *response.status_mut() = *status;
            if !body.is_empty() {
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            }
            Answered::by_rule(response)
        }
    };
    respond(route, parts, &mut answered, trip);
    if let Some((cors, origin)) = marked {
        cors.mark(&origin, answered.response.headers_mut());
    }
    answered
}

/// The route's changes to its responses, whoever gave them.
fn respond(route: &Route<Pod>, parts: &request::Parts, answered: &mut Answered, trip: &Trip) {
    let changes = &route.action.response_headers;
    if !changes.is_empty() {
        let exchange = trip.exchange(route, parts, Some(answered.response.status()));
        changes.apply_to_response(answered.response.headers_mut(), &exchange);
    }
}

fn preflight(headers: HeaderMap) -> Answered {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers;
    Answered::by_rule(response)
}

/// Waits, and says what to answer instead of going on.
async fn inject(fault: &Fault, grpc: bool, flags: &mut Flags, chance: &mut Stream) -> Option<Answered> {
    let injected = fault.draw(chance);
    if let Some(delay) = injected.delay {
        // As Envoy: said when the wait begins, for a client may not see its end.
        flags.raise(Flag::DelayInjected);
        sleep(delay).await;
    }
    let abort = injected.abort?;
    flags.raise(Flag::FaultInjected);
    let mut response = Response::new(Body::empty());
    if grpc {
        *response.headers_mut() = malha_routing::grpc::reply_headers(abort.grpc_status(), Abort::BODY);
    } else {
        *response.status_mut() = abort.status();
        *response.body_mut() = Abort::BODY.into();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    Some(Answered { details: "fault_filter_abort".into(), ..Answered::by_rule(response) })
}

fn redirect(redirect: &Redirect, route: &Route<Pod>, parts: &request::Parts, trip: &Trip) -> Answered {
    let head = head::view(parts, trip.scheme, trip.claims.as_ref(), &trip.proxy.workload.labels);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = redirect.status;
    if let Ok(location) = HeaderValue::try_from(redirect.location(&head, &route.condition, trip.port)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Answered::by_rule(response)
}
