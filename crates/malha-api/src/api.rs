//! The API: a request in, a response out. Knows no sockets; [`Api::serve`] is in `server`.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use malha_cluster::ControlPlane;
use malha_world::{Stream, World};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::access::{self, Credentials};
use crate::request::{Params, Place};
use crate::respond::{self, Body};
use crate::status::Failure;
use crate::{custom_metrics, discovery, health, metrics, openapi, patch, schema, verbs};

/// Bytes of a request's body (apiserver `pkg/server/config.go`, `MaxRequestBodyBytes`).
const BODY: usize = 3 << 20;

/// The Kubernetes API of a cluster. A handle: clones are the same API.
#[derive(Clone)]
pub struct Api(pub(crate) Arc<Shared>);

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) control: Arc<dyn ControlPlane>,
    pub(crate) credentials: Credentials,
    pub(crate) world: World,
    pub(crate) chance: Mutex<Stream>,
    /// What goes on for as long as a client listens ends when this says so.
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) metrics: metrics::Samples,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    /// The API of `control`, for those who have the credentials. What describes the kinds is made beside it.
    pub fn new(control: Arc<dyn ControlPlane>, credentials: Credentials, world: &World) -> Self {
        drop(std::thread::spawn(describe));
        Self(Arc::new(Shared {
            control,
            credentials,
            world: world.clone(),
            chance: Mutex::new(world.chance.stream()),
            closing: watch::Sender::new(false),
            metrics: metrics::Samples::default(),
        }))
    }

    /// Answers a request. Every error is an answer.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let params = Params::read(parts.uri.query());
        let pretty = params.flag_of("pretty").unwrap_or_else(|| for_eyes(&parts));
        match self.answer(parts, params, body, pretty).await {
            Ok(response) => response,
            Err(failure) => respond::failure(&failure, pretty),
        }
    }

    async fn answer<B>(&self, parts: Parts, params: Params, body: B, pretty: bool) -> Result<Response<Body>, Failure>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        access::check_host(&parts)?;
        self.0.credentials.check(&parts.headers)?;
        // Nobody waits for it with the objects locked.
        describe();
        if let Some(response) = Self::fixed(&parts, &params) {
            return response;
        }
        let place = Place::read(parts.uri.path()).ok_or_else(Failure::no_resource)?;
        let call = verbs::Call { shared: &self.0, params: &params, pretty, parts: &parts };
        if place.group == metrics::GROUP {
            return metrics::answer(&call, &place);
        }
        if place.group == discovery::CUSTOM_METRICS_GROUP {
            return custom_metrics::answer(&call, &place);
        }
        let target = place.target()?;
        let body = if parts.method == Method::GET || parts.method == Method::HEAD {
            Bytes::new()
        } else {
            whole(body).await?
        };
        let mut answer =
            verbs::answer(call, &target, &body).unwrap_or_else(|failure| respond::failure(&failure, pretty));
        respond::warn(&mut answer, target.deprecation().as_slice());
        Ok(answer)
    }

    /// What does not depend on the objects.
    fn fixed(parts: &Parts, params: &Params) -> Option<Result<Response<Body>, Failure>> {
        let path = parts.uri.path();
        if let Some(response) = health::answer(path, params) {
            return Some(Ok(response));
        }
        let accept: Vec<_> =
            parts.headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let accept = accept.join(",");
        let host = parts.uri.authority().map(http::uri::Authority::as_str);
        let host = host.or_else(|| parts.headers.get(http::header::HOST)?.to_str().ok()).unwrap_or_default();
        let answer = match openapi::get(path, params.get("hash"), &accept) {
            Some(openapi::Answer::Document { document, immutable }) => {
                Ok(respond::document(document, parts, immutable))
            }
            Some(openapi::Answer::Moved(to)) => Ok(moved(&to)),
            Some(openapi::Answer::NotAcceptable) => Err(Failure::not_acceptable()),
            None => match discovery::get(path, &accept, host)? {
                Ok(document) => Ok(respond::document(document, parts, false)),
                Err(discovery::NotAcceptable) => Err(Failure::not_acceptable()),
            },
        };
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        Some(if reads { answer } else { Err(Failure::method()) })
    }
}

/// Makes what every write looks at and is made once: the schemas, and the types of the fields.
fn describe() {
    schema::components();
    patch::prepare();
}

fn moved(to: &str) -> Response<Body> {
    let mut response = respond::text(StatusCode::MOVED_PERMANENTLY, Bytes::new());
    if let Ok(to) = http::HeaderValue::from_str(to) {
        response.headers_mut().insert(http::header::LOCATION, to);
    }
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// Whether the client shows what it gets to somebody (`handlers/negotiation`, `isPrettyPrint`).
fn for_eyes(parts: &Parts) -> bool {
    let agent = parts.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|name| agent.starts_with(name))
}

/// The whole body, up to the limit.
async fn whole<B>(body: B) -> Result<Bytes, Failure>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let collected = Box::pin(Limited::new(body, BODY).collect()).await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() {
            Failure::too_large(BODY)
        } else {
            Failure::bad_request("the request's body broke off")
        }
    })
}
