//! Errors as RFC 9457 problem details.
//!
//! The `type` is left out, which section 3.1.1 defines as `about:blank`: the status says what kind of problem it is, and
//! section 4.2.1 then wants the `title` to be the status phrase. What the client can do about it is in `detail`.

use serde::Serialize;

use crate::http::Response;

#[derive(Serialize)]
struct Problem<'a> {
    title: &'static str,
    status: u16,
    detail: &'a str,
}

/// A problem response.
pub fn problem(status: u16, detail: &str) -> Response {
    let body = serde_json::to_vec(&Problem { title: phrase(status), status, detail });
    // Strings and a number always serialise; an empty body would still carry the status.
    Response::new(status, "application/problem+json", body.unwrap_or_default())
}

/// `404 Not Found` for a path that the service does not have.
pub fn not_found(path: &str) -> Response {
    problem(404, &format!("There is nothing at {path}."))
}

/// `405 Method Not Allowed`, with the methods that are (RFC 9110 section 15.5.6 demands `Allow`).
pub fn method_not_allowed(method: &str, allow: &'static str) -> Response {
    problem(405, &format!("{method} is not allowed here, only {allow}.")).with_header("allow", allow)
}

/// `503` for a service that lacks its configuration: the client learns that much, the log says what is missing.
pub fn not_configured(reason: impl Into<String>) -> Response {
    problem(503, "The service is not configured; its log says what is missing.").with_log_message(reason)
}

/// The status phrase of RFC 9110 section 15, for the statuses that the services send.
fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_status_twice_and_its_media_type() {
        let response = method_not_allowed("DELETE", "GET, HEAD");
        assert_eq!(response.status, 405);
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        assert_eq!(response.header("allow"), Some("GET, HEAD"));
        assert_eq!(
            std::str::from_utf8(&response.body).unwrap(),
            r#"{"title":"Method Not Allowed","status":405,"detail":"DELETE is not allowed here, only GET, HEAD."}"#
        );
    }

    #[test]
    fn the_reason_of_a_missing_configuration_stays_in_the_log() {
        let response = not_configured("jwt_public_key is empty");
        assert_eq!(response.log_message.as_deref(), Some("jwt_public_key is empty"));
        assert!(!String::from_utf8_lossy(&response.body).contains("jwt_public_key"));
    }
}
