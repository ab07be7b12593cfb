//! From a [`Document`] to a Rust type through serde, with everything that does not fit and where.
//!
//! serde stops at the first wrong value. Here that value is noted, left out, and the type is read again without it, so
//! one reading of a manifest shows all of its mistakes. Unknown fields are noted on the way: both `serde_derive` and `k8s-openapi`
//! tell a deserializer the fields that a struct has.

mod deserializer;
mod error;
mod wording;

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::DeserializeOwned;

use crate::diagnostic::Diagnostic;
use crate::node::{Document, Entry, Node};
use crate::path::{FieldPath, Step};
use crate::source::Location;

use deserializer::Deserializer;
use error::Misfit;

pub(crate) use wording::{closest, did_you_mean};

/// How many wrong values of one document are told apart before giving up on it.
const PASSES: usize = 50;

/// What a document is called, and which of its fields may hold secrets.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// For messages: `Deployment posts-deployment`.
    pub(crate) name: &'a str,
    /// Fields whose values are never shown.
    pub(crate) secret: fn(&FieldPath) -> bool,
}

impl Subject<'_> {
    /// The place in a message's words: `spec.replicas of Deployment posts-deployment`.
    pub(crate) fn field(&self, path: &FieldPath) -> String {
        if path.is_root() { self.name.to_owned() } else { format!("{path} of {}", self.name) }
    }

    /// The place of a field, masked where it may hold a secret.
    pub(crate) fn mask(&self, path: &FieldPath, location: Option<Location>) -> Option<Location> {
        if (self.secret)(path) { location.map(Location::masked) } else { location }
    }
}

/// What a document gave.
pub(crate) struct Decoded<T> {
    /// The value, without what does not fit.
    pub(crate) value: Option<T>,
    /// Whether nothing was left out of it but unknown fields.
    pub(crate) whole: bool,
    /// Everything that does not fit, in the order of the file.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Reads `T`, if it can be read at all, and says everything that does not fit.
pub(crate) fn decode<T: DeserializeOwned>(document: &Document, subject: Subject<'_>) -> Decoded<T> {
    decode_node(document, document.root(), &FieldPath::root(), subject)
}

/// Reads `T` from the part of the document at `path`.
pub(crate) fn decode_node<T: DeserializeOwned>(
    document: &Document,
    node: &Node,
    path: &FieldPath,
    subject: Subject<'_>,
) -> Decoded<T> {
    let reading = Reading {
        document,
        subject,
        path: RefCell::new(path.clone()),
        left_out: RefCell::default(),
        unknown: RefCell::default(),
        misfit: RefCell::default(),
        diagnostics: RefCell::default(),
    };
    let mut value = None;
    for _ in 0..PASSES {
        match T::deserialize(Deserializer { node, reading: &reading }) {
            Ok(read) => {
                value = Some(read);
                break;
            }
            Err(misfit) => {
                reading.note(node, None, &misfit);
                let Some(found) = reading.misfit.take() else { break };
                let again = found != std::ptr::from_ref(node) && reading.left_out.borrow_mut().insert(found);
                if !again {
                    break;
                }
            }
        }
    }
    let mut diagnostics = reading.diagnostics.into_inner();
    diagnostics.sort_by_key(|diagnostic| diagnostic.location.as_ref().map(|place| (place.line(), place.column())));
    Decoded { value, whole: reading.left_out.into_inner().is_empty(), diagnostics }
}

/// What one reading of a document knows and finds.
struct Reading<'a> {
    document: &'a Document,
    subject: Subject<'a>,
    path: RefCell<FieldPath>,
    /// Values that do not fit, by address: the tree does not move while it is read.
    left_out: RefCell<HashSet<*const Node>>,
    /// Unknown fields, which every pass meets again.
    unknown: RefCell<HashSet<*const Entry>>,
    /// The value that ended this pass.
    misfit: RefCell<Option<*const Node>>,
    diagnostics: RefCell<Vec<Diagnostic>>,
}

impl Reading<'_> {
    /// Notes the innermost value of this pass that does not fit; outer ones fail only because of it.
    fn note(&self, node: &Node, key: Option<&Entry>, misfit: &Misfit) {
        if self.misfit.borrow().is_some() {
            return;
        }
        *self.misfit.borrow_mut() = Some(std::ptr::from_ref(node));
        let path = self.path.borrow();
        let secret = (self.subject.secret)(&path);
        let what = if secret { misfit.discreet() } else { misfit.open() };
        let span = if matches!(node.value, crate::node::Value::Map(_) | crate::node::Value::List(_)) {
            key.and_then(|entry| entry.key_span).or(node.span)
        } else {
            node.span
        };
        let mut diagnostic = Diagnostic::error(format!("{}: {what}", self.subject.field(&path)))
            .at(self.subject.mask(&path, self.document.location(span)));
        if let Some(help) = misfit.help() {
            diagnostic = diagnostic.help(help);
        }
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// Notes the fields of a struct that its type does not have.
    fn unknown_fields(&self, node: &Node, fields: &'static [&'static str]) {
        for entry in node.entries() {
            if fields.contains(&entry.key.as_str()) || !self.unknown.borrow_mut().insert(std::ptr::from_ref(entry)) {
                continue;
            }
            let path = self.path.borrow();
            let message = format!("unknown field `{}` in {}", entry.key, self.subject.field(&path));
            let place = self.subject.mask(&path.field(&entry.key), self.document.location(entry.key_span));
            let diagnostic = Diagnostic::error(message).at(place).help(did_you_mean(&entry.key, fields));
            self.diagnostics.borrow_mut().push(diagnostic);
        }
    }

    fn down(&self, step: Step) {
        self.path.borrow_mut().push(step);
    }

    fn up(&self) {
        self.path.borrow_mut().pop();
    }

    fn is_left_out(&self, node: &Node) -> bool {
        let left_out = self.left_out.borrow();
        !left_out.is_empty() && left_out.contains(&std::ptr::from_ref(node))
    }
}
