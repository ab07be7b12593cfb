//! Who sees an object: `exportTo` (Istio, `pkg/config/visibility`).

/// The namespaces that see an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Visibility {
    /// All.
    Public,
    /// These. None at all for `~`.
    Only(Vec<String>),
}

impl Visibility {
    /// `exportTo` of an object in `namespace`: `.` is its own, `*` is all, and so is nothing at all.
    pub(super) fn new<'a>(export_to: impl IntoIterator<Item = &'a str>, namespace: &str) -> Self {
        let mut only: Vec<String> = Vec::new();
        let mut any = false;
        for one in export_to {
            any = true;
            match one {
                "*" => return Self::Public,
                "~" => {}
                "." => only.push(namespace.to_owned()),
                name => only.push(name.to_owned()),
            }
        }
        if !any {
            return Self::Public;
        }
        only.sort_unstable();
        only.dedup();
        Self::Only(only)
    }

    /// Whether it is seen from `namespace`.
    pub(super) fn reaches(&self, namespace: &str) -> bool {
        match self {
            Self::Public => true,
            Self::Only(names) => names.iter().any(|name| name == namespace),
        }
    }

    /// The order in which Istio looks at what `client` sees of an object in `namespace`: its own private ones, those that
    /// name it, those for all. `None`: it does not see it.
    pub(super) fn rank(&self, namespace: &str, client: &str) -> Option<u8> {
        match self {
            Self::Public => Some(2),
            Self::Only(_) if !self.reaches(client) => None,
            Self::Only(_) => Some(u8::from(namespace != client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_seen_where_it_is_exported_to() {
        for (export_to, client, want) in [
            (&[][..], "other", Some(2)),
            (&["*"], "other", Some(2)),
            (&[".", "*"], "other", Some(2)),
            (&["."], "home", Some(0)),
            (&["."], "other", None),
            (&["home"], "home", Some(0)),
            (&["other", "third"], "other", Some(1)),
            (&["other", "third"], "home", None),
            (&["~"], "home", None),
        ] {
            let visibility = Visibility::new(export_to.iter().copied(), "home");
            assert_eq!(visibility.rank("home", client), want, "{export_to:?} from {client}");
            assert_eq!(visibility.reaches(client), want.is_some());
        }
    }
}
