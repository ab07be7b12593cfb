//! One number of a JSON object, without reading the rest.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The value of the member of that name, or nothing if there is none.
///
/// # Errors
/// If the text is not an object, or the member is not a whole number from 0 to 2³² − 1.
pub fn number(object: &RawValue, name: &str) -> serde_json::Result<Option<u32>> {
    Member(name).deserialize(&mut serde_json::Deserializer::from_str(object.get()))
}

struct Member<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<u32>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<u32>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(IsName(self.0))? {
            if !is_it {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom(format_args!("{} is there twice", self.0)));
            }
        }
        Ok(found)
    }
}

/// Compares a key where it lies; a key with escapes is compared after they are resolved.
struct IsName<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(object: &str) -> serde_json::Result<Option<u32>> {
        number(serde_json::from_str(object).unwrap(), "postId")
    }

    #[test]
    fn the_member_is_found_among_others() {
        assert_eq!(read(r#"{"id":1,"body":{"postId":2},"postId":7,"name":"\n"}"#).unwrap(), Some(7));
        assert_eq!(read(r#"{"post\u0049d":7}"#).unwrap(), Some(7));
        assert_eq!(read(r#"{"id":1}"#).unwrap(), None);
    }

    #[test]
    fn what_is_no_object_or_no_number_is_an_error() {
        for text in ["7", "[]", "null", r#"{"postId":"7"}"#, r#"{"postId":-1}"#, r#"{"postId":1,"postId":2}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
