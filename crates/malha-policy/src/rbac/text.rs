//! How values of rules match text (Istio, `pilot/pkg/security/authz/matcher/string.go`): exact, `abc*` the beginning,
//! `*abc` the end, `*` anything that is not empty.

/// What a value matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Exact(String),
    Prefix(String),
    Suffix(String),
    /// Istio's regular expression `.+`, whose dot is no line feed.
    Something,
}

impl Text {
    /// Reads a value. A star elsewhere than at one end is a star.
    pub(crate) fn parse(value: &str) -> Self {
        if value == "*" {
            Self::Something
        } else if let Some(suffix) = value.strip_prefix('*') {
            Self::Suffix(suffix.to_owned())
        } else if let Some(prefix) = value.strip_suffix('*') {
            Self::Prefix(prefix.to_owned())
        } else {
            Self::Exact(value.to_owned())
        }
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(value) => text == value.as_bytes(),
            Self::Prefix(value) => text.starts_with(value.as_bytes()),
            Self::Suffix(value) => text.ends_with(value.as_bytes()),
            Self::Something => !text.is_empty() && !text.contains(&b'\n'),
        }
    }

    /// As [`Self::matches`], whether letters are large or small.
    pub(crate) fn matches_ignoring_case(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(value) => text.eq_ignore_ascii_case(value.as_bytes()),
            Self::Prefix(value) => {
                text.get(..value.len()).is_some_and(|start| start.eq_ignore_ascii_case(value.as_bytes()))
            }
            Self::Suffix(value) => {
                text.len().checked_sub(value.len()).is_some_and(|at| text[at..].eq_ignore_ascii_case(value.as_bytes()))
            }
            Self::Something => self.matches(text),
        }
    }
}

/// A text in which each star stands for anything, also nothing, and all else for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob(Vec<String>);

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.split('*').map(str::to_owned).collect())
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let Some(text) = text.strip_prefix(first.as_str()) else { return false };
        let Some((last, middle)) = rest.split_last() else { return text.is_empty() };
        let found =
            middle.iter().try_fold(text, |text, piece| text.find(piece.as_str()).map(|at| &text[at + piece.len()..]));
        found.is_some_and(|text| text.ends_with(last.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_one_end_is_a_wildcard() {
        for (value, text, fits) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("abc", "ABC", false),
            ("ab*", "ab", true),
            ("ab*", "abc", true),
            ("ab*", "cab", false),
            ("*bc", "bc", true),
            ("*bc", "abc", true),
            ("*bc", "bcd", false),
            ("*", "x", true),
            ("*", "", false),
            ("*", "a\nb", false),
            ("a*c", "abc", false),
            ("a*c", "a*c", true),
            ("*a*", "xa*", true),
            ("*a*", "xax", false),
            ("**", "x*", true),
            ("", "", true),
        ] {
            assert_eq!(Text::parse(value).matches(text.as_bytes()), fits, "{value} {text}");
        }
    }

    #[test]
    fn hosts_match_whatever_the_case() {
        for (value, text, fits) in [
            ("Example.com", "eXample.COM", true),
            ("EX*", "example.com", true),
            ("*.COM", "example.com", true),
            ("*.com", "com", false),
            ("example.com*", "ex", false),
            ("*", "x", true),
            ("*", "", false),
        ] {
            assert_eq!(Text::parse(value).matches_ignoring_case(text.as_bytes()), fits, "{value} {text}");
        }
    }

    #[test]
    fn a_glob_has_stars_anywhere() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*", "", true),
            ("*/ns/a*b/*", "x/ns/ab/y", true),
            ("*/ns/a*b/*", "x/ns/axxb/", true),
            ("*/ns/a*b/*", "x/ns/axx/", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab*ab", "ab", false),
            ("*ab*ab", "abab", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), fits, "{pattern} {text}");
        }
    }
}
