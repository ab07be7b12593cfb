//! Whether the tokens of a request are good, and what becomes of the request then.
//!
//! Istio's demand (`pilot/pkg/security/authn/policy_applier.go`, `convertToEnvoyJwtConfig`): with one rule, its token or
//! none; with several, the token of any of them, or of each of them its token or none. Who may do without a token says
//! `AuthorizationPolicy`.
//!
//! What happens on the way to the answer stays, as in Envoy: a rule whose first token is good takes it away and tells
//! its claims even if its second is bad and another rule then lets the request in.

use std::borrow::Cow;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::audience;
use super::claims::{self, Payload};
use super::location::{self, Found, Location};
use super::query::Query;
use super::rule::{ClaimToHeader, JwtRule, Keys};
use super::status::Status;
use super::token::Token;
use crate::request::RequestView;

/// Claims that are lists divided by blanks wherever nothing else is said (Istio, `buildSpaceDelimitedClaims`).
const SPACE_DELIMITED: [&str; 2] = ["permission", "scope"];

/// The rules for the tokens of a workload, ready to check.
#[derive(Clone, Debug, Default)]
pub struct JwtRules {
    rules: Vec<Compiled>,
    /// Headers that only a verified token may set: a client's own are taken away.
    outputs: Vec<HeaderName>,
}

#[derive(Clone, Debug)]
struct Compiled {
    issuer: String,
    audiences: Vec<String>,
    keys: Keys,
    locations: Vec<Location>,
    forward: bool,
    payload_to: Option<HeaderName>,
    claims_to: Vec<(HeaderName, Vec<String>)>,
    lists: Vec<String>,
}

/// What became of a request whose tokens are good, or that has none.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// The claims of the token that counts, with lists divided by blanks made lists; `None` without a token.
    pub payload: Option<Payload>,
    /// The headers as they are now, if anything was taken or added.
    pub headers: Option<HeaderMap>,
    /// Path and query as they are now, if a token was taken out.
    pub path_and_query: Option<String>,
    /// A header that was to tell a claim, and cannot, since the claim is no value for a header. Envoy's router answers
    /// 503 then.
    pub(crate) invalid_header: Option<HeaderName>,
}

impl JwtRules {
    /// Prepares the rules of all policies that hold for a workload.
    pub fn new(rules: impl IntoIterator<Item = JwtRule>) -> Self {
        let mut rules: Vec<_> = rules.into_iter().map(Compiled::new).collect();
        rules.sort_by(|one, other| one.issuer.cmp(&other.issuer));
        let outputs = rules
            .iter()
            .flat_map(|rule| rule.payload_to.iter().chain(rule.claims_to.iter().map(|(header, _)| header)))
            .cloned()
            .collect();
        Self { rules, outputs }
    }

    /// Whether there are none, and every token passes unseen.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Checks the tokens of a request at `now`, in seconds since 1970.
    pub fn verify(&self, request: &RequestView<'_>, now: u64) -> Result<Verified, Status> {
        if self.rules.is_empty() {
            return Ok(Verified::default());
        }
        let mut work = Work::new(request);
        for output in &self.outputs {
            work.remove(output);
        }
        if !is_preflight(request) {
            self.demand(&mut work, now)?;
        }
        Ok(work.done())
    }

    fn demand(&self, work: &mut Work<'_>, now: u64) -> Result<(), Status> {
        let mut why = Status::JwtMissed;
        for rule in &self.rules {
            match rule.verify(work, now) {
                Ok(()) => return Ok(()),
                Err(status) => why = graver(why, status),
            }
        }
        if why == Status::JwtMissed {
            return Ok(());
        }
        if self.rules.len() > 1 {
            let each = self.rules.iter().try_for_each(|rule| match rule.verify(work, now) {
                Err(Status::JwtMissed) => Ok(()),
                answer => answer,
            });
            match each {
                Ok(()) => return Ok(()),
                Err(status) => why = graver(why, status),
            }
        }
        Err(why)
    }
}

/// Which of two reasons is told (Envoy, `verifier.cc`, `AnyVerifierImpl`): the last, but that a token is missing or
/// somebody else's is no news.
fn graver(before: Status, status: Status) -> Status {
    let is_news = !matches!(status, Status::JwtMissed | Status::JwtUnknownIssuer);
    if is_news || before == Status::JwtMissed { status } else { before }
}

/// Whether a browser asks before it calls: it never sends a token then (Istio sets Envoy's `bypass_cors_preflight`).
fn is_preflight(request: &RequestView<'_>) -> bool {
    let has = |name| request.headers.get(name).is_some_and(|value| !value.is_empty());
    *request.method == Method::OPTIONS && has(ORIGIN) && has(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Compiled {
    fn new(rule: JwtRule) -> Self {
        let locations = location::locations(&rule);
        let lists = SPACE_DELIMITED.map(str::to_owned).into_iter().chain(rule.space_delimited_claims).collect();
        Self {
            issuer: rule.issuer,
            audiences: rule.audiences.iter().map(|audience| audience::bare(audience).to_owned()).collect(),
            keys: rule.keys,
            locations,
            forward: rule.forward_original_token,
            payload_to: rule.output_payload_to_header,
            claims_to: rule.output_claim_to_headers.into_iter().map(claim_path).collect(),
            lists,
        }
    }

    /// All tokens at this rule's places have to be good, the last one first: a pod might take the bad one.
    fn verify(&self, work: &mut Work<'_>, now: u64) -> Result<(), Status> {
        let tokens = location::extract(&self.locations, &work.headers, &work.path_and_query);
        if tokens.is_empty() {
            return Err(Status::JwtMissed);
        }
        tokens.iter().rev().try_for_each(|found| self.verify_one(found, work, now))
    }

    fn verify_one(&self, found: &Found<'_>, work: &mut Work<'_>, now: u64) -> Result<(), Status> {
        let token = Token::parse(&found.token)?;
        if !self.issuer.is_empty() && token.issuer() != self.issuer {
            return Err(Status::JwtUnknownIssuer);
        }
        token.check_time(now)?;
        if !audience::is_allowed(&self.audiences, &token.audiences) {
            return Err(Status::JwtAudienceNotAllowed);
        }
        match &self.keys {
            Keys::Ready(jwks) => jwks.verify(&token)?,
            Keys::Missing => return Err(Status::JwtVerificationFail),
            Keys::Unusable => return Err(Status::JwksNoValidKeys),
        }

        if let Some(header) = &self.payload_to {
            work.add(header, token.payload_text());
        }
        for (header, path) in &self.claims_to {
            if let Some(text) = claims::find(&token.payload, path).and_then(claims::header_text) {
                work.add(header, text.as_bytes());
            }
        }
        if !self.forward {
            work.take(found.location);
        }
        let mut payload = token.payload;
        claims::split_lists(&mut payload, &self.lists);
        work.payload = Some(payload);
        Ok(())
    }
}

fn claim_path(rule: ClaimToHeader) -> (HeaderName, Vec<String>) {
    (rule.header, rule.claim.split('.').map(str::to_owned).collect())
}

/// The request as it is while tokens are looked at; copied when something changes.
struct Work<'a> {
    headers: Cow<'a, HeaderMap>,
    path_and_query: Cow<'a, str>,
    payload: Option<Payload>,
    invalid_header: Option<HeaderName>,
}

impl<'a> Work<'a> {
    fn new(request: &RequestView<'a>) -> Self {
        Self {
            headers: Cow::Borrowed(request.headers),
            path_and_query: Cow::Borrowed(request.path_and_query),
            payload: None,
            invalid_header: None,
        }
    }

    fn remove(&mut self, name: &HeaderName) {
        if self.headers.contains_key(name) {
            self.headers.to_mut().remove(name);
        }
    }

    fn add(&mut self, name: &HeaderName, value: &[u8]) {
        match HeaderValue::from_bytes(value) {
            Ok(value) => {
                self.headers.to_mut().append(name.clone(), value);
            }
            Err(_) => self.invalid_header = Some(name.clone()),
        }
    }

    /// Takes a token away where it was found. Envoy leaves cookies.
    fn take(&mut self, location: &Location) {
        match location {
            Location::Header { name, .. } => self.remove(name),
            Location::Param(name) => {
                self.path_and_query = Cow::Owned(Query::of(&self.path_and_query).without(name));
            }
            Location::Cookie(_) => {}
        }
    }

    fn done(self) -> Verified {
        Verified {
            payload: self.payload,
            headers: owned(self.headers),
            path_and_query: owned(self.path_and_query),
            invalid_header: self.invalid_header,
        }
    }
}

fn owned<T: ToOwned + ?Sized>(value: Cow<'_, T>) -> Option<T::Owned> {
    match value {
        Cow::Owned(value) => Some(value),
        Cow::Borrowed(_) => None,
    }
}
