//! hello: the least that a component of the Spin SDK can do, so that what is measured is the host.

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, clippy::same_length_and_capacity, reason = "in what http_component writes around the handler")]
mod component {
    use spin_sdk::http::{IncomingRequest, Response};

    #[spin_sdk::http_component]
    fn hello(_request: IncomingRequest) -> Response {
        Response::builder().status(200).header("content-type", "text/plain").body("Hello, world!\n").build()
    }
}
