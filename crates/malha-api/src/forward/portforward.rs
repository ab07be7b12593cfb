//! What port-forward makes of a connection's streams (kubelet, `pkg/cri/streaming/portforward/httpstream.go`): for each
//! connection that it forwards a client opens a stream for data and one on which it is told what went wrong.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use malha_cluster::{ConnectError, ControlPlane, Key};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, copy, duplex, split};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Duplex, Owner};
use super::spdy::Headers;

/// How long one stream of a pair waits for the other (kubelet, `DefaultStreamCreationTimeout`).
const PAIRING: Duration = Duration::from_secs(30);
/// Between the client's stream and the pod.
const BUFFER: usize = 64 * 1024;

/// A pod that connections are forwarded to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) control: Arc<dyn ControlPlane>,
    pub(super) pod: Key,
    /// `metadata.uid`, which stands for the sandbox in what users are told.
    pub(super) uid: String,
}

/// Pairs the streams of a connection, and forwards what they carry.
pub(super) struct Forwarder {
    target: Target,
    /// Streams whose other has not come, by request.
    waiting: HashMap<String, Waiting>,
    /// They end with the connection.
    forwarding: JoinSet<()>,
}

struct Waiting {
    purpose: Purpose,
    other: oneshot::Sender<Duplex>,
}

/// `streamType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Data,
    Error,
}

/// What the headers of a stream say.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    id: String,
    purpose: Purpose,
    port: u16,
}

impl Request {
    /// `None` for a stream that a kubelet rejects.
    fn read(stream: u32, headers: &Headers) -> Option<Self> {
        let port = headers.get("port")?.parse().ok().filter(|port| *port != 0)?;
        let purpose = match headers.get("streamtype")? {
            "data" => Purpose::Data,
            "error" => Purpose::Error,
            _ => return None,
        };
        let id = headers.get("requestid").map(str::to_owned);
        // Clients of old times give none: their error streams come first, and the streams for data are the next.
        let id = id.unwrap_or_else(|| match purpose {
            Purpose::Error => stream.to_string(),
            Purpose::Data => stream.saturating_sub(2).to_string(),
        });
        Some(Self { id, purpose, port })
    }
}

impl Forwarder {
    pub(super) fn new(target: Target) -> Self {
        Self { target, waiting: HashMap::new(), forwarding: JoinSet::new() }
    }
}

impl Owner for Forwarder {
    fn admits(&mut self, stream: u32, headers: &Headers) -> bool {
        let Some(request) = Request::read(stream, headers) else { return false };
        // Of one purpose there is one stream.
        let waiting = self.waiting.get(&request.id).filter(|waiting| !waiting.other.is_closed());
        waiting.is_none_or(|waiting| waiting.purpose != request.purpose)
    }

    fn take(&mut self, stream: Duplex) {
        // Those that are over.
        while self.forwarding.try_join_next().is_some() {}
        self.waiting.retain(|_, waiting| !waiting.other.is_closed());
        let Some(Request { id, purpose, port }) = Request::read(stream.id(), stream.headers()) else { return };
        if let Some(waiting) = self.waiting.remove(&id) {
            // Where it has waited for too long just now, this one is dropped too.
            let _ = waiting.other.send(stream);
            return;
        }
        let (other, comes) = oneshot::channel();
        let target = self.target.clone();
        self.waiting.insert(id.clone(), Waiting { purpose, other });
        self.forwarding.spawn(async move {
            let other = timeout(PAIRING, comes).await;
            match (purpose, other) {
                (Purpose::Data, Ok(Ok(error))) => forward(target, port, stream, error).await,
                (Purpose::Error, Ok(Ok(data))) => {
                    // The port that counts is that of the stream for data.
                    let port = Request::read(data.id(), data.headers()).map_or(port, |request| request.port);
                    forward(target, port, data, stream).await;
                }
                (Purpose::Error, _) => complain(stream, &format!("(request={id}) timed out waiting for streams")).await,
                (Purpose::Data, _) => {}
            }
        });
    }
}

/// Connects a client's stream with a port of the pod, until either gives it up.
async fn forward(target: Target, port: u16, data: Duplex, error: Duplex) {
    let (near, far) = duplex(BUFFER);
    let connection = target.control.connect(&target.pod, port, Box::new(far));
    let ((theirs, mut ours), (mut replies, requests)) = (split(data), split(near));
    let outbound = async { tokio::join!(connection, copy(&mut replies, &mut ours)).0 };
    let outcome = tokio::select! {
        outcome = outbound => outcome,
        // And so must the pod.
        () = given_up(theirs, requests) => return,
    };
    match outcome {
        Ok(()) => complain(error, "").await,
        Err(why) => complain(error, &words(&target, port, why)).await,
    }
    // Nobody waits for it where the client has gone.
    let _ = ours.shutdown().await;
}

/// Carries what a client sends to the pod. Comes to its end when the client gives the stream up: one that has sent all
/// still reads.
async fn given_up(mut theirs: ReadHalf<Duplex>, mut requests: WriteHalf<DuplexStream>) {
    let mut bytes = BytesMut::new();
    let mut heard = true;
    while let Ok(length) = theirs.read_buf(&mut bytes).await {
        if length == 0 {
            let _ = requests.shutdown().await;
            return pending().await;
        }
        // A pod that hears no more may still have something to say.
        heard = heard && requests.write_all(&bytes).await.is_ok();
        bytes.clear();
    }
}

/// Tells a client what went wrong, if anything did.
async fn complain(mut stream: Duplex, text: &str) {
    // A client that has gone hears nothing.
    if stream.write_all(text.as_bytes()).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

/// As kubelet and containerd say it (containerd 2.0, `internal/cri/server/sandbox_portforward_linux.go`).
fn words(target: &Target, port: u16, why: ConnectError) -> String {
    let Target { pod: Key { namespace, name, .. }, uid, .. } = target;
    let why = match why {
        ConnectError::NotRunning => format!("network namespace for sandbox \"{uid}\" is closed"),
        ConnectError::Refused => format!(
            "failed to execute portforward in network namespace \"{namespace}/{name}\": \
             failed to connect to localhost:{port} inside namespace \"{uid}\", \
             IPv4: dial tcp4 127.0.0.1:{port}: connect: connection refused \
             IPv6 dial tcp6 [::1]:{port}: connect: connection refused "
        ),
    };
    format!("error forwarding port {port} to pod {uid}, uid : {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_say_what_they_are_for() {
        let request = |id: &str, purpose, port| Some(Request { id: id.to_owned(), purpose, port });
        for (headers, expected) in [
            (vec![("streamtype", "error"), ("port", "80"), ("requestid", "0")], request("0", Purpose::Error, 80)),
            (vec![("streamtype", "data"), ("port", "8080"), ("requestid", "a")], request("a", Purpose::Data, 8080)),
            (vec![("streamtype", "error"), ("port", "80")], request("5", Purpose::Error, 80)),
            (vec![("streamtype", "data"), ("port", "80")], request("3", Purpose::Data, 80)),
            (vec![("streamtype", "data")], None),
            (vec![("port", "80")], None),
            (vec![("streamtype", "stdin"), ("port", "80")], None),
            (vec![("streamtype", "data"), ("port", "0")], None),
            (vec![("streamtype", "data"), ("port", "65536")], None),
            (vec![("streamtype", "data"), ("port", "http")], None),
        ] {
            assert_eq!(Request::read(5, &headers.iter().copied().collect()), expected, "{headers:?}");
        }
    }
}
