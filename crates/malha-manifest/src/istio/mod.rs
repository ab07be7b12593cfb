//! Istio's objects, typed.
//!
//! Fields, names and defaults are those of the schemas that Istio ships (`manifests/charts/base/files/crd-all.gen.yaml`).
//! `v1`, `v1beta1` and `v1alpha3` of `networking.istio.io` are the same objects. As in any protobuf message, a missing
//! field is its zero value; where Istio tells "missing" from zero the field is an `Option`.

mod duration;
mod gateway;
mod string_match;
mod virtual_service;

pub use duration::parse_duration;
pub use gateway::{Gateway, GatewayPort, Server, ServerTls, TlsCertificate, TlsMode, TlsVersion};
pub use string_match::StringMatch;
pub use virtual_service::{
    Body, CorsPolicy, Delegate, Destination, DirectResponse, Fault, FaultAbort, FaultDelay, HeaderOperations, Headers,
    HttpMatch, HttpRedirect, HttpRewrite, HttpRoute, Mirror, Percent, PortSelector, RedirectPort, RegexRewrite,
    Retries, RouteDestination, TcpMatch, TcpRoute, TlsMatch, TlsRoute, UnmatchedPreflights, VirtualService,
    WeightedDestination,
};
