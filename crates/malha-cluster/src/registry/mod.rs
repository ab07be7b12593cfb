//! What the API server does between a request and the store: defaults, rules, allocation, deletion in stages
//! (Kubernetes, `pkg/registry` and `apiserver/pkg/registry/generic/registry/store.go`).
//!
//! Users' writes come through here, from files and from the API alike. Controllers write into the store themselves:
//! what they write follows from objects that were admitted.
//!
//! Rules that a manifest can break on its own are malha-manifest's; here are those that need the objects that are there.

mod defaults;
mod deletion;
mod eviction;
mod ports;
mod rules;
mod runtime_class;
mod services;

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use malha_world::{Stream, World};

use crate::address::Pool;
use crate::error::Error;
use crate::object::{Key, Object, Stored};
use crate::store::Store;

pub use deletion::{Deleted, Deletion, Propagation};
pub(crate) use deletion::{FOREGROUND, ORPHAN};
use ports::NodePorts;
pub(crate) use rules::BUILT_IN;

/// Which part of an object a write is for. Each leaves the other part as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but `status`.
    Whole,
    /// The subresource `status`: the status alone.
    Status,
}

/// The store, and what is given out besides.
#[derive(Debug)]
pub struct Registry {
    pub(crate) store: Store,
    service_ips: Pool,
    node_ports: NodePorts,
    chance: Stream,
}

impl Registry {
    /// With an empty store.
    pub(crate) fn new(world: &World) -> Self {
        Self {
            store: Store::new(world),
            service_ips: Pool::services(),
            node_ports: NodePorts::default(),
            chance: world.chance.stream(),
        }
    }

    /// The objects.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Writes a new object, with its defaults, and returns it as it is stored; with `dry_run` as it would be.
    ///
    /// # Errors
    /// [`Error`], in the API server's words. Nothing was written then.
    pub fn create(&mut self, mut object: Object, dry_run: bool) -> Result<Object, Error> {
        let key = object.key();
        self.enterable(&key)?;
        let meta = object.metadata_mut();
        (meta.resource_version, meta.uid, meta.deletion_timestamp) = (None, None, None);
        meta.deletion_grace_period_seconds = None;
        object.clear_status();
        merge_string_data(&mut object);
        defaults::fill(&mut object);
        if let Object::Pod(pod) = &mut object {
            runtime_class::admit(&key, Arc::make_mut(pod), &self.store)?;
        }
        rules::create(&object, &self.store)?;
        if dry_run {
            // Nothing is given out: an address shows where one will be, as the API server shows it; and no version, which
            // comes of storing (`registry/generic/registry/dryrun.go`).
            let mut shown = self.store.would_create(object)?;
            shown.metadata_mut().resource_version = None;
            return Ok(shown);
        }
        if let Object::Service(service) = &mut object {
            services::allocate(
                &key,
                Arc::make_mut(service),
                None,
                &mut self.service_ips,
                &mut self.node_ports,
                &mut self.chance,
            )?;
        }
        let given = object.clone();
        match self.store.create(object) {
            Ok(key) => self.found(&key),
            Err(error) => {
                self.take_back(&given);
                Err(error)
            }
        }
    }

    /// Replaces a part of an object, and returns it as it is stored; with `dry_run` as it would be. If `object` has a
    /// `metadata.resourceVersion`, it must be the stored one.
    ///
    /// The last finalizer of an object that is being deleted takes the object along.
    ///
    /// # Errors
    /// [`Error`], in the API server's words. Nothing was written then.
    pub fn update(&mut self, mut object: Object, part: Part, dry_run: bool) -> Result<Object, Error> {
        let key = object.key();
        let old = self.found(&key)?;
        let wanted = object.metadata().resource_version.as_ref();
        if wanted.is_some() && wanted != old.metadata().resource_version.as_ref() {
            return Err(Error::Conflict { key });
        }
        if object.metadata().uid.as_ref().is_some_and(|uid| *uid != old.uid()) {
            let message = format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                object.uid(),
                old.uid()
            );
            return Err(Error::Precondition { key, message });
        }
        match part {
            Part::Whole => {
                object.keep_status(&old);
                merge_string_data(&mut object);
                defaults::fill(&mut object);
            }
            // `PrepareForUpdate` of the status strategies: what is not status stays, but for who manages it.
            Part::Status => {
                let managed = object.metadata().managed_fields.clone();
                let mut whole = old.clone();
                whole.keep_status(&object);
                whole.metadata_mut().managed_fields = managed;
                object = whole;
            }
        }
        let (old_meta, meta) = (old.metadata().clone(), object.metadata_mut());
        meta.deletion_timestamp = old_meta.deletion_timestamp;
        meta.deletion_grace_period_seconds = old_meta.deletion_grace_period_seconds;
        meta.generate_name = old_meta.generate_name;
        rules::update(&object, &old)?;
        if dry_run {
            let mut shown = self.store.would_update(object)?;
            shown.metadata_mut().resource_version = old_meta.resource_version;
            return Ok(shown);
        }
        if let (Object::Service(service), Object::Service(before)) = (&mut object, &old) {
            services::allocate(
                &key,
                Arc::make_mut(service),
                Some(before),
                &mut self.service_ips,
                &mut self.node_ports,
                &mut self.chance,
            )?;
        }
        self.store.update(object)?;
        let stored = self.found(&key)?;
        if deletion::complete(&stored) {
            return self.store.delete(&key);
        }
        Ok(stored)
    }

    /// Deletes an object, or begins to: a pod has its time to end, a finalizer has its work to do, a namespace its
    /// content to lose.
    ///
    /// # Errors
    /// [`Error`], in the API server's words.
    pub fn delete(&mut self, key: &Key, deletion: &Deletion) -> Result<Deleted, Error> {
        deletion::delete(&mut self.store, key, deletion)
    }

    /// Evicts a pod: deletes it as [`delete`](Self::delete) does, if its disruption budget allows that.
    ///
    /// # Errors
    /// [`Error`], in the API server's words; [`Error::DisruptionBudget`] if it may go later.
    pub fn evict(&mut self, key: &Key, deletion: &Deletion) -> Result<Deleted, Error> {
        eviction::evict(&mut self.store, key, deletion)
    }

    /// What an object had been given goes back when it is gone or has another.
    pub(crate) fn release(&mut self, before: &Object, after: Option<&Object>) {
        let (Object::Service(before), after) = (before, after.and_then(Service::of)) else { return };
        services::release(before, after.map(Arc::as_ref), &mut self.service_ips, &mut self.node_ports);
    }

    fn take_back(&mut self, object: &Object) {
        self.release(object, None);
    }

    fn found(&self, key: &Key) -> Result<Object, Error> {
        self.store.find(key).cloned().ok_or_else(|| Error::NotFound { key: key.clone() })
    }

    /// Whether an object can be made there: its namespace exists and stays.
    fn enterable(&self, key: &Key) -> Result<(), Error> {
        if !key.kind.namespaced() {
            return Ok(());
        }
        match self.store.get::<Namespace>("", &key.namespace) {
            None => Err(Error::NamespaceNotFound { key: key.clone() }),
            Some(namespace) if namespace.metadata.deletion_timestamp.is_some() => Err(Error::Forbidden {
                key: key.clone(),
                message: format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    key.namespace
                ),
            }),
            Some(_) => Ok(()),
        }
    }
}

/// `stringData` is write-only: it goes into `data` (Kubernetes API reference, Secret).
fn merge_string_data(object: &mut Object) {
    let Object::Secret(secret) = object else { return };
    if secret.string_data.is_none() {
        return;
    }
    let secret: &mut Secret = Arc::make_mut(secret);
    if let Some(strings) = secret.string_data.take() {
        let data = secret.data.get_or_insert_default();
        data.extend(strings.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))));
    }
}

#[cfg(test)]
mod tests;
