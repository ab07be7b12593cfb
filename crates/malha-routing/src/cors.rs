//! Cross-origin requests (Istio, `CorsPolicy`; Envoy, the filter `cors`).

use http::HeaderValue;

use crate::text::TextMatch;

/// Which other origins' scripts may use a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Origins.
    pub origins: Vec<TextMatch>,
    /// `access-control-allow-methods`.
    pub methods: Option<HeaderValue>,
    /// `access-control-allow-headers`.
    pub headers: Option<HeaderValue>,
    /// `access-control-expose-headers`.
    pub exposed: Option<HeaderValue>,
    /// `access-control-max-age`.
    pub max_age: Option<HeaderValue>,
    /// `access-control-allow-credentials: true`.
    pub credentials: bool,
    /// Whether a preflight from another origin goes on to the service.
    pub forward_unmatched: bool,
}
