//! `kubectl port-forward`: an HTTP/1.1 request whose connection is taken over (apiserver, `util/proxy`; apimachinery,
//! `util/httpstream`; KEP-4006).
//!
//! ```text
//! POST, Upgrade: SPDY/3.1      (kubectl to 1.30, and where WebSockets are refused) ─┐
//! GET,  Upgrade: websocket     (kubectl from 1.31) ─▶ websocket: binary messages ───┴▶ bytes ─▶ connection: SPDY's streams
//!                                                                                                  │
//!                                              ControlPlane::connect ◀─ portforward: error and data stream of a request
//! ```
//!
//! Not carried out: `v4.channel.k8s.io`, an older way of `WebSocket`s that kubectl never used; it gets a 400.

mod connection;
mod portforward;
mod spdy;
#[cfg(test)]
mod tests;
mod websocket;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use malha_cluster::{ControlPlane, Key, Object};
use tokio::sync::watch;
use tokio_util::codec::{BytesCodec, Framed};

use crate::respond::{self, Body};
use crate::status::Failure;
use portforward::{Forwarder, Target};

/// What is spoken on the streams (kubelet, `PortForwardProtocolV1Name`).
const PROTOCOL: &str = "portforward.k8s.io";
/// The subprotocol of a `WebSocket` in front of the one on the streams (apimachinery, `WebsocketsSPDYTunnelingPrefix`).
const TUNNEL: &str = "SPDY/3.1+";
const SPDY: HeaderValue = HeaderValue::from_static("SPDY/3.1");
const VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// How SPDY is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Plain,
    WebSocket,
}

/// Takes the connection of a request over, to forward what comes on it to a pod until the client ends it, or `closing`.
///
/// # Errors
/// When there is no such pod, or it is no request for this.
pub(crate) fn upgrade(
    parts: &Parts,
    control: &Arc<dyn ControlPlane>,
    pod: Key,
    mut closing: watch::Receiver<bool>,
) -> Result<Response<Body>, Failure> {
    let target = Target { uid: uid(control.as_ref(), &pod)?, control: Arc::clone(control), pod };
    let (carrier, response) = match handshake(&parts.headers)? {
        Handshake::Agreed(carrier, response) => (carrier, response),
        Handshake::Refused(response) => return Ok(response),
    };
    let upgrade = parts.extensions.get::<OnUpgrade>().cloned().ok_or_else(not_asked)?;
    tokio::spawn(async move {
        // A client that has gone in between has nothing to be told.
        let Ok(upgraded) = upgrade.await else { return };
        tokio::select! {
            () = serve(carrier, upgraded, target) => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    });
    Ok(response)
}

async fn serve(carrier: Carrier, upgraded: Upgraded, target: Target) {
    let socket = TokioIo::new(upgraded);
    let forwarder = Forwarder::new(target);
    match carrier {
        Carrier::Plain => {
            let (sink, source) = Framed::new(socket, BytesCodec::new()).split::<Bytes>();
            connection::serve(source.map(|bytes| bytes.map(Into::into)), sink, forwarder).await;
        }
        Carrier::WebSocket => {
            let (source, sink) = websocket::tunnel(socket).await;
            connection::serve(source, sink, forwarder).await;
        }
    }
}

/// The pod's uid, if it is on a node.
fn uid(control: &dyn ControlPlane, pod: &Key) -> Result<String, Failure> {
    let mut found = None;
    control.read(&mut |store| {
        if let Some(Object::Pod(pod)) = store.find(pod) {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            found = Some((pod.metadata.uid.clone().unwrap_or_default(), node.is_some_and(|name| !name.is_empty())));
        }
    });
    let name = &pod.name;
    match found {
        Some((uid, true)) => Ok(uid),
        Some((_, false)) => Err(Failure::bad_request(format!("pod {name} does not have a host assigned"))),
        None => {
            let message = format!("pods \"{name}\" not found");
            Err(Failure::new(StatusCode::NOT_FOUND, "NotFound", message))
        }
    }
}

fn not_asked() -> Failure {
    Failure::bad_request("Upgrade request required")
}

/// What comes of a handshake, and what the client is told.
#[derive(Debug)]
enum Handshake {
    Agreed(Carrier, Response<Body>),
    Refused(Response<Body>),
}

fn handshake(headers: &HeaderMap) -> Result<Handshake, Failure> {
    if !listed(headers, CONNECTION).any(|token| token.to_ascii_lowercase().contains("upgrade")) {
        return Err(not_asked());
    }
    let asks = |protocol: &str| listed(headers, UPGRADE).any(|token| token.eq_ignore_ascii_case(protocol));
    let refuse = |code, why: String| Ok(Handshake::Refused(respond::text(code, format!("{why}\n"))));
    let (carrier, offered): (_, Vec<&str>) = if asks("websocket") {
        let offered = listed(headers, SEC_WEBSOCKET_PROTOCOL);
        let tunnels = offered.filter_map(|name| name.strip_prefix(TUNNEL)).filter(|name| name.ends_with(".k8s.io"));
        (Carrier::WebSocket, tunnels.collect())
    } else if asks("spdy/3.1") {
        (Carrier::Plain, listed(headers, VERSION).collect())
    } else {
        return refuse(StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request".into());
    };
    if offered.is_empty() {
        let why = match carrier {
            Carrier::WebSocket => "no tunneling spdy protocols provided",
            Carrier::Plain => "X-Stream-Protocol-Version is required",
        };
        return refuse(StatusCode::BAD_REQUEST, format!("unable to upgrade: {why}"));
    }
    if !offered.contains(&PROTOCOL) {
        let why = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{PROTOCOL}]\n",
            offered.join(" ")
        );
        let mut refusal = respond::text(StatusCode::FORBIDDEN, why);
        refusal.headers_mut().insert(ACCEPTED, HeaderValue::from_static(PROTOCOL));
        return Ok(Handshake::Refused(refusal));
    }
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    match carrier {
        Carrier::Plain => {
            answer.insert(UPGRADE, SPDY);
            answer.insert(VERSION, HeaderValue::from_static(PROTOCOL));
        }
        Carrier::WebSocket => {
            let accept = match websocket::accept(headers).map(HeaderValue::try_from) {
                Ok(Ok(accept)) => accept,
                Ok(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "Bad Request".into()),
                Err(why) => return refuse(StatusCode::BAD_REQUEST, why.into()),
            };
            answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
            answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
            answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("SPDY/3.1+portforward.k8s.io"));
        }
    }
    Ok(Handshake::Agreed(carrier, response))
}

/// The elements of all headers of a name.
fn listed(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}
