//! A container's environment (kubelet, `makeEnvironmentVariables` in `pkg/kubelet/kubelet_pods.go`).
//!
//! `envFrom` first, then `env` in order, the later of two equal names wins; `$(NAME)` stands for what is known so far.
//! Error texts are the kubelet's.
//!
//! Absent: the variables of Services (`POSTS_SERVICE_HOST`; a Spin application reads only the variables that it declares),
//! `resourceFieldRef` and `fileKeyRef`, which are errors.

use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};

use crate::object::Stored;
use crate::store::Store;

/// Names are unique; the error is the message of `CreateContainerConfigError`.
pub(super) fn resolve(
    store: &Store,
    pod: &Pod,
    container: &Container,
    ip: Ipv4Addr,
) -> Result<Vec<(String, String)>, String> {
    let sources = Sources { store, pod, ip, namespace: pod.metadata.namespace.as_deref().unwrap_or_default() };
    let mut env = Vec::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(source) = &from.config_map_ref
            && let Some(map) = sources.object::<ConfigMap>("configmap", &source.name, source.optional)?
        {
            for (key, value) in map.data.iter().flatten() {
                set(&mut env, format!("{prefix}{key}"), value.clone());
            }
        }
        if let Some(source) = &from.secret_ref
            && let Some(secret) = sources.object::<Secret>("secret", &source.name, source.optional)?
        {
            for (key, value) in secret.data.iter().flatten() {
                set(&mut env, format!("{prefix}{key}"), sources.text(&source.name, key, &value.0)?);
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let literal = variable.value.as_deref().unwrap_or_default();
        let value = match &variable.value_from {
            Some(source) if literal.is_empty() => sources.value(source)?,
            _ => Some(expand(literal, &env)),
        };
        // A missing optional key leaves no variable.
        if let Some(value) = value {
            set(&mut env, variable.name.clone(), value);
        }
    }
    Ok(env)
}

fn set(env: &mut Vec<(String, String)>, name: String, value: String) {
    match env.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => env.push((name, value)),
    }
}

/// Where values come from.
struct Sources<'a> {
    store: &'a Store,
    pod: &'a Pod,
    ip: Ipv4Addr,
    namespace: &'a str,
}

impl Sources<'_> {
    /// `None`: an optional object that is not there.
    fn object<T: Stored>(&self, what: &str, name: &str, optional: Option<bool>) -> Result<Option<&Arc<T>>, String> {
        match self.store.get::<T>(self.namespace, name) {
            None if optional == Some(true) => Ok(None),
            None => Err(format!("{what} \"{name}\" not found")),
            found => Ok(found),
        }
    }

    /// `None`: an optional key that is not there.
    fn value(&self, source: &EnvVarSource) -> Result<Option<String>, String> {
        if let Some(EnvKey { name, key, optional }) = source.config_map_key_ref.as_ref().map(EnvKey::from) {
            let map = self.object::<ConfigMap>("configmap", name, optional)?;
            let value = map.and_then(|map| map.data.as_ref()?.get(key)).cloned();
            return self.required(value, optional, "ConfigMap", name, key);
        }
        if let Some(EnvKey { name, key, optional }) = source.secret_key_ref.as_ref().map(EnvKey::from) {
            let secret = self.object::<Secret>("secret", name, optional)?;
            let value = secret.and_then(|secret| secret.data.as_ref()?.get(key));
            let value = value.map(|value| self.text(name, key, &value.0)).transpose()?;
            return self.required(value, optional, "Secret", name, key);
        }
        if let Some(field) = &source.field_ref {
            return self.field(&field.field_path).map(Some);
        }
        Err("malha resolves configMapKeyRef, secretKeyRef and fieldRef in valueFrom; this variable uses another source"
            .to_owned())
    }

    fn required(
        &self,
        value: Option<String>,
        optional: Option<bool>,
        what: &str,
        name: &str,
        key: &str,
    ) -> Result<Option<String>, String> {
        if value.is_none() && optional != Some(true) {
            return Err(format!("couldn't find key {key} in {what} {}/{name}", self.namespace));
        }
        Ok(value)
    }

    /// A Secret's value as text, which an environment is made of.
    fn text(&self, name: &str, key: &str, value: &[u8]) -> Result<String, String> {
        String::from_utf8(value.to_vec()).map_err(|_| {
            format!(
                "key {key} in Secret {}/{name} is not UTF-8, which an environment variable has to be",
                self.namespace
            )
        })
    }

    /// The downward API (`pkg/fieldpath`, and `podFieldSelectorRuntimeValue` of the kubelet).
    fn field(&self, path: &str) -> Result<String, String> {
        let meta = &self.pod.metadata;
        let spec = self.pod.spec.as_ref();
        let entry = |map: Option<&crate::selector::Labels>, prefix: &str| {
            let key = path.strip_prefix(prefix)?.strip_suffix("']")?;
            Some(map.and_then(|map| map.get(key)).cloned().unwrap_or_default())
        };
        match path {
            "metadata.name" => Ok(meta.name.clone().unwrap_or_default()),
            "metadata.namespace" => Ok(self.namespace.to_owned()),
            "metadata.uid" => Ok(meta.uid.clone().unwrap_or_default()),
            "spec.nodeName" => Ok(spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default()),
            "spec.serviceAccountName" => {
                Ok(spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_else(|| "default".to_owned()))
            }
            "status.podIP" | "status.podIPs" => Ok(self.ip.to_string()),
            "status.hostIP" | "status.hostIPs" => Ok(super::status::HOST_IP.to_owned()),
            _ => entry(meta.labels.as_ref(), "metadata.labels['")
                .or_else(|| entry(meta.annotations.as_ref(), "metadata.annotations['"))
                .ok_or_else(|| format!("unsupported fieldPath: {path}")),
        }
    }
}

/// A key of a Secret or `ConfigMap`.
struct EnvKey<'a> {
    name: &'a str,
    key: &'a str,
    optional: Option<bool>,
}

impl<'a> From<&'a k8s_openapi::api::core::v1::ConfigMapKeySelector> for EnvKey<'a> {
    fn from(selector: &'a k8s_openapi::api::core::v1::ConfigMapKeySelector) -> Self {
        Self { name: &selector.name, key: &selector.key, optional: selector.optional }
    }
}

impl<'a> From<&'a k8s_openapi::api::core::v1::SecretKeySelector> for EnvKey<'a> {
    fn from(selector: &'a k8s_openapi::api::core::v1::SecretKeySelector) -> Self {
        Self { name: &selector.name, key: &selector.key, optional: selector.optional }
    }
}

/// `$(NAME)` becomes the value of NAME, or stays if there is none; `$$` becomes `$`
/// (Kubernetes, `third_party/forked/golang/expansion`).
fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
            match env.iter().find(|(known, _)| known == name) {
                Some((_, value)) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use crate::fixtures;
    use crate::object::Stored;

    use super::*;

    fn resolved(container: serde_json::Value) -> Result<Vec<(String, String)>, String> {
        let mut store = fixtures::store();
        store.create(fixtures::secret("jwt-keys", &[("public.pem", "PEM"), ("odd", "\u{0}")]).into_object()).unwrap();
        let map = json!({"metadata": {"name": "settings"}, "data": {"LOG_LEVEL": "debug", "B": "map"}});
        store.create(serde_json::from_value::<ConfigMap>(map).unwrap().into_object()).unwrap();
        let mut container = container;
        container["name"] = json!("app");
        let container = serde_json::from_value(container).unwrap();
        resolve(&store, &fixtures::pod("p"), &container, Ipv4Addr::new(10, 244, 0, 9))
    }

    fn value(variable: serde_json::Value) -> Result<Option<String>, String> {
        let mut variable = variable;
        variable["name"] = json!("A");
        resolved(json!({"env": [variable]})).map(|env| env.into_iter().next().map(|(_, value)| value))
    }

    #[test]
    fn values_come_from_everywhere() {
        let from = |source| value(json!({ "valueFrom": source })).unwrap().unwrap();
        assert_eq!(from(json!({"secretKeyRef": {"name": "jwt-keys", "key": "public.pem"}})), "PEM");
        assert_eq!(from(json!({"configMapKeyRef": {"name": "settings", "key": "LOG_LEVEL"}})), "debug");
        assert_eq!(from(json!({"fieldRef": {"fieldPath": "metadata.labels['app']"}})), "p");
        assert_eq!(from(json!({"fieldRef": {"fieldPath": "status.podIP"}})), "10.244.0.9");
        assert_eq!(value(json!({"value": "plain"})), Ok(Some("plain".into())));
    }

    #[test]
    fn what_is_missing_is_said_as_the_kubelet_says_it() {
        for (source, want) in [
            (json!({"secretKeyRef": {"name": "none", "key": "k"}}), "secret \"none\" not found"),
            (
                json!({"secretKeyRef": {"name": "jwt-keys", "key": "k"}}),
                "couldn't find key k in Secret default/jwt-keys",
            ),
            (json!({"configMapKeyRef": {"name": "none", "key": "k"}}), "configmap \"none\" not found"),
            (
                json!({"configMapKeyRef": {"name": "settings", "key": "k"}}),
                "couldn't find key k in ConfigMap default/settings",
            ),
            (json!({"fieldRef": {"fieldPath": "status.phase"}}), "unsupported fieldPath: status.phase"),
        ] {
            assert_eq!(value(json!({ "valueFrom": source })), Err(want.to_owned()));
        }
        assert_eq!(
            resolved(json!({"envFrom": [{"secretRef": {"name": "none"}}]})),
            Err("secret \"none\" not found".to_owned())
        );
    }

    #[test]
    fn what_is_optional_may_be_missing() {
        for source in [
            json!({"secretKeyRef": {"name": "none", "key": "k", "optional": true}}),
            json!({"configMapKeyRef": {"name": "settings", "key": "k", "optional": true}}),
        ] {
            assert_eq!(value(json!({ "valueFrom": source })), Ok(None));
        }
        assert_eq!(resolved(json!({"envFrom": [{"configMapRef": {"name": "none", "optional": true}}]})), Ok(vec![]));
    }

    #[test]
    fn env_beats_env_from_and_the_later_beats_the_earlier() {
        let env = resolved(json!({
            "envFrom": [{"prefix": "X_", "configMapRef": {"name": "settings"}}],
            "env": [{"name": "X_B", "value": "one"}, {"name": "X_B", "value": "$(X_B) two"}],
        }));
        let want = [("X_B", "one two"), ("X_LOG_LEVEL", "debug")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(env, Ok(want.into()));
    }

    #[test]
    fn references_expand_as_in_kubernetes() {
        let env = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())];
        for (text, want) in [
            ("$(A)-$(B)", "1-$(A)"),
            ("$(NONE)", "$(NONE)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(A", "$(A"),
            ("$A $", "$A $"),
            ("$((A))", "$((A))"),
            ("é$(A)é", "é1é"),
        ] {
            assert_eq!(expand(text, &env), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_stays(text in "[^$]{0,40}", any in "\\PC{0,40}") {
            prop_assert_eq!(expand(&text, &[]), text);
            expand(&any, &[("A".into(), any.clone())]);
        }
    }
}
