//! What takes a connection to a pod over: exec, attach, port-forward.

use http::{Response, StatusCode};

use super::Call;
use crate::cluster::read;
use crate::forward;
use crate::request::Target;
use crate::respond::Body;
use crate::status::Failure;

/// What a container of Spin's shim answers (measured; runwasi has no exec), after the API server's and the kubelet's words
/// (`pkg/kubelet/kubelet_pods.go`, cri-streaming `server.go`).
const NOT_SUPPORTED: &str =
    "not supported: not found: a WebAssembly container has no shell and no processes, here as in a cluster";

/// exec and attach: not supported, in any container of a pod of this runtime class.
pub(super) fn exec(call: Call<'_>, target: &Target, name: &str) -> Result<Response<Body>, Failure> {
    exists(call, target, name)?;
    let message = format!("Internal error occurred: {}: {NOT_SUPPORTED}", wanted(target.subresource.as_deref()));
    Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message))
}

fn wanted(subresource: Option<&str>) -> &'static str {
    if subresource == Some("attach") { "error attaching to container" } else { "error executing command in container" }
}

/// port-forward: its connection is taken over.
pub(super) fn port_forward(call: Call<'_>, target: &Target, name: &str) -> Result<Response<Body>, Failure> {
    exists(call, target, name)?;
    forward::upgrade(call.parts, &call.shared.control, target.key(name), call.shared.closing.subscribe())
}

fn exists(call: Call<'_>, target: &Target, name: &str) -> Result<(), Failure> {
    let key = target.key(name);
    let found = read(call.shared.control.as_ref(), |store| store.find(&key).is_some());
    if found { Ok(()) } else { Err(Failure::not_found(target.resource, name)) }
}
