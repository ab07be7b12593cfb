//! What structured merging does with values of a type: which fields they have, how two differ, what both make together.
//!
//! From sigs.k8s.io/structured-merge-diff (`typed/`): `tofieldset.go`, `compare.go`, `merge.go`, `remove.go` and `validate.go`.
//! Lists of maps and sets go by key, everything atomic is one field, and an object without anything in it is a field too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::error::{go, go_type};
use super::fields::{Element, Fields, Scalar};
use super::lists::List;
use super::types::{Atom, Is, ListOf, ObjectOf, Type, key_default};

/// The path element of an item, or why it has none.
fn element(list: &ListOf, item: &Value) -> Result<Element, String> {
    match list.merges {
        List::Atomic => Err("invalid indexing of non-associative list".to_owned()),
        List::Set => match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            scalar => Ok(Element::Value(scalar.into())),
        },
        List::Map(names) => {
            let fields = match item {
                Value::Object(fields) => fields,
                Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
                _ => return Err("associative list with keys may not have non-map elements".to_owned()),
            };
            let mut keys: Vec<(String, Scalar)> = Vec::new();
            for name in names {
                let value = fields.get(*name).map(Scalar::from).or_else(|| Some((&key_default(list, name)?).into()));
                keys.extend(value.map(|value| ((*name).to_owned(), value)));
            }
            if keys.is_empty() {
                let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                    names.join(" ")
                ));
            }
            keys.sort();
            Ok(Element::Key(keys))
        }
    }
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn entries(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The names on either side, each once.
fn names<'a>(left: Option<&'a Map<String, Value>>, right: Option<&'a Map<String, Value>>) -> Vec<&'a String> {
    let only_right =
        right.into_iter().flat_map(Map::keys).filter(|name| left.is_none_or(|left| !left.contains_key(*name)));
    left.into_iter().flat_map(Map::keys).chain(only_right).collect()
}

/// A list that merges item by item; none if it is atomic.
fn merging(list: Option<&'static ListOf>) -> Option<&'static ListOf> {
    list.filter(|list| list.merges != List::Atomic)
}

fn type_of(object: &ObjectOf, name: &str) -> (Type, bool) {
    object.field(name).map_or((Type::free(), false), |declared| (declared.is, declared.field))
}

/// Every field that a value has.
pub(super) fn field_set(is: Type, value: &Value) -> Fields {
    let mut fields = Fields::default();
    if is_leaf(is, value) {
        return fields;
    }
    collect(is, value, &mut fields);
    fields
}

/// Whether a value is one field, without fields of its own.
fn is_leaf(is: Type, value: &Value) -> bool {
    match is.atom(Some(value)) {
        Atom::Scalar(_) => true,
        Atom::List(list) => merging(list).is_none(),
        Atom::Object(object) => object.atomic,
    }
}

/// Adds what is inside of a value that is no leaf.
fn collect(is: Type, value: &Value, to: &mut Fields) {
    match is.atom(Some(value)) {
        Atom::Scalar(_) => {}
        Atom::Object(object) => {
            for (name, value) in entries(Some(value)).into_iter().flatten() {
                let (is, declared) = type_of(object, name);
                let step = Element::Field(name.clone());
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if is_leaf(is, value) || empty || !declared {
                    to.members.insert(step.clone());
                }
                descend(is, value, step, to);
            }
        }
        Atom::List(list) => {
            let Some(list) = merging(list) else { return };
            let mut found: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
            for item in items(Some(value)) {
                if let Ok(step) = element(list, item) {
                    found.entry(step).or_default().push(item);
                }
            }
            for (step, items) in found {
                to.members.insert(step.clone());
                if let [item] = items[..] {
                    descend(list.item, item, step, to);
                }
            }
        }
    }
}

fn descend(is: Type, value: &Value, step: Element, to: &mut Fields) {
    if is_leaf(is, value) {
        return;
    }
    let mut below = Fields::default();
    collect(is, value, &mut below);
    if !below.is_empty() {
        to.children.insert(step, below);
    }
}

/// How two values differ. No field is in two of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) added: Fields,
    pub(super) modified: Fields,
    pub(super) removed: Fields,
}

impl Comparison {
    /// Added or modified.
    pub(super) fn changed(&self) -> Fields {
        self.modified.union(&self.added)
    }

    /// Without these fields and what is below them.
    pub(super) fn beyond(self, fields: &Fields) -> Self {
        Self {
            added: self.added.beyond(fields),
            modified: self.modified.beyond(fields),
            removed: self.removed.beyond(fields),
        }
    }
}

/// How the right value differs from the left one.
pub(super) fn compare(is: Type, left: &Value, right: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    compare_at(is, Some(left), Some(right), &mut Vec::new(), &mut comparison);
    comparison
}

fn compare_at(is: Type, left: Option<&Value>, right: Option<&Value>, path: &mut Vec<Element>, to: &mut Comparison) {
    let (as_left, as_right) = (is.atom(left), is.atom(right));
    let leaf = match (left, right) {
        (_, None) => compare_as(as_left, left, right, path, to),
        (None, _) => compare_as(as_right, left, right, path, to),
        _ => {
            // Of a type that takes anything, the two may be different things: then each is compared as what it is.
            if std::mem::discriminant(&as_left) != std::mem::discriminant(&as_right) {
                compare_as(as_left, left, right, path, to);
            }
            compare_as(as_right, left, right, path, to)
        }
    };
    if !leaf {
        match (left, right) {
            (None, _) => to.added.insert(path),
            (_, None) => to.removed.insert(path),
            _ => {}
        }
    }
}

/// Compares two values as things of one kind, and says whether they were compared as one field.
fn compare_as(
    atom: Atom,
    left: Option<&Value>,
    right: Option<&Value>,
    path: &mut Vec<Element>,
    to: &mut Comparison,
) -> bool {
    let whole = match atom {
        Atom::Scalar(_) => true,
        Atom::List(list) => merging(list).is_none() || (items(left).is_empty() && items(right).is_empty()),
        Atom::Object(object) => {
            object.atomic || (entries(left).is_none_or(Map::is_empty) && entries(right).is_none_or(Map::is_empty))
        }
    };
    if whole {
        match (left, right) {
            (None, _) => to.added.insert(path),
            (_, None) => to.removed.insert(path),
            (Some(left), Some(right)) if !same(left, right) => to.modified.insert(path),
            _ => {}
        }
        return true;
    }
    match atom {
        Atom::Scalar(_) => {}
        Atom::Object(object) => {
            let (left, right) = (entries(left), entries(right));
            for name in names(left, right) {
                let (left, right) = (left.and_then(|left| left.get(name)), right.and_then(|right| right.get(name)));
                path.push(Element::Field(name.clone()));
                compare_at(type_of(object, name).0, left, right, path, to);
                path.pop();
            }
        }
        Atom::List(list) => {
            if let Some(list) = merging(list) {
                compare_items(list, items(left), items(right), path, to);
            }
        }
    }
    false
}

fn compare_items(list: &ListOf, left: &[Value], right: &[Value], path: &mut Vec<Element>, to: &mut Comparison) {
    let mut found: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in left {
        if let Ok(step) = element(list, item) {
            found.entry(step).or_default().0.push(item);
        }
    }
    for item in right {
        if let Ok(step) = element(list, item) {
            found.entry(step).or_default().1.push(item);
        }
    }
    for (step, (left, right)) in found {
        path.push(step);
        match (&left[..], &right[..]) {
            ([] | [_], [] | [_]) => compare_at(list.item, left.first().copied(), right.first().copied(), path, to),
            // What is there more than once is one field, whatever it is.
            ([_, _, ..], [_, _, ..]) => {
                if left != right {
                    to.modified.insert(path);
                }
            }
            ([_, _, ..], _) => {
                if let Some(item) = right.first() {
                    compare_at(list.item, None, Some(item), path, to);
                }
                to.removed.insert(path);
            }
            (_, _) => {
                if let Some(item) = left.first() {
                    compare_at(list.item, Some(item), None, path, to);
                }
                to.added.insert(path);
            }
        }
        path.pop();
    }
}

/// Equal, with numbers compared by value and a missing list or object no different from an empty one of its own kind.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => Scalar::from(left) == Scalar::from(right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| same(left, right)))
        }
        _ => left == right,
    }
}

/// Both values together: where both have a field, the right one's holds; nothing is removed.
pub(super) fn merge(is: Type, left: &Value, right: &Value) -> Value {
    merge_at(is, Some(left), Some(right)).unwrap_or(Value::Null)
}

fn merge_at(is: Type, left: Option<&Value>, right: Option<&Value>) -> Option<Value> {
    let atom = is.atom(right.or(left));
    let whole = match atom {
        Atom::Scalar(_) => true,
        Atom::List(list) => merging(list).is_none() || (items(left).is_empty() && items(right).is_empty()),
        Atom::Object(object) => {
            object.atomic || (entries(left).is_none_or(Map::is_empty) && entries(right).is_none_or(Map::is_empty))
        }
    };
    if whole {
        return right.or(left).cloned();
    }
    match atom {
        Atom::Scalar(_) => None,
        Atom::Object(object) => {
            let (left, right) = (entries(left), entries(right));
            let mut all = Map::new();
            for name in names(left, right) {
                let (left, right) = (left.and_then(|left| left.get(name)), right.and_then(|right| right.get(name)));
                if let Some(value) = merge_at(type_of(object, name).0, left, right) {
                    all.insert(name.clone(), value);
                }
            }
            (!all.is_empty()).then_some(Value::Object(all))
        }
        Atom::List(list) => {
            let all = merge_items(merging(list)?, items(left), items(right));
            (!all.is_empty()).then_some(Value::Array(all))
        }
    }
}

/// The items of both lists: those of the right in its order, those only on the left where they were among the shared ones.
fn merge_items(list: &ListOf, left: &[Value], right: &[Value]) -> Vec<Value> {
    let steps = |items: &'_ [Value]| -> Vec<(Element, usize)> {
        let items = items.iter().enumerate();
        items.filter_map(|(index, item)| Some((element(list, item).ok()?, index))).collect()
    };
    let (lefts, rights) = (steps(left), steps(right));
    let mut on_left: BTreeMap<&Element, Option<&Value>> = BTreeMap::new();
    for (step, index) in &lefts {
        // What is there more than once does not merge with anything.
        let item = &left[*index];
        on_left.entry(step).and_modify(|known| *known = None).or_insert(Some(item));
    }
    let mut on_right: BTreeMap<&Element, &Value> = BTreeMap::new();
    for (step, index) in &rights {
        on_right.entry(step).or_insert(&right[*index]);
    }
    let mut shared = rights.iter().map(|(step, _)| step).filter(|step| on_left.contains_key(*step)).peekable();
    let mut taken = BTreeSet::new();
    let mut all = Vec::new();
    let both = |step: &Element| {
        let left = on_left.get(step).copied().map(|item| item.unwrap_or(&Value::Null));
        merge_at(list.item, left, on_right.get(step).copied())
    };
    let (mut l, mut r) = (0, 0);
    while l < lefts.len() || r < rights.len() {
        if let (Some((step, _)), Some((other, _))) = (lefts.get(l), rights.get(r)) {
            if step == other {
                taken.insert(step);
                all.extend(both(step));
                (l, r) = (l + 1, r + 1);
                shared.next();
                continue;
            }
            if on_right.contains_key(step) && shared.peek().is_some_and(|next| *next != step) {
                l += 1;
                continue;
            }
        }
        if let Some((step, index)) = lefts.get(l) {
            if !on_right.contains_key(step) {
                all.extend(merge_at(list.item, Some(&left[*index]), None));
                l += 1;
                continue;
            }
            if taken.contains(&step) {
                l += 1;
            }
        }
        if let Some((step, _)) = rights.get(r) {
            taken.insert(step);
            all.extend(both(step));
            r += 1;
            if shared.peek() == Some(&step) {
                shared.next();
            }
        }
    }
    all
}

/// The value without these fields. What has nothing left is null.
pub(super) fn remove(is: Type, value: &Value, fields: &Fields) -> Value {
    let gone = |step: &Element| fields.members.contains(step);
    let left = |step: &Element, is: Type, value: &Value| match fields.children.get(step) {
        Some(below) if !below.is_empty() => remove(is, value, below),
        _ => value.clone(),
    };
    match (is.atom(Some(value)), value) {
        (Atom::Scalar(_), _) => value.clone(),
        (Atom::Object(object), Value::Object(entries)) if !object.atomic => {
            let mut kept = Map::new();
            for (name, value) in entries {
                let step = Element::Field(name.clone());
                if !gone(&step) {
                    kept.insert(name.clone(), left(&step, type_of(object, name).0, value));
                }
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        (Atom::List(list), Value::Array(items)) => {
            let Some(list) = merging(list) else { return Value::Null };
            let mut kept = Vec::new();
            for item in items {
                match element(list, item) {
                    Ok(step) if gone(&step) => {}
                    Ok(step) => kept.push(left(&step, list.item, item)),
                    Err(_) => kept.push(item.clone()),
                }
            }
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        _ => Value::Null,
    }
}

/// The set with every declared field as a member that has members below it.
pub(super) fn with_parents(is: Option<Type>, fields: &Fields) -> Fields {
    let object = is.and_then(Type::object);
    let mut members = fields.members.clone();
    let mut children = BTreeMap::new();
    for (step, child) in &fields.children {
        let is = match step {
            Element::Field(name) => {
                let declared = object.and_then(|object| object.field(name));
                if declared.is_some_and(|declared| declared.field) {
                    members.insert(step.clone());
                }
                declared.map(|declared| declared.is)
            }
            Element::Key(_) => is.and_then(Type::list).map(|list| list.item),
            _ => None,
        };
        children.insert(step.clone(), with_parents(is, child));
    }
    Fields { members, children }
}

/// Whether duplicates are a mistake: not in objects that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duplicates {
    Allowed,
    Refused,
}

/// What is wrong with a value as one of its type, in structured-merge-diff's words.
pub(super) fn validate(is: Type, value: &Value, duplicates: Duplicates) -> Result<(), String> {
    let mut problems = Vec::new();
    check(is, value, duplicates, &mut String::new(), &mut problems);
    match &problems[..] {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn check(is: Type, value: &Value, duplicates: Duplicates, path: &mut String, problems: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    match is.atom(Some(value)) {
        Atom::Scalar(is) => {
            let wrong = match (is, value) {
                (Is::Text | Is::Any, Value::String(_))
                | (Is::Number | Is::Any, Value::Number(_))
                | (Is::Bool | Is::Any, Value::Bool(_)) => return,
                (Is::Text, _) => {
                    format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value))
                }
                (Is::Number, _) => {
                    format!("expected numeric (int or float), got {}", go_type(value))
                }
                (Is::Bool, _) => format!("expected boolean, got &{{{}}}", go(value)),
                (Is::Any, _) => format!("expected any scalar, got &{{{}}}", go(value)),
            };
            problems.push(prefixed(path, &wrong));
        }
        Atom::Object(object) => {
            let Value::Object(entries) = value else {
                problems.push(prefixed(path, &format!("expected map, got &{{{}}}", go(value))));
                return;
            };
            for (name, value) in entries {
                let Some(declared) = object.field(name) else {
                    problems.push(format!("{path}.{name}: field not declared in schema"));
                    return;
                };
                below(declared.is, value, &Element::Field(name.clone()), duplicates, path, problems);
            }
        }
        Atom::List(list) => {
            let Value::Array(items) = value else {
                problems.push(prefixed(path, &format!("expected list, got &{{{}}}", go(value))));
                return;
            };
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let step = match merging(list) {
                    None => Element::Index(i64::try_from(index).unwrap_or(i64::MAX)),
                    Some(list) => match element(list, item) {
                        Ok(step) => step,
                        Err(why) => {
                            problems.push(prefixed(path, &format!("element {index}: {why}")));
                            return;
                        }
                    },
                };
                if merging(list).is_some() && !seen.insert(step.clone()) && duplicates == Duplicates::Refused {
                    problems.push(prefixed(path, &format!("duplicate entries for key {step}")));
                }
                below(list.map_or(Type::free(), |list| list.item), item, &step, duplicates, path, problems);
            }
        }
    }
}

fn prefixed(path: &str, what: &str) -> String {
    if path.is_empty() { what.to_owned() } else { format!("{path}: {what}") }
}

fn below(
    is: Type,
    value: &Value,
    step: &Element,
    duplicates: Duplicates,
    path: &mut String,
    problems: &mut Vec<String>,
) {
    let length = path.len();
    path.push_str(&step.to_string());
    check(is, value, duplicates, path, problems);
    path.truncate(length);
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}:{}", go_syntax(value))).collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Null => "interface {}(nil)".to_owned(),
        other => other.to_string(),
    }
}
