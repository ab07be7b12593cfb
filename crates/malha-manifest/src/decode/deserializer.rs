//! serde's view of a [`Node`].
//!
//! Nothing and `null` are the same for a struct's field, as for Go's and protobuf's readers of JSON: the field keeps its zero value.

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::Reading;
use super::error::Misfit;
use crate::node::{Entry, Node, Value};
use crate::path::Step;

/// Gives one value.
#[derive(Clone, Copy)]
pub(super) struct Deserializer<'a> {
    pub(super) node: &'a Node,
    pub(super) reading: &'a Reading<'a>,
}

impl<'a> Deserializer<'a> {
    fn misfit<'de, V: Visitor<'de>>(&self, visitor: &V) -> Misfit {
        Misfit::kind(visitor, self.node.kind())
    }

    /// Gives a number that a whole-number type may take: `1e3` is 1000 for the readers that Kubernetes uses too.
    fn whole<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::Number(number) if number.is_f64() => match whole(number.as_f64()) {
                Some(number) => visitor.visit_i64(number),
                None => Err(self.misfit(&visitor)),
            },
            Value::Number(_) => self.any(visitor),
            Value::Null => visitor.visit_u64(0),
            _ => Err(self.misfit(&visitor)),
        }
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (_, _, Some(number)) => visitor.visit_f64(number),
                _ => Err(self.misfit(&visitor)),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { rest: items.iter(), position: 0, reading: self.reading }),
            Value::Map(entries) => visitor.visit_map(self.fields(entries, false)),
        }
    }

    fn fields(&self, entries: &'a [Entry], skip_null: bool) -> Fields<'a> {
        Fields { entries: entries.iter(), value: None, skip_null, reading: self.reading }
    }
}

/// The whole number that a number with a fraction of zero is.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn whole(number: Option<f64>) -> Option<i64> {
    number.filter(|number| number.fract() == 0.0 && number.abs() < 9e15).map(|number| number as i64)
}

macro_rules! whole_numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            self.whole(visitor)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Deserializer<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.any(visitor)
    }

    whole_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Null => visitor.visit_bool(false),
            _ => Err(self.misfit(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::String(text) => visitor.visit_str(text),
            Value::Null => visitor.visit_str(""),
            _ => Err(self.misfit(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.node.value == Value::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::List(_) => self.any(visitor),
            Value::Null => visitor.visit_seq(Items { rest: [].iter(), position: 0, reading: self.reading }),
            _ => Err(self.misfit(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(self.fields(entries, false)),
            Value::Null => visitor.visit_map(self.fields(&[], false)),
            _ => Err(self.misfit(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::Map(entries) => {
                self.reading.unknown_fields(self.node, fields);
                visitor.visit_map(self.fields(entries, true))
            }
            Value::Null => visitor.visit_map(self.fields(&[], true)),
            _ => Err(self.misfit(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::String(text) => visitor.visit_enum(Word(text)),
            _ => Err(Misfit::kind(&"a string", self.node.kind())),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// Gives the fields of a map.
struct Fields<'a> {
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
    skip_null: bool,
    reading: &'a Reading<'a>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let next = self.entries.find(|entry| {
            !(self.reading.is_left_out(&entry.value) || self.skip_null && entry.value.value == Value::Null)
        });
        let Some(entry) = next else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, Misfit> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        self.reading.down(Step::Field(entry.key.clone()));
        let read = seed.deserialize(Deserializer { node: &entry.value, reading: self.reading });
        if let Err(misfit) = &read {
            self.reading.note(&entry.value, Some(entry), misfit);
        }
        self.reading.up();
        read
    }
}

/// Gives the items of a list.
struct Items<'a> {
    rest: std::slice::Iter<'a, Node>,
    position: usize,
    reading: &'a Reading<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        for item in self.rest.by_ref() {
            let position = self.position;
            self.position += 1;
            if self.reading.is_left_out(item) {
                continue;
            }
            self.reading.down(Step::Item(position));
            let read = seed.deserialize(Deserializer { node: item, reading: self.reading });
            if let Err(misfit) = &read {
                self.reading.note(item, None, misfit);
            }
            self.reading.up();
            return read.map(Some);
        }
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// Gives an enum written as a word.
struct Word<'a>(&'a str);

impl<'de, 'a> EnumAccess<'de> for Word<'a> {
    type Error = Misfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Misfit> {
        let word: StrDeserializer<'a, Misfit> = self.0.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Misfit> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a map"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Misfit> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a list"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Misfit> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a map"))
    }
}
