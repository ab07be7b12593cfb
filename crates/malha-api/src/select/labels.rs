//! `labelSelector` (apimachinery `pkg/labels/selector.go`).
//!
//! ```text
//! requirement ("," requirement)*
//! requirement = KEY | "!" KEY | KEY ("=" | "==" | "!=") VALUE | KEY ("in" | "notin") "(" VALUE ("," VALUE)* ")"
//!             | KEY (">" | "<") NUMBER
//! ```

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Check {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

/// A selector: all requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels(Vec<(String, Check)>);

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Sign(&'static str),
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    const SIGNS: [&str; 9] = ["!=", "==", "=", "!", "(", ")", ",", "<", ">"];
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            found.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "!=(),<>".contains(c)).unwrap_or(rest.len());
            found.push(Token::Word(&rest[..end]));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    found
}

impl Labels {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let tokens = tokens(text);
        let mut tokens = tokens.into_iter().peekable();
        let mut found = Vec::new();
        while tokens.peek().is_some() {
            let not = tokens.next_if_eq(&Token::Sign("!")).is_some();
            let key = match tokens.next() {
                Some(Token::Word(key)) => key,
                Some(Token::Sign(sign)) => {
                    return Err(format!("found '{sign}', expected: !, identifier, or 'end of string'"));
                }
                None => return Err("found '', expected: identifier".to_owned()),
            };
            check_key(key)?;
            let check = match tokens.next() {
                None => {
                    if not {
                        Check::Absent
                    } else {
                        Check::Exists
                    }
                }
                Some(Token::Sign(",")) => {
                    found.push((key.to_owned(), if not { Check::Absent } else { Check::Exists }));
                    if tokens.peek().is_none() {
                        return Err("found '', expected: identifier after ','".to_owned());
                    }
                    continue;
                }
                Some(_) if not => return Err("found something after '!', expected: identifier alone".to_owned()),
                Some(Token::Sign(sign @ ("=" | "==" | "!="))) => {
                    // An empty value is one.
                    let value = match tokens.peek() {
                        Some(Token::Word(value)) => *value,
                        _ => "",
                    };
                    if !value.is_empty() {
                        tokens.next();
                    }
                    check_value(value)?;
                    if sign == "!=" { Check::NotIn(vec![value.to_owned()]) } else { Check::In(vec![value.to_owned()]) }
                }
                Some(Token::Sign(sign @ (">" | "<"))) => {
                    let Some(Token::Word(value)) = tokens.next() else {
                        return Err(format!("found '', expected: a number after '{sign}'"));
                    };
                    let number = value
                        .parse()
                        .map_err(|_| format!("values[0][{key}]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"))?;
                    if sign == ">" { Check::Greater(number) } else { Check::Less(number) }
                }
                Some(Token::Word(word @ ("in" | "notin"))) => {
                    let values = set(&mut tokens)?;
                    if word == "in" { Check::In(values) } else { Check::NotIn(values) }
                }
                Some(Token::Word(word)) => {
                    return Err(format!("found '{word}', expected: in, notin, =, ==, !=, gt, lt"));
                }
                Some(Token::Sign(sign)) => {
                    return Err(format!("found '{sign}', expected: in, notin, =, ==, !=, gt, lt"));
                }
            };
            found.push((key.to_owned(), check));
            match tokens.next() {
                None => break,
                Some(Token::Sign(",")) if tokens.peek().is_some() => {}
                Some(Token::Sign(",")) => return Err("found '', expected: identifier after ','".to_owned()),
                Some(Token::Word(other) | Token::Sign(other)) => {
                    return Err(format!("found '{other}', expected: ',' or 'end of string'"));
                }
            }
        }
        Ok(Self(found))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn select(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.0.iter().all(|(key, check)| {
            let value = labels.and_then(|labels| labels.get(key));
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match check {
                Check::In(values) => value.is_some_and(|value| values.contains(value)),
                Check::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Check::Exists => value.is_some(),
                Check::Absent => value.is_none(),
                Check::Greater(than) => number().is_some_and(|number| number > *than),
                Check::Less(than) => number().is_some_and(|number| number < *than),
            }
        })
    }
}

/// `(a, b)`; an empty place is an empty value.
fn set<'a>(tokens: &mut impl Iterator<Item = Token<'a>>) -> Result<Vec<String>, String> {
    if tokens.next() != Some(Token::Sign("(")) {
        return Err("found '', expected: '('".to_owned());
    }
    let mut values = Vec::new();
    let mut value = "";
    loop {
        match tokens.next() {
            Some(Token::Word(word)) if value.is_empty() => value = word,
            Some(Token::Sign(sign @ ("," | ")"))) => {
                check_value(value)?;
                values.push(value.to_owned());
                value = "";
                if sign == ")" {
                    return Ok(values);
                }
            }
            Some(Token::Word(other) | Token::Sign(other)) => {
                return Err(format!("found '{other}', expected: ',', or ')'"));
            }
            None => return Err("found '', expected: ',', or ')'".to_owned()),
        }
    }
}

/// The words of a label (`util/validation`, `IsQualifiedName`, `IsValidLabelValue`).
fn is_word(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63 && text.bytes().all(inside) && edge(text.as_bytes().first()) && edge(text.as_bytes().last())
}

fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefixed =
        prefix.is_none_or(|prefix| !prefix.is_empty() && prefix.len() <= 253 && prefix.split('.').all(is_word));
    if prefixed && is_word(name) {
        return Ok(());
    }
    Err(format!(
        "<nil>: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start \
         and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    ))
}

fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_word(value) {
        return Ok(());
    }
    Err(format!(
        "<nil>: Invalid value: {value:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', \
         '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
         regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split(' ').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn every_form_selects() {
        for (selector, want) in [
            ("", true),
            ("app=posts", true),
            ("app==posts", true),
            ("app = posts , tier=web", true),
            ("app=other", false),
            ("app!=other", true),
            ("app!=posts", false),
            ("none!=posts", true),
            ("none=", false),
            ("empty=", true),
            ("app in (a, posts)", true),
            ("app in (a,b)", false),
            ("app notin (a,b)", true),
            ("none notin (a)", true),
            ("app", true),
            ("none", false),
            ("!none", true),
            ("!app", false),
            ("app,tier in (web),!none,size>3,size<5", true),
            ("size>4", false),
            ("example.com/part=x", true),
            ("empty in ()", true),
        ] {
            let read = Labels::read(selector).unwrap_or_else(|why| panic!("{selector}: {why}"));
            let given = labels("app=posts tier=web size=4 empty= example.com/part=x");
            assert_eq!(read.select(Some(&given)), want, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for selector in [
            ",",
            "a,",
            "a,,b",
            "=",
            "a=b=c",
            "a in",
            "a in (",
            "a in (b",
            "a in b",
            "!a=b",
            "a b",
            "a=b c",
            "-a",
            "a=-b",
            "/a",
            "a in (b) c",
            "size>x",
            "a/b/c",
        ] {
            assert!(Labels::read(selector).is_err(), "{selector}");
        }
    }
}
