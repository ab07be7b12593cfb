//! The tries of one request (Envoy, `RetryStateImpl` and `JitteredExponentialBackOffStrategy`).

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use rand::{Rng, RngExt};

use super::RetryPolicy;
use super::words::{
    ANY_GRPC, CONNECT_FAILURE, GATEWAY_ERROR, RATE_LIMITED, REFUSED_STREAM, RESET, RESET_BEFORE_REQUEST, RETRIABLE_4XX,
    SERVER_ERROR, STATUS_CODES, grpc_bit, grpc_words, http_words,
};
use crate::limits::{RetryLimit, RetrySlot};
use crate::outcome::Outcome;

const RETRY_ON: HeaderName = HeaderName::from_static("x-envoy-retry-on");
const RETRY_GRPC_ON: HeaderName = HeaderName::from_static("x-envoy-retry-grpc-on");
const MAX_RETRIES: HeaderName = HeaderName::from_static("x-envoy-max-retries");
const RETRIABLE_CODES: HeaderName = HeaderName::from_static("x-envoy-retriable-status-codes");
const RATE_LIMITED_BY: HeaderName = HeaderName::from_static("x-envoy-ratelimited");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const EARLY_DATA: HeaderName = HeaderName::from_static("early-data");

/// The longest wait between two tries, in bases (Envoy's default, which Istio leaves).
const LONGEST_IN_BASES: u64 = 10;

/// The tries of one request: asked after each, says whether there is another, and when.
#[derive(Debug)]
pub struct Tries<'a> {
    words: u32,
    codes: Cow<'a, [u16]>,
    remaining: u32,
    made: u32,
    early_data: bool,
    /// In milliseconds, as Envoy counts.
    next_interval: u64,
    longest_interval: u64,
    /// Held while a retry waits or runs.
    slot: Option<RetrySlot>,
}

/// What comes after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another, after this time.
    Again(Duration),
    /// None: what this try brought is the answer.
    Stop(Stop),
}

/// Why there is no other try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It ended in a way that is not worth one.
    NotWorth,
    /// It would be worth one, but there were enough: response flag `URX`.
    Exhausted,
    /// Too many retries are in flight: response flag `UO`.
    Overflow,
}

impl<'a> Tries<'a> {
    /// Headers that Envoy's router takes out of every request that it sends on: orders to itself.
    pub const REQUEST_HEADERS: [&'static str; 7] = [
        "x-envoy-retry-on",
        "x-envoy-retry-grpc-on",
        "x-envoy-max-retries",
        "x-envoy-hedge-on-per-try-timeout",
        "x-envoy-retriable-header-names",
        "x-envoy-retriable-status-codes",
        "x-envoy-upstream-rq-per-try-timeout-ms",
    ];

    /// The first try begins. `request`'s own `x-envoy-retry-on` and so on add to the route's policy: a gateway must
    /// have taken them out of what comes from outside (Envoy, `ConnectionManagerUtility::cleanInternalHeaders`).
    pub fn new(policy: Option<&'a RetryPolicy>, request: &HeaderMap) -> Self {
        let text = |name: &HeaderName| request.get(name).and_then(|value| value.to_str().ok());
        let base = policy.map_or(25, |policy| u64::try_from(policy.backoff.as_millis()).unwrap_or(u64::MAX)).max(1);
        let mut tries = Self {
            words: policy.map_or(0, |policy| policy.on.words),
            codes: Cow::Borrowed(policy.map_or(&[], |policy| &policy.on.status_codes)),
            // Envoy's own default, for requests that ask for retries on a route without a policy.
            remaining: policy.map_or(1, |policy| policy.attempts),
            made: 1,
            early_data: false,
            next_interval: base,
            longest_interval: base.saturating_mul(LONGEST_IN_BASES),
            slot: None,
        };
        let (on, grpc_on) = (text(&RETRY_ON), text(&RETRY_GRPC_ON));
        if on.is_none() && grpc_on.is_none() && tries.words == 0 {
            return tries;
        }
        tries.words |= on.map_or(0, http_words) | grpc_on.map_or(0, grpc_words);
        if tries.words != 0 {
            // The header has the last word, also to lower it.
            if let Some(most) = text(&MAX_RETRIES).and_then(|text| text.trim().parse().ok()) {
                tries.remaining = most;
            }
        }
        if let Some(codes) = text(&RETRIABLE_CODES) {
            tries.codes.to_mut().extend(codes.split(',').filter_map(|code| code.trim().parse::<u16>().ok()));
        }
        tries.early_data = tries.codes.contains(&StatusCode::TOO_EARLY.as_u16()) && request.contains_key(EARLY_DATA);
        tries
    }

    /// Tries that were begun: what `x-envoy-attempt-count` says.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// Whether `request` may be tried again at all: if not, its body need not be kept.
    pub fn possible(&self) -> bool {
        self.words != 0 && self.remaining > 0
    }

    /// After a try that no part of which has gone to the client.
    pub fn next(&mut self, outcome: &Outcome<'_>, limit: &RetryLimit, chance: &mut impl Rng) -> Next {
        // The try that ends was a retry itself: it counts no longer.
        self.slot = None;
        let Some(pace) = self.worth(outcome) else {
            return Next::Stop(Stop::NotWorth);
        };
        let Some(remaining) = self.remaining.checked_sub(1) else {
            return Next::Stop(Stop::Exhausted);
        };
        self.remaining = remaining;
        let Some(slot) = limit.begin() else {
            return Next::Stop(Stop::Overflow);
        };
        self.slot = Some(slot);
        self.made = self.made.saturating_add(1);
        Next::Again(match pace {
            Pace::AtOnce => Duration::ZERO,
            Pace::Backoff => self.backoff(chance),
        })
    }

    /// Anything from nothing to what the interval has grown to: doubled with each retry, up to its longest.
    fn backoff(&mut self, chance: &mut impl Rng) -> Duration {
        let interval = self.next_interval;
        self.next_interval = interval.saturating_mul(2).min(self.longest_interval);
        Duration::from_millis(chance.random_range(0..interval))
    }

    fn on(&self, words: u32) -> bool {
        self.words & words != 0
    }

    fn worth(&self, outcome: &Outcome<'_>) -> Option<Pace> {
        let yes = match *outcome {
            Outcome::Response { status, headers } => return self.worth_of_response(status, headers),
            Outcome::Overflow => false,
            Outcome::ConnectFailure => {
                self.on(CONNECT_FAILURE | RESET_BEFORE_REQUEST | RESET | SERVER_ERROR | GATEWAY_ERROR)
            }
            Outcome::Refused => self.on(REFUSED_STREAM | RESET | SERVER_ERROR | GATEWAY_ERROR),
            Outcome::Reset { sent } | Outcome::Timeout { sent } => {
                self.on(RESET | SERVER_ERROR | GATEWAY_ERROR) || (!sent && self.on(RESET_BEFORE_REQUEST))
            }
        };
        yes.then_some(Pace::Backoff)
    }

    fn worth_of_response(&self, status: StatusCode, headers: &HeaderMap) -> Option<Pace> {
        if self.words == 0 {
            return None;
        }
        if headers.contains_key(RATE_LIMITED_BY) {
            return self.on(RATE_LIMITED).then_some(Pace::Backoff);
        }
        let gateway = matches!(status.as_u16(), 502..=504);
        if (self.on(SERVER_ERROR) && status.is_server_error())
            || (self.on(GATEWAY_ERROR) && gateway)
            || (self.on(RETRIABLE_4XX) && status == StatusCode::CONFLICT)
        {
            return Some(Pace::Backoff);
        }
        if self.on(STATUS_CODES) && self.codes.contains(&status.as_u16()) {
            if status != StatusCode::TOO_EARLY {
                return Some(Pace::Backoff);
            }
            if !self.early_data {
                return Some(Pace::AtOnce);
            }
        }
        let grpc = if self.on(ANY_GRPC) { headers.get(GRPC_STATUS) } else { None };
        let code: u32 = grpc?.to_str().ok()?.parse().ok()?;
        self.on(grpc_bit(code)).then_some(Pace::Backoff)
    }
}

/// How soon.
#[derive(Clone, Copy)]
enum Pace {
    AtOnce,
    Backoff,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use malha_world::Chance;
    use proptest::prelude::*;

    use super::*;
    use crate::retry::RetryOn;
    use crate::traffic::{Limits, RetryBudget};

    fn policy(on: &str, attempts: u32) -> RetryPolicy {
        let (on, unknown) = RetryOn::parse(on);
        assert!(unknown.is_empty());
        RetryPolicy { attempts, on, ..RetryPolicy::istio_default() }
    }

    /// How a try may end, by name; a response with `status grpc-status`.
    fn worth(on: &str, how: &str) -> bool {
        let mut headers = HeaderMap::new();
        let outcome = match how {
            "connect failure" => Outcome::ConnectFailure,
            "refused" => Outcome::Refused,
            "reset" => Outcome::Reset { sent: true },
            "reset before" => Outcome::Reset { sent: false },
            "timeout" => Outcome::Timeout { sent: true },
            "overflow" => Outcome::Overflow,
            response => {
                let (status, more) = response.split_once(' ').unwrap_or((response, ""));
                if more == "limited" {
                    headers.insert(RATE_LIMITED_BY, HeaderValue::from_static("true"));
                } else if !more.is_empty() {
                    headers.insert(GRPC_STATUS, HeaderValue::from_str(more).unwrap());
                }
                Outcome::Response { status: status.parse().unwrap(), headers: &headers }
            }
        };
        let policy = policy(on, 1);
        let next = Tries::new(Some(&policy), &HeaderMap::new()).next(
            &outcome,
            &RetryLimit::of(&Limits::default()),
            &mut Chance::seeded(1).stream(),
        );
        next != Next::Stop(Stop::NotWorth)
    }

    #[test]
    fn each_word_is_worth_a_try_after_these_and_no_others() {
        const ALL: [&str; 20] = [
            "200",
            "200 1",
            "200 4",
            "200 8",
            "200 13",
            "200 14",
            "200 2",
            "404",
            "409",
            "429 limited",
            "500",
            "502",
            "503",
            "503 limited",
            "connect failure",
            "refused",
            "reset",
            "reset before",
            "timeout",
            "overflow",
        ];
        let resets = ["connect failure", "refused", "reset", "reset before", "timeout"];
        let with = |more: &[&'static str]| [&resets[..], more].concat();
        for (word, worthy) in [
            ("5xx", with(&["500", "502", "503"])),
            ("gateway-error", with(&["502", "503"])),
            ("reset", with(&[])),
            ("reset-before-request", vec!["connect failure", "reset before"]),
            ("connect-failure", vec!["connect failure"]),
            ("envoy-ratelimited", vec!["429 limited", "503 limited"]),
            ("retriable-4xx", vec!["409"]),
            ("refused-stream", vec!["refused"]),
            ("retriable-status-codes", vec![]),
            ("retriable-headers", vec![]),
            ("http3-post-connect-failure", vec![]),
            ("cancelled", vec!["200 1"]),
            ("deadline-exceeded", vec!["200 4"]),
            ("resource-exhausted", vec!["200 8"]),
            ("internal", vec!["200 13"]),
            ("unavailable", vec!["200 14"]),
            ("404", vec!["404"]),
            ("404,409", vec!["404", "409"]),
            (
                "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
                vec!["200 1", "200 14", "connect failure", "refused"],
            ),
        ] {
            for how in ALL {
                assert_eq!(worth(word, how), worthy.contains(&how), "{word} after {how}");
            }
        }
    }

    #[test]
    fn a_request_may_ask_for_retries_itself() {
        let limit = RetryLimit::of(&Limits::default());
        let route = policy("connect-failure", 2);
        let empty = HeaderMap::new();
        for (policy, asks, status, retries) in [
            (None, vec![], 500, 0),
            (None, vec![("x-envoy-retry-on", "5xx")], 500, 1),
            (None, vec![("x-envoy-max-retries", "3")], 500, 0),
            (None, vec![("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "3")], 500, 3),
            (Some(&route), vec![], 500, 0),
            (Some(&route), vec![("x-envoy-retry-on", "5xx")], 500, 2),
            (Some(&route), vec![("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "0")], 500, 0),
            (Some(&route), vec![("x-envoy-retry-grpc-on", "5xx")], 500, 0),
            (
                Some(&route),
                vec![("x-envoy-retry-on", "retriable-status-codes"), ("x-envoy-retriable-status-codes", "418, 404,x")],
                404,
                2,
            ),
        ] {
            let headers: HeaderMap = asks
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let mut tries = Tries::new(policy, &headers);
            let mut chance = Chance::seeded(1).stream();
            let outcome = Outcome::Response { status: StatusCode::from_u16(status).unwrap(), headers: &empty };
            while let Next::Again(_) = tries.next(&outcome, &limit, &mut chance) {}
            assert_eq!(tries.made() - 1, retries, "{asks:?}");
        }
    }

    #[test]
    fn too_early_is_tried_again_at_once_unless_the_client_was_early_itself() {
        let (policy, empty) = (policy("425", 1), HeaderMap::new());
        let outcome = Outcome::Response { status: StatusCode::TOO_EARLY, headers: &empty };
        let after = |request: &HeaderMap| {
            let limit = RetryLimit::of(&Limits::default());
            Tries::new(Some(&policy), request).next(&outcome, &limit, &mut Chance::seeded(1).stream())
        };
        assert_eq!(after(&empty), Next::Again(Duration::ZERO));
        let early = HeaderMap::from_iter([(EARLY_DATA, HeaderValue::from_static("1"))]);
        assert_eq!(after(&early), Next::Stop(Stop::NotWorth));
    }

    #[test]
    fn retries_in_flight_have_a_limit_and_a_budget() {
        let policy = policy("5xx", 5);
        let begin = |limit: &RetryLimit| {
            let mut tries = Tries::new(Some(&policy), &HeaderMap::new());
            let next = tries.next(&Outcome::ConnectFailure, limit, &mut Chance::seeded(1).stream());
            (tries, next)
        };
        for limits in [
            Limits { retries: 2, ..Limits::default() },
            Limits { retry_budget: Some(RetryBudget { percent: 20.0, minimum: 2 }), retries: 0, ..Limits::default() },
        ] {
            let limit = RetryLimit::of(&limits);
            let (mut first, _second) = (begin(&limit), begin(&limit));
            assert_eq!(begin(&limit).1, Next::Stop(Stop::Overflow));
            // A retry that ends makes room, for itself or for another.
            let again = first.0.next(&Outcome::ConnectFailure, &limit, &mut Chance::seeded(2).stream());
            assert!(matches!(again, Next::Again(_)));
            drop(first);
            assert!(matches!(begin(&limit).1, Next::Again(_)));
        }
    }

    #[test]
    fn waits_are_anything_below_25_milliseconds_and_then_below_twice_as_much() {
        let policy = policy("5xx", 5);
        let limit = RetryLimit::of(&Limits::default());
        let mut chance = Chance::seeded(3).stream();
        let mut spans = [(u64::MAX, 0); 5];
        for _ in 0..5000 {
            let mut tries = Tries::new(Some(&policy), &HeaderMap::new());
            for (least, most) in &mut spans {
                let Next::Again(wait) = tries.next(&Outcome::ConnectFailure, &limit, &mut chance) else {
                    panic!("there are five retries")
                };
                let wait = u64::try_from(wait.as_millis()).unwrap();
                (*least, *most) = (wait.min(*least), wait.max(*most));
            }
        }
        assert_eq!(spans, [(0, 24), (0, 49), (0, 99), (0, 199), (0, 249)]);
    }

    proptest! {
        #[test]
        fn there_are_never_more_tries_than_allowed_and_waits_stay_in_bounds(
            attempts in 0_u32..12, base in 1_u64..500, seed: u64,
        ) {
            let policy =
                RetryPolicy { backoff: Duration::from_millis(base), ..policy("5xx", attempts) };
            let mut tries = Tries::new(Some(&policy), &HeaderMap::new());
            let limit = RetryLimit::of(&Limits::default());
            let mut chance = Chance::seeded(seed).stream();
            let mut bound = base;
            let mut retries = 0;
            while let Next::Again(wait) = tries.next(&Outcome::ConnectFailure, &limit, &mut chance) {
                prop_assert!(wait < Duration::from_millis(bound));
                bound = (bound * 2).min(base * 10);
                retries += 1;
                prop_assert!(retries <= attempts);
            }
            prop_assert_eq!((retries, tries.made()), (attempts, attempts + 1));
        }

        #[test]
        fn any_header_of_a_request_is_read_without_a_panic(value in "[ -~]{0,24}") {
            let names = [RETRY_ON, RETRY_GRPC_ON, MAX_RETRIES, RETRIABLE_CODES];
            let headers = names.into_iter().map(|name| (name, HeaderValue::from_str(&value).unwrap())).collect();
            let _ = Tries::new(None, &headers);
        }
    }
}
