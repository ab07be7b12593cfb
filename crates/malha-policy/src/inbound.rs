//! Everything that the inbound proxy of a workload demands, in Istio's order (`pilot/pkg/networking/core/listener_inbound.go`
//! and `filterchain_options.go`): the connection, the tokens, the rules.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};

use crate::jwt::{JwtRules, Payload, Status, Verified};
use crate::peer::{self, PeerModes};
use crate::rbac::{Authorization, Refusal};
use crate::request::RequestView;

/// How much of the path a 401 repeats (Envoy, `source/extensions/filters/http/jwt_authn/filter.cc`).
const REALM_PATH: usize = 256;

/// What a workload's inbound proxy demands of whoever calls. Its default demands nothing.
#[derive(Clone, Debug, Default)]
pub struct InboundPolicy {
    /// Which connections are let in.
    pub peer: PeerModes,
    /// Whose tokens are taken.
    pub jwt: JwtRules,
    /// Who may call what.
    pub authorization: Authorization,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Decision<'p> {
    /// It goes on to the pod.
    Allowed(Allowed<'p>),
    /// It is answered here.
    Denied(Denied<'p>),
    /// Its connection is closed without an answer: plaintext where mutual TLS is demanded.
    Closed,
}

/// How a request goes on.
#[derive(Clone, Debug, Default)]
pub struct Allowed<'p> {
    /// Its headers, if they are other than before: tokens taken, claims told.
    pub headers: Option<HeaderMap>,
    /// Its path and query, if a token was taken out of it.
    pub path_and_query: Option<String>,
    /// The claims of its token, also for routes by `@request.auth.claims`.
    pub payload: Option<Payload>,
    /// What is told of it.
    pub told: Told<'p>,
}

/// An answer in place of the pod's.
#[derive(Clone, Debug)]
pub struct Denied<'p> {
    /// 401, 403 or 503.
    pub status: StatusCode,
    /// The body, as `text/plain`.
    pub body: Cow<'static, str>,
    /// The header `www-authenticate`.
    pub www_authenticate: Option<String>,
    /// Why, as Envoy's access log has it (`%RESPONSE_CODE_DETAILS%`).
    pub details: String,
    /// What else is told of it.
    pub told: Told<'p>,
}

/// What policies that change nothing say of a request. Rules are named as in Envoy's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told<'p> {
    /// The `AUDIT` rule that it matches.
    pub audit: Option<&'p str>,
    /// What policies with `istio.io/dry-run` would have refused it for.
    pub dry_run: Option<Refusal<'p>>,
}

impl InboundPolicy {
    /// Decides about a request at `now`, in seconds since 1970. Without policies this copies and allocates nothing.
    pub fn check(&self, request: &RequestView<'_>, now: u64) -> Decision<'_> {
        if !peer::accepts(self.peer.mode(request.destination_port), request.source.is_none()) {
            return Decision::Closed;
        }
        let verified = match self.jwt.verify(request, now) {
            Ok(verified) => verified,
            Err(status) => return Decision::Denied(bad_token(status, request)),
        };
        let Verified { payload, headers, path_and_query, invalid_header } = verified;
        let changed = RequestView {
            headers: headers.as_ref().unwrap_or(request.headers),
            path_and_query: path_and_query.as_deref().unwrap_or(request.path_and_query),
            ..*request
        };
        let verdict = self.authorization.judge(&changed, payload.as_ref());
        let told = Told { audit: verdict.audit, dry_run: verdict.dry_run };
        if let Some(refusal) = verdict.refusal {
            return Decision::Denied(Denied {
                status: StatusCode::FORBIDDEN,
                body: Cow::Borrowed("RBAC: access denied"),
                www_authenticate: None,
                details: details(&refusal.details()),
                told,
            });
        }
        if let Some(name) = invalid_header {
            let body = format!("invalid header value for: {name}");
            return Decision::Denied(Denied {
                status: StatusCode::SERVICE_UNAVAILABLE,
                details: details(&format!("filter_removed_required_request_headers{{{body}}}")),
                body: Cow::Owned(body),
                www_authenticate: None,
                told,
            });
        }
        Decision::Allowed(Allowed { headers, path_and_query, payload, told })
    }
}

/// What a bad token is answered with.
fn bad_token(status: Status, request: &RequestView<'_>) -> Denied<'static> {
    let original = request.headers.get("x-envoy-original-path").and_then(|path| path.to_str().ok());
    let path = original.unwrap_or(request.path_and_query);
    let path = &path[..path.floor_char_boundary(REALM_PATH)];
    Denied {
        status: match status {
            Status::JwtAudienceNotAllowed => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        },
        body: Cow::Borrowed(status.text()),
        www_authenticate: Some(format!(
            "Bearer realm=\"{}://{}{path}\", error=\"invalid_token\"",
            request.scheme, request.authority
        )),
        details: details(&format!("jwt_authn_access_denied{{{status}}}")),
        told: Told::default(),
    }
}

/// A log's field has no blanks.
fn details(text: &str) -> String {
    text.replace(|character: char| character.is_ascii_whitespace(), "_")
}
