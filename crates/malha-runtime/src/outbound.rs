//! Calls that guests make: to whom they may go, and who carries them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Uri};

use crate::body::Body;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Name of the pod.
    pub pod: Arc<str>,
    /// Namespace of the pod.
    pub namespace: Arc<str>,
    /// How many calls led here: 1 for a call made while answering a request from outside the mesh.
    pub depth: usize,
}

/// Why a call had no response. Each becomes the `wasi:http` error code of the same name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody of that name.
    #[error("destination not found")]
    DestinationNotFound,
    /// Nobody listens.
    #[error("connection refused")]
    ConnectionRefused,
    /// The connection ended before the response.
    #[error("connection terminated")]
    ConnectionTerminated,
    /// No connection in time.
    #[error("connection timeout")]
    ConnectionTimeout,
    /// No response in time.
    #[error("response timeout after {0:?}")]
    ResponseTimeout(Duration),
    /// The other side's certificate, or its TLS, is not to be trusted.
    #[error("TLS error: {0}")]
    Tls(String),
    /// The other side does not speak HTTP as we do.
    #[error("protocol error: {0}")]
    Protocol(String),
}

/// Carries what guests call. Implemented by the mesh, as a pod's sidecar would.
pub trait Outbound: Send + Sync + 'static {
    /// Sends `request`, whose URI is absolute, and waits for the head of the response.
    fn call(
        &self,
        caller: Caller,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Body>, CallError>> + Send>>;
}

/// Spin's `allowed_outbound_hosts`: what a component may call. An empty list allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Allowed>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    /// `None`: any.
    scheme: Option<String>,
    host: HostRule,
    port: PortRule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostRule {
    Any,
    /// `.example.com`
    Suffix(String),
    Exact(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PortRule {
    Any,
    /// The first belongs to it, the second does not (Spin's `start..end`).
    Range(u16, u16),
    One(u16),
}

impl AllowedHosts {
    /// Reads the entries, each `scheme://host[:port]`, where `*` stands for any scheme, any host, any first labels of
    /// a host (`*.example.com`) or any port; a port may be a range (`8000..9000`, without its end). Without a port, the scheme's own.
    ///
    /// # Errors
    /// A sentence that names the entry and what is wrong with it.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        entries.into_iter().map(parse_entry).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a request to `uri` may go out.
    pub fn allow(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        let Some(port) = uri.port_u16().or_else(|| default_port(scheme)) else { return false };
        self.0.iter().any(|rule| rule.allows(scheme, host, port))
    }
}

impl Allowed {
    fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        let scheme_fits = self.scheme.as_deref().is_none_or(|want| want == scheme);
        let host_fits = match &self.host {
            HostRule::Any => true,
            HostRule::Exact(want) => host.eq_ignore_ascii_case(want),
            HostRule::Suffix(suffix) => {
                host.len() > suffix.len()
                    && host.is_char_boundary(host.len() - suffix.len())
                    && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
            }
        };
        let port_fits = match self.port {
            PortRule::Any => true,
            PortRule::Range(low, high) => (low..high).contains(&port),
            PortRule::One(one) => port == one,
        };
        scheme_fits && host_fits && port_fits
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn parse_entry(entry: &str) -> Result<Allowed, String> {
    let wrong = |what: &str| format!("allowed_outbound_hosts entry `{entry}` {what}; write scheme://host[:port]");
    let (scheme, rest) = entry.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#', '@']) {
        return Err(wrong("has more than a host and a port"));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let host = match host {
        "" => return Err(wrong("has no host")),
        "*" => HostRule::Any,
        "self" => return Err(wrong("names `self`, which bypasses the mesh: call the service by its name")),
        _ if host.ends_with(".spin.internal") => {
            return Err(wrong("names a component through spin.internal, which bypasses the mesh: call its service"));
        }
        _ => match host.strip_prefix("*.") {
            Some(suffix) if !suffix.contains('*') => HostRule::Suffix(format!(".{suffix}")),
            None if !host.contains('*') => HostRule::Exact(host.to_owned()),
            _ => return Err(wrong("has a `*` in the middle of its host")),
        },
    };
    let port = match port {
        Some("*") => PortRule::Any,
        Some(text) => {
            let number = |text: &str| text.parse().map_err(|_| wrong("has a port that is no number up to 65535"));
            match text.split_once("..") {
                Some((low, high)) => PortRule::Range(number(low)?, number(high)?),
                None => PortRule::One(number(text)?),
            }
        }
        None => PortRule::One(default_port(scheme).ok_or_else(|| wrong("has a scheme without a port of its own"))?),
    };
    Ok(Allowed { scheme: (scheme != "*").then(|| scheme.to_owned()), host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_goes_out() {
        for (entry, uri, want) in [
            ("http://posts-service", "http://posts-service/posts", true),
            ("http://posts-service", "http://posts-service:8080/", false),
            ("http://posts-service", "https://posts-service/", false),
            ("http://*:*", "http://anyone:1234/", true),
            ("https://*", "https://example.com/", true),
            ("https://*", "https://example.com:8443/", false),
            ("*://*:*", "https://example.com:8443/", true),
            ("https://*.example.com", "https://api.Example.com/", true),
            ("https://*.example.com", "https://example.com/", false),
            ("http://localhost:8000..9000", "http://localhost:8999/", true),
            ("http://localhost:8000..9000", "http://localhost:9000/", false),
        ] {
            assert_eq!(AllowedHosts::parse([entry]).unwrap().allow(&uri.parse().unwrap()), want, "{entry} {uri}");
        }
        assert!(!AllowedHosts::default().allow(&"http://a/".parse().unwrap()));
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for (entry, what) in [
            ("posts-service", "no scheme"),
            ("http://a/b", "more than a host"),
            ("http://a:x", "no number"),
            ("http://a.*.b", "in the middle"),
            ("http://other.spin.internal", "bypasses the mesh"),
            ("redis://a", "without a port"),
            ("*://a", "without a port"),
        ] {
            let error = AllowedHosts::parse([entry]).unwrap_err();
            assert!(error.contains(entry) && error.contains(what), "{error}");
        }
    }
}
