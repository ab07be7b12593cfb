//! Comparing texts as Envoy's `StringMatcher` does.
//!
//! Texts are bytes: header values need not be UTF-8, and Envoy compiles RE2 for Latin-1, so that `.` is one byte and `\d`,
//! `\w`, `\s` and `\b` are ASCII's.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// How much memory a compiled expression may take. Envoy limits RE2's program in the same spirit; what is larger is
/// refused when the manifest is loaded.
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
    pub fn matches(&self, text: impl AsRef<[u8]>) -> bool {
        let text = text.as_ref();
        match self {
            Self::Exact(want) => text == want.as_bytes(),
            Self::Prefix(want) => text.starts_with(want.as_bytes()),
            Self::Regex(pattern) => pattern.is_full_match(text),
            Self::Present => true,
        }
    }
}

/// A regular expression in RE2's syntax, compiled once by the crate `regex`.
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
        let translated = translate(source)?;
        let compile = |text: &str| {
            let built = RegexBuilder::new(text).unicode(false).size_limit(PATTERN_BYTES).build();
            built.map_err(|error| error.to_string())
        };
        // On its own first: in the brackets below, `a)(b` would pass.
        let part = compile(&translated)?;
        let whole = compile(&format!(r"\A(?:{translated})\z"))?;
        Ok(Self { source: source.to_owned(), whole, part })
    }

    /// Whether the whole of `text` matches.
    pub fn is_full_match(&self, text: impl AsRef<[u8]>) -> bool {
        self.whole.is_match(text.as_ref())
    }

    /// The expression, to search with.
    pub(crate) fn search(&self) -> &Regex {
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

/// RE2's syntax in the crate's words, where the two differ: `\Q…\E` quotes; in a class `[`, `&` and `~` are themselves,
/// for RE2 has neither nested classes nor operations on them; and the flags are `imsU` only.
fn translate(source: &str) -> Result<String, String> {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    // Where we are in a class: the number of its members so far, since a `]` that comes first is a member.
    let mut class: Option<usize> = None;
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        if let (None, Some(quoted)) = (class, rest.strip_prefix(r"\Q")) {
            let (text, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(text));
            rest = after;
            continue;
        }
        if first == '\\' {
            taken += rest[1..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..taken]);
            class = class.map(|members| members + 1);
        } else if let Some(members) = class {
            let named = if rest.starts_with("[:") { rest.find(":]") } else { None };
            match (first, named) {
                ('[', Some(end)) => {
                    taken = end + 2;
                    out.push_str(&rest[..taken]);
                }
                ('[' | '&' | '~', _) => out.extend(['\\', first]),
                (']', _) if members == 0 => out.push_str(r"\]"),
                (other, _) => out.push(other),
            }
            class = if first == ']' && members > 0 { None } else { Some(members + 1) };
        } else if first == '[' {
            if rest.starts_with("[^") {
                taken = 2;
            }
            out.push_str(&rest[..taken]);
            class = Some(0);
        } else {
            if let Some(flags) = rest.strip_prefix("(?") {
                let unknown = flags.chars().take_while(|flag| flag.is_ascii_alphabetic() || *flag == '-');
                let unknown = unknown.filter(|flag| !"imsU-P".contains(*flag)).collect::<String>();
                let a_name = flags.starts_with("P<");
                if !a_name && !unknown.is_empty() {
                    return Err(format!("unknown flag `{unknown}` in `{source}`: RE2 has i, m, s and U"));
                }
            }
            out.push(first);
        }
        rest = &rest[taken..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_expression_matches_the_whole_text_as_re2_would() {
        for (expression, text, want) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("a|ab", "ab", true),
            ("a$", "a\n", false),
            (r"\d", "5", true),
            (r"\d", "٣", false),
            (r"\w+", "é", false),
            ("a.", "aé", false),
            ("a..", "aé", true),
            ("é", "é", true),
            (r"\Q.*\E", ".*", true),
            (r"\Q.*\E", "ab", false),
            ("[[]", "[", true),
            ("[a&&b]", "&", true),
            ("[]a]", "]", true),
            ("[^]a]", "]", false),
            ("[[:digit:]x]+", "5x", true),
            (r"[\]]", "]", true),
            ("(?i)AbC", "abc", true),
            ("(?i:A)b", "ab", true),
            ("(?P<name>x)", "x", true),
            ("(?<name>x)", "x", true),
            (".*", "", true),
        ] {
            assert_eq!(Pattern::new(expression).unwrap().is_full_match(text), want, "{expression} on {text}");
        }
        assert!(Pattern::new("a.").unwrap().is_full_match(b"a\xff"), "a header need not be UTF-8");
    }

    #[test]
    fn what_re2_does_not_know_or_is_too_large_is_refused() {
        for expression in ["(", "a)(b", "(?x)a # b", r"\1", "(?=a)", "a{1000}{1000}{1000}", "[z-a]", "*"] {
            assert!(Pattern::new(expression).is_err(), "{expression}");
        }
    }

    #[test]
    fn texts_compare_as_bytes() {
        for (want, text, matches) in [
            (TextMatch::Exact("a".into()), "a", true),
            (TextMatch::Exact("a".into()), "A", false),
            (TextMatch::Exact(String::new()), "a", false),
            (TextMatch::Prefix("a".into()), "ab", true),
            (TextMatch::Prefix("a".into()), "ba", false),
            (TextMatch::Present, "", true),
        ] {
            assert_eq!(want.matches(text), matches, "{want:?} on {text}");
        }
    }

    proptest! {
        #[test]
        fn any_expression_is_read_or_refused(expression in r"[\\QE\[\]()?:a-z&~^*-]{0,12}", text: String) {
            if let Ok(pattern) = Pattern::new(&expression) {
                pattern.is_full_match(&text);
            }
        }

        #[test]
        fn a_quoted_text_matches_itself_only(text in "[ -~]{0,12}", other in "[ -~]{0,12}") {
            prop_assume!(!text.contains(r"\E") && !text.ends_with('\\'));
            let pattern = Pattern::new(&format!(r"\Q{text}\E")).unwrap();
            prop_assert!(pattern.is_full_match(&text));
            prop_assert_eq!(pattern.is_full_match(&other), text == other);
        }
    }
}
