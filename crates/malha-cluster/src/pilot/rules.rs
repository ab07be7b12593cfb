//! The HTTP rules of a `VirtualService` as routes (Istio, `BuildHTTPRoutesForVirtualService` in
//! `pilot/pkg/networking/core/route/route.go`).
//!
//! Carried out: `match` on `uri` exact and prefix, `port` and `gateways`; `route` with weights, hosts and ports;
//! `rewrite.uri`. An alternative with another condition is left out, and a rule that answers without a destination or
//! rewrites by regular expression as well: neither may take requests that it was not written for, nor send them where it does
//! not want them. What a rule asks for besides (timeouts, retries, faults, mirrors, headers, CORS) does not change where a
//! request goes; malha-manifest reports it.

use std::sync::Arc;

use malha_manifest::istio::{self, HttpMatch, HttpRoute, StringMatch};
use malha_routing::{Cluster, Destination, PathMatch, Rewrite, Route, RouteMatch};

use crate::controllers::name;
use crate::object::{Key, Kind, VirtualService};

use super::Findings;
use super::registry::{Registry, full_name};

/// For whom rules are translated.
#[derive(Debug)]
pub(super) struct Entrance<'a, P> {
    pub(super) registry: &'a Registry<P>,
    /// `mesh`, or `namespace/name` of a gateway.
    pub(super) gateway: &'a str,
    /// Port that requests come in on.
    pub(super) port: u16,
}

/// Whether a list of gateways in a `VirtualService` of `namespace` names the entrance: `mesh`, or `namespace/name` of a
/// gateway. A bare name is a gateway of the same namespace; an empty list means `mesh`.
pub(crate) fn serves(gateways: &[String], namespace: &str, entrance: &str) -> bool {
    if gateways.is_empty() {
        return entrance == "mesh";
    }
    let bare = entrance.split_once('/').filter(|(home, _)| *home == namespace).map(|(_, name)| name);
    gateways.iter().any(|gateway| gateway == entrance || Some(gateway.as_str()) == bare)
}

/// A weight and where it goes.
type Share<P> = (u32, Option<Arc<Cluster<P>>>);

impl<P> Entrance<'_, P> {
    /// The routes of all rules, in order. A rule that takes everything is the last.
    pub(super) fn routes(&self, service: &VirtualService, findings: &mut Findings) -> Vec<Route<P>> {
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let mut routes = Vec::new();
        for (index, rule) in service.spec.http.iter().enumerate() {
            let mut author = Author { service, rule: index, findings };
            let Some(destination) = self.plan(rule, namespace, &mut author) else { continue };
            if rule.r#match.is_empty() {
                routes.push(destination(RouteMatch::default(), None));
                break;
            }
            for (at, condition) in rule.r#match.iter().enumerate() {
                if !self.concerns(condition, namespace) {
                    continue;
                }
                let Some(path) = author.path(at, condition) else { continue };
                let everything = is_everything(&path);
                routes.push(destination(path, condition.name.as_deref()));
                if everything {
                    return routes;
                }
            }
        }
        routes
    }

    /// Whether a condition is for this entrance at all. With `gateways` neither `sourceLabels` nor `sourceNamespace` count
    /// (`sourceMatchHTTP`).
    fn concerns(&self, condition: &HttpMatch, namespace: &str) -> bool {
        let port = condition.port.is_none_or(|port| port == 0 || port == u32::from(self.port));
        port && (condition.gateways.is_empty() || serves(&condition.gateways, namespace, self.gateway))
    }

    /// How a rule becomes a route; `None` for a rule that is left out.
    fn plan(
        &self,
        rule: &HttpRoute,
        namespace: &str,
        author: &mut Author<'_>,
    ) -> Option<impl Fn(RouteMatch, Option<&str>) -> Route<P> + use<P>> {
        let other = [
            ("redirect", rule.redirect.is_some()),
            ("directResponse", rule.direct_response.is_some()),
            ("delegate", rule.delegate.is_some()),
            (
                "rewrite.uriRegexRewrite",
                rule.rewrite.as_ref().is_some_and(|rewrite| rewrite.uri_regex_rewrite.is_some()),
            ),
        ];
        if let Some((field, _)) = other.into_iter().find(|(_, set)| *set) {
            author.report(format_args!(".{field}: not carried out yet; the rule is left out"));
            return None;
        }
        let destinations = self.destinations(&rule.route, namespace, author)?;
        let rewrite = rule.rewrite.as_ref().and_then(|rewrite| rewrite.uri.clone()).filter(|uri| !uri.is_empty());
        let rule_name = rule.name.clone().unwrap_or_default();
        Some(move |path: RouteMatch, condition: Option<&str>| Route {
            // Istio: `rule.match`.
            name: condition.map_or_else(|| rule_name.clone(), |condition| format!("{rule_name}.{condition}")),
            matches: if path.path.is_none() { Vec::new() } else { vec![path] },
            rewrite: rewrite.clone().map(|path| Rewrite { path }),
            destinations: destinations
                .iter()
                .map(|(weight, cluster)| Destination { weight: *weight, cluster: cluster.clone() })
                .collect(),
        })
    }

    fn destinations(
        &self,
        route: &[istio::RouteDestination],
        namespace: &str,
        author: &mut Author<'_>,
    ) -> Option<Vec<Share<P>>> {
        let weight = |destination: &istio::RouteDestination| {
            destination.weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(0)
        };
        let chosen: Vec<(u32, &istio::Destination)> = match route {
            // Alone, a destination takes everything.
            [only] => vec![(100, &only.destination)],
            // Several without weight or with weight zero get nothing.
            many => many.iter().map(|one| (weight(one), &one.destination)).filter(|(weight, _)| *weight > 0).collect(),
        };
        if chosen.is_empty() {
            let why = if route.is_empty() { "no destination" } else { "total destination weight = 0" };
            author.report(format_args!(".route: {why}; the rule is left out"));
            return None;
        }
        let found = chosen.into_iter().map(|(weight, destination)| {
            let cluster = self.cluster(destination, namespace);
            (
                weight,
                cluster
                    .map_err(|why| author.report(format_args!(".route: {why}; its share is answered with 503")))
                    .ok(),
            )
        });
        Some(found.collect())
    }

    /// The cluster of a destination (Istio, `GetDestinationCluster`).
    fn cluster(&self, destination: &istio::Destination, namespace: &str) -> Result<Arc<Cluster<P>>, String> {
        let host = full_name(&destination.host, namespace);
        let Some(service) = self.registry.get(&host) else {
            let short = destination.host.contains('.') && !host.ends_with(".svc.cluster.local");
            let hint = if short { " (write a name without dots, or the full one, as Istio needs it)" } else { "" };
            return Err(format!("destination {host} is no service of the mesh{hint}"));
        };
        if let Some(subset) = destination.subset.as_deref().filter(|subset| !subset.is_empty()) {
            return Err(format!("subset {subset} of {host}: subsets are not carried out yet"));
        }
        let port = match (destination.port, service.ports.as_slice()) {
            (Some(port), _) => port.number,
            (None, [(only, _)]) => u32::from(*only),
            // With several ports: the one that the request came in on.
            (None, _) => u32::from(self.port),
        };
        let cluster = u16::try_from(port).ok().and_then(|port| service.cluster(port));
        cluster.cloned().ok_or_else(|| format!("destination {host} has no port {port}"))
    }
}

/// Whether a condition takes every request (Istio, `IsCatchAllRoute`).
fn is_everything(condition: &RouteMatch) -> bool {
    match &condition.path {
        None => true,
        Some(PathMatch::Prefix(prefix)) => prefix == "/",
        Some(PathMatch::Exact(_)) => false,
    }
}

/// Where several `VirtualService`s share a host of a gateway, routes that take everything move last (Istio,
/// `SortVHostRoutes`).
pub(super) fn catch_all_last<P>(routes: &mut [Route<P>]) {
    // A stable sort: the others keep their order.
    routes.sort_by_key(|route| route.matches.is_empty() || route.matches.iter().any(is_everything));
}

/// Says whose rule it is in findings.
struct Author<'a> {
    service: &'a VirtualService,
    rule: usize,
    findings: &'a mut Findings,
}

impl Author<'_> {
    fn report(&mut self, what: std::fmt::Arguments<'_>) {
        let namespace = self.service.metadata.namespace.as_deref().unwrap_or_default();
        let key = Key::new(Kind::VirtualService, namespace, name(self.service));
        self.findings.add(key, format!("spec.http[{}]{what}", self.rule));
    }

    /// The condition on the path; `None` if the alternative has a condition that is not carried out.
    fn path(&mut self, at: usize, condition: &HttpMatch) -> Option<RouteMatch> {
        let free = condition.gateways.is_empty();
        let other = [
            ("scheme", condition.scheme.is_some()),
            ("method", condition.method.is_some()),
            ("authority", condition.authority.is_some()),
            ("headers", !condition.headers.is_empty()),
            ("withoutHeaders", !condition.without_headers.is_empty()),
            ("queryParams", !condition.query_params.is_empty()),
            ("ignoreUriCase", condition.ignore_uri_case),
            ("sourceLabels", free && !condition.source_labels.is_empty()),
            ("sourceNamespace", free && condition.source_namespace.as_ref().is_some_and(|name| !name.is_empty())),
        ];
        let mut field = other.into_iter().find(|(_, set)| *set).map(|(field, _)| field);
        let path = match &condition.uri {
            None => None,
            Some(StringMatch::Exact(path)) => Some(PathMatch::Exact(path.clone())),
            Some(StringMatch::Prefix(path)) => Some(PathMatch::Prefix(path.clone())),
            Some(StringMatch::Regex(_)) => {
                field = field.or(Some("uri.regex"));
                None
            }
            Some(StringMatch::Present) => {
                field = field.or(Some("uri"));
                None
            }
        };
        if let Some(field) = field {
            self.report(format_args!(
                ".match[{at}].{field}: not carried out yet; requests never meet this alternative"
            ));
            return None;
        }
        Some(RouteMatch { path })
    }
}
