//! `OpenAPI` v2 as protobuf (gnostic `openapiv2/OpenAPIv2.proto`): messages written by hand, as few as kubectl reads, which are
//! the definitions, and the parameters of each path's `patch`.

use serde_json::{Map, Value};

/// A message under way.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u32, text: Option<&Value>) {
        if let Some(text) = text.and_then(Value::as_str).filter(|text| !text.is_empty()) {
            self.bytes(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u32, texts: Option<&Value>) {
        for text in texts.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            self.bytes(field, text.as_bytes());
        }
    }

    fn flag(&mut self, field: u32, value: Option<&Value>) {
        if value.and_then(Value::as_bool) == Some(true) {
            self.key(field, 0);
            self.varint(1);
        }
    }

    fn double(&mut self, field: u32, value: Option<&Value>) {
        if let Some(value) = value.and_then(Value::as_f64).filter(|value| *value != 0.0) {
            self.key(field, 1);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// `Any`: the value as YAML, of which JSON is a part.
    fn any(&mut self, field: u32, value: &Value) {
        self.message(field, |any| any.bytes(2, value.to_string().as_bytes()));
    }

    /// Everything that begins with `x-`, as `NamedAny`.
    fn extensions(&mut self, field: u32, fields: &Map<String, Value>) {
        for (name, value) in fields.iter().filter(|(name, _)| name.starts_with("x-")) {
            self.message(field, |named| {
                named.bytes(1, name.as_bytes());
                named.any(2, value);
            });
        }
    }

    /// `NamedSchema` for each.
    fn schemas(&mut self, field: u32, schemas: &Map<String, Value>) {
        for (name, value) in schemas {
            self.message(field, |named| {
                named.bytes(1, name.as_bytes());
                named.message(2, |message| schema(message, value));
            });
        }
    }
}

/// The whole document.
pub(super) fn document(second: &Value) -> Vec<u8> {
    let mut document = Message::default();
    document.text(1, second.get("swagger"));
    document.message(2, |info| {
        info.text(1, second.pointer("/info/title"));
        info.text(2, second.pointer("/info/version"));
    });
    if let Some(Value::Object(all)) = second.get("paths") {
        document.message(8, |paths| {
            for (path, item) in all {
                let Some(Value::Object(patch)) = item.get("patch") else { continue };
                paths.message(2, |named| {
                    named.bytes(1, path.as_bytes());
                    named.message(2, |item| item.message(8, |message| operation(message, patch)));
                });
            }
        });
    }
    if let Some(Value::Object(all)) = second.get("definitions") {
        document.message(9, |definitions| definitions.schemas(1, all));
    }
    document.0
}

fn operation(message: &mut Message, fields: &Map<String, Value>) {
    message.text(5, fields.get("operationId"));
    message.texts(7, fields.get("consumes"));
    for parameter in fields.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        if parameter.get("in").is_none_or(|place| place != "query") {
            continue;
        }
        // ParametersItem → Parameter → NonBodyParameter → QueryParameterSubSchema.
        message.message(8, |item| {
            item.message(1, |any| {
                any.message(2, |other| {
                    other.message(3, |query| {
                        query.text(2, parameter.get("in"));
                        query.text(3, parameter.get("description"));
                        query.text(4, parameter.get("name"));
                        query.text(6, parameter.get("type"));
                        query.flag(20, parameter.get("uniqueItems"));
                    });
                });
            });
        });
    }
    message.extensions(13, fields);
}

fn schema(message: &mut Message, value: &Value) {
    let Value::Object(fields) = value else { return };
    message.text(1, fields.get("$ref"));
    message.text(2, fields.get("format"));
    message.text(4, fields.get("description"));
    message.double(7, fields.get("maximum"));
    message.double(9, fields.get("minimum"));
    message.texts(19, fields.get("required"));
    for word in fields.get("enum").and_then(Value::as_array).into_iter().flatten() {
        message.any(20, word);
    }
    if let Some(inside) = fields.get("additionalProperties") {
        message.message(21, |either| either.message(1, |inner| schema(inner, inside)));
    }
    if let Some(kind) = fields.get("type").and_then(Value::as_str) {
        message.message(22, |kinds| kinds.bytes(1, kind.as_bytes()));
    }
    if let Some(inside) = fields.get("items") {
        message.message(23, |items| items.message(1, |inner| schema(inner, inside)));
    }
    if let Some(Value::Object(properties)) = fields.get("properties") {
        message.message(25, |all| all.schemas(1, properties));
    }
    message.extensions(31, fields);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_have_their_numbers_and_lengths() {
        for (value, expected) in [
            (json!({"type": "object"}), &b"\xb2\x01\x08\x0a\x06object"[..]),
            (json!({"$ref": "#/definitions/a"}), b"\x0a\x0f#/definitions/a"),
            (
                json!({"type": "array", "items": {"format": "x"}}),
                b"\xb2\x01\x07\x0a\x05array\xba\x01\x05\x0a\x03\x12\x01x",
            ),
            (json!({"properties": {"a": {}}}), b"\xca\x01\x07\x0a\x05\x0a\x01a\x12\x00"),
            (json!({"x-a": true}), b"\xfa\x01\x0d\x0a\x03x-a\x12\x06\x12\x04true"),
            (json!({"maximum": 1.0}), b"\x39\x00\x00\x00\x00\x00\x00\xf0\x3f"),
        ] {
            let mut message = Message::default();
            schema(&mut message, &value);
            assert_eq!(message.0, expected, "{value}");
        }
    }

    #[test]
    fn long_texts_have_long_lengths() {
        let mut message = Message::default();
        message.bytes(1, &[b'a'; 300]);
        assert_eq!(&message.0[..3], b"\x0a\xac\x02");
    }
}
