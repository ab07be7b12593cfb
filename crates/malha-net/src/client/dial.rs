//! A connection to a target: its name's addresses in turn, then TLS. Envoy's `connect_timeout` spans both
//! (`source/common/conn_pool/conn_pool_base.cc`, `ActiveClient`); asking for addresses has as long again.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::error::SendError;
use crate::client::io::Io;
use crate::client::resolve::{Addresses, Resolver};
use crate::client::target::Target;
use crate::client::tls::{ClientTls, server_name};

/// Connects.
pub(super) async fn dial(resolver: &Resolver, target: &Target, limit: Duration) -> Result<Io, SendError> {
    let addresses = match target.host.parse::<IpAddr>() {
        Ok(address) => Arc::from([address]),
        Err(_) => timeout(limit, resolver.addresses(&target.host))
            .await
            .map_err(|_| SendError::unresolved("no address in time"))?
            .map_err(SendError::unresolved)?,
    };
    let connecting = async {
        let stream = first(&addresses, target.port).await.map_err(|error| SendError::connect(&error))?;
        match &target.tls {
            None => Ok(Io::plain(stream)),
            Some(tls) => secure(tls, target, stream).await,
        }
    };
    timeout(limit, connecting).await.unwrap_or_else(|_| Err(SendError::connect_timeout()))
}

/// The first address that takes us.
async fn first(addresses: &Addresses, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for &address in addresses.iter() {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => {
                // Envoy sets it on every connection; a system that refuses still has a connection.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn secure(tls: &ClientTls, target: &Target, stream: TcpStream) -> Result<Io, SendError> {
    let name: ServerName<'static> = match &tls.server_name {
        Some(name) => name.clone(),
        None => server_name(&target.host).map_err(|error| SendError::request(error.to_string()))?,
    };
    match TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream).await {
        Ok(stream) => Ok(Io::tls(stream)),
        Err(error) => Err(SendError::handshake(&error)),
    }
}
