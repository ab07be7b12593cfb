//! Where something was written: a file's text, a place in it, and how the place is shown to a person.

use std::fmt;
use std::sync::Arc;

/// A manifest's text under the name that its user knows it by.
#[derive(PartialEq, Eq)]
pub struct SourceFile {
    name: String,
    text: String,
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceFile({})", self.name)
    }
}

impl SourceFile {
    /// Keeps `text` under `name` (a path as the user gave it, or words such as `standard input`).
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into() })
    }

    /// The name to show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a line, counted from 1, without its line break.
    pub fn line(&self, number: u32) -> Option<&str> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.text.lines().nth(index)
    }
}

/// A stretch of text: where it begins and how much of its first line it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// Characters covered on that line; 0 where only the place is known.
    pub width: u32,
}

/// A place in a file, for messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    file: Arc<SourceFile>,
    span: Span,
    masked: bool,
}

impl Location {
    /// The place `span` of `file`.
    pub fn new(file: Arc<SourceFile>, span: Span) -> Self {
        Self { file, span, masked: false }
    }

    /// The same place, shown without its line: for lines that may hold a secret. Not even the line's beginning is shown,
    /// since a value can begin a line and have any character in it.
    #[must_use]
    pub fn masked(mut self) -> Self {
        self.masked = true;
        self
    }

    /// Name of the file.
    pub fn file(&self) -> &str {
        self.file.name()
    }

    /// Line, counted from 1.
    pub fn line(&self) -> u32 {
        self.span.line
    }

    /// Column in characters, counted from 1.
    pub fn column(&self) -> u32 {
        self.span.column
    }

    /// Writes the line with a mark under the place, as compilers do.
    pub(crate) fn write_excerpt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.span.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter}--> {self}")?;
        let line = if self.masked { None } else { self.file.line(self.span.line) };
        let Some(line) = line else { return Ok(()) };
        let (shown, before, width) =
            crop(line, usize_of(self.span.column).saturating_sub(1), usize_of(self.span.width));
        let indent: String = shown.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let rest = shown.chars().count().saturating_sub(before).max(1);
        let shown: String = shown.chars().map(|c| if c.is_control() && c != '\t' { '·' } else { c }).collect();
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", shown.trim_end())?;
        writeln!(f, "{gutter} | {indent}{}", "^".repeat(width.clamp(1, rest)))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.name, self.span.line, self.span.column)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

/// Longest piece of a line that a message shows.
const SHOWN: usize = 160;

/// Cuts a long line down to the surroundings of the place, and returns it with the place's new column and width.
fn crop(line: &str, before: usize, width: usize) -> (String, usize, usize) {
    if line.len() <= SHOWN {
        return (line.to_owned(), before, width);
    }
    let skipped = before.saturating_sub(SHOWN / 2);
    let cut: String = line.chars().skip(skipped).take(SHOWN).collect();
    (cut, before - skipped, width)
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
