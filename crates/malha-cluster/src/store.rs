//! The objects, and every change that was ever made to them in order.
//!
//! What the API server and etcd do between them: names, uids, times, generations and resource versions are set here
//! and nowhere else (API conventions, "Metadata"); every write gets a version of its own and is remembered as a
//! [`Change`], which is what controllers work from and what a watch shows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use malha_world::{Clock, Stream, World};

use crate::error::Error;
use crate::names;
use crate::object::{Key, Kind, Object, Stored};

/// How many changes are remembered for those who watch; one who asks for older ones has to list again (410 Gone).
///
/// A pod is some kilobytes, and only what changed is held once more: this many changes of pods stay below some 50 MB.
const HISTORY: usize = 8_192;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is another than before.
    Modified,
    /// It is gone.
    Deleted,
}

/// One write.
#[derive(Clone, Debug)]
pub struct Change {
    /// The store's version after it.
    pub version: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// The object after it; what was there last for a deletion, with the deletion's `resourceVersion`.
    pub object: Object,
    /// The object before it, if there was one.
    pub before: Option<Object>,
}

/// The changes asked for are no longer remembered: list, and watch from there (HTTP 410, reason `Expired`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    /// The version asked for.
    pub asked: u64,
    /// The oldest that can still be asked for.
    pub oldest: u64,
}

/// All objects of a cluster.
#[derive(Debug)]
pub struct Store {
    objects: BTreeMap<Key, Object>,
    /// Owner's uid → what it owns.
    dependents: HashMap<String, BTreeSet<Key>>,
    version: u64,
    history: VecDeque<Change>,
    /// Not yet seen by the controllers.
    unseen: VecDeque<Change>,
    clock: Clock,
    chance: Stream,
}

impl Store {
    /// An empty store, without even a namespace.
    pub fn new(world: &World) -> Self {
        Self {
            objects: BTreeMap::new(),
            dependents: HashMap::new(),
            version: 0,
            history: VecDeque::new(),
            unseen: VecDeque::new(),
            clock: world.clock,
            chance: world.chance.stream(),
        }
    }

    /// The version of the last write.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Wall time, to the second, as Kubernetes writes it.
    pub fn now(&self) -> Time {
        let seconds = i64::try_from(self.clock.since_epoch().as_secs()).unwrap_or(i64::MAX);
        Time(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
    }

    /// Wall time since the Unix epoch.
    pub(crate) fn since_epoch(&self) -> Duration {
        self.clock.since_epoch()
    }

    /// The object of this key.
    pub fn find(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// The object of this type, namespace (ignored for cluster-wide kinds) and name.
    pub fn get<T: Stored>(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        T::of(self.objects.get(&Key::new(T::KIND, namespace, name))?)
    }

    /// All objects of a type, by namespace and name.
    pub fn list<T: Stored>(&self) -> impl Iterator<Item = &Arc<T>> {
        self.objects
            .range(Key { kind: T::KIND, namespace: String::new(), name: String::new() }..)
            .take_while(|(key, _)| key.kind == T::KIND)
            .filter_map(|(_, object)| T::of(object))
    }

    /// All objects of a type in a namespace, by name.
    pub fn list_in<'a, T: Stored>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<T>> {
        self.objects
            .range(Key { kind: T::KIND, namespace: namespace.to_owned(), name: String::new() }..)
            .take_while(move |(key, _)| key.kind == T::KIND && key.namespace == namespace)
            .filter_map(|(_, object)| T::of(object))
    }

    /// All objects of a kind, by namespace and name; of one namespace, if one is given.
    pub fn of_kind<'a>(&'a self, kind: Kind, namespace: Option<&'a str>) -> impl Iterator<Item = &'a Object> {
        let from = Key { kind, namespace: namespace.unwrap_or_default().to_owned(), name: String::new() };
        self.objects
            .range(from..)
            .take_while(move |(key, _)| {
                key.kind == kind && namespace.is_none_or(|namespace| key.namespace == namespace)
            })
            .map(|(_, object)| object)
    }

    /// All keys in a namespace.
    pub(crate) fn keys_in(&self, namespace: &str) -> Vec<Key> {
        self.objects.keys().filter(|key| key.namespace == namespace).cloned().collect()
    }

    /// What names the owner `uid` in its `ownerReferences`.
    pub(crate) fn dependents(&self, uid: &str) -> impl Iterator<Item = &Key> {
        self.dependents.get(uid).into_iter().flatten()
    }

    /// What of type `T` names the owner `uid`, by name.
    pub(crate) fn owned<T: Stored>(&self, uid: &str) -> impl Iterator<Item = &Arc<T>> {
        let of_kind = self.dependents.get(uid).map(|keys| {
            let from = Key { kind: T::KIND, namespace: String::new(), name: String::new() };
            keys.range((Bound::Included(from), Bound::Unbounded)).take_while(|key| key.kind == T::KIND)
        });
        of_kind.into_iter().flatten().filter_map(|key| T::of(self.objects.get(key)?))
    }

    /// Writes a new object. A name is made from `generateName` where there is none.
    pub(crate) fn create(&mut self, object: Object) -> Result<Key, Error> {
        let object = self.would_create(object)?;
        let key = object.key();
        self.version += 1;
        self.record(ChangeKind::Added, &key, object, None);
        Ok(key)
    }

    /// The object as [`create`](Self::create) would write it.
    pub(crate) fn would_create(&mut self, mut object: Object) -> Result<Object, Error> {
        let mut key = object.key();
        if key.kind.namespaced() && !self.objects.contains_key(&Key::new(Kind::Namespace, "", key.namespace.as_str())) {
            return Err(Error::NamespaceNotFound { key });
        }
        if key.name.is_empty() {
            let Some(base) = object.metadata().generate_name.clone() else {
                return Err(Error::required(&key, "metadata.name", "name or generateName is required"));
            };
            // The API server answers 409 for a name that it drew twice; drawing again is what its clients do then.
            while key.name.is_empty() || self.objects.contains_key(&key) {
                key.name = names::generate(&base, &mut self.chance);
            }
        } else if self.objects.contains_key(&key) {
            return Err(Error::AlreadyExists { key });
        }
        let now = self.now();
        let generation = object.has_generation().then_some(1);
        let uid = names::uid(&mut self.chance);
        let version = (self.version + 1).to_string();
        let meta = object.metadata_mut();
        meta.name = Some(key.name.clone());
        meta.namespace = key.kind.namespaced().then(|| key.namespace.clone());
        meta.uid = Some(uid);
        meta.creation_timestamp = Some(now);
        meta.generation = generation;
        meta.resource_version = Some(version);
        Ok(object)
    }

    /// Replaces an object; what only the API server sets is kept from the stored one. A replacement that changes
    /// nothing is no write: `false`.
    ///
    /// If `metadata.resourceVersion` is given, it must be the stored one.
    pub(crate) fn update(&mut self, object: Object) -> Result<bool, Error> {
        let key = object.key();
        let object = self.would_update(object)?;
        let old = self.objects.get(&key).cloned();
        if old.as_ref() == Some(&object) {
            return Ok(false);
        }
        self.version += 1;
        self.record(ChangeKind::Modified, &key, object, old);
        Ok(true)
    }

    /// The object as [`update`](Self::update) would write it; the stored one if that changes nothing.
    pub(crate) fn would_update(&self, mut object: Object) -> Result<Object, Error> {
        let key = object.key();
        let Some(old) = self.objects.get(&key) else {
            return Err(Error::NotFound { key });
        };
        let old_meta = old.metadata();
        let same_spec = object.same_spec(old);
        let meta = object.metadata_mut();
        if meta.resource_version.is_some() && meta.resource_version != old_meta.resource_version {
            return Err(Error::Conflict { key });
        }
        let deleting = meta.deletion_timestamp != old_meta.deletion_timestamp;
        meta.uid.clone_from(&old_meta.uid);
        meta.namespace.clone_from(&old_meta.namespace);
        meta.creation_timestamp.clone_from(&old_meta.creation_timestamp);
        meta.resource_version.clone_from(&old_meta.resource_version);
        // A deletion that begins is a change of what is wanted (`BeforeDelete`).
        let generation = |generation| if same_spec && !deleting { generation } else { generation + 1 };
        meta.generation = old_meta.generation.map(generation);
        if object != *old {
            object.metadata_mut().resource_version = Some((self.version + 1).to_string());
        }
        Ok(object)
    }

    /// Takes an object away, and returns it.
    pub(crate) fn delete(&mut self, key: &Key) -> Result<Object, Error> {
        let Some(old) = self.objects.get(key).cloned() else {
            return Err(Error::NotFound { key: key.clone() });
        };
        self.version += 1;
        let mut object = old.clone();
        object.metadata_mut().resource_version = Some(self.version.to_string());
        self.record(ChangeKind::Deleted, key, object, Some(old.clone()));
        Ok(old)
    }

    fn record(&mut self, kind: ChangeKind, key: &Key, object: Object, before: Option<Object>) {
        for owner in before.iter().flat_map(|before| before.metadata().owner_references.iter().flatten()) {
            if let Some(keys) = self.dependents.get_mut(&owner.uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        if kind == ChangeKind::Deleted {
            self.objects.remove(key);
        } else {
            for owner in object.metadata().owner_references.iter().flatten() {
                self.dependents.entry(owner.uid.clone()).or_default().insert(key.clone());
            }
            self.objects.insert(key.clone(), object.clone());
        }
        let change = Change { version: self.version, kind, object, before };
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(change.clone());
        self.unseen.push_back(change);
    }

    /// The changes after `version`, in order.
    pub fn since(&self, version: u64) -> Result<impl Iterator<Item = &Change>, Expired> {
        // Nothing is lost as long as everything that happened after `version` is remembered.
        let forgotten =
            self.history.front().filter(|_| self.history.len() == HISTORY).map_or(0, |first| first.version - 1);
        if version < forgotten {
            return Err(Expired { asked: version, oldest: forgotten });
        }
        // Versions have no gaps: the place of a change follows from its version.
        let first = self.history.front().map_or(1, |first| first.version);
        let seen = usize::try_from((version + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        Ok(self.history.iter().skip(seen))
    }

    /// The next change that the controllers have not seen.
    pub(crate) fn next_unseen(&mut self) -> Option<Change> {
        self.unseen.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

    use super::*;

    fn store() -> Store {
        let mut store = Store::new(&World::simulated(1_700_000_000, 1));
        let meta = ObjectMeta { name: Some("default".into()), ..ObjectMeta::default() };
        store.create(Namespace { metadata: meta, ..Namespace::default() }.into_object()).unwrap();
        store
    }

    fn config(name: &str, value: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            data: Some([("key".to_owned(), value.to_owned())].into()),
            ..ConfigMap::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_api_server_sets_survives_an_update() {
        let mut store = store();
        store.create(config("a", "1").into_object()).unwrap();
        let before = store.get::<ConfigMap>("default", "a").unwrap().metadata.clone();
        assert!(before.uid.is_some() && before.creation_timestamp.is_some());
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(store.update(config("a", "2").into_object()), Ok(true));
        let after = &store.get::<ConfigMap>("default", "a").unwrap().metadata;
        assert_eq!((&after.uid, &after.creation_timestamp), (&before.uid, &before.creation_timestamp));
        assert_ne!(after.resource_version, before.resource_version);
    }

    #[tokio::test]
    async fn an_update_that_changes_nothing_is_no_write() {
        let mut store = store();
        store.create(config("a", "1").into_object()).unwrap();
        let version = store.version();
        assert_eq!(store.update(config("a", "1").into_object()), Ok(false));
        assert_eq!(store.version(), version);
    }

    #[tokio::test]
    async fn an_update_from_an_old_version_conflicts() {
        let mut store = store();
        store.create(config("a", "1").into_object()).unwrap();
        let stale = ConfigMap::clone(store.get::<ConfigMap>("default", "a").unwrap());
        store.update(config("a", "2").into_object()).unwrap();
        assert!(matches!(store.update(stale.into_object()), Err(Error::Conflict { .. })));
    }

    #[tokio::test]
    async fn objects_need_their_namespace() {
        let mut object = config("a", "1");
        object.metadata.namespace = Some("nowhere".into());
        let error = store().create(object.into_object()).unwrap_err();
        assert_eq!(error.to_string(), "namespaces \"nowhere\" not found");
    }

    #[tokio::test]
    async fn every_write_is_seen_once_and_in_order() {
        let mut store = store();
        let start = store.version();
        let key = store.create(config("a", "1").into_object()).unwrap();
        store.update(config("a", "2").into_object()).unwrap();
        store.delete(&key).unwrap();
        let seen: Vec<_> = store.since(start).unwrap().map(|change| (change.version - start, change.kind)).collect();
        assert_eq!(seen, [(1, ChangeKind::Added), (2, ChangeKind::Modified), (3, ChangeKind::Deleted)]);
        assert!(matches!(store.delete(&key), Err(Error::NotFound { .. })));
    }

    #[tokio::test]
    async fn a_watch_from_a_forgotten_version_has_expired() {
        let mut store = store();
        store.create(config("a", "0").into_object()).unwrap();
        for n in 0..HISTORY {
            store.update(config("a", &format!("{n} again")).into_object()).unwrap();
        }
        assert!(store.since(0).is_err());
        let oldest = store.since(0).err().unwrap().oldest;
        assert_eq!(store.since(oldest).unwrap().count(), HISTORY);
    }

    #[tokio::test]
    async fn dependents_are_found_by_the_owners_uid() {
        let mut store = store();
        let mut object = config("a", "1");
        object.metadata.owner_references = Some(vec![OwnerReference { uid: "u".into(), ..OwnerReference::default() }]);
        let key = store.create(object.into_object()).unwrap();
        assert_eq!((store.owned::<ConfigMap>("u").count(), store.owned::<Namespace>("u").count()), (1, 0));
        store.delete(&key).unwrap();
        assert_eq!(store.dependents("u").count(), 0);
    }
}
