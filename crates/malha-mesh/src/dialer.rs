//! The way to hosts outside of the process: endpoints of a `ServiceEntry`, and whoever a pod calls under `ALLOW_ANY`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use malha_net::client::{
    Cause, Client, ClientTls, Identity, Protocol as Spoken, Reason, SendError, SendOptions, Target, TlsClientConfig,
    TlsConfigError,
};
use malha_routing::{self as routing, Limits, TlsClient, TrafficPolicy};
use malha_runtime::{Body, BodyError, CallError};
use malha_world::Clock;
use parking_lot::Mutex;

use crate::head;

/// Connections to the outside, and the TLS that they need.
pub(crate) struct Dialer {
    client: Client<Outgoing>,
    clock: Clock,
    /// Made on first use: most meshes never call out, and the web's root certificates take memory. By settings; `None`
    /// for those of a pod's own call.
    tls: Mutex<HashMap<Option<Settings>, Made>>,
    /// Authorities in PEM that are trusted in place of the web's, where no settings name others.
    authorities: OnceLock<Vec<u8>>,
}

/// Settings of a `DestinationRule`, and the name of the host that they are used for.
type Settings = (Arc<TlsClient>, Arc<str>);

/// What was made of settings; the error is for logs.
type Made = Result<Arc<ClientTls>, Arc<str>>;

/// Different settings that are kept at the same time; a mesh has as many as its `DestinationRule`s name.
const SETTINGS: usize = 4_096;

impl Dialer {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { client: Client::new(), clock, tls: Mutex::default(), authorities: OnceLock::new() }
    }

    /// Trusts these authorities from now on in place of the web's. Only the first ones count.
    pub(crate) fn trust(&self, authorities: Vec<u8>) -> Result<(), TlsConfigError> {
        let config = TlsClientConfig { authorities: Some(authorities.clone()), ..TlsClientConfig::default() };
        ClientTls::new(&config, self.clock)?;
        let _ = self.authorities.set(authorities);
        Ok(())
    }

    /// Sends a request to an endpoint of a cluster, as its policy says.
    pub(crate) async fn send(
        &self,
        policy: &TrafficPolicy,
        host: &Arc<str>,
        port: u16,
        request: Request<Body>,
    ) -> Result<Response<Body>, SendError> {
        let tls = match &policy.tls {
            routing::ClientTls::Mesh | routing::ClientTls::Disable => None,
            routing::ClientTls::Originate(settings) => {
                // Where the settings have no name, whom the request is for is asked for (Envoy, `auto_sni`).
                let authority = head::authority(request.headers());
                let name = malha_routing::strip_port(authority);
                let name =
                    if settings.server_name.is_some() || name.is_empty() { Arc::clone(host) } else { name.into() };
                Some(self.tls(Some((Arc::clone(settings), name)))?)
            }
        };
        let protocol = match policy.protocol {
            routing::Protocol::Http1 => Spoken::Http1,
            routing::Protocol::Http2 => Spoken::Http2,
        };
        let target = Arc::new(Target { host: Arc::clone(host), port, tls, protocol });
        self.dispatch(&target, request, &options(&policy.limits)).await
    }

    /// Sends a request wherever its URL says.
    pub(crate) async fn call(&self, request: Request<Body>) -> Result<Response<Body>, CallError> {
        let uri = request.uri();
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(CallError::Protocol("the URL has no host".into()));
        };
        let encrypted = scheme == "https";
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let host = host.trim_start_matches('[').trim_end_matches(']').into();
        let tls = if encrypted { Some(self.tls(None).map_err(|error| explain(&error))?) } else { None };
        let target = Arc::new(Target { host, port, tls, protocol: Spoken::Http1 });
        self.dispatch(&target, request, &SendOptions::default()).await.map_err(|error| explain(&error))
    }

    async fn dispatch(
        &self,
        target: &Arc<Target>,
        request: Request<Body>,
        options: &SendOptions,
    ) -> Result<Response<Body>, SendError> {
        // Envoy's HTTP/1 neither reads nor writes trailers (`enable_trailers`).
        let trailers = request.version() == Version::HTTP_2 && target.protocol == Spoken::Http2;
        let request = request.map(|body| Outgoing { body: Mutex::new(body), trailers });
        let response = self.client.send(target, request, options).await?;
        Ok(response.map(|body| Body::boxed(Incoming { body, trailers })))
    }

    fn tls(&self, settings: Option<Settings>) -> Result<Arc<ClientTls>, SendError> {
        let mut known = self.tls.lock();
        if known.len() >= SETTINGS {
            known.clear();
        }
        let made = known.entry(settings).or_insert_with_key(|settings| {
            let mut config = settings.as_ref().map_or_else(TlsClientConfig::default, config);
            config.authorities = config.authorities.or_else(|| self.authorities.get().cloned());
            ClientTls::new(&config, self.clock).map(Arc::new).map_err(|error| error.to_string().into())
        });
        made.clone().map_err(|why| SendError {
            reason: Reason::RemoteConnectionFailure,
            cause: Cause::Tls,
            sent: false,
            transport_failure: Some(format!("TLS_error: {why}").into()),
            detail: why,
        })
    }
}

fn config((settings, host): &Settings) -> TlsClientConfig {
    let TlsClient { server_name, subject_alt_names, authorities, insecure, identity } = &**settings;
    TlsClientConfig {
        server_name: server_name.clone().or_else(|| Some(host.to_string())),
        subject_alt_names: subject_alt_names.clone(),
        authorities: authorities.clone(),
        insecure: *insecure,
        identity: identity.as_ref().map(|own| Identity { chain: own.chain.clone(), key: own.key.clone() }),
        ..TlsClientConfig::default()
    }
}

fn options(limits: &Limits) -> SendOptions {
    let defaults = SendOptions::default();
    SendOptions {
        connect_timeout: limits.connect_timeout,
        idle_timeout: limits.idle_timeout.unwrap_or(defaults.idle_timeout),
        requests_per_connection: limits.requests_per_connection,
    }
}

/// The nearest thing that WASI HTTP has a word for.
pub(crate) fn explain(error: &SendError) -> CallError {
    match (error.cause, error.reason) {
        (Cause::Unresolved, _) => CallError::DestinationNotFound,
        (Cause::Refused, _) => CallError::ConnectionRefused,
        (Cause::TimedOut, _) => CallError::ConnectionTimeout,
        (Cause::Terminated, _) => CallError::ConnectionTerminated,
        (Cause::Tls, _) => CallError::Tls(error.detail.to_string()),
        (Cause::Other, _) => CallError::Protocol(error.detail.to_string()),
    }
}

/// A body on its way out. hyper keeps it where several tasks could look at it, and none does but the one that sends.
struct Outgoing {
    body: Mutex<Body>,
    /// Whether trailers go along.
    trailers: bool,
}

/// What a body gives next, with or without its trailers: they are the end of it.
fn next<E>(frame: Option<Result<Frame<Bytes>, E>>, trailers: bool) -> Option<Result<Frame<Bytes>, E>> {
    frame.filter(|frame| trailers || !frame.as_ref().is_ok_and(Frame::is_trailers))
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(this.body.get_mut()).poll_frame(context));
        Poll::Ready(next(frame, this.trailers))
    }

    fn is_end_stream(&self) -> bool {
        self.body.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.lock().size_hint()
    }
}

/// A body that comes from there.
struct Incoming {
    body: malha_net::client::ResponseBody,
    trailers: bool,
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        Poll::Ready(next(frame, this.trailers).map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
