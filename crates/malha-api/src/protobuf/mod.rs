//! Bodies in protobuf, which some of kubectl's commands send without asking (`kubectl create namespace`, since 1.32).
//!
//! The form is apimachinery's (`pkg/runtime/serializer/protobuf`): four bytes that say so, then `runtime.Unknown` with the
//! type of the object and the object. Only bodies are read: answers are JSON, which every client that sends protobuf takes.

mod messages;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use messages::{Field, Type};
use wire::{Part, Wire};

/// `Content-Type`.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What such a body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Messages inside each other: no object has more.
const DEPTH: usize = 32;

/// Why a body is no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It is no protobuf of Kubernetes.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    /// It breaks off, or a field is of another sort than it should be.
    #[error("proto: illegal wire format")]
    Wire,
    /// It is an object of a kind that is not served in protobuf.
    #[error("no kind {kind:?} is registered for version {version:?}")]
    Kind {
        /// `Job`.
        kind: String,
        /// `batch/v1`.
        version: String,
    },
}

/// Reads an object.
pub(crate) fn read(body: &[u8]) -> Result<Value, Malformed> {
    let body = body.strip_prefix(MAGIC).ok_or(Malformed::Magic)?;
    let (mut version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for part in Wire(body) {
        match part? {
            Part { number: 1, wire: wire::Value::Bytes(meta) } => {
                for part in Wire(meta) {
                    match part? {
                        Part { number: 1, wire: wire::Value::Bytes(bytes) } => version = text(bytes)?,
                        Part { number: 2, wire: wire::Value::Bytes(bytes) } => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            Part { number: 2, wire: wire::Value::Bytes(bytes) } => raw = bytes,
            _ => {}
        }
    }
    let Some(fields) = messages::of(&version, &kind) else { return Err(Malformed::Kind { kind, version }) };
    let mut object = Map::from_iter([("apiVersion".to_owned(), version.into()), ("kind".to_owned(), kind.into())]);
    message(raw, fields, DEPTH, &mut object)?;
    Ok(Value::Object(object))
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::Wire)
}

/// Adds the fields of a message.
fn message(bytes: &[u8], fields: &[Field], depth: usize, into: &mut Map<String, Value>) -> Result<(), Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed::Wire)?;
    for part in Wire(bytes) {
        let Part { number, wire } = part?;
        let Some(field) = fields.iter().find(|field| field.number == number) else { continue };
        if field.name == "-" {
            let wire::Value::Bytes(bytes) = wire else { return Err(Malformed::Wire) };
            let Type::Message(name) = &field.of else { return Err(Malformed::Wire) };
            message(bytes, messages::named(name), depth, into)?;
            continue;
        }
        match &field.of {
            Type::List(of) => {
                let items = into.entry(field.name).or_insert_with(|| json!([]));
                // Numbers may come packed; Kubernetes does not pack them.
                if let (Some(items), Some(item)) = (items.as_array_mut(), value(wire, of, depth)?) {
                    items.push(item);
                }
            }
            Type::Map(of) => {
                let wire::Value::Bytes(bytes) = wire else { return Err(Malformed::Wire) };
                let (key, item) = entry(bytes, of, depth)?;
                let map = into.entry(field.name).or_insert_with(|| json!({}));
                map[key] = item;
            }
            of => {
                if let Some(value) = value(wire, of, depth)? {
                    into.insert(field.name.to_owned(), value);
                }
            }
        }
    }
    Ok(())
}

fn entry(bytes: &[u8], of: &Type, depth: usize) -> Result<(String, Value), Malformed> {
    let (mut key, mut item) = (String::new(), Value::String(String::new()));
    for part in Wire(bytes) {
        match part? {
            Part { number: 1, wire: wire::Value::Bytes(bytes) } => key = text(bytes)?,
            Part { number: 2, wire } => item = value(wire, &Type::Given(Box::new(of.clone())), depth)?.unwrap_or(item),
            _ => {}
        }
    }
    Ok((key, item))
}

/// A value; none for one that means that there is none: Go writes every field that is no pointer.
fn value(wire: wire::Value<'_>, of: &Type, depth: usize) -> Result<Option<Value>, Malformed> {
    use wire::Value::{Bytes, Number};
    Ok(match (of, wire) {
        (Type::Given(of), wire) => Some(match (of.as_ref(), wire) {
            (Type::Text, Bytes(bytes)) => text(bytes)?.into(),
            (Type::Bool, Number(number)) => (number != 0).into(),
            (Type::Whole, Number(number)) => number.cast_signed().into(),
            (of, wire) => return value(wire, of, depth),
        }),
        (Type::Text, Bytes(bytes)) => Some(text(bytes)?).filter(|text| !text.is_empty()).map(Value::from),
        (Type::Bool, Number(number)) => (number != 0).then_some(true.into()),
        (Type::Whole, Number(number)) => (number != 0).then_some(number.cast_signed().into()),
        (Type::Double, Number(number)) => Some(f64::from_bits(number).into()),
        (Type::Bytes, Bytes(bytes)) => Some(STANDARD.encode(bytes).into()),
        (Type::Raw, Bytes(bytes)) => {
            let inside = first(bytes)?;
            if inside.is_empty() { None } else { Some(serde_json::from_slice(inside).map_err(|_| Malformed::Wire)?) }
        }
        (Type::Quantity, Bytes(bytes)) => Some(text(first(bytes)?)?.into()),
        (Type::Time, Bytes(bytes)) => time(bytes)?,
        (Type::IntOrText, Bytes(bytes)) => Some(int_or_text(bytes)?),
        (Type::Message(name), Bytes(bytes)) => {
            let mut fields = Map::new();
            message(bytes, messages::named(name), depth, &mut fields)?;
            Some(Value::Object(fields))
        }
        _ => return Err(Malformed::Wire),
    })
}

/// The bytes of field 1.
fn first(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let mut found = &[][..];
    for part in Wire(bytes) {
        if let Part { number: 1, wire: wire::Value::Bytes(bytes) } = part? {
            found = bytes;
        }
    }
    Ok(found)
}

/// `Time`: seconds and nanoseconds; nothing at all is no time.
fn time(bytes: &[u8]) -> Result<Option<Value>, Malformed> {
    let (mut seconds, mut nanos) = (0, 0);
    for part in Wire(bytes) {
        match part? {
            Part { number: 1, wire: wire::Value::Number(number) } => seconds = number.cast_signed(),
            Part { number: 2, wire: wire::Value::Number(number) } => nanos = number.cast_signed(),
            _ => {}
        }
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let nanos = i32::try_from(nanos).map_err(|_| Malformed::Wire)?;
    let time = Timestamp::new(seconds, nanos).map_err(|_| Malformed::Wire)?;
    Ok(Some(time.to_string().into()))
}

fn int_or_text(bytes: &[u8]) -> Result<Value, Malformed> {
    let (mut is_text, mut number, mut words) = (false, 0, String::new());
    for part in Wire(bytes) {
        match part? {
            Part { number: 1, wire: wire::Value::Number(kind) } => is_text = kind == 1,
            Part { number: 2, wire: wire::Value::Number(value) } => number = value.cast_signed(),
            Part { number: 3, wire: wire::Value::Bytes(bytes) } => words = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { words.into() } else { number.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `kubectl create namespace foo` sends (1.32, captured).
    const NAMESPACE: &[u8] =
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x1b\x0a\x13\x0a\x03foo\x12\x00\x1a\x00\x22\x00\
                               \x2a\x00\x32\x00\x38\x00\x42\x00\x12\x00\x1a\x02\x0a\x00\x1a\x00\x22\x00";

    #[test]
    fn what_kubectl_sends_is_an_object() {
        let want = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "foo"}, "spec": {}, "status": {},
        });
        assert_eq!(read(NAMESPACE), Ok(want));
    }

    #[test]
    fn what_is_no_protobuf_or_no_kind_is_refused() {
        assert_eq!(read(b"{}"), Err(Malformed::Magic));
        assert_eq!(read(&NAMESPACE[..40]), Err(Malformed::Wire));
        let other = NAMESPACE.to_vec().iter().map(|byte| if *byte == b'N' { b'M' } else { *byte }).collect::<Vec<_>>();
        assert!(matches!(read(&other), Err(Malformed::Kind { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_whatever_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&[MAGIC, &bytes].concat());
            let head = b"\x0a\x0f\x0a\x07apps/v1\x12\x0aDeployment\x12".as_slice();
            let _ = read(&[MAGIC, head, &[u8::try_from(bytes.len() & 127).unwrap()], &bytes].concat());
        }
    }
}
