//! Cross-origin requests (Istio, `CorsPolicy`; Envoy, the filter `cors`, `cors_filter.cc`). Routes that redirect or answer
//! themselves have none of this.

use http::{HeaderMap, HeaderValue, Method, header};

use crate::text::TextMatch;

/// Which other origins' scripts may use a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins.
    pub origins: Vec<TextMatch>,
    /// `access-control-allow-methods`; `*` allows the one that is asked for.
    pub methods: Option<HeaderValue>,
    /// `access-control-allow-headers`; `*` allows those that are asked for.
    pub headers: Option<HeaderValue>,
    /// `access-control-expose-headers`.
    pub exposed: Option<HeaderValue>,
    /// `access-control-max-age`, in seconds.
    pub max_age: Option<HeaderValue>,
    /// `access-control-allow-credentials: true`.
    pub credentials: bool,
    /// Whether a preflight from another origin goes on to the service: Istio's default (`unmatchedPreflights`).
    pub forward_unmatched: bool,
}

/// What cross-origin rules make of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsDecision {
    /// It goes on, and its answer stays as it is.
    Pass,
    /// It goes on, and its answer is to be [marked](Cors::mark) with this origin.
    Mark(HeaderValue),
    /// It is a preflight: 200 with these headers and no body. The route's own changes to responses are not for it.
    Answer(HeaderMap),
}

impl Cors {
    /// What becomes of a request.
    pub fn decide(&self, method: &Method, request: &HeaderMap) -> CorsDecision {
        let Some(origin) = request.get(header::ORIGIN).filter(|origin| !origin.is_empty()) else {
            return CorsDecision::Pass;
        };
        let allowed = self.allows(origin.as_bytes());
        let asked = |name| request.get(name).filter(|value: &&HeaderValue| !value.is_empty());
        let wanted = asked(header::ACCESS_CONTROL_REQUEST_METHOD).filter(|_| *method == Method::OPTIONS);
        match wanted {
            Some(wanted) if allowed || !self.forward_unmatched => {
                let wanted_headers = asked(header::ACCESS_CONTROL_REQUEST_HEADERS);
                CorsDecision::Answer(self.preflight(allowed.then_some(origin), wanted, wanted_headers))
            }
            _ if allowed => CorsDecision::Mark(origin.clone()),
            _ => CorsDecision::Pass,
        }
    }

    /// Tells the client of an answer that scripts from `origin` may read it. The service's own word is replaced.
    pub fn mark(&self, origin: &HeaderValue, response: &mut HeaderMap) {
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(exposed) = &self.exposed {
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    /// Envoy takes a rule that would match the text `*` as one for all.
    fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| allowed.matches("*") || allowed.matches(origin))
    }

    /// With an origin that is not allowed, whoever asks still learns of methods and headers, as Envoy has it.
    fn preflight(
        &self,
        origin: Option<&HeaderValue>,
        wanted: &HeaderValue,
        wanted_headers: Option<&HeaderValue>,
    ) -> HeaderMap {
        let mut out = HeaderMap::new();
        if let Some(origin) = origin {
            self.mark(origin, &mut out);
        } else if self.credentials {
            out.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(methods) = &self.methods {
            let methods = if methods == "*" { wanted } else { methods };
            out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
        }
        if let Some(headers) = &self.headers {
            let headers = if headers == "*" { wanted_headers.cloned() } else { Some(headers.clone()) };
            let headers = headers.unwrap_or(HeaderValue::from_static(""));
            out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
        }
        if let Some(max_age) = &self.max_age {
            out.insert(header::ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Pattern;

    const FULL: &str = "access-control-allow-credentials: true\naccess-control-allow-headers: x-h\n\
        access-control-allow-methods: GET,POST\naccess-control-expose-headers: x-e\naccess-control-max-age: 86400";

    fn value(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    fn full() -> Cors {
        Cors {
            origins: vec![
                TextMatch::Exact("http://a".into()),
                TextMatch::Prefix("https://p".into()),
                TextMatch::Regex(Pattern::new("https?://r[.]x").unwrap()),
            ],
            methods: Some(value("GET,POST")),
            headers: Some(value("x-h")),
            exposed: Some(value("x-e")),
            max_age: Some(value("86400")),
            credentials: true,
            forward_unmatched: true,
        }
    }

    fn star() -> Cors {
        let star = || value("*");
        Cors {
            origins: vec![TextMatch::Exact("*".into())],
            methods: Some(star()),
            headers: Some(star()),
            ..Cors::default()
        }
    }

    fn strict() -> Cors {
        let origins = vec![TextMatch::Exact("http://a".into())];
        Cors { origins, methods: Some(value("GET")), max_age: Some(value("0")), ..Cors::default() }
    }

    fn text(headers: &HeaderMap) -> String {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines.join("\n")
    }

    fn decide(cors: &Cors, method: &Method, lines: &[(&'static str, &'static str)]) -> CorsDecision {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        cors.decide(method, &headers)
    }

    /// All tried with Envoy 1.40.
    #[test]
    fn a_preflight_is_answered_as_envoy_does_it() {
        let asked = ("access-control-request-method", "PUT");
        let headers = ("access-control-request-headers", "x-q");
        for (cors, origin, want) in [
            (full(), "http://a", Some(format!("{FULL}\naccess-control-allow-origin: http://a"))),
            (full(), "https://pp", Some(format!("{FULL}\naccess-control-allow-origin: https://pp"))),
            (full(), "http://r.x", Some(format!("{FULL}\naccess-control-allow-origin: http://r.x"))),
            (full(), "http://bad", None),
            (full(), "", None),
            (
                star(),
                "http://any",
                Some(
                    "access-control-allow-headers: x-q\naccess-control-allow-methods: PUT\n\
                     access-control-allow-origin: http://any"
                        .into(),
                ),
            ),
            (star(), "", None),
            (
                strict(),
                "http://a",
                Some(
                    "access-control-allow-methods: GET\naccess-control-allow-origin: http://a\n\
                     access-control-max-age: 0"
                        .into(),
                ),
            ),
            (strict(), "http://bad", Some("access-control-allow-methods: GET\naccess-control-max-age: 0".into())),
        ] {
            let decision = decide(&cors, &Method::OPTIONS, &[("origin", origin), asked, headers]);
            let got = if let CorsDecision::Answer(headers) = &decision { Some(text(headers)) } else { None };
            let sorted = want.map(|want| {
                let mut lines: Vec<&str> = want.lines().collect();
                lines.sort_unstable();
                lines.join("\n")
            });
            assert_eq!(got, sorted, "{origin} and {cors:?}");
        }
    }

    /// All tried with Envoy 1.40.
    #[test]
    fn any_other_answer_is_marked_for_origins_that_may_read_it() {
        let asked = ("access-control-request-method", "PUT");
        for (method, lines, marked) in [
            (Method::GET, &[("origin", "http://a")] as &[_], true),
            (Method::GET, &[("origin", "http://bad")], false),
            (Method::GET, &[("origin", "")], false),
            (Method::GET, &[], false),
            (Method::GET, &[("origin", "http://a"), asked], true),
            (Method::OPTIONS, &[("origin", "http://a")], true),
        ] {
            let want =
                if marked { CorsDecision::Mark(HeaderValue::from_static("http://a")) } else { CorsDecision::Pass };
            assert_eq!(decide(&full(), &method, lines), want, "{method} {lines:?}");
        }
        let mut response = HeaderMap::new();
        response.append("access-control-allow-origin", HeaderValue::from_static("the service's"));
        full().mark(&HeaderValue::from_static("http://a"), &mut response);
        assert_eq!(
            text(&response),
            "access-control-allow-credentials: true\naccess-control-allow-origin: http://a\n\
             access-control-expose-headers: x-e"
        );
    }
}
