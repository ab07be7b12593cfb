//! Strategic merge patch, as the API server carries it out.
//!
//! From Kubernetes' `apimachinery/pkg/util/strategicpatch/patch.go` (`StrategicMergeMapPatch`) with the words of its errors. Lists
//! merge by the rows of [`lists`](super::lists); what a patch says beyond values, it says in directives: `$patch`,
//! `$retainKeys`, `$setElementOrder/LIST` and `$deleteFromPrimitiveList/LIST`.

use std::collections::{HashMap, HashSet};

use malha_cluster::Kind;
use serde_json::{Map, Value};

use super::error::{GO_LIST, GO_MAP, PatchError, go, go_type};
use super::lists::Rule;
use super::types::Type;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder";
const DELETIONS: &str = "$deleteFromPrimitiveList";

type Object = Map<String, Value>;

/// The object with the patch merged into it.
pub(super) fn patch(kind: Kind, live: &Value, patch: &Value) -> Result<Value, PatchError> {
    let is = Type::of_object(kind, live);
    let (Value::Object(live), Value::Object(patch)) = (live, patch) else {
        return Err(PatchError::bad_request(format!(
            "json: cannot unmarshal {} into Go value of type {GO_MAP}",
            super::json_type(patch)
        )));
    };
    merge_objects(live.clone(), patch.clone(), is).map(Value::Object)
}

fn bad_order() -> PatchError {
    PatchError::bad_request("invalid patch format of setElementOrder list")
}

fn bad_retain_keys() -> PatchError {
    PatchError::bad_request("invalid patch format of retainKeys")
}

fn bad_directive(directive: &Value, object: &Object) -> PatchError {
    let object = object.iter().map(|(name, value)| format!("{name}:{}", go(value))).collect::<Vec<_>>().join(" ");
    PatchError::unnamed(format!("unknown patch type: {} in map: map[{object}]", go(directive)))
}

fn no_merge_key(object: &Object, key: &str) -> PatchError {
    let object = object.iter().map(|(name, value)| format!("{name}:{}", go(value))).collect::<Vec<_>>().join(" ");
    PatchError::unnamed(format!("map: map[{object}] does not contain declared merge key: {key}"))
}

fn bad_type(expected: &str, actual: &Value) -> PatchError {
    PatchError::unnamed(format!("expected a {expected}, but received a {}", go_type(actual)))
}

/// How a field merges, by its type and the table.
#[derive(Clone, Copy)]
struct Meta {
    /// Of the value, or of the items if it is a list.
    is: Type,
    merges: bool,
    key: Option<&'static str>,
}

impl Meta {
    fn new(is: Type, rule: Option<&'static Rule>) -> Self {
        Self { is, merges: rule.is_some_and(Rule::merges), key: rule.and_then(|rule| rule.merge_key) }
    }
}

/// What is known of a field, or the error of a patch that needs to know and cannot.
fn meta(of: Type, field: &str) -> Result<Meta, PatchError> {
    let Some(object) = of.object().filter(|object| object.is_struct()) else {
        let what = if of.object().is_some() { "map" } else { "string" };
        return Err(PatchError::unnamed(format!(
            "merging an object in json but data type is not struct, instead is: {what}"
        )));
    };
    let declared = object.field_of_any_case(field).ok_or_else(|| {
        let name = object.name.as_deref().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
        PatchError::unnamed(format!("unable to find api field in struct {name} for the json field {field:?}"))
    })?;
    Ok(Meta::new(declared.is, declared.rule))
}

fn list_meta(of: Type, field: &str) -> Result<Meta, PatchError> {
    let found = meta(of, field)?;
    let list = found.is.list().ok_or_else(|| PatchError::unnamed("expected slice or array type, but got: struct"))?;
    Ok(Meta { is: list.item, ..found })
}

fn merge_objects(mut live: Object, mut patch: Object, is: Type) -> Result<Object, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Object::new()),
            _ => Err(bad_directive(directive, &patch)),
        };
    }
    retain_keys(&mut live, &mut patch)?;
    merge_ordered(&mut live, &mut patch, is)?;
    for (name, mut value) in patch {
        let deletions = name.starts_with(DELETIONS);
        let name = if deletions {
            without_prefix(&name, DELETIONS)
                .ok_or_else(|| PatchError::bad_request("invalid patch format of primitive list"))?
                .to_owned()
        } else {
            name
        };
        if value.is_null() {
            live.remove(&name);
            continue;
        }
        match live.get_mut(&name) {
            Some(Value::Object(fields)) if value.is_object() => {
                let found = meta(is, &name)?;
                let fields = std::mem::take(fields);
                let merged = merge_objects(fields, taken(value), found.is)?;
                live.insert(name, Value::Object(merged));
            }
            Some(Value::Array(items)) if value.is_array() => {
                let found = list_meta(is, &name)?;
                let items = std::mem::take(items);
                let merged = merge_field(items, listed(value), found, deletions)?;
                live.insert(name, Value::Array(merged));
            }
            _ if deletions => {}
            _ => {
                drop_nulls(&mut value);
                match without_directives(value) {
                    Some(value) => live.insert(name, value),
                    None => live.remove(&name),
                };
            }
        }
    }
    Ok(live)
}

fn taken(value: Value) -> Object {
    match value {
        Value::Object(fields) => fields,
        _ => Object::new(),
    }
}

fn listed(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// The field that a directive of this prefix is about.
fn without_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.split_once('/').filter(|(before, _)| *before == prefix).map(|(_, field)| field)
}

/// `$retainKeys`: of the live fields only these stay, and the patch may set no others.
fn retain_keys(live: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(retained) = directive else { return Err(bad_retain_keys()) };
    let retains = |name: &String| retained.iter().any(|key| key.as_str() == Some(name));
    let about_lists = |name: &String| name.starts_with(DELETIONS) || name.starts_with(ORDER);
    if patch.iter().any(|(name, value)| !value.is_null() && !about_lists(name) && !retains(name)) {
        return Err(bad_retain_keys());
    }
    live.retain(|name, _| retains(name));
    Ok(())
}

/// The lists for which the patch says an order: merged here, and taken out of the patch.
fn merge_ordered(live: &mut Object, patch: &mut Object, is: Type) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|name| name.starts_with(ORDER)).cloned().collect();
    for directive in directives {
        let Some(order) = patch.remove(&directive) else { continue };
        let Value::Array(order) = order else { return Err(bad_type(GO_LIST, &order)) };
        let name = without_prefix(&directive, ORDER).ok_or_else(bad_order)?;
        let list = |value: Option<&Value>| match value {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items.clone())),
            Some(other) => Err(bad_type(GO_LIST, other)),
        };
        let (from_live, from_patch) = (list(live.get(name))?, list(patch.get(name))?);
        let found = list_meta(is, name)?;
        check_order(from_patch.as_deref().unwrap_or_default(), &order, found.key)?;
        let (lives, patches) = (from_live.clone().unwrap_or_default(), from_patch.clone().unwrap_or_default());
        let merged = match (from_live, from_patch) {
            (Some(items), None) => items,
            (None, Some(items)) => items.into_iter().filter_map(without_directives).collect(),
            (Some(items), Some(patch)) => merge_field(items, patch, found, false)?,
            (None, None) => continue,
        };
        element_type(&lives, &patches)?;
        live.insert(name.to_owned(), Value::Array(in_order(merged, &order, &lives, found.key)?));
        patch.remove(name);
    }
    Ok(())
}

/// The items of a patch must be in the order that it says, as far as they are not deletions.
fn check_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut items = patch.iter().filter(|item| item.get(DIRECTIVE).is_none()).peekable();
    for place in order {
        let Some(item) = items.peek() else { break };
        let equal = match key {
            None => *item == place,
            Some(key) => {
                let (Value::Object(item), Value::Object(place)) = (item, place) else {
                    let wrong = if item.is_object() { place } else { item };
                    return Err(bad_type(GO_MAP, wrong));
                };
                let value = |object: &Object| object.get(key).cloned().ok_or_else(|| no_merge_key(object, key));
                value(item)? == value(place)?
            }
        };
        if equal {
            items.next();
        }
    }
    if items.peek().is_some() {
        let text = |list: &[Value]| go(&Value::Array(list.to_vec()));
        return Err(PatchError::unnamed(format!(
            "The order in patch list:\n{}\n doesn't match {ORDER} list:\n{}\n",
            text(patch),
            text(order)
        )));
    }
    Ok(())
}

fn merge_field(live: Vec<Value>, patch: Vec<Value>, meta: Meta, deletions: bool) -> Result<Vec<Value>, PatchError> {
    if meta.merges || deletions { merge_lists(live, patch, meta, deletions) } else { Ok(patch) }
}

fn merge_lists(live: Vec<Value>, patch: Vec<Value>, meta: Meta, deletions: bool) -> Result<Vec<Value>, PatchError> {
    if live.is_empty() && patch.is_empty() {
        return Ok(live);
    }
    if element_type(&live, &patch)? != Some(GO_MAP) {
        if deletions {
            let gone: HashSet<Value> = patch.into_iter().collect();
            return Ok(live.into_iter().filter(|item| !gone.contains(item)).collect());
        }
        let mut seen = HashSet::new();
        let merged = live.iter().chain(&patch).filter(|item| seen.insert(*item)).cloned().collect();
        return in_order(merged, &patch, &live, None);
    }
    let key =
        meta.key.ok_or_else(|| PatchError::unnamed("cannot merge lists without merge key for struct".to_owned()))?;
    let (live, patch) = carry_out_directives(live, patch, key)?;
    let mut merged = live.clone();
    let mut known: HashMap<Value, usize> = HashMap::new();
    for (index, item) in live.iter().enumerate() {
        if let Some(value) = item.get(key) {
            known.entry(value.clone()).or_insert(index);
        }
    }
    for item in &patch {
        let Value::Object(item) = item else { continue };
        let value = item.get(key).ok_or_else(|| no_merge_key(item, key))?;
        if let Some(index) = known.get(value) {
            let fields = taken(merged[*index].take());
            merged[*index] = Value::Object(merge_objects(fields, item.clone(), meta.is)?);
        } else {
            known.insert(value.clone(), merged.len());
            merged.push(Value::Object(item.clone()));
        }
    }
    in_order(merged, &patch, &live, Some(key))
}

/// Deletes what items with `$patch: delete` name, or everything if one says `replace`; the rest of the patch is left.
fn carry_out_directives(
    mut live: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut rest = Vec::new();
    let mut replace = false;
    for item in patch {
        let (Value::Object(fields), Some(directive)) = (&item, item.get(DIRECTIVE)) else {
            rest.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let value = fields.get(key).ok_or_else(|| no_merge_key(fields, key))?;
                live.retain(|known| known.get(key) != Some(value));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(PatchError::unnamed("merging lists cannot yet be specified in the patch"));
            }
            _ => return Err(bad_directive(directive, fields)),
        }
    }
    Ok(if replace { (rest, Vec::new()) } else { (live, rest) })
}

/// The one type that all items have, in Go's words.
fn element_type(live: &[Value], patch: &[Value]) -> Result<Option<&'static str>, PatchError> {
    let mut items = live.iter().chain(patch);
    let Some(first) = items.next() else {
        return Err(PatchError::unnamed("no elements in any of the given slices"));
    };
    let kind = go_type(first);
    if kind == GO_LIST {
        return Err(PatchError::unprocessable());
    }
    if items.any(|item| go_type(item) != kind) {
        let text = |list: &[Value]| go(&Value::Array(list.to_vec()));
        return Err(PatchError::unnamed(format!(
            "list element types are not identical: [{} {}]",
            text(live),
            text(patch)
        )));
    }
    Ok(Some(kind))
}

/// Sorts a merged list: what the patch names in the order of the patch, the rest in the live order, and both woven together
/// so that an item of the rest stands before the first item of the patch that followed it before.
fn in_order(merged: Vec<Value>, order: &[Value], live: &[Value], key: Option<&str>) -> Result<Vec<Value>, PatchError> {
    fn name<'a>(item: &'a Value, key: Option<&str>) -> Option<&'a Value> {
        key.map_or(Some(item), |key| item.get(key))
    }
    if let Some(key) = key {
        for item in &merged {
            let Value::Object(fields) = item else { return Err(bad_type(GO_MAP, item)) };
            if !fields.contains_key(key) {
                return Err(no_merge_key(fields, key));
            }
        }
    }
    let places = |list: &[Value]| {
        let mut places: HashMap<Value, usize> = HashMap::new();
        for (index, item) in list.iter().enumerate() {
            if let Some(name) = name(item, key) {
                places.entry(name.clone()).or_insert(index);
            }
        }
        places
    };
    let (in_patch, in_live) = (places(order), places(live));
    let place = |places: &HashMap<Value, usize>, item: &Value| places.get(name(item, key)?).copied();
    let (mut named, mut rest): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(&in_patch, item).is_some());
    named.sort_by_key(|item| place(&in_patch, item));
    rest.sort_by_key(|item| place(&in_live, item));
    let (mut named, mut rest) = (named.into_iter().peekable(), rest.into_iter().peekable());
    let mut woven = Vec::new();
    loop {
        let rest_first = match (rest.peek(), named.peek()) {
            (None, None) => return Ok(woven),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(left), Some(right)) => {
                matches!((place(&in_live, left), place(&in_live, right)), (Some(left), Some(right)) if left < right)
            }
        };
        woven.extend(if rest_first { rest.next() } else { named.next() });
    }
}

/// What is new has no nulls to delete.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// What is new has nothing to delete or replace either: an object with `$patch` is left out.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => {
            let fields = fields.into_iter().filter_map(|(name, value)| Some((name, without_directives(value)?)));
            Some(Value::Object(fields.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}
