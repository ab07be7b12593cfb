//! The tokens of a request (Istio, `RequestAuthentication`; Envoy, `source/extensions/filters/http/jwt_authn`).

mod rule;

pub use rule::{ClaimToHeader, HeaderLocation, JwtRule};
