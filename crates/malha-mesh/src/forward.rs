//! The attempt loop: a destination by weight, then tries until one is answered or none is left (Envoy's router filter).
//!
//! A try that got the head of a response is answered: nothing is sent again after that. The time of the route and that of
//! a try begin when the whole request is there (Envoy, `onRequestComplete`).

use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Uri, request};
use malha_net::client::SendError;
use malha_policy::inline::{self, Side};
use malha_routing::{
    Admission, Balancer, Cluster, ClusterState, Destination, Forward, Hashed, Next, Outcome, Pick, Route, Stop, Ticket,
    Tries, grpc,
};
use malha_runtime::{Body, Pod};
use tokio::time::{Instant, sleep};

use crate::attempt;
use crate::flags::{Flag, Flags};
use crate::head::{
    self, X_ENVOY_ATTEMPT_COUNT, X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, X_ENVOY_ORIGINAL_HOST, X_ENVOY_ORIGINAL_PATH,
    X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, X_ENVOY_UPSTREAM_SERVICE_TIME,
};
use crate::mirror;
use crate::replay::Source;
use crate::replies::{self, Answered, BAD_REWRITE, NO_CLUSTER, NO_HEALTHY_UPSTREAM, Reply, TIMEOUT, TRY_TIMEOUT};
use crate::response::{Ending, until};
use crate::road::Trip;

/// Sends a request on, as `plan` says, and gives what the client gets.
pub(crate) async fn forward(
    route: &Route<Pod>,
    plan: &Forward<Pod>,
    parts: &mut request::Parts,
    body: Body,
    trip: &mut Trip,
) -> Answered {
    let grpc = grpc::is_grpc(&parts.headers);
    let destination = plan.destination(&mut trip.chance);
    let Some(cluster) = &destination.cluster else { return NO_CLUSTER.answer(grpc) };
    trip.cluster = Some(Arc::clone(cluster));
    for changes in [&destination.request_headers, &route.action.request_headers] {
        if !changes.is_empty() {
            let mut headers = std::mem::take(&mut parts.headers);
            changes.apply_to_request(&mut headers, &trip.exchange(route, parts, None));
            parts.headers = headers;
        }
    }
    if let Err(reply) = rewrite(route, plan, destination, parts) {
        return reply.answer(grpc);
    }
    let tries = Tries::new(plan.retry.as_ref(), &parts.headers);
    for name in Tries::REQUEST_HEADERS {
        parts.headers.remove(name);
    }
    // Not an order either: Istio's routes have a time of their own, or none on purpose.
    parts.headers.remove(X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS);
    let kept = tries.possible() || plan.timeout.is_some() || !plan.mirrors.is_empty();
    let source = Source::new(body, kept);
    // Copies are of whole requests; one that is longer than what is kept has none.
    if !plan.mirrors.is_empty() && source.collect().await {
        mirror::send(plan, parts, &source, trip);
    }
    let attempts = Attempts { cluster, plan, source: &source, grpc, start: Instant::now() };
    let mut answered = attempts.run(parts, tries, trip).await;
    let changes = &destination.response_headers;
    if !changes.is_empty() {
        let exchange = trip.exchange(route, parts, Some(answered.response.status()));
        changes.apply_to_response(answered.response.headers_mut(), &exchange);
    }
    answered
}

/// Changes authority and path.
fn rewrite(
    route: &Route<Pod>,
    plan: &Forward<Pod>,
    destination: &Destination<Pod>,
    parts: &mut request::Parts,
) -> Result<(), Reply> {
    let weighted = plan.destinations.len() > 1;
    let authorities = plan.rewrite.authorities(&destination.request_headers, weighted);
    for authority in authorities.into_iter().flatten() {
        let authority = HeaderValue::from_str(authority).map_err(|_| BAD_REWRITE)?;
        if let Some(original) = parts.headers.insert(HOST, authority) {
            parts.headers.insert(X_ENVOY_ORIGINAL_HOST, original);
        }
    }
    if let Some(rewrite) = &plan.rewrite.path {
        let path = head::path(&parts.method, &parts.uri);
        if let Some(rewritten) = rewrite.apply(&route.condition, path).map_err(|_| BAD_REWRITE)? {
            let original = HeaderValue::from_str(path).map_err(|_| BAD_REWRITE)?;
            parts.headers.insert(X_ENVOY_ORIGINAL_PATH, original);
            parts.uri = Uri::from(rewritten);
        }
    }
    Ok(())
}

/// What all tries of a request have in common.
struct Attempts<'a> {
    cluster: &'a Arc<Cluster<Pod>>,
    plan: &'a Forward<Pod>,
    source: &'a Source,
    grpc: bool,
    start: Instant,
}

/// How a try ended.
enum Ended {
    Answered(Answered, Ticket),
    Broken(SendError),
    /// The time of the try is up.
    TryTimeout,
    /// The time of the route is up.
    Timeout,
    Overflow,
}

impl Attempts<'_> {
    async fn run(&self, parts: &mut request::Parts, mut tries: Tries<'_>, trip: &mut Trip) -> Answered {
        let clock = trip.mesh.shared.world.clock;
        let state = trip.proxy.state.cluster(self.cluster, clock.elapsed());
        let own = SocketAddr::new(trip.address, trip.port);
        let hashed = match &self.cluster.policy.balancer {
            Balancer::ConsistentHash { key, .. } => {
                key.hash(&parts.headers, head::path(&parts.method, &parts.uri), Some((trip.client, own)))
            }
            _ => Hashed::default(),
        };
        let mut answered = self.tries(parts, &mut tries, &state, hashed.hash, trip).await;
        if let Some(cookie) = hashed.set_cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
            answered.response.headers_mut().append(SET_COOKIE, cookie);
        }
        answered
    }

    async fn tries(
        &self,
        parts: &mut request::Parts,
        tries: &mut Tries<'_>,
        state: &ClusterState<Pod>,
        hash: Option<u64>,
        trip: &mut Trip,
    ) -> Answered {
        let clock = trip.mesh.shared.world.clock;
        let per_try = self.plan.retry.as_ref().and_then(|retry| retry.per_try_timeout);
        let avoid = self.plan.retry.as_ref().is_some_and(|retry| retry.avoid_previous_hosts);
        let mut avoided: Vec<Pick<Pod>> = Vec::new();
        let mut overall = pin!(self.patience(self.plan.timeout));
        loop {
            let Some(pick) = state.pick(hash, &avoided, clock.elapsed(), &mut trip.chance) else {
                return NO_HEALTHY_UPSTREAM.answer(self.grpc);
            };
            self.announce(&mut parts.headers, tries.made(), per_try);
            trip.endpoint = Some(Arc::clone(&pick.host().endpoint));
            let request = Request::from_parts(parts.clone(), self.source.body());
            let ended = tokio::select! {
                biased;
                ended = self.attempt(&pick, request, trip) => ended,
                () = &mut overall => Ended::Timeout,
                () = self.patience(per_try) => Ended::TryTimeout,
            };
            let next = {
                let outcome = match &ended {
                    Ended::Answered(answered, _) => {
                        Outcome::Response { status: answered.response.status(), headers: answered.response.headers() }
                    }
                    Ended::Broken(error) => attempt::outcome(error),
                    Ended::TryTimeout | Ended::Timeout => Outcome::Timeout { sent: true },
                    Ended::Overflow => Outcome::Overflow,
                };
                match outcome {
                    Outcome::Overflow => {}
                    Outcome::Response { status, headers } => {
                        let status = attempt::judged(status, headers, self.grpc);
                        pick.report(&Outcome::Response { status, headers }, clock.elapsed());
                    }
                    failure => pick.report(&failure, clock.elapsed()),
                }
                match ended {
                    Ended::Timeout => Next::Stop(Stop::NotWorth),
                    _ => tries.next(&outcome, &state.retries(), &mut trip.chance),
                }
            };
            let retried = tries.made() > 1;
            match next {
                Next::Again(pause) if self.source.is_kept() => {
                    drop(ended);
                    if avoid {
                        avoided.push(pick);
                    }
                    if !pause.is_zero() {
                        tokio::select! {
                            () = sleep(pause) => {}
                            () = &mut overall => return TIMEOUT.answer(self.grpc),
                        }
                    }
                }
                Next::Again(_) => return self.conclude(ended, Flags::NONE, retried, trip),
                Next::Stop(why) => {
                    let flags = match why {
                        Stop::NotWorth => Flags::NONE,
                        Stop::Exhausted => Flags::of(Flag::RetriesExhausted),
                        Stop::Overflow => Flags::of(Flag::Overflow),
                    };
                    return self.conclude(ended, flags, retried, trip);
                }
            }
        }
    }

    /// One try, once the circuit breakers let it begin.
    async fn attempt(&self, pick: &Pick<Pod>, request: Request<Body>, trip: &Trip) -> Ended {
        let ticket = match pick.admit(trip.mesh.shared.world.clock.elapsed()) {
            Admission::Go(ticket) => ticket,
            Admission::Wait(waiting) => match waiting.await {
                Ok(ticket) => ticket,
                Err(_) => return Ended::Overflow,
            },
            Admission::Overflow => return Ended::Overflow,
        };
        match attempt::send(self.cluster, pick, request, trip).await {
            Ok(answered) => Ended::Answered(answered, ticket),
            Err(error) => Ended::Broken(error),
        }
    }

    /// Ends when the request has been there for as long as `limit`; never without one.
    async fn patience(&self, limit: Option<Duration>) {
        match limit {
            Some(limit) => {
                self.source.complete().await;
                sleep(limit).await;
            }
            None => pending().await,
        }
    }

    /// Tells the other side which try this is, and how long it has.
    fn announce(&self, headers: &mut HeaderMap, attempt: u32, per_try: Option<Duration>) {
        headers.insert(X_ENVOY_ATTEMPT_COUNT, attempt.into());
        let whole = self.plan.timeout.map(|timeout| {
            // In whole milliseconds, as Envoy counts: the first try has all of it.
            timeout
                .saturating_sub(Duration::from_millis(self.start.elapsed().as_millis().try_into().unwrap_or(u64::MAX)))
        });
        let expected = match (per_try, whole) {
            (Some(one), Some(all)) => Some(one.min(all)),
            (one, all) => one.or(all),
        };
        if let Some(expected) = expected {
            let milliseconds = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
            headers.insert(X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, milliseconds.into());
        }
    }

    /// What the client gets for the last try.
    fn conclude(&self, ended: Ended, flags: Flags, retried: bool, trip: &Trip) -> Answered {
        let mut answered = match ended {
            Ended::Answered(answered, ticket) => self.pass_on(answered, ticket, trip),
            Ended::Broken(error) => replies::broken(&error, retried).answer(self.grpc),
            Ended::TryTimeout => TRY_TIMEOUT.answer(self.grpc),
            Ended::Timeout => TIMEOUT.answer(self.grpc),
            Ended::Overflow => replies::overflow(retried).answer(self.grpc),
        };
        let own = std::mem::replace(&mut answered.flags, flags);
        answered.flags.raise_all(own);
        answered
    }

    fn pass_on(&self, mut answered: Answered, ticket: Ticket, trip: &Trip) -> Answered {
        let headers = answered.response.headers_mut();
        head::strip_hop_by_hop(headers);
        inline::join(headers, Side::Response);
        let milliseconds = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        headers.insert(X_ENVOY_UPSTREAM_SERVICE_TIME, milliseconds.into());
        let counted = self.cluster.policy.limits.connections != u32::MAX;
        let body = std::mem::take(answered.response.body_mut());
        let mut body = if counted {
            Ending::wrap(body, ticket, trip.mesh.shared.world.clock)
        } else {
            let mut body = body;
            body.hold(ticket);
            body
        };
        if let Some(timeout) = self.plan.timeout.filter(|_| self.source.is_complete()) {
            body = until(body, self.start + timeout);
        }
        *answered.response.body_mut() = body;
        // What the other side's sidecar had to say of it is in that one's log.
        Answered { flags: Flags::NONE, details: "via_upstream".into(), ..answered }
    }
}
