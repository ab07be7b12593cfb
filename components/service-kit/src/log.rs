//! One JSON line a request, for whatever collects the pod's output.
//!
//! The line holds no header but the two identifiers below, no query and no body, so no secret can be in it.

use std::time::Duration;

use serde::Serialize;

use crate::VERSION;
use crate::http::{Request, Response};
use crate::time::Timestamp;

/// How much a line matters, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing logs at this level; asking for it is asking for everything.
    Debug,
    /// The request was answered.
    Info,
    /// The client made a mistake, or the answer is less than it should be.
    Warn,
    /// The service, or one that it needs, failed.
    Error,
}

impl Level {
    /// Reads `log_level`. A word that is no level reads as `info`: a typo should not silence a service.
    pub fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "debug" | "trace" => Self::Debug,
            "warn" | "warning" => Self::Warn,
            "error" => Self::Error,
            _ => Self::Info,
        }
    }

    /// A good answer that an operator should read something about is not that good.
    fn of(response: &Response) -> Self {
        match response.status {
            500.. => Self::Error,
            400..500 => Self::Warn,
            _ if response.log_message.is_some() => Self::Warn,
            _ => Self::Info,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    level: Level,
    message: &'a str,
    service: &'a str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    status: u16,
    duration_ms: f64,
}

/// The line for one request, with its newline, or nothing if it matters less than `least`.
///
/// `start` is when the request came, `duration` how long the answer took to make: not how long it took to send.
pub fn line(
    service: &str,
    request: &Request,
    response: &Response,
    start: Timestamp,
    duration: Duration,
    least: Level,
) -> Option<String> {
    let level = Level::of(response);
    if level < least {
        return None;
    }
    let line = Line {
        timestamp: Timestamp(start.0 + duration).to_string(),
        level,
        message: response.log_message.as_deref().unwrap_or("request answered"),
        service,
        version: VERSION,
        request_id: request.header("x-request-id"),
        trace_id: trace_id(request),
        method: &request.method,
        path: &request.path,
        status: response.status,
        // Whole microseconds: more digits would be noise.
        duration_ms: f64::from(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)) / 1e3,
    };
    serde_json::to_string(&line).ok().map(|line| line + "\n")
}

/// The trace of W3C trace context (`version-traceid-parentid-flags`), else of B3 in several headers, else in one.
fn trace_id(request: &Request) -> Option<&str> {
    let from_traceparent = || request.header("traceparent")?.split('-').nth(1);
    let from_b3 = || request.header("b3")?.split_once('-').map(|(trace, _)| trace);
    from_traceparent().or_else(|| request.header("x-b3-traceid")).or_else(from_b3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::not_configured;

    fn request(headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Request { method: "GET".into(), path: "/posts".into(), query: Some("userId=1".into()), headers }
    }

    fn log(request: &Request, response: &Response, least: Level) -> Option<serde_json::Value> {
        let line = line("posts", request, response, Timestamp::from_secs(1), Duration::from_micros(1_234), least)?;
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
        Some(serde_json::from_str(&line).unwrap())
    }

    #[test]
    fn a_line_says_who_answered_what_and_when() {
        let request = request(&[("x-request-id", "r1"), ("traceparent", "00-t1-p1-01")]);
        let line = log(&request, &Response::json("[]".as_bytes()), Level::Info).unwrap();
        assert_eq!(
            line,
            serde_json::json!({
                "@timestamp": "1970-01-01T00:00:01.001Z", "level": "info", "message": "request answered",
                "service": "posts", "version": VERSION, "request_id": "r1", "trace_id": "t1",
                "method": "GET", "path": "/posts", "status": 200, "duration_ms": 1.234,
            })
        );
    }

    #[test]
    fn the_level_follows_the_status_and_hides_what_matters_less() {
        let request = request(&[]);
        let failed = not_configured("jwt_public_key is not set");
        let line = log(&request, &failed, Level::Error).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"error".into(), &"jwt_public_key is not set".into()));
        assert!(log(&request, &Response::json("[]".as_bytes()), Level::Warn).is_none());
        let degraded = Response::json("[]".as_bytes()).with_log_message("comments unavailable");
        assert_eq!(log(&request, &degraded, Level::Info).unwrap()["level"], "warn");
        assert_eq!(Level::parse("WARN"), Level::Warn);
        assert_eq!(Level::parse("loud"), Level::Info);
    }

    #[test]
    fn the_trace_is_found_in_b3_headers_too() {
        assert_eq!(trace_id(&request(&[("X-B3-TraceId", "t2")])), Some("t2"));
        assert_eq!(trace_id(&request(&[("b3", "t3-s3-1")])), Some("t3"));
        assert_eq!(trace_id(&request(&[("b3", "0")])), None);
    }

    #[test]
    fn a_path_cannot_break_out_of_its_line() {
        let request = Request { path: "/\"\n{".into(), ..request(&[("authorization", "Bearer secret")]) };
        let line = log(&request, &Response::json("[]".as_bytes()), Level::Info).unwrap();
        assert_eq!(line["path"], "/\"\n{");
        assert!(!line.to_string().contains("secret"));
    }
}
