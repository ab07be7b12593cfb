//! What names may look like.
//!
//! Sources: Kubernetes `k8s.io/apimachinery/pkg/util/validation`, which follows RFC 1123 and RFC 1035.

/// A rule for names: its test, and its words for a message.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) holds: fn(&str) -> bool,
    pub(crate) words: &'static str,
}

/// `IsDNS1123Label`
pub(crate) const LABEL: Rule = Rule {
    holds: is_label,
    words: "at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends",
};

/// `IsDNS1123Label` of Istio (`pkg/config/labels`): Kubernetes' with capitals.
pub(crate) const MESH_LABEL: Rule = Rule {
    holds: |name| is_label(&name.to_ascii_lowercase()),
    words: "at most 63 letters, digits and `-`, with a letter or digit at both ends",
};

/// `IsDNS1123Subdomain`
pub(crate) const SUBDOMAIN: Rule = Rule {
    holds: |name| name.len() <= 253 && name.split('.').all(is_part),
    words: "at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part",
};

/// `IsDNS1035Label`, for Services.
pub(crate) const SERVICE: Rule = Rule {
    holds: |name| is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase()),
    words: "at most 63 lower-case letters, digits and `-`, with a letter first and a letter or digit last",
};

/// `IsValidPortName` (`IANA_SVC_NAME`), for the ports of containers.
pub(crate) const PORT_NAME: Rule = Rule {
    holds: |name| {
        name.len() <= 15 && is_part(name) && !name.contains("--") && name.contains(|c: char| c.is_ascii_lowercase())
    },
    words: "at most 15 lower-case letters, digits and single `-` inside, with at least one letter",
};

/// `IsRelaxedEnvVarName`: any printable ASCII but `=`.
pub(crate) const ENV_NAME: Rule = Rule {
    holds: |name| !name.is_empty() && name.chars().all(|c| (' '..='~').contains(&c) && c != '='),
    words: "printable ASCII characters other than `=`",
};

/// `IsConfigMapKey`, also for Secrets.
pub(crate) const DATA_KEY: Rule = Rule {
    holds: |name| {
        !name.is_empty()
            && name.len() <= 253
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && name != "."
            && !name.starts_with("..")
    },
    words: "letters, digits, `-`, `_` and `.`",
};

/// `IsQualifiedName`, for the keys of labels and annotations.
pub(crate) const QUALIFIED: Rule = Rule {
    holds: |name| {
        let (prefix, name) = name.rsplit_once('/').map_or((None, name), |(prefix, name)| (Some(prefix), name));
        prefix.is_none_or(SUBDOMAIN.holds) && !name.is_empty() && is_label_value(name)
    },
    words: "at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends, and an optional `domain/` before",
};

/// `IsValidLabelValue`
pub(crate) const LABEL_VALUE: Rule = Rule {
    holds: is_label_value,
    words: "empty, or at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
};

/// A host in an Istio object: a name, `*.name` or `*` (`ValidateWildcardDomain`).
pub(crate) const HOST: Rule = Rule {
    holds: |host| {
        host == "*"
            || host.parse::<std::net::IpAddr>().is_ok()
            || host.len() <= 255
                && host.strip_prefix("*.").unwrap_or(host).split('.').all(|part| {
                    // Istio allows capitals and underscores here, as real hosts have them.
                    !part.is_empty()
                        && part.len() <= 63
                        && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                        && !part.starts_with('-')
                        && !part.ends_with('-')
                })
    },
    words: "a host name, `*.` and a host name, or `*`",
};

fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

fn is_part(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(plain) && part.ends_with(plain) && part.chars().all(|c| plain(c) || c == '-')
}

fn is_label_value(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    value.is_empty()
        || value.len() <= 63
            && value.starts_with(plain)
            && value.ends_with(plain)
            && value.chars().all(|c| plain(c) || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_those_of_kubernetes() {
        let yes: [(Rule, &[&str]); 8] = [
            (LABEL, &["a", "0", "a-b", "a--b"]),
            (SUBDOMAIN, &["a.b", "0.a-b"]),
            (SERVICE, &["posts-service"]),
            (PORT_NAME, &["http", "p-1", "1a"]),
            (ENV_NAME, &["A", "a.b-c", "1"]),
            (QUALIFIED, &["app", "x.io/Y_z.1"]),
            (LABEL_VALUE, &["", "0.0.1", "A_b"]),
            (HOST, &["*", "*.a", "a.b.c", "A_b"]),
        ];
        let no: [(Rule, &[&str]); 8] = [
            (LABEL, &["", "A", "-a", "a-", "a.b", "ü"]),
            (SUBDOMAIN, &["", "a..b", ".a", "a_b"]),
            (SERVICE, &["1a", "a.b"]),
            (PORT_NAME, &["", "80", "a--b", "sixteen-letters-x", "HTTP"]),
            (ENV_NAME, &["", "a=b", "a\n"]),
            (QUALIFIED, &["", "/a", "a/", "X/a", "a/b/c", "-a"]),
            (LABEL_VALUE, &["-", "a b", "a/b"]),
            (HOST, &["", "*a", "a.*", "a b", "-a", "http://a", "*."]),
        ];
        for (rule, names) in yes {
            for name in names {
                assert!((rule.holds)(name), "{name:?}");
            }
        }
        for (rule, names) in no {
            for name in names {
                assert!(!(rule.holds)(name), "{name:?}");
            }
        }
    }
}
