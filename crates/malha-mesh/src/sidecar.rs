//! The entrance from within: a pod calls, and its sidecar finds the way.
//!
//! A host that the mesh knows takes the road. Any other leaves it, as Istio's default outbound policy `ALLOW_ANY` lets
//! it; under `REGISTRY_ONLY` it is answered with 502, and what is encrypted is cut.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use http::header::{HOST, SERVER};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri};
use malha_policy::inline::{self, Side};
use malha_routing::{UnknownHosts, Workload};
use malha_runtime::{Body, CallError, Caller, Outbound};

use crate::Mesh;
use crate::access_log::{Ends, Record};
use crate::head::{self, X_FORWARDED_PROTO, X_REQUEST_ID};
use crate::proxy::Proxy;
use crate::replies::{Answered, BLOCKED};
use crate::road::{self, Trip};

/// The sidecar of one pod. A handle: clones are the same sidecar.
#[derive(Clone)]
pub struct Sidecar {
    mesh: Mesh,
    proxy: Arc<Proxy>,
    address: IpAddr,
}

impl Mesh {
    /// The sidecar of a pod with this identity and address.
    pub fn sidecar(&self, workload: Arc<Workload>, address: IpAddr) -> Sidecar {
        let proxy = Arc::new(Proxy::sidecar(workload));
        self.shared.proxies.add(&proxy);
        Sidecar { mesh: self.clone(), proxy, address }
    }
}

impl Outbound for Sidecar {
    fn call(
        &self,
        caller: Caller,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Body>, CallError>> + Send>> {
        let sidecar = self.clone();
        Box::pin(async move { sidecar.outbound(&caller, request).await })
    }
}

impl Sidecar {
    async fn outbound(&self, caller: &Caller, mut request: Request<Body>) -> Result<Response<Body>, CallError> {
        let uri = request.uri();
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority().cloned()) else {
            return Err(CallError::Protocol("the URL has no host".into()));
        };
        let encrypted = scheme == "https";
        let port = authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let view = self.mesh.shared.view.load_full();
        let workload = &self.proxy.workload;
        let known = view.snapshot.sidecars.get(&workload.namespace).map(|sidecars| sidecars.of(&workload.labels));
        let registered = || known.and_then(|known| known.passthrough.get(&port)?.find(authority.host())).is_some();
        let unknown = || match known.map_or(UnknownHosts::default(), |known| known.unknown) {
            UnknownHosts::RegistryOnly if !registered() => UnknownHosts::RegistryOnly,
            _ => UnknownHosts::AllowAny,
        };
        if encrypted {
            // A sidecar cannot read it: the server name decides whether it may pass.
            return match unknown() {
                UnknownHosts::RegistryOnly => Err(CallError::ConnectionTerminated),
                UnknownHosts::AllowAny => self.mesh.shared.dialer.call(request).await,
            };
        }
        let mut record = None;
        let hosts = known.and_then(|known| known.ports.get(&port));
        let host = hosts.and_then(|hosts| hosts.find(authority.host()));
        let answered: Answered = match host.ok_or_else(unknown) {
            // A port at which the mesh knows nobody is not looked into: what comes and goes are bytes.
            Err(UnknownHosts::AllowAny) => {
                let response = self.mesh.shared.dialer.call(request).await?;
                return Ok(if hosts.is_some() { self.signed(response) } else { response });
            }
            Err(UnknownHosts::RegistryOnly) if hosts.is_none() => return Err(CallError::ConnectionTerminated),
            Err(UnknownHosts::RegistryOnly) => BLOCKED.answer(false),
            Ok(host) => {
                let mut chance = self.mesh.shared.world.chance.stream();
                settle(&mut request, &authority)?;
                let headers = request.headers_mut();
                inline::join(headers, Side::Request);
                headers.entry(X_REQUEST_ID).or_insert_with(|| head::request_id(&mut chance));
                headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
                if view.snapshot.access_log {
                    let client = SocketAddr::new(self.address, 0);
                    let ends = Ends { client, local: SocketAddr::new(self.address, port), server_name: None };
                    record = Some(self.mesh.record(&self.proxy, &ends, &mut request));
                }
                if let Err(reply) = head::normalize_path(&mut request) {
                    reply.answer(false)
                } else {
                    let trip = Trip {
                        mesh: self.mesh.clone(),
                        proxy: Arc::clone(&self.proxy),
                        address: self.address,
                        client: SocketAddr::new(self.address, 0),
                        scheme: "http",
                        port,
                        depth: caller.depth,
                        claims: None,
                        cluster: None,
                        endpoint: None,
                        record: record.clone(),
                        chance,
                    };
                    road::travel(host, request, trip).await
                }
            }
        };
        let response = match record {
            Some(record) => Record::end(record, answered),
            None => answered.into_response(),
        };
        Ok(self.signed(response))
    }

    fn signed(&self, mut response: Response<Body>) -> Response<Body> {
        response.headers_mut().insert(SERVER, self.proxy.server.clone());
        response
    }
}

/// Leaves whom the request is for in `Host` alone, as it would arrive over a connection.
fn settle(request: &mut Request<Body>, authority: &Authority) -> Result<(), CallError> {
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let host = HeaderValue::from_str(host).map_err(|error| CallError::Protocol(error.to_string()))?;
    request.headers_mut().insert(HOST, host);
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok(())
}
