//! Words for what a field may be.

/// Names listed before a message says "and so on".
const LISTED: usize = 12;

/// A hint for a name that nobody knows: the most similar known one, and what is allowed.
pub(crate) fn did_you_mean(name: &str, known: &[&str]) -> String {
    let allowed = allowed(known);
    match closest(name, known) {
        Some(similar) => format!("did you mean `{similar}`? {allowed}"),
        None => allowed,
    }
}

/// The known name that `name` is most likely a slip of.
pub(crate) fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&lower, &candidate.to_lowercase()), *candidate))
        .filter(|(similarity, _)| *similarity >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn allowed(known: &[&str]) -> String {
    let mut text = "allowed: ".to_owned();
    if known.is_empty() {
        return "no fields are allowed here".to_owned();
    }
    text.push_str(&known[..known.len().min(LISTED)].join(", "));
    if known.len() > LISTED {
        text.push_str(", …");
    }
    text
}

/// What a type asks for, in a reader's words instead of Rust's.
pub(crate) fn expected(rust: &str) -> String {
    let words = match rust {
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "IntOrString" => "a whole number or a string",
        "Quantity" => "a quantity such as `128Mi` or `100m`",
        "Time" => "a time such as `2026-01-31T12:00:00Z`",
        // k8s-openapi names the type of a struct, serde_derive says `struct Name`.
        _ if rust.starts_with("struct ") || rust.starts_with(|c: char| c.is_ascii_uppercase()) => "a map of fields",
        other => other,
    };
    words.to_owned()
}
