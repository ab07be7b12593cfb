//! Blocks of headers (SPDY draft 3, §2.6.10): names and values with their lengths, in one zlib stream for each direction
//! that goes on from block to block.

use bytes::{Buf, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::DICTIONARY;
use super::frame::FrameError;

/// As much as a block may have when inflated.
pub(super) const BLOCK: usize = 64 * 1024;
/// As many headers as a block may have.
const COUNT: u32 = 128;
/// What is inflated or deflated at once.
const STEP: usize = 4 * 1024;

/// Names, in lower case, and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::forward) struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value of a header; `name` is in lower case. What is there but empty is as good as absent.
    pub(in crate::forward) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(other, _)| other == name)?;
        // Several values are one, with zeros between.
        value.split('\0').next().filter(|value| !value.is_empty())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Reads the blocks of one direction.
pub(super) struct Reader(Decompress);

impl Reader {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// The next block. After an error there is no next one.
    pub(super) fn read(&mut self, block: &[u8]) -> Result<Headers, FrameError> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, FrameError> {
        let mut out = Vec::with_capacity(STEP);
        loop {
            let (taken, given) = (self.0.total_in(), self.0.total_out());
            let result = self.0.decompress_vec(block, &mut out, FlushDecompress::Sync);
            let (taken, given) = (self.0.total_in() - taken, self.0.total_out() - given);
            block = usize::try_from(taken).ok().and_then(|taken| block.get(taken..)).ok_or(FrameError::Compression)?;
            match result {
                Ok(Status::StreamEnd) => return Err(FrameError::Compression),
                Ok(_) if out.len() > BLOCK => return Err(FrameError::BlockTooLarge),
                // All of it is out when there is room left.
                Ok(_) if block.is_empty() && out.len() < out.capacity() => return Ok(out),
                Ok(_) if out.len() == out.capacity() => out.reserve(STEP),
                Ok(_) if taken == 0 && given == 0 => return Err(FrameError::Compression),
                Ok(_) => {}
                Err(error) => {
                    error.needs_dictionary().ok_or(FrameError::Compression)?;
                    self.0.set_dictionary(&DICTIONARY).map_err(|_| FrameError::Compression)?;
                }
            }
        }
    }
}

fn parse(mut block: &[u8]) -> Result<Headers, FrameError> {
    let count = block.try_get_u32().map_err(|_| FrameError::Headers)?;
    if count > COUNT {
        return Err(FrameError::Headers);
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for _ in 0..count {
        let mut text = || -> Result<String, FrameError> {
            let length = usize::try_from(block.try_get_u32().map_err(|_| FrameError::Headers)?).unwrap_or(usize::MAX);
            let (text, rest) = block.split_at_checked(length).ok_or(FrameError::Headers)?;
            block = rest;
            String::from_utf8(text.to_vec()).map_err(|_| FrameError::Headers)
        };
        let (name, value) = (text()?, text()?);
        let twice = headers.iter().any(|(other, _)| *other == name);
        if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase()) || twice {
            return Err(FrameError::Headers);
        }
        headers.push((name, value));
    }
    if block.is_empty() { Ok(Headers(headers)) } else { Err(FrameError::Headers) }
}

/// Writes the blocks of one direction.
pub(super) struct Writer {
    deflate: Compress,
    scratch: Vec<u8>,
}

impl Writer {
    pub(super) fn new() -> Self {
        let mut deflate = Compress::new(Compression::default(), true);
        // A dictionary that is not taken shows at the first block: it names none then, which readers accept.
        let _ = deflate.set_dictionary(&DICTIONARY);
        Self { deflate, scratch: Vec::new() }
    }

    /// Appends the next block.
    pub(super) fn write(&mut self, headers: &Headers, into: &mut BytesMut) {
        self.scratch.clear();
        put_length(&mut self.scratch, headers.0.len());
        for text in headers.0.iter().flat_map(|(name, value)| [name, value]) {
            put_length(&mut self.scratch, text.len());
            self.scratch.extend(text.as_bytes());
        }
        let mut rest = self.scratch.as_slice();
        let mut step = Vec::with_capacity(STEP);
        loop {
            let before = self.deflate.total_in();
            // It has no way to fail: the room is there, and nothing was finished before.
            let _ = self.deflate.compress_vec(rest, &mut step, FlushCompress::Sync);
            let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or(usize::MAX);
            rest = rest.get(taken..).unwrap_or_default();
            into.extend_from_slice(&step);
            // All of it is out when there is room left.
            if step.len() < step.capacity() {
                return;
            }
            step.clear();
        }
    }
}

fn put_length(into: &mut Vec<u8>, length: usize) {
    into.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(writer: &mut Writer, headers: &Headers) -> BytesMut {
        let mut block = BytesMut::new();
        writer.write(headers, &mut block);
        block
    }

    #[test]
    fn blocks_come_out_as_they_went_in_one_after_the_other() {
        let (mut writer, mut reader) = (Writer::new(), Reader::new());
        let headers: Headers = [("port", "80"), ("requestid", "0"), ("streamtype", "error")].into_iter().collect();
        let first = written(&mut writer, &headers);
        assert_eq!(first[..6], [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2], "zlib, with the dictionary");
        assert_eq!(reader.read(&first), Ok(headers.clone()));
        let second = written(&mut writer, &headers);
        assert!(second.len() < first.len() / 2, "it refers to the first: {} of {}", second.len(), first.len());
        assert_eq!(reader.read(&second), Ok(headers));
        let long: Headers =
            (0..COUNT).map(|number| (format!("name-{number}"), format!("{number}").repeat(90))).collect();
        assert_eq!(reader.read(&written(&mut writer, &long)), Ok(long));
        assert_eq!(reader.read(&written(&mut writer, &Headers::default())), Ok(Headers::default()));
    }

    #[test]
    fn a_small_block_that_inflates_to_a_large_one_is_refused() {
        let headers: Headers = [("a", "a".repeat(BLOCK * 8))].into_iter().collect();
        let block = written(&mut Writer::new(), &headers);
        assert!(block.len() < BLOCK, "{}", block.len());
        assert_eq!(Reader::new().read(&block), Err(FrameError::BlockTooLarge));
    }

    #[test]
    fn headers_that_are_none_are_refused() {
        let zero = [0; 4];
        for (why, block) in [
            ("nothing", vec![]),
            ("half a count", vec![0, 0]),
            ("fewer than it says", vec![0, 0, 0, 1]),
            ("an immense count", vec![0xff; 4]),
            ("an immense length", [[0, 0, 0, 1], [0xff; 4]].concat()),
            ("no name", [[0, 0, 0, 1], zero, zero].concat()),
            ("capitals", [&[0, 0, 0, 1, 0, 0, 0, 1, b'A'][..], &zero[..]].concat()),
            ("no text", [&[0, 0, 0, 1, 0, 0, 0, 1, 0xff][..], &zero[..]].concat()),
            ("a name twice", [&[0, 0, 0, 2][..], &[0, 0, 0, 1, b'a', 0, 0, 0, 0].repeat(2)[..]].concat()),
            ("more than it says", [zero, zero].concat()),
        ] {
            assert_eq!(parse(&block), Err(FrameError::Headers), "{why}");
        }
    }

    #[test]
    fn of_several_values_the_first_counts_and_an_empty_one_is_none() {
        let headers: Headers = [("a", "1\x002"), ("b", "")].into_iter().collect();
        assert_eq!((headers.get("a"), headers.get("b"), headers.get("c")), (Some("1"), None, None));
    }
}
