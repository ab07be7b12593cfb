//! Names to addresses, remembered for a while: as Envoy's `STRICT_DNS` clusters, which Istio lets refresh every 60 s
//! (`meshConfig.dnsRefreshRate`), and which keep what they have when a refresh fails.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long addresses are believed.
const REFRESH: Duration = Duration::from_mins(1);

/// How long a failure is believed.
const FAILED: Duration = Duration::from_secs(5);

/// Names that are remembered.
const NAMES: usize = 1024;

/// Addresses, in the order in which to try them.
pub(super) type Addresses = Arc<[IpAddr]>;

/// What asks for the addresses of a name.
pub type Lookup = dyn Fn(Arc<str>) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync;

/// Asks the system, as `getaddrinfo` does.
pub(super) fn system() -> Box<Lookup> {
    Box::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((&*name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// What is known of names.
pub(super) struct Resolver {
    lookup: Box<Lookup>,
    names: Mutex<HashMap<Arc<str>, Arc<Name>>>,
}

/// One name. The lock is held while it is asked for, so that a name is asked for once, however many wait for it.
#[derive(Default)]
struct Name(tokio::sync::Mutex<Option<Known>>);

struct Known {
    addresses: Option<Addresses>,
    detail: Arc<str>,
    until: Instant,
}

impl Known {
    fn answer(&self) -> Result<Addresses, Arc<str>> {
        self.addresses.clone().ok_or_else(|| Arc::clone(&self.detail))
    }
}

impl Resolver {
    pub(super) fn new(lookup: Box<Lookup>) -> Self {
        Self { lookup, names: Mutex::default() }
    }

    /// The addresses of a name, at least one; or why there is none.
    pub(super) async fn addresses(&self, name: &Arc<str>) -> Result<Addresses, Arc<str>> {
        let entry = self.entry(name);
        let mut known = entry.0.lock().await;
        let now = Instant::now();
        if let Some(known) = known.as_ref().filter(|known| now < known.until) {
            return known.answer();
        }
        let fresh = match (self.lookup)(Arc::clone(name)).await {
            Ok(found) if !found.is_empty() => {
                Known { addresses: Some(found.into()), detail: "".into(), until: now + REFRESH }
            }
            failed => {
                let detail = failed.err().map_or_else(|| "no address".into(), |error| error.to_string().into());
                let before = known.take().and_then(|known| known.addresses);
                Known { addresses: before, detail, until: now + FAILED }
            }
        };
        known.insert(fresh).answer()
    }

    fn entry(&self, name: &Arc<str>) -> Arc<Name> {
        let mut names = self.names.lock();
        if let Some(entry) = names.get(name) {
            return Arc::clone(entry);
        }
        if names.len() >= NAMES {
            // Those that nobody waits for can be asked for again.
            names.retain(|_, entry| Arc::strong_count(entry) > 1);
        }
        Arc::clone(names.entry(Arc::clone(name)).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// The first lookups answer as the list says, all others fail.
    fn answering(answers: &'static [&'static [[u8; 4]]]) -> (Resolver, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let resolver = Resolver::new(Box::new(move |_| {
            let answer = answers.get(count.fetch_add(1, Ordering::Relaxed));
            Box::pin(async move {
                tokio::task::yield_now().await;
                let found = answer.ok_or_else(|| io::Error::other("no such name"))?;
                Ok(found.iter().map(|&address| address.into()).collect())
            })
        }));
        (resolver, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_asked_for_again_after_a_minute_and_kept_when_that_fails() {
        let (resolver, asked) = answering(&[&[[127, 0, 0, 1], [127, 0, 0, 2]]]);
        let name = Arc::from("name");
        let (first, second) = tokio::join!(resolver.addresses(&name), resolver.addresses(&name));
        assert_eq!(first.unwrap().len(), 2);
        assert_eq!(second.unwrap().len(), 2);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        for (wait, asked_then) in [(59, 1), (1, 2), (4, 2), (1, 3)] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            assert_eq!(resolver.addresses(&name).await.unwrap().len(), 2);
            assert_eq!(asked.load(Ordering::Relaxed), asked_then, "after {wait} s more");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_an_address_is_no_answer() {
        let (resolver, asked) = answering(&[&[]]);
        let name = Arc::from("name");
        assert_eq!(&*resolver.addresses(&name).await.unwrap_err(), "no address");
        assert_eq!(&*resolver.addresses(&name).await.unwrap_err(), "no address");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(FAILED).await;
        assert_eq!(&*resolver.addresses(&name).await.unwrap_err(), "no such name");
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_nobody_waits_for_are_forgotten_once_there_are_many() {
        let (resolver, _) = answering(&[]);
        for n in 0..=NAMES {
            resolver.addresses(&n.to_string().into()).await.unwrap_err();
        }
        assert_eq!(resolver.names.lock().len(), 1);
    }
}
