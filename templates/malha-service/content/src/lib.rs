//! {{project-name | kebab_case}}: {{project-description}}

/// The version that was built: that of the image's tag, where the build says it (`malha build`), else the package's.
pub const VERSION: &str = match option_env!("APP_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Answers one request: a status and a text. A function of what comes in, so that tests need no WebAssembly.
pub fn answer(method: &str, path: &str) -> (u16, String) {
    match (method, path) {
        ("GET" | "HEAD", "/healthz") => (200, "ok\n".to_owned()),
        ("GET" | "HEAD", "/") => (200, format!("Hello from {} {VERSION}!\n", env!("CARGO_PKG_NAME"))),
        _ => (404, format!("There is nothing at {path}.\n")),
    }
}

/// The way from Spin to the function above.
#[cfg(target_family = "wasm")]
mod component {
    use spin_sdk::http::{Request, Response};

    #[spin_sdk::http_component]
    fn handle(request: Request) -> Response {
        let (status, text) = super::answer(&request.method().to_string(), request.path());
        // What a component prints is the pod's log.
        println!("{} {} {status}", request.method(), request.path());
        Response::builder()
            .status(status)
            .header("content-type", "text/plain; charset=utf-8")
            .header("x-app-version", super::VERSION)
            .body(text)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn it_greets_and_says_that_it_is_well() {
        let (status, text) = answer("GET", "/");
        assert_eq!(status, 200);
        assert!(text.starts_with("Hello from "), "{text}");
        assert_eq!(answer("GET", "/healthz").0, 200);
        assert_eq!(answer("GET", "/elsewhere").0, 404);
    }
}
