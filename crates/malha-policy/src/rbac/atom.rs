//! The single conditions that rules are made of (Istio, `pilot/pkg/security/authz/model/generator.go`; Envoy,
//! `source/extensions/filters/common/rbac/matchers.cc`).

use std::cell::OnceCell;

use http::HeaderName;
use ipnet::IpNet;
use serde_json::Value;

use super::template::Template;
use super::text::{Glob, Text};
use crate::inline::{self, Side};
use crate::jwt::{self, Payload};
use crate::request::RequestView;

/// What begins the name in every certificate of the mesh.
const SPIFFE: &str = "spiffe://";

/// A condition that holds for a request or does not. What a request does not have, no condition holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Atom {
    Header(Field, Text),
    /// A header that is there, whatever it is.
    HeaderPresent(Field),
    /// The authority, whatever the case.
    Host(Text),
    Path(Text),
    PathTemplate(Template),
    DestinationPort(u16),
    DestinationIp(IpNet),
    SourceIp(IpNet),
    RemoteIp(IpNet),
    Sni(Text),
    Principal(Principal),
    /// Of the whole name in the certificate.
    Namespace(Glob),
    TrustDomain(Glob),
    ServiceAccount {
        namespace: String,
        name: String,
    },
    RequestPrincipal {
        issuer: Text,
        subject: Text,
    },
    Claim(Vec<String>, Text),
    /// What is not known here: metadata of Envoy's filters.
    Never,
}

/// A header, or what HTTP/2 has in place of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Method,
    Authority,
    Path,
    Scheme,
    Named(HeaderName),
}

impl Field {
    /// The header of that name; `None` if there is no such.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            ":method" => Some(Self::Method),
            ":authority" | "host" => Some(Self::Authority),
            ":path" => Some(Self::Path),
            ":scheme" => Some(Self::Scheme),
            other => HeaderName::from_bytes(other.as_bytes()).ok().map(Self::Named),
        }
    }

    fn any(&self, request: &RequestView<'_>, fits: impl Fn(&[u8]) -> bool) -> bool {
        match self {
            Self::Method => fits(request.method.as_str().as_bytes()),
            Self::Authority => fits(request.authority.as_bytes()),
            Self::Path => fits(request.path_and_query.as_bytes()),
            Self::Scheme => fits(request.scheme.as_bytes()),
            Self::Named(name) => inline::values(request.headers, Side::Request, name).any(|value| fits(&value)),
        }
    }
}

/// A value of `principals`: of the name in the certificate, without `spiffe://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal(Text);

impl Principal {
    pub(crate) fn parse(value: &str) -> Self {
        Self(Text::parse(value))
    }

    fn matches(&self, uri: &str) -> bool {
        match &self.0 {
            Text::Something => self.0.matches(uri.as_bytes()),
            text => uri.strip_prefix(SPIFFE).is_some_and(|name| text.matches(name.as_bytes())),
        }
    }
}

/// A request while it is judged.
pub(crate) struct Judged<'a> {
    pub(crate) request: RequestView<'a>,
    pub(crate) payload: Option<&'a Payload>,
    uri: OnceCell<Option<String>>,
}

impl<'a> Judged<'a> {
    pub(crate) fn new(request: RequestView<'a>, payload: Option<&'a Payload>) -> Self {
        Self { request, payload, uri: OnceCell::new() }
    }

    /// The name in the peer's certificate.
    fn uri(&self) -> Option<&str> {
        self.uri.get_or_init(|| self.request.source.map(crate::Identity::spiffe_uri)).as_deref()
    }

    fn path(&self) -> &'a str {
        let path = self.request.path_and_query;
        &path[..path.find(['?', '#']).unwrap_or(path.len())]
    }

    fn claim(&self, path: &[String]) -> Option<&'a Value> {
        self.payload.and_then(|payload| jwt::find(payload, path))
    }

    fn text_claim(&self, name: &str) -> Option<&'a str> {
        self.payload.and_then(|payload| payload.get(name)).and_then(Value::as_str)
    }
}

impl Atom {
    pub(crate) fn holds(&self, judged: &Judged<'_>) -> bool {
        let request = &judged.request;
        match self {
            Self::Header(field, text) => field.any(request, |value| text.matches(value)),
            Self::HeaderPresent(field) => field.any(request, |_| true),
            Self::Host(text) => text.matches_ignoring_case(request.authority.as_bytes()),
            Self::Path(text) => text.matches(judged.path().as_bytes()),
            Self::PathTemplate(template) => template.matches(judged.path()),
            Self::DestinationPort(port) => request.destination_port == *port,
            Self::DestinationIp(block) => block.contains(&request.destination_ip),
            Self::SourceIp(block) => block.contains(&request.source_ip),
            Self::RemoteIp(block) => block.contains(&request.remote_ip),
            Self::Sni(text) => text.matches(request.sni.unwrap_or_default().as_bytes()),
            Self::Principal(principal) => judged.uri().is_some_and(|uri| principal.matches(uri)),
            Self::Namespace(glob) => judged.uri().is_some_and(|uri| glob.matches(uri)),
            Self::TrustDomain(glob) => request.source.is_some_and(|source| glob.matches(&source.trust_domain)),
            Self::ServiceAccount { namespace, name } => {
                request.source.is_some_and(|source| source.namespace == *namespace && source.service_account == *name)
            }
            Self::RequestPrincipal { issuer, subject } => {
                let claim =
                    |name, text: &Text| judged.text_claim(name).is_some_and(|value| text.matches(value.as_bytes()));
                claim("iss", issuer) && claim("sub", subject)
            }
            Self::Claim(path, text) => match judged.claim(path) {
                Some(Value::String(value)) => text.matches(value.as_bytes()),
                Some(Value::Array(items)) => {
                    items.iter().filter_map(Value::as_str).any(|item| text.matches(item.as_bytes()))
                }
                _ => false,
            },
            Self::Never => false,
        }
    }
}
