//! Follows a chunked body (RFC 9112 §7.1) to where it ends, so that the next request is found where hyper finds it.

use super::head::field;
use super::limits::{CHUNK_LINES, HEAD_BYTES, HEADERS};
use super::refusal::Refusal;

/// Where in a chunked body the bytes have come to.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: At,
    /// What is left of this chunk's data, or its size as far as it has been read.
    size: u64,
    /// Bytes of sizes and extensions so far.
    lines: usize,
    trailers: Trailers,
}

#[derive(Debug, Default)]
struct Trailers {
    line: Vec<u8>,
    bytes: usize,
    count: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    Size,
    /// Space between size and extension.
    Space,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataEndLf,
    Trailer,
}

/// What became of the bytes that [`Chunks::follow`] was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// All belong to the body, which goes on.
    All,
    /// The body ended after so many.
    Ended(usize),
    /// They are in order up to there, and then no chunked body any more.
    Broken(usize, Refusal),
}

impl Chunks {
    /// Takes the next bytes of the connection.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut next = 0;
        while let Some(byte) = bytes.get(next) {
            if self.at == At::Data {
                let rest = bytes.len() - next;
                let taken = usize::try_from(self.size).map_or(rest, |size| size.min(rest));
                next += taken;
                self.size -= taken as u64;
                if self.size == 0 {
                    self.at = At::DataEnd;
                }
                continue;
            }
            match self.step(*byte) {
                Ok(true) => return Followed::Ended(next + 1),
                Ok(false) => next += 1,
                Err(refusal) => return Followed::Broken(next, refusal),
            }
        }
        Followed::All
    }

    /// Takes one byte that is no data; whether the body ends with it.
    fn step(&mut self, byte: u8) -> Result<bool, Refusal> {
        if matches!(self.at, At::Start | At::Size | At::Space | At::Extension) {
            self.lines += 1;
            if self.lines > CHUNK_LINES {
                return Err(Refusal::Malformed);
            }
        }
        self.at = match (&self.at, byte) {
            (At::Start | At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let size = self.size.checked_mul(16).ok_or(Refusal::Malformed)?;
                self.size = size | u64::from(digit);
                At::Size
            }
            (At::Size | At::Space, b' ' | b'\t') => At::Space,
            (At::Size | At::Space, b';') | (At::Extension, b'\t' | b' '..=b'~' | 0x80..) => At::Extension,
            (At::Size | At::Space | At::Extension, b'\r') => At::SizeEnd,
            (At::SizeEnd, b'\n') if self.size == 0 => At::Trailer,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataEnd, b'\r') => At::DataEndLf,
            (At::DataEndLf, b'\n') => At::Start,
            (At::Trailer, byte) => {
                let ended = self.trailers.take(byte)?;
                if ended {
                    return Ok(true);
                }
                At::Trailer
            }
            _ => return Err(Refusal::Malformed),
        };
        Ok(false)
    }
}

impl Trailers {
    /// Takes one byte; whether it ends the last, empty line.
    fn take(&mut self, byte: u8) -> Result<bool, Refusal> {
        self.bytes += 1;
        if self.bytes > HEAD_BYTES {
            return Err(Refusal::TooLarge);
        }
        if byte != b'\n' {
            // hyper does not wait for the line to end.
            if self.line.last() == Some(&b'\r') {
                return Err(Refusal::Malformed);
            }
            self.line.push(byte);
            return Ok(false);
        }
        let line = self.line.strip_suffix(b"\r").ok_or(Refusal::Malformed)?;
        if line.is_empty() {
            return Ok(true);
        }
        field(line)?;
        self.count += 1;
        self.line.clear();
        if self.count > HEADERS { Err(Refusal::TooLarge) } else { Ok(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_ends_where_it_says_however_it_arrives() {
        const BAD: Option<Refusal> = Some(Refusal::Malformed);
        let (long, endless) = ("a".repeat(20_000), "0".repeat(20_000));
        let large = format!("0\r\nx: {}\r\n\r\n", "a".repeat(HEAD_BYTES));
        for (body, want) in [
            ("0\r\n\r\n", None),
            ("3\r\nabc\r\n0\r\n\r\n", None),
            ("03\r\nabc\r\n000\r\n\r\n", None),
            ("A\r\n0123456789\r\n0\r\n\r\n", None),
            ("3 \r\nabc\r\n0\r\n\r\n", None),
            ("3;a=\"b\"\r\nabc\r\n0\r\n\r\n", None),
            ("0\r\nx: 1\r\ny: 2\r\n\r\n", None),
            ("xyz\r\n", BAD),
            ("0x3\r\nabc\r\n0\r\n\r\n", BAD),
            ("+3\r\nabc\r\n0\r\n\r\n", BAD),
            ("-1\r\nabc\r\n0\r\n\r\n", BAD),
            (" 3\r\nabc\r\n0\r\n\r\n", BAD),
            ("3;a\nabc\r\n0\r\n\r\n", BAD),
            ("3\nabc\n0\n\n", BAD),
            ("3\r\nabc\n0\r\n\r\n", BAD),
            ("3\r\nabcd0\r\n\r\n", BAD),
            ("fffffffffffffffff\r\nabc\r\n0\r\n\r\n", BAD),
            ("\r\nabc\r\n0\r\n\r\n", BAD),
            ("0\r\nx y: 1\r\n\r\n", BAD),
            ("0\r\nx: 1\n\r\n", BAD),
            ("0\r\n x: 1\r\n\r\n", BAD),
            (&format!("3;{long}\r\nabc\r\n0\r\n\r\n"), BAD),
            (&endless, BAD),
            (&large, Some(Refusal::TooLarge)),
        ] {
            let text = format!("{body}GET /");
            for step in [1, 2, 3, 7, usize::MAX] {
                let mut chunks = Chunks::default();
                let mut at = 0;
                let mut got = None;
                for part in text.as_bytes().chunks(step.min(text.len())) {
                    match chunks.follow(part) {
                        Followed::All => at += part.len(),
                        ended => {
                            got = Some(ended);
                            break;
                        }
                    }
                }
                let shown = &text[..text.len().min(40)];
                match (got.unwrap(), want) {
                    (Followed::Ended(more), None) => assert_eq!(at + more, body.len(), "{shown:?} by {step}"),
                    (Followed::Broken(_, refusal), Some(want)) => assert_eq!(refusal, want, "{shown:?} by {step}"),
                    other => panic!("{shown:?} by {step}: {other:?}"),
                }
            }
        }
    }
}
