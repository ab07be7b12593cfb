//! Faults on purpose (Istio, `HTTPFaultInjection`; Envoy, the filter `fault`).

use std::time::Duration;

use http::StatusCode;
use rand::{Rng, RngExt};

/// What goes wrong, and how often. Delay and abort are drawn independently; the delay comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A wait.
    pub delay: Option<(Share, Duration)>,
    /// An answer instead of the service's.
    pub abort: Option<(Share, Abort)>,
}

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// A wait (flag `DI`), never none at all.
    pub delay: Option<Duration>,
    /// Then, an answer (flag `FI`).
    pub abort: Option<Abort>,
}

/// An answer on purpose, with the body [`Abort::BODY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// An HTTP status.
    Http(u16),
    /// A gRPC status.
    Grpc(u32),
}

impl Abort {
    /// The body, or the message in words of gRPC.
    pub const BODY: &str = "fault filter abort";

    /// The HTTP status for a client that does not speak gRPC: 200 for a status of gRPC, as Envoy has it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Http(code) => StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            Self::Grpc(_) => StatusCode::OK,
        }
    }

    /// The status for a client that [speaks gRPC](crate::grpc::is_grpc).
    pub fn grpc_status(self) -> u32 {
        match self {
            Self::Http(_) => crate::grpc::status_of(self.status()),
            Self::Grpc(status) => status,
        }
    }
}

impl Fault {
    /// What goes wrong this time.
    pub fn draw(&self, chance: &mut impl Rng) -> Injection {
        // Envoy counts whole milliseconds, and a delay of none is no delay.
        let delay = self.delay.filter(|(share, wait)| wait.as_millis() > 0 && share.draw(chance));
        let abort = self.abort.filter(|(share, _)| share.draw(chance));
        Injection { delay: delay.map(|(_, wait)| wait), abort: abort.map(|(_, abort)| abort) }
    }
}

/// A share of requests, in millionths: Istio turns percentages with a fraction into Envoy's `MILLION`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// All of them.
    pub const ALL: Self = Self(1_000_000);

    /// From percent, 0 to 100; what is beyond is cut, what is finer than a millionth is dropped (Istio,
    /// `translatePercentToFractionalPercent`).
    pub fn percent(percent: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between the bounds")]
        Self((percent * 10_000.0).clamp(0.0, 1_000_000.0) as u32)
    }

    /// Whether this request is among them (Envoy, `ProtobufPercentHelper::evaluateFractionalPercent`).
    pub fn draw(self, chance: &mut impl Rng) -> bool {
        self == Self::ALL || (self.0 > 0 && chance.random_range(0..1_000_000) < self.0)
    }
}

#[cfg(test)]
mod tests {
    use malha_world::Chance;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delay_and_abort_are_drawn_independently() {
        let half = Share::percent(50.0);
        let wait = Duration::from_millis(1);
        let fault = Fault { delay: Some((half, wait)), abort: Some((half, Abort::Http(500))) };
        let mut chance = Chance::seeded(1).stream();
        let mut counts = [0; 4];
        for _ in 0..40_000 {
            let injection = fault.draw(&mut chance);
            counts[usize::from(injection.delay.is_some()) * 2 + usize::from(injection.abort.is_some())] += 1;
        }
        // 10,000 expected of each; six standard deviations are 520.
        assert!(counts.iter().all(|count| (9_480..10_520).contains(count)), "{counts:?}");
    }

    #[test]
    fn nothing_is_never_and_all_is_always() {
        let mut chance = Chance::seeded(1).stream();
        for (delay, abort, share, want) in [
            (1_000, Abort::Http(418), Share::ALL, (true, true)),
            (1_000, Abort::Http(418), Share::percent(0.0), (false, false)),
            // Tried with Envoy 1.40: less than a millisecond is no delay, and has no flag.
            (999, Abort::Grpc(14), Share::ALL, (false, true)),
        ] {
            let fault = Fault { delay: Some((share, Duration::from_micros(delay))), abort: Some((share, abort)) };
            let drawn = fault.draw(&mut chance);
            assert_eq!((drawn.delay.is_some(), drawn.abort.is_some()), want, "{fault:?}");
        }
        assert_eq!(Fault { delay: None, abort: None }.draw(&mut chance), Injection::default());
    }

    /// Tried with Envoy 1.40.
    #[test]
    fn grpc_and_http_hear_of_an_abort_in_their_own_words() {
        for (abort, http, grpc) in [(Abort::Http(429), 429, 14), (Abort::Grpc(14), 200, 14), (Abort::Grpc(5), 200, 5)] {
            assert_eq!((abort.status().as_u16(), abort.grpc_status()), (http, grpc));
        }
    }

    #[test]
    fn a_share_is_cut_to_millionths() {
        for (percent, millionths) in
            [(0.0, 0), (50.0, 500_000), (0.0001, 1), (0.000_09, 0), (100.0, 1_000_000), (250.0, 1_000_000), (-1.0, 0)]
        {
            assert_eq!(Share::percent(percent), Share(millionths), "{percent} %");
        }
        assert_eq!(Share::percent(f64::NAN), Share(0));
    }

    proptest! {
        #[test]
        fn a_share_of_requests_is_that_share(percent in 1_u32..100, seed: u64) {
            let mut chance = Chance::seeded(seed).stream();
            let share = Share::percent(f64::from(percent));
            let drawn = (0..10_000).filter(|_| share.draw(&mut chance)).count();
            // Of 10,000 draws six standard deviations are 300 at most.
            prop_assert!(drawn.abs_diff(percent as usize * 100) <= 300, "{drawn} of 10,000 at {percent} %");
        }
    }
}
