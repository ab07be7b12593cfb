//! JSON merge patch (RFC 7386), as the API server carries it out: gopkg.in/evanphx/json-patch.v4, `merge.go`.

use serde_json::Value;

use super::error::{GO_MAP, PatchError};

/// The object with the patch merged into it; 400 if the patch is no object.
pub(super) fn patch(live: &Value, patch: &Value) -> Result<Value, PatchError> {
    if patch.is_null() {
        return Err(PatchError::bad_request("Invalid JSON Patch"));
    }
    if !patch.is_object() {
        let found = super::json_type(patch);
        return Err(PatchError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {found} into Go value of type {GO_MAP}"
        )));
    }
    let mut object = live.clone();
    merge(&mut object, patch);
    Ok(object)
}

fn merge(live: &mut Value, patch: &Value) {
    let (Value::Object(fields), Value::Object(changes)) = (&mut *live, patch) else {
        // An object that takes another's place is merged with nothing; a list that does is as it is.
        let replaces_object = live.is_object();
        *live = patch.clone();
        if !replaces_object {
            drop_nulls(live);
        }
        return;
    };
    for (name, change) in changes {
        match fields.get_mut(name).filter(|value| !value.is_null()) {
            _ if change.is_null() => {
                fields.remove(name);
            }
            Some(value) => merge(value, change),
            None => {
                let mut value = change.clone();
                drop_nulls(&mut value);
                fields.insert(name.clone(), value);
            }
        }
    }
}

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
