//! What malha acts on now: a table, and what it says about given objects.
//!
//! A field that is neither in the `table` nor unknown is a field that a cluster acts on and malha does not: each is reported
//! once with its first place. `beyond` has the values of fields in the table that malha cannot carry out.

mod beyond;
mod table;

use std::collections::BTreeMap;

use crate::decode::Subject;
use crate::diagnostic::Diagnostic;
use crate::node::{Document, Node, Value};
use crate::object::LoadedObject;
use crate::path::FieldPath;
use crate::source::Location;

use Support::ActsOn;
use beyond::beyond;
use table::lines;
pub(crate) use table::{MESH_CONFIG, SPIN};

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// malha acts on it.
    ActsOn,
    /// It has nothing to act on here, for this reason: ignoring it changes nothing.
    Inert(&'static str),
    /// malha does not act on it yet.
    NotYet,
}

/// A field that given objects have.
#[derive(Debug, Clone)]
pub struct Use {
    /// Kind of the objects.
    pub kind: String,
    /// The field, with `[]` for items of lists.
    pub field: String,
    /// What becomes of it.
    pub support: Support,
    /// How often it is written.
    pub count: usize,
    /// Where it is written first.
    pub first: Option<Location>,
}

/// Every field that `objects` have and that malha does not act on, with the reason where there is one.
pub fn survey(objects: &[LoadedObject]) -> Vec<Use> {
    let mut survey = Survey::default();
    for object in objects {
        survey.object(&object.id.kind, &object.document, |path| object.at_key(path));
    }
    survey.uses
}

/// What becomes of a field of a kind; `[]` in it stands for items of a list, as in [`Use::field`].
pub fn verdict(kind: &str, field: &str) -> Support {
    let way: Vec<_> = table::segments(field).into_iter().map(str::to_owned).collect();
    let lines = lines(kind);
    let first = lines.iter().find(|(line, _)| line.len() <= way.len() && agree(line, &way));
    first.map_or(Support::NotYet, |(_, support)| *support)
}

/// The fields of a kind that the table names.
pub fn fields(kind: &str) -> Vec<String> {
    lines(kind).into_iter().map(|(line, _)| joined(&line)).collect()
}

/// What is to be said to a person about fields and values that malha does not act on yet.
pub(crate) fn report(objects: &[LoadedObject]) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<_> = objects.iter().flat_map(beyond).collect();
    diagnostics.extend(survey(objects).into_iter().filter_map(Use::into_diagnostic));
    diagnostics
}

/// The same for a `spin.toml`.
pub(crate) fn report_spin(document: &Document, subject: Subject<'_>) -> Vec<Diagnostic> {
    let mut survey = Survey::default();
    survey.object(SPIN, document, |path| subject.mask(path, document.at_key(path)));
    survey.uses.into_iter().filter_map(Use::into_diagnostic).collect()
}

/// The same for the text of `MeshConfig`.
pub(crate) fn report_mesh_config(document: &Document) -> Vec<Diagnostic> {
    let mut survey = Survey::default();
    survey.object(MESH_CONFIG, document, |path| document.at_key(path));
    survey.uses.into_iter().filter_map(Use::into_diagnostic).collect()
}

impl Use {
    fn into_diagnostic(self) -> Option<Diagnostic> {
        if self.support != Support::NotYet {
            return None;
        }
        let times =
            if self.count == 1 { String::new() } else { format!(" (written {} times, first here)", self.count) };
        let message = format!("{} of {} is not acted on by malha yet{times}", self.field, self.kind);
        Some(Diagnostic::note(message).at(self.first))
    }
}

#[derive(Default)]
struct Survey {
    uses: Vec<Use>,
    positions: BTreeMap<(String, String), usize>,
}

impl Survey {
    fn object(&mut self, kind: &str, document: &Document, at: impl Fn(&FieldPath) -> Option<Location>) {
        let lines = lines(kind);
        self.node(kind, &lines, document.root(), &mut Vec::new(), &FieldPath::root(), &at);
    }

    fn node(
        &mut self,
        kind: &str,
        lines: &[(Vec<&str>, Support)],
        node: &Node,
        way: &mut Vec<String>,
        path: &FieldPath,
        at: &impl Fn(&FieldPath) -> Option<Location>,
    ) {
        let deeper = match lines.iter().find(|(line, _)| agree(line, way)) {
            Some((line, support)) if line.len() <= way.len() => {
                if *support != ActsOn {
                    self.count(kind, way, *support, at(path));
                }
                return;
            }
            first => way.is_empty() || first.is_some(),
        };
        match &node.value {
            Value::Null => {}
            // Nothing inside: nothing that could be acted on.
            Value::Map(entries) if deeper => {
                for entry in entries {
                    way.push(entry.key.clone());
                    self.node(kind, lines, &entry.value, way, &path.field(&entry.key), at);
                    way.pop();
                }
            }
            Value::List(items) if deeper => {
                for (index, item) in items.iter().enumerate() {
                    way.push("[]".to_owned());
                    self.node(kind, lines, item, way, &path.item(index), at);
                    way.pop();
                }
            }
            _ => self.count(kind, way, Support::NotYet, at(path)),
        }
    }

    fn count(&mut self, kind: &str, way: &[String], support: Support, first: Option<Location>) {
        let field = joined(way);
        let key = (kind.to_owned(), field.clone());
        if let Some(position) = self.positions.get(&key) {
            self.uses[*position].count += 1;
            return;
        }
        self.positions.insert(key, self.uses.len());
        self.uses.push(Use { kind: kind.to_owned(), field, support, count: 1, first });
    }
}

fn joined(way: &[impl AsRef<str>]) -> String {
    way.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(".").replace(".[]", "[]")
}

/// Whether a line and a way agree as far as both go.
fn agree(line: &[&str], way: &[String]) -> bool {
    line.iter().zip(way).all(|(part, step)| *part == "*" || part == step)
}
