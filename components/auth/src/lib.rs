//! auth: a token for who knows the password, and the key that others verify it with.

mod basic;
mod issue;
mod jwks;
mod key;
mod users;

use service_kit::health;
use service_kit::host::Host;
use service_kit::http::{Request, Response, is_read};
use service_kit::problem::{method_not_allowed, not_configured, not_found};

use key::Key;

/// Answers one request.
pub fn answer(request: &Request, host: &impl Host) -> Response {
    if let Some(response) = health::answer("auth", request) {
        return response;
    }
    match request.path.as_str() {
        "/auth" if request.method == "POST" => issue::answer(request, host),
        "/auth" => method_not_allowed(&request.method, "POST"),
        "/.well-known/jwks.json" if is_read(request) => match key(host) {
            Ok(key) => jwks::answer(&key),
            Err(refusal) => *refusal,
        },
        "/.well-known/jwks.json" => method_not_allowed(&request.method, "GET, HEAD"),
        path => not_found(path),
    }
}

/// The signing key, or the 503 of a pod that was not given one.
fn key(host: &impl Host) -> Result<Key, Box<Response>> {
    Key::from_pem(&required(host, "jwt_private_key")?)
        .map_err(|error| Box::new(not_configured(format!("the variable jwt_private_key cannot be used: {error}"))))
}

fn required(host: &impl Host, name: &str) -> Result<String, Box<Response>> {
    let value = host.variable(name);
    if value.is_empty() {
        Err(Box::new(not_configured(format!("the variable {name} is not set: no token can be issued"))))
    } else {
        Ok(value)
    }
}

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, clippy::same_length_and_capacity, reason = "in what http_component writes around the handler")]
mod component {
    use spin_sdk::http::{IncomingRequest, ResponseOutparam};

    #[spin_sdk::http_component]
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        service_kit::wasi::serve("auth", request, out, super::answer);
    }
}

#[cfg(test)]
mod tests;
