//! Conditions of rules (Istio, `TranslateRouteMatch` and `sourceMatchHTTP` in `pilot/pkg/networking/core/route/route.go`).

use std::collections::BTreeMap;

use malha_manifest::istio::{HttpMatch, StringMatch};
use malha_routing::{ClaimMatch, Condition, Field, HeaderMatch, Labels, PathMatch, Pattern, QueryMatch, TextMatch};

use super::profiles::Pair;
use super::rules::serves;

/// The beginning of a header's name that means a claim of the request's token.
const CLAIMS: &str = "@request.auth.claims";

/// One of a rule's conditions: when it counts at all, and what it asks of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Alternative {
    pub(super) name: Option<String>,
    port: Option<u32>,
    gateways: Vec<String>,
    source_namespace: Option<String>,
    source_labels: Vec<Pair>,
    condition: Condition,
}

/// For whom conditions are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Viewer<'a> {
    /// `mesh`, or `namespace/name` of a gateway.
    pub(super) gateway: &'a str,
    /// Port that requests come in on.
    pub(super) port: u16,
    /// Namespace of the proxies.
    pub(super) namespace: &'a str,
    /// Labels of the proxies, as far as anything asks for them.
    pub(super) labels: &'a Labels,
}

impl Alternative {
    /// # Errors
    /// The field, and what is wrong with it.
    pub(super) fn new(written: &HttpMatch) -> Result<Self, String> {
        Ok(Self {
            name: written.name.clone().filter(|name| !name.is_empty()),
            port: written.port.filter(|port| *port > 0),
            gateways: written.gateways.clone(),
            source_namespace: written.source_namespace.clone().filter(|name| !name.is_empty()),
            source_labels: written.source_labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            condition: condition(written)?,
        })
    }

    /// Whether [`Self::seen_by`] gives a condition.
    pub(super) fn stands(&self, viewer: Viewer<'_>, namespace: &str) -> bool {
        if self.port.is_some_and(|port| port != u32::from(viewer.port)) {
            return false;
        }
        if !self.gateways.is_empty() {
            return serves(&self.gateways, namespace, viewer.gateway);
        }
        let labels = self.source_labels.iter().all(|(key, value)| viewer.labels.get(key) == Some(value));
        labels && self.source_namespace.as_ref().is_none_or(|name| name == viewer.namespace)
    }

    /// The condition as far as it is left to the request; `None`: nobody here meets it. With `gateways` neither labels nor
    /// namespace of the caller count.
    pub(super) fn seen_by(&self, viewer: Viewer<'_>, namespace: &str) -> Option<Condition> {
        self.stands(viewer, namespace).then(|| self.condition.clone())
    }

    /// The labels that it asks callers for.
    pub(super) fn source_labels(&self) -> &[Pair] {
        &self.source_labels
    }
}

fn condition(written: &HttpMatch) -> Result<Condition, String> {
    let path = match &written.uri {
        Some(StringMatch::Exact(path)) => Some(PathMatch::Exact(path.clone())),
        // As if there were no condition: both are Envoy's prefix `/`.
        Some(StringMatch::Prefix(path)) if path == "/" => None,
        Some(StringMatch::Prefix(path)) => Some(PathMatch::Prefix(path.clone())),
        Some(StringMatch::Regex(source)) => {
            Some(PathMatch::Regex(Pattern::new(source).map_err(|why| format!("uri.regex: {why}"))?))
        }
        None | Some(StringMatch::Present) => None,
    };
    let own = |field: &str, written: &Option<StringMatch>| {
        written.as_ref().map(|written| text(written).map_err(|why| format!("{field}: {why}"))).transpose()
    };
    let mut condition = Condition {
        path,
        ignore_path_case: written.ignore_uri_case,
        scheme: own("scheme", &written.scheme)?,
        method: own("method", &written.method)?,
        authority: own("authority", &written.authority)?,
        ..Condition::default()
    };
    let mut found = Vec::new();
    headers(&mut condition, &mut found, "headers", &written.headers, false)?;
    headers(&mut condition, &mut found, "withoutHeaders", &written.without_headers, true)?;
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    condition.headers = found.into_iter().map(|(_, header)| header).collect();
    for (name, value) in &written.query_params {
        let value = text(value).map_err(|why| format!("queryParams.{name}: {why}"))?;
        condition.query.push(QueryMatch { name: name.clone(), value });
    }
    Ok(condition)
}

fn headers(
    condition: &mut Condition,
    found: &mut Vec<(String, HeaderMatch)>,
    field: &str,
    written: &BTreeMap<String, StringMatch>,
    inverted: bool,
) -> Result<(), String> {
    for (name, value) in written {
        let value = text(value).map_err(|why| format!("{field}.{name}: {why}"))?;
        if let Some(path) = claim(name) {
            condition.claims.push(ClaimMatch { path, value, inverted });
            continue;
        }
        let parsed = Field::parse(name).ok_or_else(|| format!("{field}.{name}: no request can have such a header"))?;
        found.push((name.clone(), HeaderMatch { name: parsed, value, inverted }));
    }
    Ok(())
}

/// The claim that a header's name means: `@request.auth.claims.a.b` or `@request.auth.claims[a][b]` (Istio,
/// `pkg/jwt/routing.go`).
fn claim(name: &str) -> Option<Vec<String>> {
    let beginning = name.get(..CLAIMS.len())?;
    let rest = beginning.eq_ignore_ascii_case(CLAIMS).then(|| &name[CLAIMS.len()..])?;
    let parts = |text: &str, between: &str| text.split(between).map(ToOwned::to_owned).collect();
    if let Some(dotted) = rest.strip_prefix('.').filter(|rest| !rest.is_empty()) {
        return Some(parts(dotted, "."));
    }
    let inner = rest.strip_prefix('[')?.strip_suffix(']').filter(|inner| !inner.is_empty())?;
    Some(parts(inner, "]["))
}

/// A comparison. `*` as an expression is no expression, and means that there is a value at all.
pub(super) fn text(written: &StringMatch) -> Result<TextMatch, String> {
    Ok(match written {
        StringMatch::Exact(text) => TextMatch::Exact(text.clone()),
        StringMatch::Prefix(text) => TextMatch::Prefix(text.clone()),
        StringMatch::Present => TextMatch::Present,
        StringMatch::Regex(source) if source == "*" => TextMatch::Present,
        StringMatch::Regex(source) => TextMatch::Regex(Pattern::new(source)?),
    })
}

/// Whether a condition takes every request (Istio, `IsCatchAllRoute`).
pub(super) fn is_everything(condition: &Condition) -> bool {
    let path = match &condition.path {
        None => true,
        Some(PathMatch::Prefix(prefix)) => prefix == "/",
        Some(PathMatch::Regex(pattern)) => pattern.as_str() == ".*",
        Some(PathMatch::Exact(_)) => false,
    };
    path && *condition
        == Condition {
            path: condition.path.clone(),
            ignore_path_case: condition.ignore_path_case,
            ..Condition::default()
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str) -> HttpMatch {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_claim_is_a_header_with_a_name_of_its_own() {
        let names = |text: &str| Some(text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>());
        for (name, want) in [
            ("@request.auth.claims.group", names("group")),
            ("@Request.Auth.Claims.a.b", names("a b")),
            ("@request.auth.claims[a.b][c]", names("a.b c")),
            ("@request.auth.claims", None),
            ("@request.auth.claims.", None),
            ("@request.auth.claims[]", None),
            ("x-group", None),
        ] {
            assert_eq!(claim(name), want, "{name}");
        }
    }

    #[test]
    fn what_takes_everything_is_known() {
        for (json, want) in [
            (r"{}", true),
            (r#"{"uri": {"prefix": "/"}}"#, true),
            (r#"{"uri": {"regex": ".*"}}"#, true),
            (r#"{"uri": {"prefix": "/"}, "ignoreUriCase": true}"#, true),
            (r#"{"uri": {"exact": "/"}}"#, false),
            (r#"{"uri": {"prefix": "/a"}}"#, false),
            (r#"{"method": {"exact": "GET"}}"#, false),
            (r#"{"headers": {"x": {}}}"#, false),
            (r#"{"queryParams": {"x": {"exact": "y"}}}"#, false),
            (r#"{"headers": {"@request.auth.claims.a": {"exact": "y"}}}"#, false),
        ] {
            assert_eq!(is_everything(&condition(&written(json)).unwrap()), want, "{json}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        for (json, want) in [
            (r#"{"uri": {"regex": "("}}"#, "uri.regex: "),
            (r#"{"headers": {"x": {"regex": "[" }}}"#, "headers.x: "),
            (r#"{"withoutHeaders": {":status": {"exact": "/" }}}"#, "withoutHeaders.:status: no request"),
            (r#"{"queryParams": {"q": {"regex": "(" }}}"#, "queryParams.q: "),
        ] {
            let error = condition(&written(json)).unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
    }

    #[test]
    fn who_asks_decides_where_a_condition_stands() {
        let labels: Labels = [("istio".to_owned(), "ingressgateway".to_owned())].into();
        let web: Labels = [("app".to_owned(), "web".to_owned())].into();
        let sidecar = Viewer { gateway: "mesh", port: 80, namespace: "default", labels: &web };
        let gateway = Viewer { gateway: "default/g", port: 80, namespace: "istio-system", labels: &labels };
        for (json, at_sidecar, at_gateway) in [
            (r"{}", true, true),
            (r#"{"port": 80}"#, true, true),
            (r#"{"port": 81}"#, false, false),
            (r#"{"port": 0}"#, true, true),
            (r#"{"gateways": ["mesh"]}"#, true, false),
            (r#"{"gateways": ["g"]}"#, false, true),
            (r#"{"gateways": ["g"], "sourceLabels": {"a": "b"}, "sourceNamespace": "x"}"#, false, true),
            (r#"{"sourceNamespace": "default"}"#, true, false),
            (r#"{"sourceNamespace": "other"}"#, false, false),
            (r#"{"sourceLabels": {"istio": "ingressgateway"}}"#, false, true),
            (r#"{"sourceLabels": {"app": "web"}}"#, true, false),
            (r#"{"sourceLabels": {"app": "web", "a": "b"}}"#, false, false),
        ] {
            let alternative = Alternative::new(&written(json)).unwrap();
            assert_eq!(alternative.seen_by(sidecar, "default").is_some(), at_sidecar, "{json} at a sidecar");
            assert_eq!(alternative.seen_by(gateway, "default").is_some(), at_gateway, "{json} at the gateway");
        }
    }
}
