//! JSON patch (RFC 6902), as the API server carries it out.
//!
//! From gopkg.in/evanphx/json-patch.v4, which the API server uses, where it is more lenient than the RFC: an index may count
//! from the end of a list (-1 is the last item), `replace` sets a field that is not there, `test` takes a missing field for
//! null, and what stands before the first slash of a path does not count. Limits from
//! `apiserver/pkg/endpoints/handlers/patch.go` and `apiserver/pkg/server/config.go` (`JSONPatchMaxCopyBytes`).

use serde_json::Value;

use super::error::PatchError;

/// More operations than this are refused.
const MAX_OPERATIONS: usize = 10_000;
/// What all copies of a patch may weigh, in bytes of JSON.
const MAX_COPIED: usize = 3 << 20;

/// The operations of a patch; 400 if it is no list of objects, 413 if it is too long.
pub(super) fn read(patch: Value) -> Result<Vec<Value>, PatchError> {
    let not_one = |value: &Value, what: &str| {
        let found = super::json_type(value);
        PatchError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {found} into Go value of type {what}"
        ))
    };
    let Value::Array(operations) = patch else { return Err(not_one(&patch, "[]handlers.jsonPatchOp")) };
    for operation in &operations {
        if !operation.is_object() && !operation.is_null() {
            return Err(not_one(operation, "handlers.jsonPatchOp"));
        }
        for name in ["op", "path", "from"] {
            if let Some(value) = operation.get(name).filter(|value| !value.is_string() && !value.is_null()) {
                let found = super::json_type(value);
                return Err(PatchError::bad_request(format!(
                    "error decoding patch: json: cannot unmarshal {found} into Go struct field jsonPatchOp.{name} of type string"
                )));
            }
        }
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::too_large(&format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    Ok(operations)
}

/// The object with every operation carried out, in order; 422 if one of them does not apply.
pub(super) fn patch(live: &Value, operations: &[Value]) -> Result<Value, PatchError> {
    let mut object = live.clone();
    let mut copied = 0;
    for operation in operations {
        carry_out(&mut object, operation, &mut copied).ok_or_else(PatchError::unprocessable)?;
    }
    Ok(object)
}

fn carry_out(object: &mut Value, operation: &Value, copied: &mut usize) -> Option<()> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let path = text("path")?;
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    match text("op")? {
        "add" => add(object, path, value()),
        "remove" => remove(object, path),
        "replace" if path.is_empty() => {
            *object = Some(value()).filter(|value| value.is_object() || value.is_array())?;
            Some(())
        }
        "replace" => {
            let (holder, key) = find(object, path)?;
            match holder {
                Value::Object(fields) => {
                    fields.insert(key, value());
                }
                Value::Array(items) => {
                    let index = index(&key, items.len())?;
                    *items.get_mut(index)? = value();
                }
                _ => return None,
            }
            Some(())
        }
        "move" => {
            let from = text("from")?;
            let moved = get(object, from)?;
            remove(object, from)?;
            add(object, path, moved)
        }
        "copy" => {
            let copy = get(object, text("from")?)?;
            *copied += copy.to_string().len();
            if *copied > MAX_COPIED {
                return None;
            }
            add(object, path, copy)
        }
        "test" => {
            let found = if path.is_empty() { object.clone() } else { get(object, path)? };
            (found == value()).then_some(())
        }
        _ => None,
    }
}

/// The object or list that holds what a path names, and its key there.
fn find<'a>(object: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (above, key) = path.rsplit_once('/')?;
    let mut holder = object;
    for part in above.split('/').skip(1) {
        holder = match holder {
            Value::Object(fields) => fields.get_mut(&unescaped(part))?,
            Value::Array(items) => {
                let index = index(&unescaped(part), items.len())?;
                items.get_mut(index)?
            }
            _ => return None,
        };
    }
    (holder.is_object() || holder.is_array()).then(|| (holder, unescaped(key)))
}

fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// Where a key points in a list of this length; below nothing, it counts from the end.
fn index(key: &str, length: usize) -> Option<usize> {
    let index: i64 = key.parse().ok()?;
    if index < 0 {
        length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
    } else {
        usize::try_from(index).ok()
    }
}

/// The value at a path. A field that is not there is null.
fn get(object: &mut Value, path: &str) -> Option<Value> {
    let (holder, key) = find(object, path)?;
    match holder {
        Value::Object(fields) => Some(fields.get(&key).cloned().unwrap_or(Value::Null)),
        Value::Array(items) => items.get(index(&key, items.len())?).cloned(),
        _ => None,
    }
}

fn add(object: &mut Value, path: &str, value: Value) -> Option<()> {
    let (holder, key) = find(object, path)?;
    match holder {
        Value::Object(fields) => {
            fields.insert(key, value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            // One more than there are: -1 adds after the last.
            let at = index(&key, items.len() + 1).filter(|at| *at <= items.len())?;
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(object: &mut Value, path: &str) -> Option<()> {
    let (holder, key) = find(object, path)?;
    match holder {
        Value::Object(fields) => fields.remove(&key).map(drop),
        Value::Array(items) => {
            let index = index(&key, items.len()).filter(|index| *index < items.len())?;
            items.remove(index);
            Some(())
        }
        _ => None,
    }
}
