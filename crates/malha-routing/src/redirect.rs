//! An answer that sends the client elsewhere (Istio, `HTTPRedirect`; Envoy, `RedirectAction`).

use http::StatusCode;

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
    /// This one.
    Number(u16),
    /// The scheme's own: it is not written (`derivePort: FROM_PROTOCOL_DEFAULT`).
    ProtocolDefault,
    /// That of the listener that the request came in on (`derivePort: FROM_REQUEST_PORT`).
    Request,
}

/// The path of a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPath {
    /// Replaces the whole path.
    Whole(String),
    /// Replaces what the condition matched.
    Prefix(String),
}
