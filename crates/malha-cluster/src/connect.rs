//! A connection from outside straight to a port of a pod, past its sidecar: what `kubectl port-forward` opens.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes in both directions.
pub trait PodStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> PodStream for T {}

/// Comes to its end with the connection.
pub type Connecting = Pin<Box<dyn Future<Output = Result<(), ConnectError>> + Send>>;

/// Why a pod cannot be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nothing runs for the pod: it has not started, or is over, or is not there.
    #[error("the pod is not running")]
    NotRunning,
    /// The pod does not listen on the port.
    #[error("connection refused")]
    Refused,
}
