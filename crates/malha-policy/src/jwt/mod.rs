//! The tokens of a request (Istio, `RequestAuthentication`; Envoy, `source/extensions/filters/http/jwt_authn`).

mod audience;
mod base64url;
mod claims;
mod json;
mod jwks;
mod key;
mod location;
mod query;
mod rule;
mod status;
mod token;
mod verify;

pub use claims::Payload;
pub(crate) use claims::find;
pub use jwks::{Jwks, Unusable};
pub use rule::{ClaimToHeader, HeaderLocation, JwtRule, Keys};
pub use status::Status;
pub use verify::{JwtRules, Verified};
