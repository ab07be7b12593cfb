//! The names of servers, as a client may ask for them.

/// A name, or a kind of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerName {
    /// This one.
    Exact(String),
    /// Those that end so, with the dot.
    Suffix(String),
    /// Every one, and none.
    Any,
}

/// How well a name fits; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// As one of all.
    Any,
    /// By so many bytes at the end.
    Suffix(usize),
    /// Wholly.
    Exact,
}

impl ServerName {
    pub(super) fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some("") => Self::Any,
            Some(suffix) if suffix.starts_with('.') => Self::Suffix(suffix.to_owned()),
            _ => Self::Exact(text),
        }
    }

    /// Whether `name`, in small letters, is one of it. A `*` stands for any number of labels, but not for none.
    pub(super) fn fit(&self, name: Option<&str>) -> Option<Fit> {
        match (self, name) {
            (Self::Any, _) => Some(Fit::Any),
            (Self::Exact(known), Some(name)) => (known == name).then_some(Fit::Exact),
            (Self::Suffix(suffix), Some(name)) => {
                (name.len() > suffix.len() && name.ends_with(suffix)).then_some(Fit::Suffix(suffix.len()))
            }
            (_, None) => None,
        }
    }
}
