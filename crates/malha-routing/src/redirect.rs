//! An answer that sends the client elsewhere (Istio, `HTTPRedirect` and `ApplyRedirect` in
//! `pilot/pkg/networking/core/route/route.go`; Envoy, `RedirectAction` and `Http::Utility::newUri`).

use http::StatusCode;

use crate::condition::Condition;
use crate::path::split_query;
use crate::request::Head;
use crate::rewrite::replace_matched;

/// Where to send the client. What is missing stays as the client asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Status: 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Host.
    pub authority: Option<String>,
    /// Port.
    pub port: RedirectPort,
    /// Path.
    pub path: Option<RedirectPath>,
}

/// The port of a redirect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedirectPort {
    /// As asked for, unless the scheme changes and it was the old scheme's own.
    #[default]
    Unchanged,
    /// `derivePort: FROM_PROTOCOL_DEFAULT`. No different from [`RedirectPort::Unchanged`]: Istio writes nothing for it.
    ProtocolDefault,
    /// This one. The scheme's own is not written, and so is no change.
    Number(u16),
    /// That of the listener that the request came in on (`derivePort: FROM_REQUEST_PORT`); else as a number.
    Request,
}

/// The path of a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPath {
    /// Replaces the whole path, and the query if there is one in it.
    Whole(String),
    /// Replaces what the condition matched.
    Prefix(String),
}

impl Redirect {
    /// The status for Istio's `redirectCode`, 0 being none; `None` for those that Envoy has no word for, with which
    /// Istio's rule has no action at all.
    pub fn status(code: u32) -> Option<StatusCode> {
        Some(match code {
            0 | 301 => StatusCode::MOVED_PERMANENTLY,
            302 => StatusCode::FOUND,
            303 => StatusCode::SEE_OTHER,
            307 => StatusCode::TEMPORARY_REDIRECT,
            308 => StatusCode::PERMANENT_REDIRECT,
            _ => return None,
        })
    }

    /// What `location` says to a request that met `condition` and came in on `listener_port`.
    pub fn location(&self, head: &Head<'_>, condition: &Condition, listener_port: u16) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(head.scheme);
        let port = match self.port {
            RedirectPort::Unchanged | RedirectPort::ProtocolDefault => None,
            RedirectPort::Number(port) => Some(port),
            RedirectPort::Request => Some(listener_port),
        };
        let port = port.filter(|port| !matches!((scheme, port), (_, 0) | ("http", 80) | ("https", 443)));
        let authority = match &self.authority {
            Some(authority) if !authority.is_empty() => authority,
            _ => requested_host(head, scheme, port.is_some()),
        };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let (path, query) = split_query(head.path_and_query);
        let target = match &self.path {
            Some(RedirectPath::Whole(to)) if to.contains('?') => to.clone(),
            Some(RedirectPath::Whole(to)) if !to.is_empty() => format!("{to}{query}"),
            Some(RedirectPath::Prefix(to)) if !to.is_empty() => {
                format!("{}{query}", replace_matched(condition, path, to))
            }
            _ => head.path_and_query.to_owned(),
        };
        // Envoy adds what is missing: `http://hostnew` would be another host.
        let slash = if target.starts_with('/') { "" } else { "/" };
        format!("{scheme}://{authority}{port}{slash}{target}")
    }
}

/// What `location` says where a server answers `https` only (Envoy, `createSslRedirectPath`, with 301): nothing else
/// changes, not even a port.
pub fn https_location(head: &Head<'_>) -> String {
    format!("https://{}{}", head.authority, head.path_and_query)
}

/// The authority as asked for, without a port that a new one replaces or that was the old scheme's own.
fn requested_host<'a>(head: &Head<'a>, scheme: &str, new_port: bool) -> &'a str {
    // Envoy compares with what the client spoke, wherever the scheme comes from.
    let spoken = head.headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).unwrap_or(head.scheme);
    let colon = match head.authority.strip_prefix('[') {
        Some(_) => head.authority.rfind("]:").map(|at| at + 1),
        None => head.authority.rfind(':'),
    };
    let Some((host, port)) = colon.map(|at| head.authority.split_at(at)) else {
        return head.authority;
    };
    let was_default = scheme != spoken && matches!((spoken, port), ("https", ":443") | ("http", ":80"));
    if new_port || was_default { host } else { head.authority }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};
    use proptest::prelude::*;

    use super::*;
    use crate::condition::PathMatch;
    use crate::workload::Labels;

    fn location(redirect: &Redirect, authority: &str, target: &str) -> String {
        located(redirect, "http", authority, target, &HeaderMap::new())
    }

    fn located(redirect: &Redirect, scheme: &str, authority: &str, target: &str, headers: &HeaderMap) -> String {
        let source = Labels::new();
        let method = Method::GET;
        let head =
            Head { method: &method, scheme, authority, path_and_query: target, headers, claims: None, source: &source };
        redirect.location(&head, &Condition::path_only(PathMatch::Prefix("/old/".into())), 8080)
    }

    fn plain() -> Redirect {
        Redirect { status: StatusCode::FOUND, scheme: None, authority: None, port: RedirectPort::Unchanged, path: None }
    }

    fn whole(path: &str) -> Redirect {
        Redirect { path: Some(RedirectPath::Whole(path.into())), ..plain() }
    }

    /// All tried with Envoy 1.40, with the ports that Istio writes.
    #[test]
    fn a_redirect_goes_where_envoy_sends_it() {
        let to = |scheme: &str, authority: &str, port| Redirect {
            scheme: (!scheme.is_empty()).then(|| scheme.to_owned()),
            authority: (!authority.is_empty()).then(|| authority.to_owned()),
            port,
            ..plain()
        };
        let unchanged = RedirectPort::Unchanged;
        for (redirect, authority, want) in [
            (whole("/new"), "h", "http://h/new?q=1"),
            (whole("/new?z=1"), "h", "http://h/new?z=1"),
            (whole("new"), "h", "http://h/new?q=1"),
            (whole("new?z=1"), "h", "http://h/new?z=1"),
            (Redirect { path: Some(RedirectPath::Prefix("new".into())), ..plain() }, "h", "http://h/newx?q=1"),
            (whole(""), "h:1", "http://h:1/old/x?q=1"),
            (Redirect { path: Some(RedirectPath::Prefix("/new/".into())), ..plain() }, "h", "http://h/new/x?q=1"),
            (to("", "other", unchanged), "h:80", "http://other/old/x?q=1"),
            (to("", "other:99", unchanged), "h", "http://other:99/old/x?q=1"),
            (to("", "other:99", RedirectPort::Number(8443)), "h", "http://other:99:8443/old/x?q=1"),
            (to("https", "", unchanged), "h", "https://h/old/x?q=1"),
            (to("https", "", unchanged), "h:80", "https://h/old/x?q=1"),
            (to("https", "", unchanged), "h:443", "https://h:443/old/x?q=1"),
            (to("https", "", unchanged), "h:8080", "https://h:8080/old/x?q=1"),
            (to("https", "", RedirectPort::Number(444)), "h:8080", "https://h:444/old/x?q=1"),
            (to("", "", RedirectPort::Number(8443)), "h:8080", "http://h:8443/old/x?q=1"),
            (to("", "", RedirectPort::Number(8443)), "[::1]", "http://[::1]:8443/old/x?q=1"),
            (to("https", "", unchanged), "[::1]:80", "https://[::1]/old/x?q=1"),
            (to("", "", RedirectPort::Number(80)), "h:8080", "http://h:8080/old/x?q=1"),
            (to("https", "", RedirectPort::Number(443)), "h:80", "https://h/old/x?q=1"),
            (to("", "", RedirectPort::Request), "h:80", "http://h:8080/old/x?q=1"),
            (to("", "", RedirectPort::Request), "h", "http://h:8080/old/x?q=1"),
        ] {
            assert_eq!(location(&redirect, authority, "/old/x?q=1"), want, "{redirect:?} of {authority}");
        }
    }

    #[test]
    fn the_port_that_goes_is_that_of_what_the_client_spoke() {
        let redirect = Redirect { scheme: Some("http".into()), ..plain() };
        let mut headers = HeaderMap::new();
        assert_eq!(located(&redirect, "https", "h:443", "/", &headers), "http://h/");
        headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
        assert_eq!(located(&redirect, "https", "h:443", "/", &headers), "http://h:443/");
    }

    #[test]
    fn only_envoys_statuses_redirect() {
        for (code, want) in [(0, Some(301)), (301, Some(301)), (302, Some(302)), (303, Some(303)), (307, Some(307))] {
            assert_eq!(Redirect::status(code).map(|status| status.as_u16()), want);
        }
        assert_eq!((Redirect::status(308).map(|s| s.as_u16()), Redirect::status(300)), (Some(308), None));
    }

    proptest! {
        #[test]
        fn any_redirect_keeps_what_it_does_not_change(
            authority in "[a-z\\[\\]:0-9]{1,8}", path in "/[a-z]{0,4}", query in "([?][a-z]{0,3})?",
            port in prop_oneof![Just(RedirectPort::Unchanged), Just(RedirectPort::Request), any::<u16>().prop_map(RedirectPort::Number)]
        ) {
            let target = format!("{path}{query}");
            let got = location(&Redirect { port, ..plain() }, &authority, &target);
            prop_assert!(got.starts_with("http://") && got.ends_with(&target));
            if port == RedirectPort::Unchanged {
                prop_assert_eq!(got, format!("http://{authority}{target}"));
            }
        }

        #[test]
        fn any_input_has_a_location(authority: String, target: String, to: String) {
            location(&whole(&to), &authority, &target);
            location(&Redirect { path: Some(RedirectPath::Prefix(to)), ..plain() }, &authority, &target);
        }
    }
}
