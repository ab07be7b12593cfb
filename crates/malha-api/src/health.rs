//! `/healthz`, `/livez`, `/readyz` (apiserver `pkg/server/healthz`).
//!
//! The control plane is in the same process: whoever gets an answer gets it from a cluster that is there.

use http::{Response, StatusCode};

use crate::request::Params;
use crate::respond::{Body, text};

/// What is checked: that the API answers.
const CHECK: &str = "ping";

/// The answer to a question about health; `None` for any other.
pub(crate) fn answer(path: &str, params: &Params) -> Option<Response<Body>> {
    let (name, check) = path.strip_prefix('/')?.split_once('/').unwrap_or((&path[1..], ""));
    if !matches!(name, "healthz" | "livez" | "readyz") {
        return None;
    }
    match check {
        "" if params.get("verbose").is_some() || params.flag("verbose") => {
            Some(text(StatusCode::OK, format!("[+]{CHECK} ok\n{name} check passed\n")))
        }
        "" | CHECK => Some(text(StatusCode::OK, "ok")),
        _ => Some(text(StatusCode::NOT_FOUND, "404 page not found\n")),
    }
}
