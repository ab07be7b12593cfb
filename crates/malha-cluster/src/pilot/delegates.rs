//! Rules that another `VirtualService` decides (Istio, `mergeVirtualServices` and `MergeHTTPRoutes` in
//! `pilot/pkg/model/virtualservice.go`).
//!
//! A `VirtualService` without hosts is a delegate, and one that has rules with `delegate` takes its rules in. The
//! conditions of both must hold; where they exclude each other the delegate's rule is left out.

use std::collections::BTreeMap;

use malha_manifest::istio::{Delegate, HttpMatch, HttpRoute, StringMatch};

use crate::object::{Key, Kind, VirtualService};
use crate::store::Store;

use super::Findings;
use super::registry::full_name;
use super::visibility::Visibility;

/// A rule, and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Sourced {
    pub(super) rule: HttpRoute,
    pub(super) object: Key,
    pub(super) index: usize,
}

/// The rules of a `VirtualService` with those of its delegates in place, all names in full.
pub(super) fn rules(store: &Store, service: &VirtualService, key: &Key, findings: &mut Findings) -> Vec<Sourced> {
    let mut rules = Vec::new();
    for (index, rule) in service.spec.http.iter().enumerate() {
        let own = Sourced { rule: resolved(rule, &key.namespace), object: key.clone(), index };
        match &rule.delegate {
            None => rules.push(own),
            Some(delegate) => match find(store, delegate, &key.namespace) {
                Ok((target, found)) => {
                    for (at, rule) in found.spec.http.iter().enumerate() {
                        let rule = resolved(rule, &target.namespace);
                        match merge(&own.rule, rule) {
                            Some(rule) => rules.push(Sourced { rule, object: target.clone(), index: at }),
                            None => findings.add(
                                target.clone(),
                                format!(
                                    "spec.http[{at}].match: excludes what spec.http[{index}].match of {key}, which delegates to it, demands; the rule is left out there"
                                ),
                            ),
                        }
                    }
                }
                Err(why) => {
                    findings.add(key.clone(), format!("spec.http[{index}].delegate: {why}; the rule is left out"));
                }
            },
        }
    }
    rules
}

fn find<'a>(store: &'a Store, delegate: &Delegate, namespace: &str) -> Result<(Key, &'a VirtualService), String> {
    let home = delegate.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(namespace);
    let key = Key::new(Kind::VirtualService, home, delegate.name.as_str());
    let found = store.get::<VirtualService>(home, &delegate.name).ok_or_else(|| format!("{key} is not there"))?;
    if !found.spec.hosts.is_empty() {
        return Err(format!("{key} has hosts, and so is no delegate"));
    }
    let visibility = Visibility::new(found.spec.export_to.iter().map(String::as_str), home);
    if !visibility.reaches(namespace) {
        return Err(format!("{key} is not exported to namespace {namespace}"));
    }
    Ok((key, found.as_ref()))
}

/// A rule whose short names are those of `namespace`, in full.
fn resolved(rule: &HttpRoute, namespace: &str) -> HttpRoute {
    let mut rule = rule.clone();
    let hosts = rule.route.iter_mut().map(|route| &mut route.destination.host);
    let mirrors = rule.mirrors.iter_mut().map(|mirror| &mut mirror.destination.host);
    for host in hosts.chain(mirrors).chain(rule.mirror.iter_mut().map(|mirror| &mut mirror.host)) {
        *host = full_name(host, namespace);
    }
    for gateway in rule.r#match.iter_mut().flat_map(|one| &mut one.gateways) {
        if gateway != "mesh" && !gateway.contains('/') {
            *gateway = format!("{namespace}/{gateway}");
        }
    }
    rule
}

/// `None`: the conditions exclude each other.
fn merge(root: &HttpRoute, mut delegate: HttpRoute) -> Option<HttpRoute> {
    delegate.r#match = merge_matches(&root.r#match, delegate.r#match)?;
    delegate.name = joined(root.name.as_deref(), delegate.name.as_deref());
    delegate.delegate = None;
    delegate.rewrite = delegate.rewrite.or_else(|| root.rewrite.clone());
    delegate.direct_response = delegate.direct_response.or_else(|| root.direct_response.clone());
    delegate.timeout = delegate.timeout.or(root.timeout);
    delegate.retries = delegate.retries.or_else(|| root.retries.clone());
    delegate.fault = delegate.fault.or_else(|| root.fault.clone());
    delegate.mirror = delegate.mirror.or_else(|| root.mirror.clone());
    delegate.mirror_percent = delegate.mirror_percent.or(root.mirror_percent);
    delegate.mirror_percentage = delegate.mirror_percentage.or(root.mirror_percentage);
    delegate.cors_policy = delegate.cors_policy.or_else(|| root.cors_policy.clone());
    delegate.headers = delegate.headers.or_else(|| root.headers.clone());
    if delegate.mirrors.is_empty() {
        delegate.mirrors.clone_from(&root.mirrors);
    }
    Some(delegate)
}

fn joined(root: Option<&str>, own: Option<&str>) -> Option<String> {
    let given = |name: Option<&str>| name.filter(|name| !name.is_empty()).map(ToOwned::to_owned);
    match (given(root), given(own)) {
        (Some(root), Some(own)) => Some(format!("{root}-{own}")),
        (root, own) => own.or(root),
    }
}

/// Each alternative of the delegate with each of the root that it fits; one that fits none spoils all.
fn merge_matches(root: &[HttpMatch], delegate: Vec<HttpMatch>) -> Option<Vec<HttpMatch>> {
    if root.is_empty() {
        return Some(delegate);
    }
    if delegate.is_empty() {
        return Some(root.to_vec());
    }
    let mut merged = Vec::new();
    for own in &delegate {
        let before = merged.len();
        merged.extend(root.iter().filter(|root| !conflict(root, own)).map(|root| merge_match(root, own)));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

fn merge_match(root: &HttpMatch, own: &HttpMatch) -> HttpMatch {
    fn both<V: Clone>(root: &BTreeMap<String, V>, own: &BTreeMap<String, V>) -> BTreeMap<String, V> {
        root.iter().chain(own).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
    let text = |own: &Option<StringMatch>, root: &Option<StringMatch>| own.clone().or_else(|| root.clone());
    HttpMatch {
        name: joined(root.name.as_deref(), own.name.as_deref()),
        uri: text(&own.uri, &root.uri),
        scheme: text(&own.scheme, &root.scheme),
        method: text(&own.method, &root.method),
        authority: text(&own.authority, &root.authority),
        headers: both(&root.headers, &own.headers),
        without_headers: both(&root.without_headers, &own.without_headers),
        query_params: both(&root.query_params, &own.query_params),
        ignore_uri_case: own.ignore_uri_case,
        port: own.port.filter(|port| *port > 0).or(root.port),
        source_labels: both(&root.source_labels, &own.source_labels),
        source_namespace: own
            .source_namespace
            .clone()
            .filter(|name| !name.is_empty())
            .or_else(|| root.source_namespace.clone()),
        gateways: if own.gateways.is_empty() { root.gateways.clone() } else { own.gateways.clone() },
        stat_prefix: own.stat_prefix.clone().or_else(|| root.stat_prefix.clone()),
    }
}

/// Whether the delegate's condition is not part of the root's (Istio, `hasConflict`).
fn conflict(root: &HttpMatch, own: &HttpMatch) -> bool {
    let texts = [
        (&root.uri, &own.uri),
        (&root.scheme, &own.scheme),
        (&root.method, &own.method),
        (&root.authority, &own.authority),
    ];
    let maps = [
        (&root.headers, &own.headers),
        (&root.without_headers, &own.without_headers),
        (&root.query_params, &own.query_params),
    ];
    let port = |port: Option<u32>| port.filter(|port| *port > 0);
    let namespace = root.source_namespace.as_deref().unwrap_or_default();
    texts.iter().any(|(root, own)| text_conflict(root.as_ref(), own.as_ref()))
        || maps.iter().any(|(root, own)| own.iter().any(|(key, own)| text_conflict(root.get(key), Some(own))))
        || root.ignore_uri_case != own.ignore_uri_case
        || port(root.port).zip(port(own.port)).is_some_and(|(root, own)| root != own)
        || (!namespace.is_empty() && own.source_namespace.as_deref() != Some(namespace))
        || own.source_labels.iter().any(|(key, own)| root.source_labels.get(key).is_some_and(|root| root != own))
        || (!root.gateways.is_empty()
            && !own.gateways.is_empty()
            && (root.gateways.len() < own.gateways.len()
                || own.gateways.iter().any(|gateway| !root.gateways.contains(gateway))))
}

/// Istio, `stringMatchConflict`: equal, or a narrower prefix, is none.
fn text_conflict(root: Option<&StringMatch>, own: Option<&StringMatch>) -> bool {
    use StringMatch::{Exact, Prefix, Regex};
    let (Some(root), Some(own)) = (root, own) else { return false };
    match (root, own) {
        (Regex(_), Regex(_) | Prefix(_) | Exact(_)) | (Prefix(_) | Exact(_), Regex(_)) => true,
        (Exact(root), own) => !matches!(own, Exact(own) if own == root),
        (Prefix(root), Prefix(own) | Exact(own)) => !own.starts_with(root.as_str()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(yaml: &str) -> HttpMatch {
        serde_json::from_str(yaml).unwrap()
    }

    #[test]
    fn a_delegates_condition_has_to_be_part_of_the_roots() {
        for (root, own, want) in [
            (r#"{"uri": {"prefix": "/a"}}"#, r#"{"uri": {"prefix": "/a/b"}}"#, true),
            (r#"{"uri": {"prefix": "/a"}}"#, r#"{"uri": {"exact": "/a"}}"#, true),
            (r#"{"uri": {"prefix": "/a/b"}}"#, r#"{"uri": {"prefix": "/a"}}"#, false),
            (r#"{"uri": {"exact": "/a"}}"#, r#"{"uri": {"exact": "/a"}}"#, true),
            (r#"{"uri": {"exact": "/a"}}"#, r#"{"uri": {"prefix": "/a"}}"#, false),
            (r#"{"uri": {"regex": "/a"}}"#, r#"{"uri": {"regex": "/a"}}"#, false),
            (r#"{"uri": {"prefix": "/a"}}"#, r#"{"uri": {"regex": "/a/b"}}"#, false),
            (r#"{"uri": {"prefix": "/a"}}"#, r#"{"headers": {"x": {"exact": "y"}}}"#, true),
            (r#"{"headers": {"x": {"exact": "y"}}}"#, r#"{"headers": {"x": {"exact": "z"}}}"#, false),
            (r#"{"port": 80}"#, r#"{"port": 81}"#, false),
            (r#"{"port": 80}"#, r"{}", true),
            (r#"{"sourceNamespace": "a"}"#, r"{}", false),
            (r#"{"sourceLabels": {"a": "b"}}"#, r#"{"sourceLabels": {"a": "c"}}"#, false),
            (r#"{"sourceLabels": {"a": "b"}}"#, r#"{"sourceLabels": {"d": "c"}}"#, true),
            (r#"{"gateways": ["a", "b"]}"#, r#"{"gateways": ["b"]}"#, true),
            (r#"{"gateways": ["a"]}"#, r#"{"gateways": ["b"]}"#, false),
            (r#"{"ignoreUriCase": true}"#, r"{}", false),
        ] {
            assert_eq!(!conflict(&matching(root), &matching(own)), want, "{root} and {own}");
        }
    }

    #[test]
    fn what_the_delegate_does_not_say_the_root_says() {
        let root: HttpRoute = serde_json::from_str(
            r#"{"name": "root", "timeout": "1s", "match": [{"name": "m", "uri": {"prefix": "/a"}}], "headers": {"request": {"remove": ["x"]}}}"#,
        )
        .unwrap();
        let own: HttpRoute = serde_json::from_str(
            r#"{"name": "own", "match": [{"method": {"exact": "GET"}}], "rewrite": {"uri": "/"}, "route": [{"destination": {"host": "h"}}]}"#,
        )
        .unwrap();
        let merged = merge(&root, own).unwrap();
        assert_eq!(merged.name.as_deref(), Some("root-own"));
        assert_eq!(merged.r#match[0].uri, Some(StringMatch::Prefix("/a".into())));
        assert_eq!(merged.r#match[0].method, Some(StringMatch::Exact("GET".into())));
        assert_eq!(merged.r#match[0].name.as_deref(), Some("m"));
        assert!(merged.timeout.is_some() && merged.headers.is_some() && merged.rewrite.is_some());
    }
}
