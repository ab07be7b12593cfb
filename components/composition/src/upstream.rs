//! The two services that are called: where they are, what they are told, what of their answers is taken.

use std::time::Duration;

use service_kit::forward::passed_on;
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

/// What goes on to the services besides the trace: who asks, the faults that are asked for, and the group that routes
/// may go by.
const PASSED_ON: [&str; 4] = ["authorization", "x-fail", "x-sleep-fail", "x-group"];

/// The call to posts.
pub(crate) fn posts(request: &Request, host: &impl Host) -> Outgoing {
    Outgoing {
        url: host.variable("app_url_posts"),
        headers: passed_on(request, &PASSED_ON),
        max_body: POSTS_MAX_BODY,
        limit: POSTS_LIMIT,
    }
}

/// The call to comments.
pub(crate) fn comments(request: &Request, host: &impl Host) -> Outgoing {
    Outgoing {
        url: host.variable("app_url_comments"),
        headers: passed_on(request, &PASSED_ON),
        max_body: COMMENTS_MAX_BODY,
        limit: COMMENTS_LIMIT,
    }
}

/// The text of a good answer, or what is wrong with it.
pub(crate) fn text(answer: Result<Fetched, FetchError>) -> Result<String, String> {
    let fetched = answer.map_err(|error| error.to_string())?;
    if fetched.status != 200 {
        return Err(format!("status {}", fetched.status));
    }
    String::from_utf8(fetched.body).map_err(|_| "the answer is not UTF-8".to_owned())
}
