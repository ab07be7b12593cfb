//! Sockets that play entrances.

use std::io;
use std::sync::Arc;

use http::header::SERVER;
use http::{Request, Response};
use hyper::body::Incoming;
use malha_net::server::host::settle_host;
use malha_net::server::{Connection, Server};
use malha_runtime::Body;
use tokio::net::TcpListener;

use crate::Mesh;
use crate::edge::Entrance;
use crate::proxy::ISTIO_ENVOY;
use crate::replies::NO_HOST;

impl Mesh {
    /// Serves `entrance` on a socket that is bound already.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn serve(&self, entrance: Entrance, socket: TcpListener) -> io::Result<Server> {
        let entrance = Arc::new(entrance);
        let (mesh, door) = (self.clone(), Arc::clone(&entrance));
        let tls = move || mesh.tls(&door);
        let mesh = self.clone();
        Server::start(socket, tls, move |request, connection| {
            let (mesh, entrance) = (mesh.clone(), Arc::clone(&entrance));
            async move { mesh.receive(&entrance, request, &connection).await }
        })
    }

    /// A request as a socket of `entrance` got it: [`enter`](Self::enter), once it is settled whom it is for.
    pub async fn receive(
        &self,
        entrance: &Entrance,
        request: Request<Incoming>,
        connection: &Connection,
    ) -> Option<Response<Body>> {
        let mut request = request.map(Body::from);
        if settle_host(&mut request).is_some() {
            return self.enter(entrance, request, connection).await;
        }
        let mut response = NO_HOST.answer(false).into_response();
        response.headers_mut().insert(SERVER, ISTIO_ENVOY);
        Some(response)
    }
}
