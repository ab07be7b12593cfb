//! The wire format of protobuf (protobuf.dev, "Encoding").

use super::Malformed;

/// A field as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part<'a> {
    pub(super) number: u32,
    pub(super) wire: Value<'a>,
}

/// Its value, as far as the wire tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Of a varint, or of four or eight bytes.
    Number(u64),
    /// Text, bytes, a message.
    Bytes(&'a [u8]),
}

/// The fields of a message, in order. After an error nothing more comes.
#[derive(Debug)]
pub(super) struct Wire<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Wire<'a> {
    type Item = Result<Part<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = self.part().ok_or(Malformed::Wire);
        if part.is_err() {
            self.0 = &[];
        }
        Some(part)
    }
}

impl<'a> Wire<'a> {
    fn part(&mut self) -> Option<Part<'a>> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
        let wire = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Number(u32::from_le_bytes(self.take(4)?.try_into().ok()?).into()),
            _ => return None,
        };
        Some(Part { number, wire })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }
}
