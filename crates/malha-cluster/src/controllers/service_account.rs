//! Every namespace has a service account `default`, also when somebody deletes it
//! (`pkg/controller/serviceaccount/serviceaccounts_controller.go`).
//!
//! A real cluster puts a config map `kube-root-ca.crt` beside it, with the certificate that vouches for its API. Nothing in a
//! pod can call malha's API, so there is none.

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::object::Stored;
use crate::store::Store;

use super::Action;

/// The account that pods have which name none.
pub(crate) const DEFAULT: &str = "default";

/// The account that is missing in a namespace.
pub(super) fn sync(store: &Store, namespace: &str) -> Vec<Action> {
    let stays = store.get::<Namespace>("", namespace).is_some_and(|found| found.metadata.deletion_timestamp.is_none());
    if !stays || store.get::<ServiceAccount>(namespace, DEFAULT).is_some() {
        return Vec::new();
    }
    let metadata =
        ObjectMeta { name: Some(DEFAULT.to_owned()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() };
    vec![Action::Create(ServiceAccount { metadata, ..ServiceAccount::default() }.into_object())]
}
