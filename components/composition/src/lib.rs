//! composition: posts, each with its comments, fetched from the two services at the same time.

mod merge;
mod upstream;

use service_kit::bearer::authorize;
use service_kit::health;
use service_kit::host::{FetchError, Fetched, Host};
use service_kit::http::{Request, Response, is_read};
use service_kit::problem::{method_not_allowed, not_found, problem};

/// The name of the service, and its path besides `/`.
const NAME: &str = "composition";

/// Answers one request.
///
/// It owns the route `/...`: alone in a pod it is found at `/`, and beside the other services at `/composition`.
pub fn answer(request: &Request, host: &impl Host) -> Response {
    if let Some(response) = health::answer(NAME, request) {
        return response;
    }
    match request.path.as_str() {
        "/" | "/composition" if is_read(request) => compose(request, host),
        "/" | "/composition" => method_not_allowed(&request.method, "GET, HEAD"),
        path => not_found(path),
    }
}

/// Verifies the token before calling anybody: a forged one should not buy two more requests.
fn compose(request: &Request, host: &impl Host) -> Response {
    let claims = match authorize(request, host, "posts") {
        Ok(claims) => claims,
        Err(refusal) => return *refusal,
    };
    let mut calls = vec![upstream::posts(request, host)];
    if claims.scopes.iter().any(|scope| scope == "comments") {
        calls.push(upstream::comments(request, host));
    }
    let mut answers = host.fetch(&calls).into_iter();
    let posts = match posts(answers.next()) {
        Ok(posts) => posts,
        Err(failure) => return failure,
    };
    match answers.next() {
        None => alone(posts),
        Some(comments) => match with_comments(&posts, comments) {
            Ok(response) => response,
            Err(reason) => alone(posts)
                .with_header("x-degraded", "comments")
                .with_log_message(format!("comments unavailable: {reason}")),
        },
    }
}

fn alone(posts: String) -> Response {
    Response::json(posts.into_bytes())
}

/// The text of the posts, or what their failure makes of the whole answer: a refusal is passed on as it is, since it
/// was our client's token that was refused.
fn posts(answer: Option<Result<Fetched, FetchError>>) -> Result<String, Response> {
    let failed = |status, reason: String| {
        problem(status, "The posts are unavailable.").with_log_message(format!("posts unavailable: {reason}"))
    };
    match answer {
        Some(Ok(fetched)) if matches!(fetched.status, 401 | 403) => Err(refused(fetched)),
        Some(Ok(fetched)) if fetched.status == 504 => Err(failed(504, "status 504".to_owned())),
        Some(Err(FetchError::Timeout)) => Err(failed(504, FetchError::Timeout.to_string())),
        Some(answer) => upstream::text(answer)
            .and_then(|text| merge::check(&text).map(|()| text))
            .map_err(|reason| failed(502, reason)),
        None => Err(failed(502, "it was not called".to_owned())),
    }
}

fn refused(fetched: Fetched) -> Response {
    let challenge = fetched.header("www-authenticate").map(str::to_owned);
    let response = Response::new(fetched.status, "application/problem+json", fetched.body)
        .with_log_message("posts refused the token");
    match challenge {
        Some(challenge) => response.with_header("www-authenticate", challenge),
        None => response,
    }
}

fn with_comments(posts: &str, comments: Result<Fetched, FetchError>) -> Result<Response, String> {
    let comments = upstream::text(comments)?;
    merge::merge(posts, &comments).map(|text| Response::json(text.into_bytes()))
}

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, clippy::same_length_and_capacity, reason = "in what http_component writes around the handler")]
mod component {
    use spin_sdk::http::{IncomingRequest, ResponseOutparam};

    #[spin_sdk::http_component]
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        service_kit::wasi::serve(super::NAME, request, out, super::answer);
    }
}

#[cfg(test)]
mod tests;
