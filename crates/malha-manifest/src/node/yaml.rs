//! YAML (and JSON, which is YAML) to [`Document`]s.
//!
//! Built on the event stream of `saphyr-parser` rather than on its tree: limits must hold while the tree grows, and keys,
//! duplicates, merges and words follow Kubernetes' rules.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks, StrInput, Tag};

use super::{Document, Entry, Limits, Node, Value, scalar};
use crate::diagnostic::Diagnostic;
use crate::source::{Location, SourceFile, Span};

/// Reads all documents of a file. Empty documents are left out; after a syntax error the rest of the file is not read.
pub fn parse_yaml(file: &Arc<SourceFile>, limits: Limits) -> (Vec<Document>, Vec<Diagnostic>) {
    let mut builder = Builder::new(file, limits);
    if file.text().len() > limits.bytes {
        let message = format!("{} is larger than {} bytes, which is as much as malha reads", file.name(), limits.bytes);
        return (Vec::new(), vec![Diagnostic::error(message)]);
    }
    let text = file.text().strip_prefix('\u{feff}').unwrap_or(file.text());
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
    loop {
        match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => break,
            Some(Ok((event, marks))) => {
                if let Err(diagnostic) = builder.take(event, &marks) {
                    builder.diagnostics.push(*diagnostic);
                    break;
                }
            }
            Some(Err(error)) => {
                let marker = error.marker();
                let span = Span { line: number(marker.line()), column: number(marker.col() + 1), width: 1 };
                let mut diagnostic = builder.error(format!("not YAML: {}", error.info()), span);
                if file.line(span.line).is_some_and(|line| line.trim_start_matches(' ').starts_with('\t')) {
                    diagnostic = diagnostic.help("indent with spaces: YAML takes no tabs");
                }
                builder.diagnostics.push(diagnostic);
                break;
            }
        }
    }
    (builder.documents, builder.diagnostics)
}

/// A map or list that is not complete yet.
struct Open {
    span: Span,
    anchor: usize,
    /// Values in it so far, with itself.
    size: usize,
    /// Maps and lists inside each other in it so far, with itself.
    height: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merges: Vec<Node>, key: Option<Key> },
}

/// A key that waits for its value.
struct Key {
    name: String,
    span: Span,
    merge: bool,
}

/// A complete value with what the limits count.
#[derive(Clone)]
struct Built {
    node: Node,
    size: usize,
    height: usize,
    /// `<<` unquoted: as a key, it merges.
    merge: bool,
}

struct Builder<'a> {
    file: &'a Arc<SourceFile>,
    limits: Limits,
    /// Syntax errors come before anyone knows which document is a Secret: hide values where one may be.
    masked: bool,
    open: Vec<Open>,
    anchors: HashMap<usize, Built>,
    total: usize,
    documents: Vec<Document>,
    diagnostics: Vec<Diagnostic>,
}

type Failure = Box<Diagnostic>;

impl<'a> Builder<'a> {
    fn new(file: &'a Arc<SourceFile>, limits: Limits) -> Self {
        Self {
            file,
            limits,
            masked: file.text().contains("Secret") || file.text().contains("stringData"),
            open: Vec::new(),
            anchors: HashMap::new(),
            total: 0,
            documents: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    fn error(&self, message: impl Into<String>, span: Span) -> Diagnostic {
        let location = Location::new(Arc::clone(self.file), span);
        Diagnostic::error(message).at(if self.masked { location.masked() } else { location })
    }

    fn take(&mut self, event: Event<'_>, marks: &Marks) -> Result<(), Failure> {
        let span = span(marks);
        match event {
            Event::DocumentStart(_) => {
                // Names of one document mean nothing in the next.
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                let value = match &tag {
                    None if style == ScalarStyle::Plain => scalar::resolve(&text),
                    None => Value::String(text.into_owned()),
                    Some(tag) => self.tagged(tag, &text, span)?,
                };
                let built = Built { node: Node { value, span: Some(span) }, size: 1, height: 0, merge };
                self.count(1, span)?;
                self.keep(anchor, &built, span)?;
                self.place(built, span)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span)?;
                self.start(anchor, span, OpenKind::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span)?;
                self.start(anchor, span, OpenKind::Map { entries: Vec::new(), merges: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(mut built) = self.anchors.get(&anchor).cloned() else {
                    return Err(Box::new(self.error("an alias inside the value that it stands for", span)));
                };
                self.count(built.size, span)?;
                self.check_depth(built.height, span)?;
                built.node.span = Some(span);
                self.place(built, span)
            }
            Event::DocumentEnd | Event::Nothing | Event::StreamStart | Event::StreamEnd => Ok(()),
        }
    }

    fn start(&mut self, anchor: usize, span: Span, kind: OpenKind) -> Result<(), Failure> {
        self.count(1, span)?;
        self.check_depth(1, span)?;
        self.open.push(Open { span, anchor, size: 1, height: 1, kind });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.kind {
            OpenKind::List(items) => Value::List(items),
            OpenKind::Map { mut entries, merges, .. } => {
                for source in merges {
                    self.merge(&mut entries, source)?;
                }
                Value::Map(entries)
            }
        };
        let built =
            Built { node: Node { value, span: Some(open.span) }, size: open.size, height: open.height, merge: false };
        self.keep(open.anchor, &built, open.span)?;
        self.place(built, open.span)
    }

    /// Puts a complete value where it belongs: into the map or list that is open, or as a document of its own.
    fn place(&mut self, built: Built, span: Span) -> Result<(), Failure> {
        let Some(open) = self.open.last_mut() else {
            if built.node.value != Value::Null {
                self.documents.push(Document::new(Arc::clone(self.file), built.node));
            }
            return Ok(());
        };
        open.size += built.size;
        open.height = open.height.max(built.height + 1);
        match &mut open.kind {
            OpenKind::List(items) => items.push(built.node),
            OpenKind::Map { entries, merges, key } => match key.take() {
                None => {
                    let Some(name) = scalar::key(&built.node.value) else {
                        let message = format!("the name of a field is {}; it must be a string", built.node.kind());
                        return Err(Box::new(self.error(message, span)));
                    };
                    *key = Some(Key { name, span, merge: built.merge });
                }
                Some(key) if key.merge => merges.push(built.node),
                Some(key) => {
                    if let Some(first) = entries.iter().find(|entry| entry.key == key.name) {
                        let line = first.key_span.map_or(0, |span| span.line);
                        let message = format!("field `{}` is written twice; the first is on line {line}", key.name);
                        let diagnostic = self.error(message, key.span).help("keep one of them");
                        self.diagnostics.push(diagnostic);
                    } else {
                        entries.push(Entry { key: key.name, key_span: Some(key.span), value: built.node });
                    }
                }
            },
        }
        Ok(())
    }

    /// `<<: *name`: fields of another map, where this one has none of the name.
    fn merge(&self, entries: &mut Vec<Entry>, source: Node) -> Result<(), Failure> {
        let span = source.span.unwrap_or(Span { line: 1, column: 1, width: 0 });
        let sources = match source.value {
            Value::Map(fields) => vec![fields],
            Value::List(items) => items
                .into_iter()
                .map(|item| if let Value::Map(fields) = item.value { Some(fields) } else { None })
                .collect::<Option<_>>()
                .ok_or_else(|| Box::new(self.error("`<<` takes maps only", span)))?,
            _ => return Err(Box::new(self.error("`<<` takes a map or a list of maps", span))),
        };
        for field in sources.into_iter().flatten() {
            if entries.iter().all(|entry| entry.key != field.key) {
                entries.push(field);
            }
        }
        Ok(())
    }

    fn keep(&mut self, anchor: usize, built: &Built, span: Span) -> Result<(), Failure> {
        if anchor > 0 {
            // A kept copy takes memory too.
            self.count(built.size, span)?;
            self.anchors.insert(anchor, built.clone());
        }
        Ok(())
    }

    fn count(&mut self, size: usize, span: Span) -> Result<(), Failure> {
        self.total += size;
        if self.total > self.limits.nodes {
            let message =
                format!("more than {} values, aliases expanded, which is as much as malha reads", self.limits.nodes);
            return Err(Box::new(self.error(message, span)));
        }
        Ok(())
    }

    fn check_depth(&self, more: usize, span: Span) -> Result<(), Failure> {
        if self.open.len() + more > self.limits.depth {
            let message = format!(
                "more than {} maps and lists inside each other, which is as deep as malha reads",
                self.limits.depth
            );
            return Err(Box::new(self.error(message, span)));
        }
        Ok(())
    }

    fn tagged(&self, tag: &Tag, text: &str, span: Span) -> Result<Value, Failure> {
        let value = match tag.suffix.as_str() {
            _ if !tag.is_yaml_core_schema() => {
                (tag.handle == "!" && tag.suffix.is_empty()).then(|| Value::String(text.to_owned()))
            }
            "str" => Some(Value::String(text.to_owned())),
            "int" => scalar::number(text).filter(|number| !number.is_f64()).map(Value::Number),
            "float" => scalar::number(text).map(Value::Number),
            "bool" | "null" => Some(scalar::resolve(text)).filter(|value| {
                matches!((value, tag.suffix.as_str()), (Value::Bool(_), "bool") | (Value::Null, "null"))
            }),
            _ => None,
        };
        value.ok_or_else(|| Box::new(self.error(format!("malha does not read YAML's tag `{tag}` here"), span)))
    }

    fn check_tag(&self, tag: Option<&Tag>, expected: &str, span: Span) -> Result<(), Failure> {
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == expected) => {
                Err(Box::new(self.error(format!("malha does not read YAML's tag `{tag}` here"), span)))
            }
            _ => Ok(()),
        }
    }
}

fn span(marks: &Marks) -> Span {
    let (start, end) = (&marks.start, &marks.end);
    // A value of several lines is marked to the end of its first.
    let width = if start.line() == end.line() { number(end.col().saturating_sub(start.col())) } else { u32::MAX };
    Span { line: number(start.line()), column: number(start.col() + 1), width }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
