//! Certificates of gateways, out of Secrets (Istio, `pilot/pkg/credentials/kube/secrets.go`).
//!
//! A gateway reads Secrets of its own namespace only, which is that of its pods and not that of the Gateway object.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use malha_routing::Certificate;

use crate::store::Store;

/// What follows the name of a Secret that has authorities only.
const AUTHORITIES: &str = "-cacert";

/// What names a Secret in full; without it a name means the same.
const SCHEME: &str = "kubernetes://";

/// Secrets of a namespace.
#[derive(Debug)]
pub(super) struct Secrets<'a> {
    pub(super) store: &'a Store,
    pub(super) namespace: &'a str,
}

impl Secrets<'_> {
    /// Certificate and key of a credential.
    ///
    /// # Errors
    /// What is missing. Nothing of a Secret's values.
    pub(super) fn certificate(&self, credential: &str) -> Result<Certificate, String> {
        let (name, data) = self.data(self.name(credential)?)?;
        let found = [("cert", "key"), ("tls.crt", "tls.key")]
            .into_iter()
            .find_map(|(chain, key)| Some(Certificate { chain: value(&data, chain)?, key: value(&data, key)? }));
        found.ok_or_else(|| format!("{name} has neither tls.crt and tls.key nor cert and key"))
    }

    /// The authorities that come with a credential: in `NAME-cacert`, or in `NAME` itself.
    ///
    /// # Errors
    /// What is missing. Nothing of a Secret's values.
    pub(super) fn authorities(&self, credential: &str) -> Result<Vec<u8>, String> {
        let plain = self.name(credential)?;
        let (name, data) = match self.data(&format!("{plain}{AUTHORITIES}")) {
            Ok(found) => found,
            Err(_) => self.data(plain.strip_suffix(AUTHORITIES).unwrap_or(plain))?,
        };
        let found = ["cacert", "ca.crt"].into_iter().find_map(|key| value(&data, key));
        found.ok_or_else(|| format!("{name} has neither ca.crt nor cacert"))
    }

    /// The name of the Secret. Only Secrets of the namespace may be named.
    fn name<'n>(&self, credential: &'n str) -> Result<&'n str, String> {
        let Some(path) = credential.strip_prefix(SCHEME) else {
            return if credential.contains("://") {
                Err(format!("`{credential}`: only Secrets are carried out"))
            } else {
                Ok(credential)
            };
        };
        match path.split_once('/') {
            None => Ok(path),
            Some((namespace, name)) if namespace == self.namespace => Ok(name),
            Some((namespace, _)) => {
                Err(format!("a Secret of namespace {namespace}: a gateway reads those of {} only", self.namespace))
            }
        }
    }

    fn data(&self, name: &str) -> Result<(String, BTreeMap<String, ByteString>), String> {
        let shown = format!("Secret {}/{name}", self.namespace);
        match self.store.get::<Secret>(self.namespace, name) {
            Some(secret) => Ok((shown, secret.data.clone().unwrap_or_default())),
            None => Err(format!(
                "{shown} is not there. A gateway reads Secrets of its own namespace, {}, not of the object's",
                self.namespace
            )),
        }
    }
}

fn value(data: &BTreeMap<String, ByteString>, key: &str) -> Option<Vec<u8>> {
    data.get(key).map(|value| value.0.clone()).filter(|value| !value.is_empty())
}
