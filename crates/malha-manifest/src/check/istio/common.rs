//! Rules that several of Istio's kinds share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::check::Checker;
use crate::istio::{Action, PolicySelector, TargetRef, WorkloadSelector};
use crate::names;
use crate::path::FieldPath;

/// Protocols of ports, as Istio parses them: without regard to case (`pkg/config/protocol`).
pub(super) const PROTOCOLS: &[&str] =
    &["HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "MONGO", "REDIS", "MYSQL", "TCP", "TLS", "UDP"];

/// `checkDryRunAnnotation`: policies that allow or deny can be tried without effect, and nothing else can.
pub(in crate::check) fn dry_run(checker: &mut Checker<'_>, action: Option<Action>) {
    /// What Go's `strconv.ParseBool` takes.
    const WORDS: &[&str] = &["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"];
    let path = FieldPath::parse("metadata.annotations").field("istio.io/dry-run");
    let Some(value) = checker.text(&path) else { return };
    match action {
        Some(Action::Allow | Action::Deny) if WORDS.contains(&value.as_str()) => {}
        Some(Action::Allow | Action::Deny) => {
            checker.error(&path, format!("`{value}` is neither true nor false"));
        }
        _ => checker
            .error_at_key(&path, "only an AuthorizationPolicy with action ALLOW or DENY can be tried")
            .help("leave the annotation out"),
    }
}

/// `ValidateProtocol`: none at all is allowed.
pub(super) fn protocol(checker: &mut Checker<'_>, path: &FieldPath, protocol: &str) {
    if !protocol.is_empty() {
        checker.word(path, &protocol.to_uppercase(), PROTOCOLS);
    }
}

/// Whether a protocol is HTTP in the open (`Instance.IsHTTP`).
pub(super) fn is_http(protocol: &str) -> bool {
    matches!(protocol.to_uppercase().as_str(), "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB")
}

/// Whether a protocol is inside TLS (`Instance.IsTLS`).
pub(super) fn is_tls(protocol: &str) -> bool {
    matches!(protocol.to_uppercase().as_str(), "HTTPS" | "TLS")
}

/// `ValidateDuration`
pub(super) fn at_least_1ms(checker: &mut Checker<'_>, path: &FieldPath, duration: Option<Duration>) {
    let Some(duration) = duration else { return };
    if duration < Duration::from_millis(1) {
        checker.error(path, "must be a valid duration greater than 1ms");
    } else if duration.subsec_nanos() % 1_000_000 != 0 {
        checker.error(path, "only durations to ms precision are supported");
    }
}

/// `ValidatePercent`
pub(super) fn percent(checker: &mut Checker<'_>, path: &FieldPath, percent: i32) {
    if !(0..=100).contains(&percent) {
        checker.error(path, format!("percentage {percent} is not in range 0..100"));
    }
}

/// `validateExportTo`; `nobody` allows `~`, which exports to no one.
pub(super) fn export_to(checker: &mut Checker<'_>, export_to: &[String], nobody: bool) {
    let path = FieldPath::parse("spec.exportTo");
    let own = checker.namespace();
    let mut seen = Vec::new();
    for (index, name) in export_to.iter().enumerate() {
        let place = path.item(index);
        let meant = if name == "." { own.as_str() } else { name };
        if seen.contains(&meant) {
            checker.error(&place, format!("duplicate entries in exportTo for entry {name}"));
            continue;
        }
        if !(meant == "*" || nobody && meant == "~") {
            checker.name(&place, meant, names::LABEL);
        }
        seen.push(meant);
    }
    if export_to.len() > 1 && seen.contains(&"*") {
        checker.error(&path, "cannot have both public (*) and non-public exportTo values for a resource");
    }
    if export_to.len() > 1 && seen.contains(&"~") {
        checker.error(&path, "cannot export service entry to no one (~) and someone");
    }
}

/// `validateWorkloadSelector`
pub(super) fn policy_selector(checker: &mut Checker<'_>, path: &FieldPath, selector: Option<&PolicySelector>) {
    if let Some(selector) = selector {
        labels(checker, path, "matchLabels", &selector.match_labels);
    }
}

/// `ValidateAlphaWorkloadSelector`
pub(super) fn workload_selector(checker: &mut Checker<'_>, path: &FieldPath, selector: Option<&WorkloadSelector>) {
    if let Some(selector) = selector {
        labels(checker, path, "labels", &selector.labels);
    }
}

fn labels(checker: &mut Checker<'_>, selector: &FieldPath, field: &str, labels: &BTreeMap<String, String>) {
    let path = selector.field(field);
    let wild = |(key, value): &(&String, &String)| key.contains('*') || value.contains('*');
    for (key, value) in labels.iter().filter(wild) {
        checker.error(path.field(key), format!("wildcard is not supported in selector: \"{key}={value}\""));
    }
    if !labels.iter().any(|label| wild(&label)) {
        checker.labels(&path, Some(labels));
    }
    if labels.is_empty() {
        checker
            .warning(selector, "workload selector specified without labels")
            .help("it selects every pod of the namespace, as no selector does");
    }
}

/// What a security policy is for: said in one way, and of a kind that it can be for
/// (`validateOneOfSelectorType`, `validatePolicyTargetReference`).
pub(super) fn targets(
    checker: &mut Checker<'_>,
    selector: Option<&PolicySelector>,
    target_ref: Option<&TargetRef>,
    target_refs: &[TargetRef],
) {
    let root = FieldPath::parse("spec");
    let ways = [selector.is_some(), target_ref.is_some(), !target_refs.is_empty()];
    if ways.iter().filter(|set| **set).count() > 1 {
        checker.error(&root, "only one of targetRefs or selector can be set");
    }
    policy_selector(checker, &root.field("selector"), selector);
    if let Some(target) = target_ref {
        self::target_ref(checker, &root.field("targetRef"), target);
    }
    for (index, target) in target_refs.iter().enumerate() {
        self::target_ref(checker, &root.field("targetRefs").item(index), target);
    }
}

fn target_ref(checker: &mut Checker<'_>, path: &FieldPath, target: &TargetRef) {
    /// Group and kind of the objects that a policy can be for.
    const ALLOWED: &[(&str, &str)] = &[
        ("", "Service"),
        ("core", "Service"),
        ("networking.istio.io", "ServiceEntry"),
        ("gateway.networking.k8s.io", "Gateway"),
        ("gateway.networking.k8s.io", "GatewayClass"),
    ];
    checker.required(path.field("name"), &target.name);
    if checker.required(path.field("kind"), &target.kind)
        && !ALLOWED.contains(&(target.group.as_str(), target.kind.as_str()))
    {
        let message = format!("a policy cannot be for `{}/{}`", target.group, target.kind);
        checker.error(path.field("kind"), message).help(
            "allowed: Service, ServiceEntry of networking.istio.io, Gateway and GatewayClass of gateway.networking.k8s.io",
        );
    }
    if target.namespace.as_ref().is_some_and(|namespace| !namespace.is_empty()) {
        let message = "targetRef namespace must not be set; cross namespace referencing is not supported";
        checker.error(path.field("namespace"), message);
    }
}

/// A host name without wildcard (`ValidateFQDN`).
pub(super) fn is_fqdn(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let numeric = name.rsplit('.').next().is_some_and(|last| last.parse::<i64>().is_ok());
    host.len() <= 255 && !numeric && name.split('.').all(names::MESH_LABEL.holds)
}

/// An address, or a network in CIDR notation (`ValidateIPSubnet`, `ValidateIPs`).
pub(super) fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return text.parse::<IpAddr>().is_ok() };
    let digits = length.chars().all(|c| c.is_ascii_digit());
    match (address.parse::<IpAddr>(), length.parse::<u8>()) {
        (Ok(address), Ok(length)) => digits && length <= if address.is_ipv4() { 32 } else { 128 },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_addresses_with_or_without_a_length() {
        for text in ["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"] {
            assert!(is_network(text), "{text}");
        }
        for text in ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "a/8", "::/129"] {
            assert!(!is_network(text), "{text}");
        }
    }

    #[test]
    fn host_names_have_no_wildcard_and_do_not_end_in_a_number() {
        for host in ["a", "a.b.c", "istio.io.", "Example.com"] {
            assert!(is_fqdn(host), "{host}");
        }
        for host in ["", ".", "*.a", "10.0.0.1", "a..b", "a_b", "-a"] {
            assert!(!is_fqdn(host), "{host}");
        }
    }
}
