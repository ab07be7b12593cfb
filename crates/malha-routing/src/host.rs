//! Which virtual host a request's authority belongs to.
//!
//! Envoy, "Virtual host matching": an exact name wins, then the longest `*.suffix`, then `*`. Istio removes the port
//! before the look-up (`strip_any_host_port`), and names are compared without regard to ASCII case (RFC 9110 §4.2.3).

use std::borrow::Cow;
use std::collections::HashMap;

/// A host of a Gateway or a `VirtualService`: a name, `*.suffix`, or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `posts.example.com`
    Exact(String),
    /// `*.example.com`, kept as `.example.com`; does not match `example.com` itself.
    Suffix(String),
    /// `*`
    Any,
}

impl HostPattern {
    /// Reads the pattern as Istio writes it. Any string is a pattern; validation is the manifest's business.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('*') {
            Some("") => Self::Any,
            Some(suffix) => Self::Suffix(suffix.to_ascii_lowercase()),
            None => Self::Exact(text.to_ascii_lowercase()),
        }
    }

    /// Whether every host that `other` matches is matched by this pattern too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Suffix(mine), Self::Suffix(name)) => name.ends_with(mine.as_str()),
            (Self::Suffix(mine), Self::Exact(name)) => name.len() > mine.len() && name.ends_with(mine.as_str()),
            (Self::Exact(mine), Self::Exact(name)) => mine == name,
            _ => false,
        }
    }
}

/// The authority without its port: `posts:80` → `posts`, `[::1]:80` → `[::1]`.
pub fn strip_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if authority[colon + 1..].bytes().all(|b| b.is_ascii_digit()) && !authority.ends_with(']') => {
            &authority[..colon]
        }
        _ => authority,
    }
}

/// The longest name that DNS has (RFC 1035 §2.3.4).
const LONGEST: usize = 255;

/// Finds the entry for a host in time that does not depend on how many there are, but for the lengths of their suffixes.
#[derive(Clone, Debug)]
pub struct HostTable<T> {
    exact: HashMap<String, T>,
    suffixes: HashMap<String, T>,
    /// Of the suffixes, the longest first and each once.
    lengths: Vec<usize>,
    any: Option<T>,
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), suffixes: HashMap::new(), lengths: Vec::new(), any: None }
    }
}

impl<T> HostTable<T> {
    /// Adds an entry; the first one for a pattern stays, as in Istio, and `false` says that there was one.
    pub fn insert(&mut self, pattern: HostPattern, entry: T) -> bool {
        use std::collections::hash_map::Entry;
        let slot = match pattern {
            HostPattern::Any if self.any.is_some() => return false,
            HostPattern::Any => {
                self.any = Some(entry);
                return true;
            }
            HostPattern::Exact(name) => self.exact.entry(name),
            HostPattern::Suffix(suffix) => {
                if let Err(at) = self.lengths.binary_search_by(|length| suffix.len().cmp(length)) {
                    self.lengths.insert(at, suffix.len());
                }
                self.suffixes.entry(suffix)
            }
        };
        match slot {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(entry);
                true
            }
        }
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.suffixes.values()).chain(&self.any)
    }

    /// The entry for `authority` (a port in it does not count). What is too long for a name is none: only `*` has it.
    pub fn find(&self, authority: &str) -> Option<&T> {
        let host = strip_port(authority);
        if host.len() > LONGEST {
            return self.any.as_ref();
        }
        let host = if host.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        if let Some(entry) = self.exact.get(&*host) {
            return Some(entry);
        }
        // A suffix is a proper one: the `*` stands for at least one character.
        let candidates = self.lengths.iter().filter(|length| **length < host.len());
        candidates
            .filter_map(|length| host.get(host.len() - length..))
            .find_map(|suffix| self.suffixes.get(suffix))
            .or(self.any.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(patterns: &[&'static str]) -> HostTable<&'static str> {
        let mut table = HostTable::default();
        for pattern in patterns {
            table.insert(HostPattern::parse(pattern), *pattern);
        }
        table
    }

    #[test]
    fn exact_beats_longest_suffix_beats_shorter_beats_any() {
        let table = table(&["*", "*.example.com", "*.api.example.com", "v1.api.example.com"]);
        for (host, want) in [
            ("v1.api.example.com", "v1.api.example.com"),
            ("v2.api.example.com", "*.api.example.com"),
            ("www.example.com", "*.example.com"),
            ("example.com", "*"),
            ("elsewhere", "*"),
        ] {
            assert_eq!(table.find(host), Some(&want), "{host}");
        }
    }

    #[test]
    fn suffixes_are_proper_and_of_any_length() {
        let table = table(&["*.b.c", "*b.c", "*.b.d", "*.é.c"]);
        assert_eq!(table.lengths, [5, 4, 3], "longest first, each once");
        for (host, want) in [
            ("a.b.c", Some("*.b.c")),
            (".b.c", Some("*b.c")),
            ("ab.c", Some("*b.c")),
            ("b.c", None),
            ("a.b.d", Some("*.b.d")),
            ("x.é.c", Some("*.é.c")),
            ("ééé", None),
            ("", None),
        ] {
            assert_eq!(table.find(host).copied(), want, "{host}");
        }
    }

    #[test]
    fn what_is_too_long_for_a_name_has_the_catch_all_only() {
        for (length, want) in [(255, "*.com"), (256, "*"), (60_000, "*")] {
            let host = format!("{}.com:80", "a".repeat(length - 4));
            assert_eq!(table(&["*", "*.com"]).find(&host), Some(&want), "{length}");
        }
    }

    #[test]
    fn neither_port_nor_case_counts() {
        let table = table(&["posts.example.com", "[::1]"]);
        assert_eq!(table.find("Posts.Example.COM:8080"), Some(&"posts.example.com"));
        assert_eq!(table.find("[::1]:80"), Some(&"[::1]"));
        assert_eq!(table.find("[::1]"), Some(&"[::1]"));
        assert_eq!(table.find("other"), None);
    }

    #[test]
    fn the_first_entry_of_a_pattern_stays() {
        let mut table = HostTable::default();
        assert!(table.insert(HostPattern::parse("a"), 1));
        assert!(!table.insert(HostPattern::parse("A"), 2));
        assert_eq!(table.find("a"), Some(&1));
    }

    #[test]
    fn a_pattern_covers_what_it_matches() {
        let covers = |a: &str, b: &str| HostPattern::parse(a).covers(&HostPattern::parse(b));
        assert!(covers("*", "*.a.com") && covers("*.a.com", "x.a.com") && covers("*.a.com", "*.b.a.com"));
        assert!(!covers("*.a.com", "a.com") && !covers("a.com", "*.a.com") && !covers("a.com", "b.com"));
    }
}
