//! What Go writes of an object although nothing is in it.
//!
//! Kubernetes' types have fields that are structs, not pointers to structs: they are in every object that the API server
//! writes (`strategy: {}`, `resources: {}`, `status: {}`). Who owns which fields follows from that, since only what was not
//! there before becomes somebody's.

use malha_cluster::Kind;
use serde_json::{Map, Value};

use super::lists;
use super::types::{Atom, Type};

/// Adds to an object the empty structs that a real cluster shows.
pub fn fill(kind: Kind, object: &mut Value) {
    complete(Type::of_object(kind, object), object, false);
}

/// The object with empty structs, and null for the lists that are always written: as field managers see it.
pub(super) fn filled(kind: Kind, object: &Value) -> Value {
    let mut object = object.clone();
    complete(Type::of_object(kind, &object), &mut object, true);
    object
}

fn complete(is: Type, value: &mut Value, with_lists: bool) {
    match (is.atom(Some(value)), value) {
        (Atom::Object(object), Value::Object(fields)) => {
            let (structs, empty) = object.name.as_deref().map_or((&[][..], &[][..]), lists::always);
            for name in structs {
                fields.entry(*name).or_insert_with(|| Value::Object(Map::new()));
            }
            for name in empty.iter().filter(|_| with_lists) {
                fields.entry(*name).or_insert(Value::Null);
            }
            for (name, value) in fields {
                if let Some(declared) = object.field(name) {
                    complete(declared.is, value, with_lists);
                }
            }
        }
        (Atom::List(Some(list)), Value::Array(items)) => {
            for item in items {
                complete(list.item, item, with_lists);
            }
        }
        _ => {}
    }
}
