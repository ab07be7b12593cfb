//! Which policies decide, and in which order (Istio, `pilot/pkg/security/authz/builder/builder.go`; Envoy,
//! `source/extensions/filters/common/rbac/engine_impl.cc`): `AUDIT` tells, then any `DENY` refuses, then, if there is an
//! `ALLOW` policy at all, one of them has to match.

use super::atom::Judged;
use super::compile::{self, Conjunction, Problem, Rule, Test};
use super::spec::{Action, PolicySpec};
use crate::jwt::Payload;
use crate::request::RequestView;

/// The policies that hold for a workload, ready to ask.
#[derive(Clone, Debug, Default)]
pub struct Authorization {
    audit: Rules,
    deny: Rules,
    /// `None`: no policy allows anything, and so nothing has to be allowed.
    allow: Option<Rules>,
    dry_run_deny: Rules,
    dry_run_allow: Option<Rules>,
}

/// What policies say of a request. Names are those of rules as Envoy's log has them: `ns[foo]-policy[bar]-rule[0]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict<'p> {
    /// Whether it is refused.
    pub refusal: Option<Refusal<'p>>,
    /// The `AUDIT` rule that matches it.
    pub audit: Option<&'p str>,
    /// What policies with `istio.io/dry-run` would have refused it.
    pub dry_run: Option<Refusal<'p>>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'p> {
    /// By this `DENY` rule.
    Denied(&'p str),
    /// There are `ALLOW` policies, and none matches.
    NotAllowed,
}

impl Refusal<'_> {
    /// How Envoy's access log has it (`%RESPONSE_CODE_DETAILS%`).
    pub fn details(self) -> String {
        let rule = match self {
            Self::Denied(rule) => rule,
            Self::NotAllowed => "none",
        };
        format!("rbac_access_denied_matched_policy[{rule}]")
    }
}

/// Rules of one action, sorted by name: the first that matches is named.
#[derive(Clone, Debug, Default)]
struct Rules(Vec<Rule>);

impl Authorization {
    /// Prepares the policies that hold for a workload. The problems are what is not carried out as it stands.
    pub fn new<'s>(policies: impl IntoIterator<Item = &'s PolicySpec>) -> (Self, Vec<Problem>) {
        let mut authorization = Self::default();
        let mut problems = Vec::new();
        for policy in policies {
            let Rules(rules) = match (policy.action, policy.dry_run) {
                (Action::Audit, false) => &mut authorization.audit,
                // Istio computes it and shows it to nobody.
                (Action::Audit, true) => continue,
                (Action::Deny, false) => &mut authorization.deny,
                (Action::Deny, true) => &mut authorization.dry_run_deny,
                (Action::Allow, false) => authorization.allow.get_or_insert_default(),
                (Action::Allow, true) => authorization.dry_run_allow.get_or_insert_default(),
            };
            rules.extend(compile::compile(policy, &mut problems));
            rules.sort_by(|one, other| one.name.cmp(&other.name));
        }
        (authorization, problems)
    }

    /// Whether there is no policy, and everything passes.
    pub fn is_empty(&self) -> bool {
        let Self { audit, deny, allow, dry_run_deny, dry_run_allow } = self;
        audit.0.is_empty()
            && deny.0.is_empty()
            && allow.is_none()
            && dry_run_deny.0.is_empty()
            && dry_run_allow.is_none()
    }

    /// Judges a request; `payload` is that of its verified token.
    pub fn judge(&self, request: &RequestView<'_>, payload: Option<&Payload>) -> Verdict<'_> {
        if self.is_empty() {
            return Verdict::default();
        }
        let judged = Judged::new(*request, payload);
        Verdict {
            refusal: refusal(&self.deny, self.allow.as_ref(), &judged),
            audit: self.audit.first(&judged),
            dry_run: refusal(&self.dry_run_deny, self.dry_run_allow.as_ref(), &judged),
        }
    }
}

fn refusal<'p>(deny: &'p Rules, allow: Option<&Rules>, judged: &Judged<'_>) -> Option<Refusal<'p>> {
    match deny.first(judged) {
        Some(rule) => Some(Refusal::Denied(rule)),
        None => allow.is_some_and(|allow| allow.first(judged).is_none()).then_some(Refusal::NotAllowed),
    }
}

impl Rules {
    /// The name of the first rule that matches.
    fn first(&self, judged: &Judged<'_>) -> Option<&str> {
        self.0.iter().find(|rule| rule.matches(judged)).map(|rule| rule.name.as_str())
    }
}

impl Rule {
    fn matches(&self, judged: &Judged<'_>) -> bool {
        let any = |conjunctions: &[Conjunction]| {
            conjunctions.iter().any(|tests| tests.iter().all(|test| test.is_met(judged)))
        };
        any(&self.permissions) && any(&self.principals)
    }
}

impl Test {
    fn is_met(&self, judged: &Judged<'_>) -> bool {
        match self {
            Self::Any(atoms) => atoms.iter().any(|atom| atom.holds(judged)),
            Self::None(atoms) => !atoms.iter().any(|atom| atom.holds(judged)),
        }
    }
}
