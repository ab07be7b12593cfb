//! Verbs: what a method does to a resource (`apiserver/pkg/endpoints/installer.go`).

mod body;
mod connect;
mod delete;
mod patch;
mod read;
mod scale;
mod services;
mod write;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use malha_cluster::{Kind, Part};
use serde_json::Value;

use crate::api::Shared;
use crate::logs;
use crate::request::{Form, Params, Target};
use crate::respond::{self, Body};
use crate::status::Failure;
use crate::view::View;

/// A request with all that is common to requests.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) params: &'a Params,
    pub(crate) pretty: bool,
    pub(crate) parts: &'a Parts,
}

impl Call<'_> {
    /// How the client wants objects.
    pub(crate) fn view(&self, target: &Target) -> Result<View, Failure> {
        View::new(target, Form::negotiate(self.parts)?, self.params, self.shared.world.clock)
    }

    /// JSON as the client wants it.
    pub(crate) fn json(&self, code: StatusCode, value: &Value) -> Response<Body> {
        respond::json(code, value, self.pretty)
    }
}

/// Does what the request asks for.
pub(crate) fn answer(call: Call<'_>, target: &Target, body: &[u8]) -> Result<Response<Body>, Failure> {
    let method = &call.parts.method;
    let reads = method == Method::GET || method == Method::HEAD;
    let Some(name) = target.name.as_deref() else {
        return match *method {
            _ if reads && call.params.flag("watch") => read::watch(call, target),
            _ if reads => read::list(call, target),
            Method::POST if target.namespace.is_some() || !target.resource.kind.namespaced() => {
                write::create(call, target, body)
            }
            // All namespaces are never deleted at once.
            Method::DELETE if target.resource.kind != Kind::Namespace => delete::collection(call, target, body),
            _ => Err(Failure::method()),
        };
    };
    match (target.subresource.as_deref(), method) {
        (None | Some("status"), _) if reads => read::get(call, target, name),
        (None, &Method::PUT) => write::update(call, target, name, body, Part::Whole),
        (None, &Method::PATCH) => patch::patch(call, target, name, body, Part::Whole),
        (None, &Method::DELETE) => delete::one(call, target, name, body),
        (Some("status"), &Method::PUT) => write::update(call, target, name, body, Part::Status),
        (Some("status"), &Method::PATCH) => patch::patch(call, target, name, body, Part::Status),
        (Some("scale"), _) if reads => scale::get(call, target, name),
        (Some("scale"), &Method::PUT) => scale::put(call, target, name, body),
        (Some("scale"), &Method::PATCH) => scale::patch(call, target, name, body),
        (Some("log"), _) if reads => logs::answer(call.shared, call.params, target, name),
        (Some("eviction"), &Method::POST) => delete::evict(call, target, name, body),
        (Some("exec" | "attach"), _) if reads || method == Method::POST => connect::exec(call, target, name),
        (Some("portforward"), _) if reads || method == Method::POST => connect::port_forward(call, target, name),
        _ => Err(Failure::method()),
    }
}
