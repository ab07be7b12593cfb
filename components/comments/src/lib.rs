//! comments: five comments to each post.

use service_kit::collection::{self, Collection};
use service_kit::health;
use service_kit::host::Host;
use service_kit::http::{Request, Response};

/// The comments. Their own words, written for the workshop; nobody can be reached at their addresses (RFC 2606).
const COMMENTS: Collection = Collection {
    name: "comments",
    filter: "postId",
    source: "comments_source",
    embedded: include_str!("../data/comments.json"),
};

/// Answers one request.
pub fn answer(request: &Request, host: &impl Host) -> Response {
    health::answer(COMMENTS.name, request).unwrap_or_else(|| collection::answer(&COMMENTS, request, host))
}

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, clippy::same_length_and_capacity, reason = "in what http_component writes around the handler")]
mod component {
    use spin_sdk::http::{IncomingRequest, ResponseOutparam};

    #[spin_sdk::http_component]
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        service_kit::wasi::serve(super::COMMENTS.name, request, out, super::answer);
    }
}

#[cfg(test)]
mod tests;
