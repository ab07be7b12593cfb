//! What listens on a pod's port, for those who connect to it as to a machine: HTTP/1.1 and HTTP/2 in the clear, as the
//! containerd shim for Spin speaks them. Calls of the mesh need no such thing: they are handed to the pod as they are.

use std::net::{Ipv4Addr, SocketAddr};

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use malha_cluster::PodStream;
use malha_runtime::{Body, Inbound, Pod};

/// As whom the pod sees those who connect from within its network.
const LOCALHOST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Answers what comes in on a connection until it is over, or the pod stops.
pub(crate) async fn serve(pod: &Pod, stream: Box<dyn PodStream>) {
    let service = service_fn(|request: Request<Incoming>| {
        let pod = pod.clone();
        async move { pod.answer(Inbound { request: request.map(Body::from), depth: 0, peer: LOCALHOST }).await }
    });
    let builder = Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // How it ends is its client's business.
        _ = connection => {}
        _ = pod.ended() => {}
    }
}
