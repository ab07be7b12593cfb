//! Path templates: `{*}` is one segment of a path, `{**}` any number of them (Istio,
//! `pilot/pkg/security/authz/matcher/template.go`; Envoy, `source/extensions/path/uri_template_lib`).

/// A path with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// The segments up to `{**}`, or all.
    segments: Vec<Segment>,
    /// What follows `{**}`, with its slash: text only.
    rest: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    /// At least one character.
    Any,
}

/// Whether a value of `paths` is a template. If not, it is a text with a star at one end perhaps.
pub(crate) fn is_template(path: &str) -> bool {
    path.contains("{*}") || path.contains("{**}")
}

impl Template {
    /// Reads a template; what is wrong with it if it is none.
    pub(crate) fn parse(path: &str) -> Result<Self, String> {
        // Istio writes templates for Envoy without the braces, and leaves stars that have none: they mean the same.
        let text = path.replace("{*}", "*").replace("{**}", "**");
        let text = text.strip_prefix('/').ok_or("a path template has to begin with `/`")?;
        let mut segments = Vec::new();
        let mut rest: Option<String> = None;
        for segment in text.split('/') {
            match (segment, &mut rest) {
                ("*" | "**", Some(_)) => return Err("`{**}` has to be the last operator of a path template".to_owned()),
                ("*", None) => segments.push(Segment::Any),
                ("**", None) => rest = Some(String::new()),
                (text, _) if text.contains('*') || !text.bytes().all(is_path_character) => {
                    return Err(format!("`{text}` cannot stand in a path template"));
                }
                (text, Some(rest)) => {
                    rest.push('/');
                    rest.push_str(text);
                }
                (text, None) => segments.push(Segment::Text(text.to_owned())),
            }
        }
        Ok(Self { segments, rest })
    }

    /// Whether a path, without its query, is of this form.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let mut left = path;
        for segment in &self.segments {
            let Some(behind) = left.strip_prefix('/') else { return false };
            let end = behind.find('/').unwrap_or(behind.len());
            let (own, behind) = behind.split_at(end);
            let fits = match segment {
                Segment::Text(text) => own == text,
                Segment::Any => !own.is_empty() && own.bytes().all(is_path_character),
            };
            if !fits {
                return false;
            }
            left = behind;
        }
        match &self.rest {
            None => left.is_empty(),
            Some(rest) => left
                .strip_prefix('/')
                .and_then(|left| left.strip_suffix(rest.as_str()))
                .is_some_and(|any| any.bytes().all(|byte| byte == b'/' || is_path_character(byte))),
        }
    }
}

/// A character of a segment (RFC 3986, appendix A).
fn is_path_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_is_one_segment_and_two_are_any_number() {
        for (template, path, fits) in [
            ("/a/{*}", "/a/b", true),
            ("/a/{*}", "/a/", false),
            ("/a/{*}", "/a", false),
            ("/a/{*}", "/a/b/c", false),
            ("/a/{*}", "/a/b/", false),
            ("/a/{*}/c", "/a/b/c", true),
            ("/a/{*}/c", "/a/b/d", false),
            ("/{*}", "/b", true),
            ("/{*}", "/", false),
            ("/a/{**}", "/a/", true),
            ("/a/{**}", "/a", false),
            ("/a/{**}", "/a/b/c/", true),
            ("/{**}", "/", true),
            ("/{**}", "/a/b", true),
            ("/a/{**}/z", "/a/z", false),
            ("/a/{**}/z", "/a//z", true),
            ("/a/{**}/z", "/a/b/c/z", true),
            ("/a/{**}/z", "/a/b/c/y", false),
            ("/{*}/b/{**}", "/a/b/", true),
            ("/{*}/b/{**}", "/a/c/", false),
            ("/a/{*}/", "/a/b/", true),
            ("/a/{*}/", "/a/b", false),
            ("/a/*/{*}", "/a/x/y", true),
            ("/A/{*}", "/a/b", false),
            ("/{*}", "/a*b=c;d", true),
            ("/{*}", "/a|b", false),
            ("/{**}", "/a|b", false),
            ("/a=b/{*}", "/a=b/c", true),
        ] {
            assert_eq!(Template::parse(template).map(|template| template.matches(path)), Ok(fits), "{template} {path}");
        }
    }

    #[test]
    fn a_template_without_sense_is_refused() {
        for path in ["a/{*}", "/{**}/{*}", "/{**}/{**}", "/{*}.html", "/x{*}", "/{name}/{*}", "/a b/{*}", "/{***}"] {
            assert!(Template::parse(path).is_err(), "{path}");
        }
    }
}
