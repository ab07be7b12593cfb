//! A real pod in a world of pretended services: each URL answers what a test says, when it says.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use malha_runtime::{Body, CallError, Caller, Inbound, Outbound, Pod, PodLimits, PodOptions, StateFolder};
use malha_world::World;
use parking_lot::Mutex;
use serde_json::Value;

use super::{Answer, Call, IMAGE, Issuer, NOW, engine, project};

/// What another service answers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    after: Duration,
    result: Result<(u16, Vec<u8>), CallError>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { after: Duration::ZERO, result: Ok((status, body.into())) }
    }

    pub(crate) fn error(error: CallError) -> Self {
        Self { after: Duration::ZERO, result: Err(error) }
    }

    pub(crate) fn after(self, seconds: u64) -> Self {
        Self { after: Duration::from_secs(seconds), ..self }
    }
}

/// The other services: by URL, and what they were asked.
struct Services {
    replies: Vec<(&'static str, Reply)>,
    asked: Mutex<Vec<(String, HeaderMap)>>,
}

impl Outbound for Services {
    fn call(
        &self,
        _: Caller,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Body>, CallError>> + Send>> {
        let url = request.uri().to_string();
        let reply = self.replies.iter().find(|(known, _)| *known == url).map(|(_, reply)| reply.clone());
        self.asked.lock().push((url, request.headers().clone()));
        Box::pin(async move {
            let Reply { after, result } = reply.ok_or(CallError::DestinationNotFound)?;
            tokio::time::sleep(after).await;
            let (status, body) = result?;
            Ok(Response::builder().status(status).body(Body::from(bytes::Bytes::from(body))).unwrap())
        })
    }
}

/// A pod of one of the workshop's services.
pub(crate) struct LonePod {
    pod: Pod,
    services: Arc<Services>,
}

impl LonePod {
    /// With the public key, more variables, and the services that it can call.
    pub(crate) fn start(service: &str, variables: &[(&str, &str)], replies: &[(&'static str, Reply)]) -> Self {
        let key = Issuer::trusted().public_pem();
        let own = [("SPIN_COMPONENTS_TO_RETAIN", service), ("JWT_PUBLIC_KEY", &key)];
        let environment: Vec<_> =
            own.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let services = Arc::new(Services { replies: replies.to_vec(), asked: Mutex::default() });
        let app = project().images().load(engine(), IMAGE).unwrap();
        let options = PodOptions {
            name: service,
            namespace: "default",
            environment: &environment,
            world: World::simulated(NOW, 1),
            outbound: Arc::clone(&services) as Arc<dyn Outbound>,
            limits: PodLimits::default(),
            state: StateFolder::Temporary,
        };
        Self { pod: Pod::start(engine(), &app, options).unwrap(), services }
    }

    pub(crate) async fn send(&self, call: Call) -> Answer {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Answer::read(self.pod.answer(Inbound { request: call.request(), depth: 0, peer }).await.unwrap()).await
    }

    /// What the services were asked, oldest first: URL and headers.
    pub(crate) fn asked(&self) -> Vec<(String, HeaderMap)> {
        self.services.asked.lock().clone()
    }

    /// The last JSON line of the log.
    pub(crate) fn last_log(&self) -> Value {
        serde_json::from_str(&self.pod.logs().lines().last().unwrap().text).unwrap()
    }
}
