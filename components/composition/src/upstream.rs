//! The two services that are called: where they are, what they are told, what of their answers is taken.

use std::time::Duration;

use service_kit::host::{FetchError, Fetched, Host, Outgoing};
use service_kit::http::Request;

/// How long posts may take: longer than the slowest answer that it gives on purpose, so that a timeout that a client
/// sees is the mesh's, whose routes set shorter ones.
pub(crate) const POSTS_LIMIT: Duration = Duration::from_secs(10);

/// How long comments may take: nobody waits long for what an answer can do without.
pub(crate) const COMMENTS_LIMIT: Duration = Duration::from_secs(3);

/// How large an answer may be: a dozen times our own posts and our own comments.
const POSTS_MAX_BODY: usize = 512 * 1024;
const COMMENTS_MAX_BODY: usize = 2 * 1024 * 1024;

/// What goes on to the services: who asks, the faults that are asked for, the group that routes may go by, and what a
/// trace is put together from. A sidecar sees calls come and go but cannot know which belong together; only the service
/// can.
const PASSED_ON: [&str; 13] = [
    "authorization",
    "x-fail",
    "x-sleep-fail",
    "x-group",
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
];

/// The call to posts.
pub(crate) fn posts(request: &Request, host: &impl Host) -> Outgoing {
    Outgoing {
        url: host.variable("app_url_posts"),
        headers: passed_on(request),
        max_body: POSTS_MAX_BODY,
        limit: POSTS_LIMIT,
    }
}

/// The call to comments.
pub(crate) fn comments(request: &Request, host: &impl Host) -> Outgoing {
    Outgoing {
        url: host.variable("app_url_comments"),
        headers: passed_on(request),
        max_body: COMMENTS_MAX_BODY,
        limit: COMMENTS_LIMIT,
    }
}

fn passed_on(request: &Request) -> Vec<(String, Vec<u8>)> {
    let is_passed_on = |name: &str| PASSED_ON.iter().any(|passed| name.eq_ignore_ascii_case(passed));
    request.headers.iter().filter(|(name, _)| is_passed_on(name)).cloned().collect()
}

/// The text of a good answer, or what is wrong with it.
pub(crate) fn text(answer: Result<Fetched, FetchError>) -> Result<String, String> {
    let fetched = answer.map_err(|error| error.to_string())?;
    if fetched.status != 200 {
        return Err(format!("status {}", fetched.status));
    }
    String::from_utf8(fetched.body).map_err(|_| "the answer is not UTF-8".to_owned())
}
