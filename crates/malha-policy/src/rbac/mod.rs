//! Who may call what (Istio, `AuthorizationPolicy`; `pilot/pkg/security/authz`; Envoy,
//! `source/extensions/filters/common/rbac`).

mod atom;
mod compile;
mod engine;
mod spec;
mod template;
mod text;

pub use compile::{Effect, Problem};
pub use engine::{Authorization, Refusal, Verdict};
pub use spec::{Action, Condition, Operation, PolicySpec, RuleSpec, Source};
