//! What is said of a host, found by its name without looking at all that is said: exact names, then wildcards, the longest
//! first (Istio, `MostSpecificHostMatch` in `pilot/pkg/model/push_context.go`).

use std::collections::HashMap;

/// Values by host patterns; several for one pattern stay in the order in which they came.
#[derive(Debug)]
pub(super) struct HostIndex<T> {
    exact: HashMap<String, Vec<T>>,
    /// By what follows the `*`.
    wild: HashMap<String, Vec<T>>,
    /// Of the wildcards, the longest first and each once.
    lengths: Vec<usize>,
}

impl<T> Default for HostIndex<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wild: HashMap::new(), lengths: Vec::new() }
    }
}

impl<T> HostIndex<T> {
    /// What is said of `pattern` itself, to add to it.
    pub(super) fn entry(&mut self, pattern: &str) -> &mut Vec<T> {
        match pattern.strip_prefix('*') {
            None => self.exact.entry(pattern.to_owned()).or_default(),
            Some(suffix) => {
                if let Err(at) = self.lengths.binary_search_by(|length| suffix.len().cmp(length)) {
                    self.lengths.insert(at, suffix.len());
                }
                self.wild.entry(suffix.to_owned()).or_default()
            }
        }
    }

    /// All values, in no order.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.exact.values_mut().chain(self.wild.values_mut()).flatten()
    }

    /// What is said of exactly this name.
    pub(super) fn exact(&self, host: &str) -> &[T] {
        self.exact.get(host).map_or(&[], Vec::as_slice)
    }

    /// Everything that is said of a host (which may be a wildcard itself), by pattern, the most specific first.
    pub(super) fn find(&self, host: &str) -> impl Iterator<Item = &[T]> {
        let (name, strict) = host.strip_prefix('*').map_or((host, true), |suffix| (suffix, false));
        let exact = self.exact.get(host).map(Vec::as_slice);
        let wild = self.lengths.iter().filter_map(move |length| {
            // `*.a.com` does not mean `a.com`, but a wildcard means itself; `*` means everything.
            let start = name.len().checked_sub(*length).filter(|start| *start > 0 || !strict || *length == 0)?;
            self.wild.get(name.get(start..)?).map(Vec::as_slice)
        });
        exact.into_iter().chain(wild)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_pattern_comes_first() {
        let mut index = HostIndex::default();
        for pattern in ["*", "*.com", "*.a.com", "x.a.com", "*a.com"] {
            index.entry(pattern).push(pattern);
        }
        for (host, want) in [
            ("x.a.com", &["x.a.com", "*.a.com", "*a.com", "*.com", "*"][..]),
            ("y.a.com", &["*.a.com", "*a.com", "*.com", "*"]),
            ("a.com", &["*.com", "*"]),
            ("*.a.com", &["*.a.com", "*a.com", "*.com", "*"]),
            ("*.b.com", &["*.com", "*"]),
            ("*", &["*"]),
            ("é.a.com", &["*.a.com", "*a.com", "*.com", "*"]),
        ] {
            let got: Vec<&str> = index.find(host).flatten().copied().collect();
            assert_eq!(got, want, "{host}");
        }
        assert_eq!((index.exact("x.a.com"), index.exact("y.a.com")), (&["x.a.com"][..], &[][..]));
    }
}
