//! For whom a token is (Envoy, `source/common/jwt/check_audience.cc`): the scheme `http://` or `https://` and one slash
//! at the end make no difference.

/// Whether one of `audiences` is among those that are `allowed`; with none of these, always. They are [`bare`].
pub(crate) fn is_allowed(allowed: &[String], audiences: &[String]) -> bool {
    allowed.is_empty() || audiences.iter().any(|audience| allowed.iter().any(|own| own == bare(audience)))
}

/// An audience as it is compared.
pub(crate) fn bare(audience: &str) -> &str {
    let rest = audience.strip_prefix("http://").or_else(|| audience.strip_prefix("https://")).unwrap_or(audience);
    rest.strip_suffix('/').unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_final_slash_do_not_matter() {
        let allowed = ["one", "https://two.example/"].map(|audience| bare(audience).to_owned());
        for (audience, good) in [
            ("one", true),
            ("one/", true),
            ("http://one", true),
            ("two.example", true),
            ("http://two.example", true),
            ("one//", false),
            ("ONE", false),
            ("three", false),
            ("", false),
            ("/", false),
            ("http://", false),
        ] {
            assert_eq!(is_allowed(&allowed, &[audience.to_owned()]), good, "{audience}");
        }
        assert!(is_allowed(&allowed, &["three".to_owned(), "one".to_owned()]));
        assert!(!is_allowed(&allowed, &[]));
        assert!(is_allowed(&[], &[]));
    }
}
