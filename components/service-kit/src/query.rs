//! The query of a collection: nothing, or one filter.

/// Reads `?name=7`. A query that asks for anything else is an error rather than ignored: `?userid=7` would otherwise
/// look like a filter that finds everything.
///
/// # Errors
/// A sentence for the client that names the parameter.
pub fn filter(query: Option<&str>, name: &str) -> Result<Option<u32>, String> {
    let mut found = None;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != name {
            return Err(format!("Unknown query parameter {key:?}; there is only {name}."));
        }
        let number = id(value).ok_or_else(|| format!("{name} must be a positive whole number, not {value:?}."))?;
        if found.replace(number).is_some() {
            return Err(format!("{name} may be given only once."));
        }
    }
    Ok(found)
}

/// Reads an id: decimal digits without sign or leading zero, so that every item has one URL.
pub fn id(text: &str) -> Option<u32> {
    let canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_filter_or_none_is_read() {
        assert_eq!(filter(None, "userId"), Ok(None));
        assert_eq!(filter(Some(""), "userId"), Ok(None));
        assert_eq!(filter(Some("userId=7"), "userId"), Ok(Some(7)));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for (query, part) in [
            ("userid=7", "Unknown query parameter \"userid\""),
            ("userId=", "positive whole number"),
            ("userId", "positive whole number"),
            ("userId=-1", "positive whole number"),
            ("userId=1e1", "positive whole number"),
            ("userId=99999999999", "positive whole number"),
            ("userId=1&userId=2", "only once"),
        ] {
            let error = filter(Some(query), "userId").unwrap_err();
            assert!(error.contains(part), "{query}: {error}");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!(id("100"), Some(100));
        for text in ["", "0", "007", "+7", "7 ", "4294967296"] {
            assert_eq!(id(text), None, "{text:?}");
        }
    }
}
