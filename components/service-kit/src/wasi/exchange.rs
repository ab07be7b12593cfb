//! Calls to other services, all at the same time, each under its deadline.
//!
//! An exchange is a small state machine that goes as far as it can without waiting. One `poll` then waits for all of
//! them and their deadlines, so a peer that sends a byte a second cannot outlast its limit either.

use std::mem;

use wasi::clocks::monotonic_clock;
use wasi::http::outgoing_handler;
use wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, OutgoingRequest, RequestOptions, Scheme,
};
use wasi::io::poll::{Pollable, poll};
use wasi::io::streams::{InputStream, StreamError};

use super::nanoseconds;
use crate::host::{FetchError, Fetched, Outgoing};

/// How much is asked of a body at once, in bytes.
const READ: u64 = 64 * 1024;

/// Carries out all exchanges, or gives them up when the first one fails.
pub(super) fn all(requests: &[Outgoing]) -> Vec<Result<Fetched, FetchError>> {
    let mut exchanges: Vec<Timed> = requests.iter().map(Timed::start).collect();
    loop {
        for exchange in &mut exchanges {
            exchange.advance();
        }
        let waits: Vec<Pollable> = exchanges.iter().filter_map(|exchange| exchange.state.wait()).collect();
        if waits.is_empty() || exchanges.first().is_some_and(|first| first.state.has_failed()) {
            break;
        }
        let deadlines =
            exchanges.iter().filter(|exchange| !exchange.state.has_ended()).map(|exchange| &exchange.deadline);
        poll(&waits.iter().chain(deadlines).collect::<Vec<_>>());
    }
    exchanges.into_iter().map(|exchange| exchange.state.end()).collect()
}

/// An exchange and its deadline.
struct Timed {
    state: Exchange,
    deadline: Pollable,
}

impl Timed {
    fn start(request: &Outgoing) -> Self {
        let limit = nanoseconds(request.limit);
        Self { state: Exchange::start(request, limit), deadline: monotonic_clock::subscribe_duration(limit) }
    }

    fn advance(&mut self) {
        self.state.advance();
        if !self.state.has_ended() && self.deadline.ready() {
            self.state = Exchange::Ended(Err(FetchError::Timeout));
        }
    }
}

/// One request on its way to a response.
enum Exchange {
    Sent { response: FutureIncomingResponse, max_body: usize },
    Reading { body: Body, fetched: Fetched, max_body: usize },
    Ended(Result<Fetched, FetchError>),
}

/// A body being read. Fields are dropped in order: children before their parents, as WASI demands.
struct Body {
    stream: InputStream,
    _parents: (IncomingBody, IncomingResponse),
}

impl Exchange {
    fn start(request: &Outgoing, limit: u64) -> Self {
        match send(request, limit) {
            Ok(response) => Self::Sent { response, max_body: request.max_body },
            Err(error) => Self::Ended(Err(error)),
        }
    }

    /// Goes on until there is something to wait for.
    fn advance(&mut self) {
        loop {
            let state = mem::replace(self, Self::Ended(Err(FetchError::Timeout)));
            let (state, must_wait) = state.step();
            *self = state;
            if must_wait {
                return;
            }
        }
    }

    /// One step, and whether the next one has to wait.
    fn step(self) -> (Self, bool) {
        match self {
            Self::Sent { response, max_body } => match response.get() {
                None => (Self::Sent { response, max_body }, true),
                Some(Ok(Ok(response))) => (Self::read(response, max_body), false),
                Some(Ok(Err(code))) => (Self::Ended(Err(error(&code))), true),
                Some(Err(())) => (Self::failed("the response was taken before"), true),
            },
            Self::Reading { body, mut fetched, max_body } => match body.stream.read(READ) {
                Ok(bytes) if bytes.len() > max_body - fetched.body.len() => {
                    (Self::Ended(Err(FetchError::TooLarge(max_body))), true)
                }
                Ok(bytes) => {
                    let must_wait = bytes.is_empty();
                    fetched.body.extend_from_slice(&bytes);
                    (Self::Reading { body, fetched, max_body }, must_wait)
                }
                Err(StreamError::Closed) => (Self::Ended(Ok(fetched)), true),
                Err(StreamError::LastOperationFailed(io)) => {
                    let error = wasi::http::types::http_error_code(&io)
                        .map_or_else(|| FetchError::Failed(io.to_debug_string()), |code| error(&code));
                    (Self::Ended(Err(error)), true)
                }
            },
            ended @ Self::Ended(_) => (ended, true),
        }
    }

    fn read(response: IncomingResponse, max_body: usize) -> Self {
        let Ok(body) = response.consume() else { return Self::failed("the body was taken before") };
        let Ok(stream) = body.stream() else { return Self::failed("the body was taken before") };
        let headers = response.headers().entries();
        // A whole body in one piece needs no second allocation.
        let length = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
        let buffer = Vec::with_capacity(length.unwrap_or_default().min(max_body));
        let fetched = Fetched { status: response.status(), headers, body: buffer };
        Self::Reading { body: Body { stream, _parents: (body, response) }, fetched, max_body }
    }

    fn failed(reason: &str) -> Self {
        Self::Ended(Err(FetchError::Failed(reason.to_owned())))
    }

    /// What to wait for, if not ended.
    fn wait(&self) -> Option<Pollable> {
        match self {
            Self::Sent { response, .. } => Some(response.subscribe()),
            Self::Reading { body, .. } => Some(body.stream.subscribe()),
            Self::Ended(_) => None,
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }

    /// Whether it has ended with anything but a `200`.
    fn has_failed(&self) -> bool {
        match self {
            Self::Sent { .. } | Self::Reading { .. } => false,
            Self::Ended(result) => result.as_ref().map_or(true, |fetched| fetched.status != 200),
        }
    }

    /// The result; nobody waited for what has not ended by now.
    fn end(self) -> Result<Fetched, FetchError> {
        match self {
            Self::Ended(result) => result,
            _ => Err(FetchError::GivenUp),
        }
    }
}

fn send(request: &Outgoing, limit: u64) -> Result<FutureIncomingResponse, FetchError> {
    let (scheme, authority, path) = parts(&request.url).ok_or(FetchError::BadUrl)?;
    let headers =
        Fields::from_list(&request.headers).map_err(|error| FetchError::Failed(format!("a header: {error}")))?;
    let message = OutgoingRequest::new(headers);
    let accepted = message
        .set_scheme(Some(&scheme))
        .and_then(|()| message.set_authority(Some(authority)))
        .and_then(|()| message.set_path_with_query(Some(path)));
    accepted.map_err(|()| FetchError::BadUrl)?;
    let options = RequestOptions::new();
    // A host may not know these, and the deadline holds without them; where it does it can give up by itself.
    let _ = options.set_connect_timeout(Some(limit));
    let _ = options.set_first_byte_timeout(Some(limit));
    let _ = options.set_between_bytes_timeout(Some(limit));
    outgoing_handler::handle(message, Some(options)).map_err(|code| error(&code))
}

/// Scheme, authority, and path with query. WASI checks the last two.
fn parts(url: &str) -> Option<(Scheme, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let rest = rest.split_once('#').map_or(rest, |(rest, _fragment)| rest);
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    (!authority.is_empty()).then_some((scheme, authority, path))
}

fn error(code: &ErrorCode) -> FetchError {
    match code {
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => FetchError::Timeout,
        other => FetchError::Failed(format!("{other:?}")),
    }
}
