//! Who may call what (Istio, `AuthorizationPolicy`; `pilot/pkg/security/authz`; Envoy,
//! `source/extensions/filters/common/rbac`).

mod spec;

pub use spec::{Action, Condition, Operation, PolicySpec, RuleSpec, Source};
