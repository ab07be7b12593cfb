//! What the API server does to an object before it is stored: defaults, the rules that need other objects, and what
//! an apply keeps of the object that is there.
//!
//! Rules that a manifest can break on its own are malha-manifest's business; here are only those that controllers rely on.

use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::address::Pool;
use crate::error::Error;
use crate::object::{Key, Object};
use crate::selector;

/// Marks what malha itself put into the cluster, which the user's own object may replace whatever it says.
pub(crate) const BUILT_IN: &str = "malha/built-in";

/// The object as it is to be stored in the place of `existing`.
pub(crate) fn admit(mut object: Object, existing: Option<&Object>, services: &mut Pool) -> Result<Object, Error> {
    let key = object.key();
    // An apply says what the user wants, never what is.
    let meta = object.metadata_mut();
    meta.resource_version = None;
    meta.uid = None;
    meta.owner_references = existing.and_then(|existing| existing.metadata().owner_references.clone());
    match (&mut object, existing) {
        (Object::Secret(secret), _) => merge_string_data(Arc::make_mut(secret)),
        (Object::Service(service), existing) => {
            let existing = existing.and_then(|existing| match existing {
                Object::Service(service) => Some(service.as_ref()),
                _ => None,
            });
            service_defaults(&key, Arc::make_mut(service), existing, services)?;
        }
        (Object::Deployment(deployment), existing) => {
            let existing = existing.and_then(|existing| match existing {
                Object::Deployment(deployment) => Some(deployment.as_ref()),
                _ => None,
            });
            deployment_defaults(&key, Arc::make_mut(deployment), existing)?;
        }
        (Object::RuntimeClass(class), Some(Object::RuntimeClass(existing)))
            if class.handler != existing.handler && !built_in(existing) =>
        {
            return Err(Error::invalid(&key, "handler", "field is immutable"));
        }
        _ => {}
    }
    Ok(object)
}

fn built_in(class: &RuntimeClass) -> bool {
    class.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(BUILT_IN))
}

/// `stringData` is write-only: it goes into `data` (Kubernetes API reference, Secret).
fn merge_string_data(secret: &mut Secret) {
    if let Some(strings) = secret.string_data.take() {
        let data = secret.data.get_or_insert_default();
        data.extend(strings.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))));
    }
}

fn service_defaults(
    key: &Key,
    service: &mut Service,
    existing: Option<&Service>,
    pool: &mut Pool,
) -> Result<(), Error> {
    let spec = service.spec.get_or_insert_default();
    let kind = spec.type_.get_or_insert_with(|| "ClusterIP".to_owned()).clone();
    for port in spec.ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
        port.target_port.get_or_insert(IntOrString::Int(port.port));
    }
    let had = existing.and_then(|service| service.spec.as_ref()?.cluster_ip.clone()).filter(|ip| ip != "None");
    if kind == "ExternalName" {
        spec.cluster_ip = None;
    } else if spec.cluster_ip.as_deref() != Some("None") {
        let wanted = spec.cluster_ip.take().filter(|ip| !ip.is_empty());
        let ip = match (wanted, had) {
            (None, Some(had)) => had,
            (Some(wanted), Some(had)) if wanted == had => had,
            (Some(_), Some(_)) => return Err(Error::invalid(key, "spec.clusterIPs[0]", "may not change once set")),
            (Some(wanted), None) => {
                let refused =
                    |why: &str| Error::invalid(key, "spec.clusterIPs", format!("Invalid value: [\"{wanted}\"]: {why}"));
                let address: Ipv4Addr = wanted.parse().map_err(|_| refused("must be a valid IPv4 address"))?;
                pool.claim(address).map_err(refused)?;
                wanted
            }
            (None, None) => match pool.take() {
                Some(address) => address.to_string(),
                None => return Err(Error::invalid(key, "spec.clusterIPs", "failed to allocate IP: range is full")),
            },
        };
        spec.cluster_ip = Some(ip);
    }
    spec.cluster_ips = spec.cluster_ip.clone().map(|ip| vec![ip]);
    service.status = existing.and_then(|existing| existing.status.clone());
    Ok(())
}

fn deployment_defaults(key: &Key, deployment: &mut Deployment, existing: Option<&Deployment>) -> Result<(), Error> {
    let spec = deployment.spec.get_or_insert_default();
    let before: Option<&DeploymentSpec> = existing.and_then(|existing| existing.spec.as_ref());
    if spec.replicas.is_none() {
        // What the manifest does not say is not its business: an autoscaler's number stays.
        spec.replicas = before.and_then(|before| before.replicas).or(Some(1));
    }
    if spec.replicas < Some(0) {
        return Err(Error::invalid(key, "spec.replicas", "must be greater than or equal to 0"));
    }
    if before.is_some_and(|before| before.selector != spec.selector) {
        return Err(Error::invalid(key, "spec.selector", "field is immutable"));
    }
    let expressions = spec.selector.match_expressions.iter().flatten().count();
    if spec.selector.match_labels.iter().flatten().count() + expressions == 0 {
        return Err(Error::invalid(key, "spec.selector", "empty selector is invalid for deployment"));
    }
    let labels = spec.template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
    if !selector::matches(&spec.selector, labels) {
        let message = "`selector` does not match template `labels`";
        return Err(Error::invalid(key, "spec.template.metadata.labels", message));
    }
    deployment.status = existing.and_then(|existing| existing.status.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{deployment, secret, service};
    use crate::object::Stored;

    use super::*;

    fn admitted(object: Object, existing: Option<&Object>) -> Result<Object, String> {
        admit(object, existing, &mut Pool::services()).map_err(|error| error.to_string())
    }

    #[test]
    fn string_data_becomes_data() {
        let mut object = secret("jwt-keys", &[]);
        object.string_data = Some([("key".to_owned(), "value".to_owned())].into());
        let Ok(Object::Secret(object)) = admitted(object.into_object(), None) else { panic!() };
        assert_eq!(object.data.as_ref().unwrap()["key"].0, b"value");
        assert_eq!(object.string_data, None);
    }

    #[test]
    fn a_service_keeps_its_address() {
        let first = admitted(service("posts", 80).into_object(), None).unwrap();
        let ip = |object: &Object| Service::of(object).unwrap().spec.as_ref().unwrap().cluster_ip.clone();
        assert_eq!(ip(&first).as_deref(), Some("10.96.1.0"));
        let again = admitted(service("posts", 81).into_object(), Some(&first)).unwrap();
        assert_eq!(ip(&again), ip(&first));
        let mut moved = service("posts", 80);
        moved.spec.as_mut().unwrap().cluster_ip = Some("10.96.0.9".into());
        assert!(admitted(moved.into_object(), Some(&first)).unwrap_err().contains("may not change once set"));
    }

    #[test]
    fn what_a_manifest_leaves_out_stays_as_it_was() {
        let mut scaled = deployment("posts", 1, "workshop:0.0.1");
        scaled.spec.as_mut().unwrap().replicas = Some(7);
        let mut silent = deployment("posts", 1, "workshop:0.0.1");
        silent.spec.as_mut().unwrap().replicas = None;
        let object = admitted(silent.into_object(), Some(&scaled.into_object())).unwrap();
        assert_eq!(Deployment::of(&object).unwrap().spec.as_ref().unwrap().replicas, Some(7));
    }

    #[test]
    fn a_selector_must_match_its_own_template_and_stays() {
        let mut other = deployment("posts", 1, "workshop:0.0.1");
        other.spec.as_mut().unwrap().selector.match_labels = Some([("app".to_owned(), "x".to_owned())].into());
        let error = admitted(other.clone().into_object(), None).unwrap_err();
        assert_eq!(
            error,
            "Deployment \"posts\" is invalid: spec.template.metadata.labels: `selector` does not match template `labels`"
        );
        let existing = deployment("posts", 1, "workshop:0.0.1").into_object();
        assert!(admitted(other.clone().into_object(), Some(&existing)).unwrap_err().contains("immutable"));
        other.spec.as_mut().unwrap().selector.match_labels = None;
        assert!(admitted(other.into_object(), None).unwrap_err().contains("empty selector"));
    }
}
