//! The entrance from within: a pod calls, and its sidecar finds the way.
//!
//! A host that the mesh knows takes the road. Any other leaves it, as Istio's default outbound policy `ALLOW_ANY` lets
//! it, through a client that resolves its name.

use std::pin::Pin;

use http::header::SERVER;
use http::{HeaderValue, Request, Response};
use malha_runtime::{Body, CallError, Caller, Outbound};

use crate::Mesh;
use crate::road::{self, Trip, X_FORWARDED_PROTO, X_REQUEST_ID};

impl Outbound for Mesh {
    fn call(
        &self,
        caller: Caller,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Body>, CallError>> + Send>> {
        let mesh = self.clone();
        Box::pin(async move { mesh.outbound(&caller, request).await })
    }
}

impl Mesh {
    async fn outbound(&self, caller: &Caller, mut request: Request<Body>) -> Result<Response<Body>, CallError> {
        let uri = request.uri();
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(CallError::Protocol("the URL has no host".into()));
        };
        let view = self.shared.view.load_full();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let known = view.snapshot.outbound.get(&port).and_then(|hosts| hosts.find(host));
        // What is encrypted already passes by: a sidecar cannot read it.
        let Some(host) = known.filter(|_| scheme == "http") else {
            return self.shared.external.call(request).await;
        };
        let mut chance = self.shared.world.chance.stream();
        let headers = request.headers_mut();
        headers.entry(X_REQUEST_ID).or_insert_with(|| road::request_id(&mut chance));
        headers.entry(X_FORWARDED_PROTO).or_insert(road::HTTP);
        let mut response = match road::normalize_path(&mut request) {
            Ok(()) => road::travel(host, request, Trip { chance, depth: caller.depth }).await,
            Err(reply) => reply.into(),
        };
        response.headers_mut().insert(SERVER, HeaderValue::from_static("envoy"));
        Ok(response)
    }
}
