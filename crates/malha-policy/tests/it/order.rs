//! In which order the demands are made, and which policies decide.

use malha_policy::jwt::JwtRules;
use malha_policy::rbac::{Action, Authorization, Condition, Operation, PolicySpec, Refusal, RuleSpec};
use malha_policy::{Decision, Identity, InboundPolicy, MtlsMode, PeerPolicy, effective};
use proptest::prelude::*;
use serde_json::json;

use crate::common::{Ask, NOW, answer, rule, sign};

fn on(paths: &[&str]) -> RuleSpec {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    RuleSpec { to: vec![Operation { paths, ..Operation::default() }], ..RuleSpec::default() }
}

fn policy(action: Action, name: &str, rules: Vec<RuleSpec>) -> PolicySpec {
    PolicySpec { namespace: "foo".to_owned(), name: name.to_owned(), action, dry_run: false, rules }
}

fn inbound(policies: &[PolicySpec]) -> InboundPolicy {
    let (authorization, problems) = Authorization::new(policies);
    assert_eq!(problems, []);
    InboundPolicy { authorization, ..InboundPolicy::default() }
}

const DENIED: &str = "403 RBAC: access denied";

#[test]
fn deny_goes_before_allow_and_allow_has_to_match_if_there_is_any() {
    use Action::{Allow, Audit, Deny};
    let anything = RuleSpec::default;
    for (policies, a, b) in [
        (vec![], "200", "200"),
        (vec![policy(Allow, "p", vec![])], DENIED, DENIED),
        (vec![policy(Deny, "p", vec![])], "200", "200"),
        (vec![policy(Audit, "p", vec![anything()])], "200", "200"),
        (vec![policy(Allow, "p", vec![anything()])], "200", "200"),
        (vec![policy(Deny, "p", vec![anything()])], DENIED, DENIED),
        (vec![policy(Allow, "p", vec![anything()]), policy(Deny, "d", vec![on(&["/a"])])], DENIED, "200"),
        (vec![policy(Deny, "d", vec![on(&["/a"])])], DENIED, "200"),
        (vec![policy(Allow, "p", vec![on(&["/a"])])], "200", DENIED),
        (vec![policy(Allow, "p", vec![on(&["/a"])]), policy(Allow, "q", vec![on(&["/b"])])], "200", "200"),
        (vec![policy(Allow, "p", vec![]), policy(Allow, "q", vec![anything()])], "200", "200"),
        (vec![policy(Allow, "p", vec![on(&["/a"]), on(&["/b"])])], "200", "200"),
    ] {
        let inbound = inbound(&policies);
        assert_eq!(answer(&inbound, &Ask::path("/a")), a, "{policies:?}");
        assert_eq!(answer(&inbound, &Ask::path("/b")), b, "{policies:?}");
    }
}

#[test]
fn a_refusal_names_the_first_rule_by_name() {
    use Action::{Allow, Deny};
    let many = |count: usize| (0..count).map(|_| on(&["/zz"])).chain([on(&["/a"])]).collect::<Vec<_>>();
    for (policies, details) in [
        (vec![policy(Allow, "p", vec![])], "none"),
        (vec![policy(Deny, "z", vec![on(&["/a"])]), policy(Deny, "b", vec![on(&["/a"])])], "ns[foo]-policy[b]-rule[0]"),
        (vec![policy(Deny, "p", many(2))], "ns[foo]-policy[p]-rule[2]"),
        // As texts: 10 stands before 2.
        (vec![policy(Deny, "p", [many(2), many(7)].concat())], "ns[foo]-policy[p]-rule[10]"),
        (vec![policy(Deny, "a b", vec![on(&["/a"])])], "ns[foo]-policy[a_b]-rule[0]"),
    ] {
        let inbound = inbound(&policies);
        let ask = Ask::path("/a");
        let Decision::Denied(denied) = inbound.check(&ask.view(), NOW) else { panic!("{policies:?}") };
        assert_eq!(denied.details, format!("rbac_access_denied_matched_policy[{details}]"));
        assert_eq!(denied.www_authenticate, None);
    }
}

#[test]
fn audit_and_dry_run_tell_and_change_nothing() {
    let dry = |action, name: &str, rules| PolicySpec { dry_run: true, ..policy(action, name, rules) };
    let inbound = inbound(&[
        policy(Action::Audit, "p", vec![on(&["/a", "/d"])]),
        dry(Action::Deny, "q", vec![on(&["/b"])]),
        dry(Action::Allow, "r", vec![on(&["/a", "/b"])]),
        policy(Action::Deny, "s", vec![on(&["/d"])]),
    ]);
    for (path, audit, dry_run) in [
        ("/a", Some("ns[foo]-policy[p]-rule[0]"), None),
        ("/b", None, Some(Refusal::Denied("ns[foo]-policy[q]-rule[0]"))),
        ("/c", None, Some(Refusal::NotAllowed)),
    ] {
        let ask = Ask::path(path);
        let Decision::Allowed(allowed) = inbound.check(&ask.view(), NOW) else { panic!("{path}") };
        assert_eq!((allowed.told.audit, allowed.told.dry_run), (audit, dry_run), "{path}");
    }
    let ask = Ask::path("/d");
    let Decision::Denied(denied) = inbound.check(&ask.view(), NOW) else { panic!() };
    assert_eq!(denied.told.audit, Some("ns[foo]-policy[p]-rule[0]"));
}

#[test]
fn the_connection_goes_before_the_token_and_the_token_before_the_rules() {
    let strict = PeerPolicy { mode: Some(MtlsMode::Strict), ports: vec![(8081, Some(MtlsMode::Permissive))] };
    let inbound = InboundPolicy {
        peer: effective(&[], &[], &[strict]),
        jwt: JwtRules::new([rule("a")]),
        ..inbound(&[policy(Action::Deny, "p", vec![RuleSpec::default()])])
    };
    let mutual = |ask: Ask| ask.from(Identity::new("default", "posts"));
    assert_eq!(answer(&inbound, &Ask::default().bearer("x")), "closed");
    assert!(answer(&inbound, &mutual(Ask::default()).bearer("x")).starts_with("401"));
    assert_eq!(answer(&inbound, &mutual(Ask::default())), DENIED);
    assert_eq!(answer(&inbound, &Ask { port: 8081, ..Ask::default() }), DENIED);
}

#[test]
fn rules_see_the_request_without_its_token() {
    let condition = |key: &str, value: &str| Condition {
        key: key.to_owned(),
        values: vec![value.to_owned()],
        ..Condition::default()
    };
    let with = |when| policy(Action::Allow, "p", vec![RuleSpec { when, ..RuleSpec::default() }]);
    let jwt = || JwtRules::new([rule("a")]);
    let token = sign(&json!({}));
    let stripped =
        InboundPolicy { jwt: jwt(), ..inbound(&[with(vec![condition("request.headers[authorization]", "*")])]) };
    assert_eq!(answer(&stripped, &Ask::default().bearer(&token)), DENIED);
    assert_eq!(answer(&stripped, &Ask::default().header("authorization", "Basic x")), "200");
    let path = InboundPolicy { jwt: jwt(), ..inbound(&[with(vec![condition("request.headers[:path]", "/p?a=1")])]) };
    assert_eq!(answer(&path, &Ask::path(&format!("/p?access_token={token}&a=1"))), "200");
}

#[test]
fn without_policies_everything_passes_as_it_is() {
    let ask = Ask::path("/a?access_token=x").bearer("x");
    let inbound = InboundPolicy::default();
    let Decision::Allowed(allowed) = inbound.check(&ask.view(), NOW) else { panic!() };
    assert!(allowed.headers.is_none() && allowed.path_and_query.is_none() && allowed.payload.is_none());
    assert_eq!(allowed.told, malha_policy::Told::default());
}

fn any_policy() -> impl Strategy<Value = PolicySpec> {
    let action = prop_oneof![Just(Action::Allow), Just(Action::Deny), Just(Action::Audit)];
    let rules =
        proptest::collection::vec(prop_oneof![Just(on(&["/a"])), Just(on(&["/b"])), Just(RuleSpec::default())], 0..3);
    (action, "[a-c]", rules).prop_map(|(action, name, rules)| policy(action, &name, rules))
}

proptest! {
    #[test]
    fn a_matching_deny_refuses_whatever_else_there_is(mut policies in proptest::collection::vec(any_policy(), 0..5), at in 0_usize..5) {
        policies.insert(at.min(policies.len()), policy(Action::Deny, "d", vec![on(&["/a"])]));
        prop_assert_eq!(answer(&inbound(&policies), &Ask::path("/a")), DENIED);
    }

    #[test]
    fn the_order_of_policies_makes_no_difference(policies in proptest::collection::vec(any_policy(), 0..5)) {
        let backwards: Vec<_> = policies.iter().rev().cloned().collect();
        for path in ["/a", "/b", "/c"] {
            prop_assert_eq!(answer(&inbound(&policies), &Ask::path(path)), answer(&inbound(&backwards), &Ask::path(path)));
        }
    }

    #[test]
    fn without_allow_and_deny_all_passes(policies in proptest::collection::vec(any_policy(), 0..5)) {
        let audits: Vec<_> = policies.into_iter().filter(|policy| policy.action == Action::Audit).collect();
        prop_assert_eq!(answer(&inbound(&audits), &Ask::path("/a")), "200");
    }
}
