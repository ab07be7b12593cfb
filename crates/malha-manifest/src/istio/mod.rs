//! Istio's objects, typed.
//!
//! Fields, names and defaults are those of the schemas that Istio ships (`manifests/charts/base/files/crd-all.gen.yaml`).
//! `v1`, `v1beta1` and `v1alpha3` of `networking.istio.io` are the same objects, and so are `v1` and `v1beta1` of
//! `security.istio.io`. As in any protobuf message, a missing
//! field is its zero value; where Istio tells "missing" from zero the field is an `Option`.

mod authorization_policy;
mod connection_pool;
mod destination_rule;
mod duration;
mod gateway;
mod mesh_config;
mod peer_authentication;
mod request_authentication;
mod selector;
mod service_entry;
mod sidecar;
mod string_match;
mod virtual_service;

pub use authorization_policy::{Action, AuthorizationPolicy, Condition, From, Operation, Provider, Rule, Source, To};
pub use connection_pool::{ConnectionPool, H2UpgradePolicy, Http2KeepAlive, HttpSettings, TcpKeepalive, TcpSettings};
pub use destination_rule::{
    BackendUtilization, ClientTls, ClientTlsMode, ConsistentHash, CookieAttribute, DestinationRule, HashAlgorithm,
    HashKey, HttpCookie, LoadBalancer, LoadBalancerPolicy, LocalityDistribute, LocalityFailover, LocalityLbSetting,
    Maglev, OutlierDetection, PortTrafficPolicy, ProxyProtocol, ProxyProtocolVersion, RetryBudget, RingHash,
    SimpleLoadBalancer, Subset, TrafficPolicy, Tunnel, Warmup, ZoneAwareLbSetting,
};
pub use duration::parse_duration;
pub use gateway::{Gateway, GatewayPort, Server, ServerTls, TlsCertificate, TlsMode, TlsVersion};
pub use mesh_config::MeshConfig;
pub use peer_authentication::{MtlsMode, MutualTls, PeerAuthentication};
pub use request_authentication::{ClaimToHeader, JwtHeader, JwtPresence, JwtRule, RequestAuthentication};
pub use selector::{PolicySelector, TargetRef, WorkloadSelector};
pub use service_entry::{Location, Resolution, ServiceEntry, ServicePort, WorkloadEntry};
pub use sidecar::{CaptureMode, EgressListener, IngressListener, OutboundMode, OutboundTrafficPolicy, Sidecar};
pub use string_match::StringMatch;
pub use virtual_service::{
    Body, CorsPolicy, Delegate, Destination, DirectResponse, Fault, FaultAbort, FaultDelay, HeaderOperations, Headers,
    HttpMatch, HttpRedirect, HttpRewrite, HttpRoute, Mirror, Percent, PortSelector, RedirectPort, RegexRewrite,
    Retries, RouteDestination, TcpMatch, TcpRoute, TlsMatch, TlsRoute, UnmatchedPreflights, VirtualService,
    WeightedDestination,
};
