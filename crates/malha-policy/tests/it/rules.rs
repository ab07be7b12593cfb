//! `AuthorizationPolicy`: which requests a rule matches, field by field. Each case is asked of an `ALLOW` policy and of a
//! `DENY` policy with the same rule: one of them refuses.

use std::net::IpAddr;

use malha_policy::jwt::JwtRules;
use malha_policy::rbac::{Action, Authorization, Condition, Effect, Operation, PolicySpec, RuleSpec, Source};
use malha_policy::{Identity, InboundPolicy};
use proptest::prelude::*;
use serde_json::json;

use crate::common::{Ask, answer, rule, sign};

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn compile(action: Action, rules: Vec<RuleSpec>) -> Authorization {
    let spec = PolicySpec { namespace: "foo".to_owned(), name: "p".to_owned(), action, dry_run: false, rules };
    let (authorization, problems) = Authorization::new([&spec]);
    assert_eq!(problems, []);
    authorization
}

/// Whether the rule matches, which `ALLOW` and `DENY` have to agree on.
fn matches(rule_spec: &RuleSpec, ask: &Ask) -> bool {
    let answers = [Action::Allow, Action::Deny].map(|action| {
        let authorization = compile(action, vec![rule_spec.clone()]);
        answer(
            &InboundPolicy {
                jwt: JwtRules::new([rule("a"), rule("https://iss.example/x")]),
                authorization,
                ..InboundPolicy::default()
            },
            ask,
        )
    });
    match answers.each_ref().map(String::as_str) {
        ["200", "403 RBAC: access denied"] => true,
        ["403 RBAC: access denied", "200"] => false,
        other => panic!("{other:?}"),
    }
}

fn from(source: Source) -> RuleSpec {
    RuleSpec { from: vec![source], ..RuleSpec::default() }
}

fn to(operation: Operation) -> RuleSpec {
    RuleSpec { to: vec![operation], ..RuleSpec::default() }
}

fn when(key: &str, values: &[&str], not_values: &[&str]) -> RuleSpec {
    let condition = Condition { key: key.to_owned(), values: strings(values), not_values: strings(not_values) };
    RuleSpec { when: vec![condition], ..RuleSpec::default() }
}

/// Checks a field and its not-form against requests.
fn check(field: &str, values: &[&str], positive: &RuleSpec, negative: &RuleSpec, cases: &[(Ask, bool)]) {
    for (ask, expected) in cases {
        let shown = format!(
            "{field} {values:?}: {} {} {} {:?} {:?} {:?}",
            ask.method, ask.authority, ask.path, ask.headers, ask.source, ask.sni
        );
        assert_eq!(matches(positive, ask), *expected, "{shown}");
        assert_eq!(matches(negative, ask), !expected, "not {shown}");
    }
}

#[test]
fn paths_are_compared_without_query_and_fragment() {
    for (values, cases) in [
        (
            &["/a"][..],
            &[("/a", true), ("/a?x", true), ("/a#x", true), ("/a/", false), ("/A", false), ("/b?/a", false)][..],
        ),
        (&["/a*"], &[("/a", true), ("/ab", true), ("/a/b", true), ("/b/a", false), ("//a", false)]),
        (&["*.html"], &[("/x.html", true), ("/x.html?y", true), ("/x.htm", false)]),
        (&["*"], &[("/", true), ("*", true), ("", false), ("?x", false)]),
        (&["/a", "/b"], &[("/a", true), ("/b", true), ("/c", false)]),
        (&["/a/{*}/c"], &[("/a/b/c", true), ("/a/b/c?d", true), ("/a/c", false), ("/a/b/b/c", false)]),
        (&["/a/{**}"], &[("/a/", true), ("/a/b/c", true), ("/a", false)]),
        (&["/a%20b"], &[("/a%20b", true), ("/a b", false)]),
    ] {
        let positive = to(Operation { paths: strings(values), ..Operation::default() });
        let negative = to(Operation { not_paths: strings(values), ..Operation::default() });
        let cases: Vec<_> = cases.iter().map(|(path, expected)| (Ask::path(path), *expected)).collect();
        check("paths", values, &positive, &negative, &cases);
    }
}

#[test]
fn hosts_are_compared_whatever_the_case_and_with_their_port() {
    for (values, cases) in [
        (
            &["example.com"][..],
            &[("example.com", true), ("EXAMPLE.com", true), ("example.com:80", false), ("a.example.com", false)][..],
        ),
        (&["*.EXAMPLE.com"], &[("a.example.com", true), ("example.com", false), ("A.Example.COM", true)]),
        (&["example.*"], &[("example.org:80", true), ("Example.", true), ("an.example.org", false)]),
        (&["*"], &[("h", true)]),
    ] {
        let positive = to(Operation { hosts: strings(values), ..Operation::default() });
        let negative = to(Operation { not_hosts: strings(values), ..Operation::default() });
        let cases: Vec<_> = cases
            .iter()
            .map(|(host, expected)| (Ask { authority: (*host).to_owned(), ..Ask::default() }, *expected))
            .collect();
        check("hosts", values, &positive, &negative, &cases);
    }
}

#[test]
fn methods_are_compared_as_they_are_written() {
    for (values, cases) in [
        (&["GET"][..], &[("GET", true), ("POST", false)][..]),
        (&["get"], &[("GET", false)]),
        (&["P*"], &[("POST", true), ("PUT", true), ("GET", false)]),
        (&["*T"], &[("POST", true), ("DELETE", false)]),
        (&["*"], &[("GET", true), ("FOO", true)]),
    ] {
        let positive = to(Operation { methods: strings(values), ..Operation::default() });
        let negative = to(Operation { not_methods: strings(values), ..Operation::default() });
        let cases: Vec<_> = cases
            .iter()
            .map(|(method, expected)| (Ask { method: method.parse().unwrap(), ..Ask::default() }, *expected))
            .collect();
        check("methods", values, &positive, &negative, &cases);
    }
}

#[test]
fn ports_and_addresses_are_those_of_the_connection() {
    let values = ["8080", "9"];
    let cases = [(Ask::default(), true), (Ask { port: 80, ..Ask::default() }, false)];
    let positive = to(Operation { ports: strings(&values), ..Operation::default() });
    let negative = to(Operation { not_ports: strings(&values), ..Operation::default() });
    check("ports", &values, &positive, &negative, &cases);
    check(
        "destination.port",
        &values,
        &when("destination.port", &values, &[]),
        &when("destination.port", &[], &values),
        &cases,
    );

    for (block, address, expected) in [
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false),
        ("10.1.2.3/8", "10.9.9.9", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("0.0.0.0/0", "1.2.3.4", true),
        ("0.0.0.0/0", "::1", false),
        ("::/0", "1.2.3.4", false),
        ("2001:db8::/32", "2001:db8::1", true),
        ("::1", "::1", true),
    ] {
        let address: IpAddr = address.parse().unwrap();
        let blocks = strings(&[block]);
        let [source, remote, destination] = [
            Ask { source_ip: address, remote_ip: [9; 4].into(), destination_ip: [9; 4].into(), ..Ask::default() },
            Ask { remote_ip: address, source_ip: [9; 4].into(), destination_ip: [9; 4].into(), ..Ask::default() },
            Ask { destination_ip: address, source_ip: [9; 4].into(), remote_ip: [9; 4].into(), ..Ask::default() },
        ];
        let positive = from(Source { ip_blocks: blocks.clone(), ..Source::default() });
        let negative = from(Source { not_ip_blocks: blocks.clone(), ..Source::default() });
        check("ipBlocks", &[block], &positive, &negative, &[(source.clone(), expected)]);
        let positive = from(Source { remote_ip_blocks: blocks.clone(), ..Source::default() });
        let negative = from(Source { not_remote_ip_blocks: blocks, ..Source::default() });
        check("remoteIpBlocks", &[block], &positive, &negative, &[(remote.clone(), expected)]);
        for (key, ask) in [("source.ip", source), ("remote.ip", remote), ("destination.ip", destination)] {
            check(key, &[block], &when(key, &[block], &[]), &when(key, &[], &[block]), &[(ask, expected)]);
        }
    }
}

/// A peer in `default`, one elsewhere, and one that speaks plaintext.
fn peers() -> [Ask; 3] {
    let other = Identity { trust_domain: "td2".to_owned(), ..Identity::new("foo-bar", "posts-x") };
    [Ask::default().from(Identity::new("default", "posts")), Ask::default().from(other), Ask::default()]
}

type Pair = fn(Vec<String>) -> (RuleSpec, RuleSpec);

#[test]
fn names_of_peers_need_mutual_tls() {
    let principals: Pair = |values| {
        (
            from(Source { principals: values.clone(), ..Source::default() }),
            from(Source { not_principals: values, ..Source::default() }),
        )
    };
    let namespaces: Pair = |values| {
        (
            from(Source { namespaces: values.clone(), ..Source::default() }),
            from(Source { not_namespaces: values, ..Source::default() }),
        )
    };
    let accounts: Pair = |values| {
        (
            from(Source { service_accounts: values.clone(), ..Source::default() }),
            from(Source { not_service_accounts: values, ..Source::default() }),
        )
    };
    let trust: Pair = |values| {
        (
            from(Source { trust_domains: values.clone(), ..Source::default() }),
            from(Source { not_trust_domains: values, ..Source::default() }),
        )
    };
    for (field, key, pair, cases) in [
        (
            "principals",
            "source.principal",
            principals,
            &[
                (&["cluster.local/ns/default/sa/posts"][..], [true, false]),
                (&["spiffe://cluster.local/ns/default/sa/posts"], [false, false]),
                (&["*"], [true, true]),
                (&["cluster.local/*"], [true, false]),
                (&["*/sa/posts"], [true, false]),
                (&["*posts"], [true, false]),
                (&["*cluster.local/ns/default/sa/posts"], [true, false]),
                (&["td2*"], [false, true]),
            ][..],
        ),
        (
            "namespaces",
            "source.namespace",
            namespaces,
            &[
                (&["default"], [true, false]),
                (&["*"], [true, true]),
                (&["def*"], [true, false]),
                (&["*bar"], [false, true]),
                // The star reaches over the slash: `/ns/foo-bar/sa/` ends so.
                (&["*sa"], [true, true]),
                (&["other", "foo-bar"], [false, true]),
                (&["DEFAULT"], [false, false]),
            ],
        ),
        (
            "trustDomains",
            "source.trustDomain",
            trust,
            &[
                (&["cluster.local"], [true, false]),
                (&["*"], [true, true]),
                (&["td*"], [false, true]),
                (&["*.local"], [true, false]),
            ],
        ),
        (
            "serviceAccounts",
            "source.serviceAccount",
            accounts,
            &[
                (&["default/posts"], [true, false]),
                (&["foo-bar/posts-x", "default/posts"], [true, true]),
                // Without a namespace, that of the policy.
                (&["posts"], [false, false]),
            ],
        ),
    ] {
        for (values, expected) in cases {
            let (positive, negative) = pair(strings(values));
            let [own, other, plain] = peers();
            let cases = [(own, expected[0]), (other, expected[1]), (plain, false)];
            check(field, values, &positive, &negative, &cases);
            check(key, values, &when(key, values, &[]), &when(key, &[], values), &cases);
        }
    }
    let in_foo = Ask::default().from(Identity::new("foo", "posts"));
    assert!(matches(&when("source.serviceAccount", &["posts"], &[]), &in_foo));
}

#[test]
fn the_server_name_of_the_handshake_can_be_asked_for() {
    let asks = [Some("a.example"), None].map(|sni| Ask { sni: sni.map(str::to_owned), ..Ask::default() });
    for (value, expected) in [("a.example", true), ("*.example", true), ("*", true), ("b", false)] {
        let cases = [(asks[0].clone(), expected), (asks[1].clone(), false)];
        let key = "connection.sni";
        check(key, &[value], &when(key, &[value], &[]), &when(key, &[], &[value]), &cases);
    }
}

#[test]
fn each_line_of_a_header_is_a_value() {
    let a = |values: &[&str]| values.iter().fold(Ask::default(), |ask, value| ask.header("x-a", value));
    let asks = [a(&[]), a(&["one"]), a(&["ONE"]), a(&[""]), a(&["one", "two"]), a(&["one,two"])];
    for (value, expected) in [
        ("one", [false, true, false, false, true, false]),
        ("on*", [false, true, false, false, true, true]),
        ("*wo", [false, false, false, false, true, true]),
        ("*", [false, true, true, true, true, true]),
        ("one,two", [false, false, false, false, false, true]),
    ] {
        let cases: Vec<_> = asks.iter().cloned().zip(expected).collect();
        let key = "request.headers[X-A]";
        check(key, &[value], &when(key, &[value], &[]), &when(key, &[], &[value]), &cases);
    }
    assert!(!matches(&when("request.headers[x-a]", &["*"], &["one"]), &a(&["two", "one"])));
    let joined = Ask::default().header("user-agent", "a").header("user-agent", "b");
    assert!(matches(&when("request.headers[user-agent]", &["a,b"], &[]), &joined));
}

#[test]
fn parts_of_the_request_line_are_headers_too() {
    for (key, value, expected) in [
        ("request.headers[:method]", "GET", true),
        ("request.headers[:authority]", "h", true),
        ("request.headers[Host]", "h", true),
        ("request.headers[:path]", "/a?b", true),
        ("request.headers[:path]", "/a", false),
        ("request.headers[:scheme]", "http", true),
    ] {
        assert_eq!(matches(&when(key, &[value], &[]), &Ask::path("/a?b")), expected, "{key} {value}");
    }
}

/// No token, a plain one, one with more claims, one of another issuer, and one without a subject.
fn bearers() -> [Ask; 5] {
    let rich = json!({
        "aud": "one", "azp": "app", "groups": ["g1", "g2"], "role": "admin", "n": 5, "t": true, "scope": "read write",
        "o": {"in": {"deep": ["x", "y"]}, "s": "str"}, "a.b": "dot", "mix": ["z", 5, null, ["w"]],
    });
    let with = |claims| Ask::default().bearer(&sign(&claims));
    [
        Ask::default(),
        with(json!({})),
        with(rich),
        with(json!({"iss": "https://iss.example/x", "sub": "bob"})),
        with(json!({"sub": "", "aud": ["one", "two"]})),
    ]
}

#[test]
fn request_principals_are_issuer_and_subject() {
    for (value, expected) in [
        ("*", [false, true, true, true, false]),
        ("a/alice", [false, true, true, false, false]),
        ("a/*", [false, true, true, false, false]),
        ("a/al*", [false, true, true, false, false]),
        ("*/alice", [false, true, true, false, false]),
        ("*alice", [false, true, true, false, false]),
        ("a*", [false, true, true, false, false]),
        ("https://iss.example/x/bob", [false, false, false, true, false]),
        ("https://iss.example/x/*", [false, false, false, true, false]),
        ("https*", [false, false, false, true, false]),
        ("*example/x/bob", [false, false, false, true, false]),
        ("*/", [false, false, false, false, true]),
        ("a/", [false, false, false, false, true]),
        ("a", [false, false, false, false, true]),
        ("alice", [false; 5]),
    ] {
        let cases: Vec<_> = bearers().into_iter().zip(expected).collect();
        let values = strings(&[value]);
        let positive = from(Source { request_principals: values.clone(), ..Source::default() });
        let negative = from(Source { not_request_principals: values, ..Source::default() });
        check("requestPrincipals", &[value], &positive, &negative, &cases);
        let key = "request.auth.principal";
        check(key, &[value], &when(key, &[value], &[]), &when(key, &[], &[value]), &cases);
    }
}

#[test]
fn claims_are_texts_or_lists_of_texts() {
    for (key, value, expected) in [
        ("audiences", "one", [false, false, true, false, true]),
        ("audiences", "t*", [false, false, false, false, true]),
        ("presenter", "app", [false, false, true, false, false]),
        ("claims[groups]", "g2", [false, false, true, false, false]),
        ("claims[groups]", "g*", [false, false, true, false, false]),
        ("claims[groups]", "*", [false, false, true, false, false]),
        ("claims[role]", "admin", [false, false, true, false, false]),
        ("claims[role]", "adm*", [false, false, true, false, false]),
        ("claims[role][x]", "admin", [false; 5]),
        ("claims[n]", "5", [false; 5]),
        ("claims[n]", "*", [false; 5]),
        ("claims[t]", "true", [false; 5]),
        ("claims[o][in][deep]", "y", [false, false, true, false, false]),
        ("claims[o][s]", "str", [false, false, true, false, false]),
        ("claims[o]", "*", [false; 5]),
        ("claims[scope]", "write", [false, false, true, false, false]),
        ("claims[scope]", "read write", [false; 5]),
        ("claims[a.b]", "dot", [false, false, true, false, false]),
        ("claims[mix]", "z", [false, false, true, false, false]),
        ("claims[mix]", "w", [false; 5]),
        ("claims[missing]", "*", [false; 5]),
        ("claims[iss]", "a", [false, true, true, false, true]),
    ] {
        let key = format!("request.auth.{key}");
        let cases: Vec<_> = bearers().into_iter().zip(expected).collect();
        check(&key, &[value], &when(&key, &[value], &[]), &when(&key, &[], &[value]), &cases);
    }
}

#[test]
fn all_fields_of_an_element_and_any_element_of_a_list_have_to_match() {
    let rule = RuleSpec {
        from: vec![
            Source { ip_blocks: strings(&["10.0.0.1"]), not_namespaces: strings(&["evil"]), ..Source::default() },
            Source { namespaces: strings(&["good"]), ..Source::default() },
        ],
        to: vec![
            Operation { paths: strings(&["/a"]), methods: strings(&["GET"]), ..Operation::default() },
            Operation { paths: strings(&["/b*"]), not_paths: strings(&["/b/c"]), ..Operation::default() },
        ],
        when: vec![
            Condition { key: "request.headers[x-a]".to_owned(), values: strings(&["1", "2"]), ..Condition::default() },
            Condition { key: "destination.port".to_owned(), not_values: strings(&["9"]), ..Condition::default() },
        ],
    };
    let ask = |path: &str| Ask::path(path).header("x-a", "1");
    let away = |ask: Ask| Ask { source_ip: [10, 0, 0, 2].into(), ..ask };
    for (ask, expected) in [
        (ask("/a"), true),
        (ask("/b"), true),
        (ask("/b/c"), false),
        (ask("/c"), false),
        (Ask { method: http::Method::POST, ..ask("/a") }, false),
        (Ask::path("/a").header("x-a", "3"), false),
        (Ask { port: 9, ..ask("/a") }, false),
        (ask("/a").from(Identity::new("evil", "x")), false),
        (away(ask("/a")), false),
        (away(ask("/a")).from(Identity::new("good", "x")), true),
    ] {
        assert_eq!(matches(&rule, &ask), expected, "{} {:?}", ask.path, ask.source);
    }
}

#[test]
fn an_empty_element_is_no_condition() {
    for rule in [RuleSpec::default(), from(Source::default()), to(Operation::default()), when("source.ip", &[], &[])] {
        assert!(matches(&rule, &Ask::default()), "{rule:?}");
    }
}

#[test]
fn a_value_without_sense_narrows_allow_and_widens_deny() {
    for (rule, widens) in [
        (to(Operation { ports: strings(&["http"]), ..Operation::default() }), true),
        (to(Operation { ports: strings(&["65536"]), ..Operation::default() }), true),
        (to(Operation { ports: strings(&["+80"]), ..Operation::default() }), true),
        (from(Source { ip_blocks: strings(&["10.0.0"]), ..Source::default() }), true),
        (from(Source { not_remote_ip_blocks: strings(&["10.0.0.0/33"]), ..Source::default() }), true),
        (to(Operation { paths: strings(&["/{**}/{*}"]), ..Operation::default() }), true),
        (when("request.headers", &["x"], &[]), true),
        (when("request.headers[a b]", &["x"], &[]), true),
        (when("request.auth.claims", &["x"], &[]), true),
        // An attribute that is not known at all leaves the rule out whatever the action.
        (when("source.labels[app]", &["x"], &[]), false),
    ] {
        for (action, effect, expected) in [
            (Action::Allow, Effect::RuleLeftOut, "403 RBAC: access denied"),
            (Action::Deny, Effect::ValueLeftOut, "403 RBAC: access denied"),
        ] {
            let (effect, expected) =
                if action == Action::Deny && !widens { (Effect::RuleLeftOut, "200") } else { (effect, expected) };
            let spec = PolicySpec {
                namespace: "foo".to_owned(),
                name: "p".to_owned(),
                action,
                dry_run: false,
                rules: vec![rule.clone()],
            };
            let (authorization, problems) = Authorization::new([&spec]);
            assert_eq!(problems.len(), 1, "{rule:?}");
            assert_eq!(
                (problems[0].policy.as_str(), problems[0].rule, problems[0].effect),
                ("foo/p", 0, effect),
                "{rule:?}"
            );
            let policy = InboundPolicy { authorization, ..InboundPolicy::default() };
            assert_eq!(answer(&policy, &Ask::default()), expected, "{action:?} {rule:?}");
        }
    }
}

#[test]
fn metadata_of_envoys_filters_matches_nothing_and_is_reported() {
    let key = "experimental.envoy.filters.network.mysql_proxy[db.table]";
    for (rule, expected) in
        [(when(key, &["[update]"], &[]), "200"), (when(key, &[], &["[update]"]), "403 RBAC: access denied")]
    {
        let spec = PolicySpec { action: Action::Deny, rules: vec![rule], ..PolicySpec::default() };
        let (authorization, problems) = Authorization::new([&spec]);
        assert_eq!(problems[0].effect, Effect::NeverMatches);
        assert!(problems[0].to_string().contains(key), "{}", problems[0]);
        let policy = InboundPolicy { authorization, ..InboundPolicy::default() };
        assert_eq!(answer(&policy, &Ask::default()), expected);
    }
}

proptest! {
    #[test]
    fn no_rule_and_no_request_panic(
        values in proptest::collection::vec(r"[*/a-z0-9{}.:\[\]é]{0,12}", 0..3),
        path in "[/a-z*{}?#=é]{0,20}",
        key in r"(request\.headers|request\.auth\.claims|source\.ip|connection\.sni)[\[\]a-z]{0,8}",
    ) {
        let all = values.clone();
        let source = Source {
            principals: all.clone(), not_principals: all.clone(), request_principals: all.clone(), namespaces: all.clone(),
            service_accounts: all.clone(), trust_domains: all.clone(), ip_blocks: all.clone(), ..Source::default()
        };
        let operation = Operation { hosts: all.clone(), ports: all.clone(), methods: all.clone(), paths: all.clone(), not_paths: all, ..Operation::default() };
        let condition = Condition { key, values: values.clone(), not_values: values };
        let rule = RuleSpec { from: vec![source], to: vec![operation], when: vec![condition] };
        for action in [Action::Allow, Action::Deny, Action::Audit] {
            let spec = PolicySpec { action, rules: vec![rule.clone()], ..PolicySpec::default() };
            let (authorization, _) = Authorization::new([&spec]);
            let policy = InboundPolicy { authorization, ..InboundPolicy::default() };
            for ask in [Ask::path(&path), Ask::path(&path).from(Identity::new("é", "*"))] {
                answer(&policy, &ask);
            }
        }
    }

    #[test]
    fn a_not_form_is_the_opposite(value in r"(\*|[a-c/]{1,3}|\*[a-c]{1,2}|[a-c/]{1,2}\*)", path in "/[a-c/]{0,4}") {
        let positive = to(Operation { paths: vec![value.clone()], ..Operation::default() });
        let negative = to(Operation { not_paths: vec![value], ..Operation::default() });
        let ask = Ask::path(&path);
        prop_assert_ne!(matches(&positive, &ask), matches(&negative, &ask));
    }
}
