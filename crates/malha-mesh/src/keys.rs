//! Fetching the keys that sign tokens, as istiod does it for the proxies (Istio, `pilot/pkg/model/jwks_resolver.go`): it
//! has no sidecar, so it calls services of the mesh in plain text and past all routes.

use std::net::{IpAddr, Ipv4Addr};

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use malha_routing::{Answer, Cluster, KeySource, RemoteKeys, Upstream, choose_weighted};
use malha_runtime::{Body, Pod};
use serde_json::Value;
use std::sync::Arc;
use tokio::time::timeout;

use crate::Mesh;
use crate::inbound::{self, Visitor};

/// Bytes of a set of keys, or of what says where they are.
const LONGEST: usize = 1 << 20;

/// Where istiod lives.
const HOME: &str = "istio-system";

/// istiod, as pods see it.
const ISTIOD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 255, 254));

impl Mesh {
    /// The text of a set of keys.
    ///
    /// # Errors
    /// Why it could not be had.
    pub async fn fetch_keys(&self, wanted: &RemoteKeys) -> Result<String, String> {
        let fetching = async {
            match &wanted.source {
                KeySource::Uri(uri) => self.read(uri).await,
                KeySource::Issuer(issuer) => {
                    let discovery = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                    let text = self.read(&discovery).await?;
                    let about: Value = serde_json::from_str(&text).map_err(|error| format!("{discovery}: {error}"))?;
                    let uri = about["jwks_uri"].as_str().ok_or_else(|| format!("{discovery} has no jwks_uri"))?;
                    self.read(uri).await
                }
            }
        };
        let late = |_| format!("no answer within {:?}", wanted.timeout);
        timeout(wanted.timeout, fetching).await.map_err(late)?
    }

    async fn read(&self, url: &str) -> Result<String, String> {
        let fault = |why: &dyn std::fmt::Display| format!("{url}: {why}");
        let uri: Uri = url.parse().map_err(|error| fault(&error))?;
        let host = uri.authority().ok_or_else(|| fault(&"no host"))?.as_str().to_owned();
        let request = Request::get(uri).header(HOST, host).header(USER_AGENT, "malha");
        let request = request.body(Body::empty()).map_err(|error| fault(&error))?;
        let response = self.call_directly(request).await.map_err(|why| fault(&why))?;
        if response.status() != StatusCode::OK {
            return Err(fault(&response.status()));
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|error| fault(&error))?;
        String::from_utf8(body.to_bytes().into()).map_err(|error| fault(&error))
    }

    async fn call_directly(&self, mut request: Request<Body>) -> Result<Response<Body>, String> {
        let Some(cluster) = self.service(request.uri()) else {
            return self.shared.dialer.call(request).await.map_err(|error| error.to_string());
        };
        let mut chance = self.shared.world.chance.stream();
        if cluster.hosts.is_empty() {
            return Err("the service has no endpoint".to_owned());
        }
        let host = &cluster.hosts[choose_weighted(cluster.hosts.iter().map(|host| host.weight), &mut chance)];
        let Upstream::Pod(pod) = &host.endpoint.upstream else {
            return self.shared.dialer.call(request).await.map_err(|error| error.to_string());
        };
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or(Uri::from_static("/"), Uri::from);
        request.headers_mut().insert("accept", HeaderValue::from_static("*/*"));
        let visitor = Visitor::stranger(ISTIOD);
        match inbound::deliver(&self.shared.world.clock, host, pod, request, &visitor).await {
            Ok(answered) => Ok(answered.response),
            Err(inbound::STOPPED) => Err("the pod was stopped".to_owned()),
            Err(_) => Err("the service demands mutual TLS, which istiod does not speak to it".to_owned()),
        }
    }

    /// The service that a URL names, if it is one of the mesh.
    fn service(&self, uri: &Uri) -> Option<Arc<Cluster<Pod>>> {
        if uri.scheme_str() != Some("http") {
            return None;
        }
        let view = self.shared.view.load();
        let known = &view.snapshot.sidecars.get(HOME).or_else(|| view.snapshot.sidecars.values().next())?.others;
        let port = uri.port_u16().unwrap_or(80);
        let host = known.ports.get(&port)?.find(uri.host()?)?;
        let forwards = host.routes.routes().iter().filter_map(|route| match &route.action.answer {
            Answer::Forward(plan) => Some(&plan.destinations),
            Answer::Redirect(_) | Answer::Respond { .. } => None,
        });
        let clusters = forwards.flatten().filter_map(|destination| destination.cluster.as_ref());
        let own = |cluster: &&Arc<Cluster<Pod>>| {
            host.name.rsplit_once(':').is_some_and(|(name, _)| *cluster.service == *name)
        };
        clusters.into_iter().find(own).cloned()
    }
}
