//! From what a policy says to conditions (Istio, `pilot/pkg/security/authz/model/model.go` and `generator.go`).
//!
//! A value that makes no sense cannot loosen anything: the rule of an `ALLOW` policy that has one is left out, while in
//! `DENY` and `AUDIT` the value alone is left out, and the rule matches more (`checkError`).

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::atom::{Atom, Field, Principal};
use super::spec::{Action, Condition, Operation, PolicySpec, RuleSpec, Source};
use super::template::{self, Template};
use super::text::{Glob, Text};

/// Something in a policy that is not carried out as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Namespace and name of the policy.
    pub policy: String,
    /// Which of its `rules`, from 0.
    pub rule: usize,
    /// The value or attribute, and what is wrong with it.
    pub message: String,
    /// What is done in its place.
    pub effect: Effect,
}

/// What becomes of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The rule is left out.
    RuleLeftOut,
    /// The value is left out, so that the rule matches more.
    ValueLeftOut,
    /// The value matches no request.
    NeverMatches,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::RuleLeftOut => "the rule is left out",
            Effect::ValueLeftOut => "the value is left out, and the rule matches more",
            Effect::NeverMatches => "it matches no request",
        };
        write!(formatter, "{}, rule {}: {}; {effect}", self.policy, self.rule, self.message)
    }
}

/// A rule, ready to ask.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// As Envoy's log names it: `ns[foo]-policy[bar]-rule[0]`.
    pub(crate) name: String,
    /// What is called: any of these has to fit.
    pub(crate) permissions: Vec<Conjunction>,
    /// Who calls: any of these has to fit.
    pub(crate) principals: Vec<Conjunction>,
}

/// Tests that all have to be met.
pub(crate) type Conjunction = Vec<Test>;

/// Conditions of which one has to hold, or none may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Any(Vec<Atom>),
    None(Vec<Atom>),
}

type Parse<'p> = dyn Fn(&str) -> Result<Atom, String> + 'p;

/// What ends the reading of a rule.
struct LeaveOut;

/// The rules of a policy that can be carried out, with what cannot.
pub(crate) fn compile(policy: &PolicySpec, problems: &mut Vec<Problem>) -> Vec<Rule> {
    policy
        .rules
        .iter()
        .enumerate()
        .filter_map(|(index, rule)| Compiler { policy, index, problems: &mut *problems }.rule(rule).ok())
        .collect()
}

struct Compiler<'p> {
    policy: &'p PolicySpec,
    index: usize,
    problems: &'p mut Vec<Problem>,
}

impl Compiler<'_> {
    fn rule(&mut self, rule: &RuleSpec) -> Result<Rule, LeaveOut> {
        let mut base_permission = Vec::new();
        let mut base_principal = Vec::new();
        for condition in &rule.when {
            self.condition(condition, &mut base_permission, &mut base_principal)?;
        }
        let mut principals = Vec::new();
        for source in &rule.from {
            principals.push(self.source(source)?.into_iter().chain(base_principal.iter().cloned()).collect());
        }
        if principals.is_empty() {
            principals.push(base_principal);
        }
        let mut permissions = Vec::new();
        for operation in &rule.to {
            permissions.push(self.operation(operation)?.into_iter().chain(base_permission.iter().cloned()).collect());
        }
        if permissions.is_empty() {
            permissions.push(base_permission);
        }
        let PolicySpec { namespace, name, .. } = self.policy;
        Ok(Rule { name: format!("ns[{namespace}]-policy[{name}]-rule[{}]", self.index), permissions, principals })
    }

    fn source(&mut self, source: &Source) -> Result<Conjunction, LeaveOut> {
        let namespace = self.policy.namespace.clone();
        let account = move |value: &str| Ok(service_account(&namespace, value));
        let fields: [(_, _, &Parse<'_>); 7] = [
            (&source.principals, &source.not_principals, &|value| Ok(principal(value))),
            (&source.request_principals, &source.not_request_principals, &|value| Ok(request_principal(value))),
            (&source.service_accounts, &source.not_service_accounts, &account),
            (&source.trust_domains, &source.not_trust_domains, &|value| Ok(trust_domain(value))),
            (&source.namespaces, &source.not_namespaces, &|value| Ok(source_namespace(value))),
            (&source.remote_ip_blocks, &source.not_remote_ip_blocks, &|value| ip_block(value).map(Atom::RemoteIp)),
            (&source.ip_blocks, &source.not_ip_blocks, &|value| ip_block(value).map(Atom::SourceIp)),
        ];
        self.fields(&fields)
    }

    fn operation(&mut self, operation: &Operation) -> Result<Conjunction, LeaveOut> {
        let fields: [(_, _, &Parse<'_>); 4] = [
            (&operation.hosts, &operation.not_hosts, &|value| Ok(host(value))),
            (&operation.methods, &operation.not_methods, &|value| Ok(header(&Field::Method, value))),
            (&operation.paths, &operation.not_paths, &path),
            (&operation.ports, &operation.not_ports, &port),
        ];
        self.fields(&fields)
    }

    fn fields(&mut self, fields: &[(&Vec<String>, &Vec<String>, &Parse<'_>)]) -> Result<Conjunction, LeaveOut> {
        let mut tests = Vec::new();
        for (values, not_values, parse) in fields {
            self.tests(values, not_values, parse, &mut tests)?;
        }
        Ok(tests)
    }

    /// Adds the tests of one field.
    fn tests(
        &mut self,
        values: &[String],
        not_values: &[String],
        parse: &Parse<'_>,
        tests: &mut Conjunction,
    ) -> Result<(), LeaveOut> {
        let any = self.atoms(values, parse)?;
        if !any.is_empty() {
            tests.push(Test::Any(any));
        }
        let none = self.atoms(not_values, parse)?;
        if !none.is_empty() {
            tests.push(Test::None(none));
        }
        Ok(())
    }

    fn atoms(&mut self, values: &[String], parse: &Parse<'_>) -> Result<Vec<Atom>, LeaveOut> {
        let mut atoms = Vec::new();
        for value in values {
            match parse(value) {
                Ok(atom) => atoms.push(atom),
                Err(message) if self.policy.action == Action::Allow => {
                    return Err(self.problem(message, Effect::RuleLeftOut));
                }
                Err(message) => {
                    self.problem(message, Effect::ValueLeftOut);
                }
            }
        }
        Ok(atoms)
    }

    fn problem(&mut self, message: String, effect: Effect) -> LeaveOut {
        let policy = format!("{}/{}", self.policy.namespace, self.policy.name);
        self.problems.push(Problem { policy, rule: self.index, message, effect });
        LeaveOut
    }

    fn condition(
        &mut self,
        condition: &Condition,
        permission: &mut Conjunction,
        principal_tests: &mut Conjunction,
    ) -> Result<(), LeaveOut> {
        let Condition { key, values, not_values } = condition;
        let namespace = self.policy.namespace.clone();
        let account = move |value: &str| Ok(service_account(&namespace, value));
        let claim = |path: &'static str| move |value: &str| Ok(Atom::Claim(vec![path.to_owned()], Text::parse(value)));
        let (audiences, presenter) = (claim("aud"), claim("azp"));
        let of_header = |value: &str| request_header(key, value);
        let of_claim = |value: &str| request_claim(key, value);
        let (parse, tests): (&Parse<'_>, _) = match key.as_str() {
            "destination.ip" => (&|value| ip_block(value).map(Atom::DestinationIp), permission),
            "destination.port" => (&port, permission),
            "connection.sni" => (&|value| Ok(Atom::Sni(Text::parse(value))), permission),
            "source.ip" => (&|value| ip_block(value).map(Atom::SourceIp), principal_tests),
            "remote.ip" => (&|value| ip_block(value).map(Atom::RemoteIp), principal_tests),
            "source.namespace" => (&|value| Ok(source_namespace(value)), principal_tests),
            "source.trustDomain" => (&|value| Ok(trust_domain(value)), principal_tests),
            "source.serviceAccount" => (&account, principal_tests),
            "source.principal" => (&|value| Ok(principal(value)), principal_tests),
            "request.auth.principal" => (&|value| Ok(request_principal(value)), principal_tests),
            "request.auth.audiences" => (&audiences, principal_tests),
            "request.auth.presenter" => (&presenter, principal_tests),
            key if key.starts_with("experimental.envoy.filters.") => {
                let message = format!("`{key}` is not supported: nothing here has metadata of Envoy's filters");
                self.problem(message, Effect::NeverMatches);
                (&|_| Ok(Atom::Never), permission)
            }
            key if key.starts_with("request.headers") => (&of_header, principal_tests),
            key if key.starts_with("request.auth.claims") => (&of_claim, principal_tests),
            // Whatever the action: Istio skips the rule before it looks at anything else.
            other => return Err(self.problem(format!("unknown attribute `{other}`"), Effect::RuleLeftOut)),
        };
        self.tests(values, not_values, parse, tests)
    }
}

fn principal(value: &str) -> Atom {
    Atom::Principal(Principal::parse(value))
}

/// Istio looks for `/ns/NAMESPACE/` in the whole name, in which each star is anything.
fn source_namespace(value: &str) -> Atom {
    Atom::Namespace(Glob::new(&format!("*/ns/{value}/*")))
}

fn trust_domain(value: &str) -> Atom {
    Atom::TrustDomain(Glob::new(value))
}

/// `ACCOUNT` is one of the policy's namespace, `NAMESPACE/ACCOUNT` any.
fn service_account(namespace: &str, value: &str) -> Atom {
    let (namespace, name) = value.split_once('/').unwrap_or((namespace, value));
    Atom::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() }
}

/// `ISSUER/SUBJECT`, divided at the last slash, since an issuer may be a URL.
fn request_principal(value: &str) -> Atom {
    let exact = |text: &str| Text::Exact(text.to_owned());
    let (issuer, subject) = match (value, value.rsplit_once('/')) {
        ("*", _) => (Text::Something, Text::Something),
        (value, Some((issuer, subject))) if value.starts_with('*') => (Text::parse(issuer), exact(subject)),
        (value, None) if value.starts_with('*') => (Text::Something, Text::parse(value)),
        (value, Some((issuer, subject))) if value.ends_with('*') => (exact(issuer), Text::parse(subject)),
        (value, None) if value.ends_with('*') => (Text::parse(value), Text::Something),
        (_, Some((issuer, subject))) => (exact(issuer), exact(subject)),
        (value, None) => (exact(value), exact("")),
    };
    Atom::RequestPrincipal { issuer, subject }
}

fn host(value: &str) -> Atom {
    if value == "*" { Atom::HeaderPresent(Field::Authority) } else { Atom::Host(Text::parse(value)) }
}

fn header(field: &Field, value: &str) -> Atom {
    match value {
        "*" => Atom::HeaderPresent(field.clone()),
        value => Atom::Header(field.clone(), Text::parse(value)),
    }
}

fn path(value: &str) -> Result<Atom, String> {
    if template::is_template(value) {
        Template::parse(value).map(Atom::PathTemplate).map_err(|why| format!("path `{value}`: {why}"))
    } else {
        Ok(Atom::Path(Text::parse(value)))
    }
}

fn port(value: &str) -> Result<Atom, String> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { value.parse().ok() } else { None };
    number.map(Atom::DestinationPort).ok_or_else(|| format!("`{value}` is no port"))
}

fn ip_block(value: &str) -> Result<IpNet, String> {
    let block = if value.contains('/') { value.parse().ok() } else { value.parse::<IpAddr>().ok().map(IpNet::from) };
    block.ok_or_else(|| format!("`{value}` is neither an IP address nor a block of them"))
}

/// `request.headers[NAME]`.
fn request_header(key: &str, value: &str) -> Result<Atom, String> {
    let name = in_brackets(key, "request.headers")?;
    let field = Field::parse(name).ok_or_else(|| format!("`{name}` is no name of a header"))?;
    Ok(header(&field, value))
}

/// `request.auth.claims[NAME]`, or `[OUTER][INNER]` for a claim within a claim.
fn request_claim(key: &str, value: &str) -> Result<Atom, String> {
    let whole = in_brackets(key, "request.auth.claims")?;
    let names: Vec<_> = whole.split("][").collect();
    let nested = names.iter().all(|name| !name.contains(['[', ']']));
    let path = if nested { names.into_iter().map(str::to_owned).collect() } else { vec![whole.to_owned()] };
    Ok(Atom::Claim(path, Text::parse(value)))
}

fn in_brackets<'k>(key: &'k str, attribute: &str) -> Result<&'k str, String> {
    key.strip_prefix(attribute)
        .and_then(|rest| rest.strip_prefix('['))
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or_else(|| format!("`{key}` has to be of the form `{attribute}[NAME]`"))
}
