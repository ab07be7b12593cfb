//! Comparing texts as Envoy's `StringMatcher` does.

use std::fmt;

use regex::Regex;

/// How much memory a compiled expression may take. Envoy limits RE2's program in the same spirit; what is larger is refused when
/// the manifest is loaded.
const PATTERN_BYTES: usize = 1 << 20;

/// One way to compare a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// The whole text, case-sensitive.
    Exact(String),
    /// Its beginning, case-sensitive.
    Prefix(String),
    /// The whole text matches.
    Regex(Pattern),
    /// Any text: it is enough that there is one.
    Present,
}

impl TextMatch {
    /// Whether `text` is meant.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(want) => text == want,
            Self::Prefix(want) => text.starts_with(want.as_str()),
            Self::Regex(pattern) => pattern.is_full_match(text),
            Self::Present => true,
        }
    }
}

/// A regular expression in RE2's syntax, as the crate `regex` reads it; compiled once.
#[derive(Clone)]
pub struct Pattern {
    source: String,
    /// Anchored at both ends.
    whole: Regex,
    /// As written.
    part: Regex,
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn new(source: &str) -> Result<Self, String> {
        let compile = |text: &str| {
            regex::RegexBuilder::new(text).size_limit(PATTERN_BYTES).build().map_err(|error| error.to_string())
        };
        let part = compile(source)?;
        let whole = compile(&format!("^(?:{source})$")).or_else(|_| compile(&format!("^(?:{source}\n)$")))?;
        Ok(Self { source: source.to_owned(), whole, part })
    }

    /// Whether the whole of `text` matches.
    pub fn is_full_match(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }

    /// The expression, to search with.
    pub fn regex(&self) -> &Regex {
        &self.part
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}
