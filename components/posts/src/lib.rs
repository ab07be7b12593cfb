//! posts: a hundred posts, and two faults that a client can ask for.

mod faults;

use service_kit::collection::{self, Collection};
use service_kit::health;
use service_kit::host::Host;
use service_kit::http::{Request, Response};

/// The posts. Their own words, written for the workshop.
const POSTS: Collection = Collection {
    name: "posts",
    filter: "userId",
    source: "posts_source",
    embedded: include_str!("../data/posts.json"),
};

/// Answers one request. The version is on every answer, faults too, so that a canary is seen from outside.
pub fn answer(request: &Request, host: &impl Host) -> Response {
    faults::answer(request, host)
        .or_else(|| health::answer(POSTS.name, request))
        .unwrap_or_else(|| collection::answer(&POSTS, request, host))
        .with_header("x-app-version", service_kit::VERSION)
}

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, clippy::same_length_and_capacity, reason = "in what http_component writes around the handler")]
mod component {
    use spin_sdk::http::{IncomingRequest, ResponseOutparam};

    #[spin_sdk::http_component]
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        service_kit::wasi::serve(super::POSTS.name, request, out, super::answer);
    }
}

#[cfg(test)]
mod tests;
