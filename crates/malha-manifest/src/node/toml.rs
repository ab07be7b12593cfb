//! TOML to a [`Document`].

use std::ops::Range;
use std::sync::Arc;

use serde_json::Number;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::{Document, Entry, Limits, Node, Value};
use crate::diagnostic::Diagnostic;
use crate::source::{Location, SourceFile, Span};

/// Reads a file. The document is there even when something in the file is wrong: it has what could be read.
pub fn parse_toml(file: &Arc<SourceFile>, limits: Limits) -> (Option<Document>, Vec<Diagnostic>) {
    let text = file.text();
    if text.len() > limits.bytes {
        let message = format!("{} is larger than {} bytes, which is as much as malha reads", file.name(), limits.bytes);
        return (None, vec![Diagnostic::error(message)]);
    }
    let mut builder = Builder {
        file,
        lines: Lines::new(text),
        limits,
        total: 0,
        masked: text.contains("secret"),
        diagnostics: Vec::new(),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = builder.lines.span(&error.span().unwrap_or(0..0));
        builder.complain(format!("not TOML: {}", error.message().trim()), span);
    }
    let span = table.span();
    let root = builder.table(table.into_inner(), &span, 1);
    (Some(Document::new(Arc::clone(file), root)), builder.diagnostics)
}

struct Builder<'a> {
    file: &'a Arc<SourceFile>,
    lines: Lines<'a>,
    limits: Limits,
    total: usize,
    masked: bool,
    diagnostics: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn complain(&mut self, message: String, span: Span) {
        let location = Location::new(Arc::clone(self.file), span);
        self.diagnostics.push(Diagnostic::error(message).at(if self.masked { location.masked() } else { location }));
    }

    fn table(&mut self, table: DeTable<'_>, range: &Range<usize>, depth: usize) -> Node {
        let mut fields: Vec<_> = table.into_iter().collect();
        // The parser keeps keys sorted by name; people read files from the top.
        fields.sort_by_key(|(key, _)| key.span().start);
        let entries = fields
            .into_iter()
            .map(|(key, value)| {
                let key_span = Some(self.lines.span(&key.span()));
                Entry { key: key.into_inner().into_owned(), key_span, value: self.value(value, depth) }
            })
            .collect();
        Node { value: Value::Map(entries), span: Some(self.lines.span(range)) }
    }

    fn value(&mut self, value: Spanned<DeValue<'_>>, depth: usize) -> Node {
        let range = value.span();
        let span = self.lines.span(&range);
        self.total += 1;
        if depth > self.limits.depth || self.total > self.limits.nodes {
            if self.total <= self.limits.nodes + 1 {
                self.complain("more values, or deeper inside each other, than malha reads".to_owned(), span);
                self.total = self.total.max(self.limits.nodes + 1);
            }
            return Node { value: Value::Null, span: Some(span) };
        }
        let value = match value.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Datetime(value) => Value::String(value.to_string()),
            DeValue::Integer(written) => {
                if let Some(number) = integer(&written) {
                    Value::Number(number)
                } else {
                    self.complain("a number beyond 64 bits".to_owned(), span);
                    Value::Null
                }
            }
            DeValue::Float(written) => match written.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Value::Number(number),
                None => Value::String(written.as_str().to_owned()),
            },
            DeValue::Array(items) => Value::List(items.into_iter().map(|item| self.value(item, depth + 1)).collect()),
            DeValue::Table(table) => return self.table(table, &range, depth + 1),
        };
        Node { value, span: Some(span) }
    }
}

fn integer(written: &DeInteger<'_>) -> Option<Number> {
    i64::from_str_radix(written.as_str(), written.radix()).ok().map(Number::from)
}

/// Finds lines and columns of bytes.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn span(&self, range: &Range<usize>) -> Span {
        let line = self.starts.partition_point(|start| *start <= range.start).max(1);
        let start = self.starts[line - 1];
        let end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        let chars = |from: usize, to: usize| {
            self.text.get(from..to).map_or(0, |text| u32::try_from(text.chars().count()).unwrap_or(u32::MAX))
        };
        Span {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: chars(start, range.start) + 1,
            width: chars(range.start, range.end.min(end).max(range.start)),
        }
    }
}
