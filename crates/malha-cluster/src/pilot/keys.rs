//! Keys of issuers that are somewhere else: who fetches them hands them in, and a new snapshot has them (Istio,
//! `pilot/pkg/model/jwks_resolver.go`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use malha_policy::jwt::{Jwks, Keys};
use malha_routing::{KeySource, RemoteKeys};

/// Keys by where they come from.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    known: BTreeMap<KeySource, Known>,
    /// What the snapshot at work asks for.
    wanted: BTreeMap<KeySource, Duration>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Option<Arc<Jwks>>,
    /// As they were sent.
    text: String,
    /// Grows with each change.
    generation: u64,
}

impl KeyRing {
    /// The keys of a source as far as they are known, and a number that changes with them.
    pub(super) fn wanted(&mut self, source: KeySource, timeout: Duration) -> (Keys, u64) {
        let known = self.known.get(&source);
        let keys = known.and_then(|known| known.keys.clone()).map_or(Keys::Missing, Keys::Ready);
        let generation = known.map_or(0, |known| known.generation);
        let longest = self.wanted.entry(source).or_default();
        *longest = (*longest).max(timeout);
        (keys, generation)
    }

    /// What the snapshot asked for; what nobody asks for any more is forgotten.
    pub(super) fn finish(&mut self) -> Vec<RemoteKeys> {
        let wanted = std::mem::take(&mut self.wanted);
        self.known.retain(|source, _| wanted.contains_key(source));
        wanted.into_iter().map(|(source, timeout)| RemoteKeys { source, timeout }).collect()
    }

    /// Takes in what was fetched; says whether that is news. What is no set of keys changes nothing: the old keys stay, as
    /// in Istio.
    pub(crate) fn learn(&mut self, source: &KeySource, text: &str) -> Result<bool, String> {
        let jwks = Jwks::parse(text).map_err(|why| why.to_string())?;
        let known = self.known.entry(source.clone()).or_default();
        if known.text == text {
            return Ok(false);
        }
        *known = Known { keys: Some(Arc::new(jwks)), text: text.to_owned(), generation: known.generation + 1 };
        Ok(true)
    }
}
