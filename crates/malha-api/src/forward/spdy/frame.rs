//! Frames: from bytes, and into bytes (SPDY draft 3, §2.2 and §2.6).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::headers::{Headers, Reader, Writer};

/// The version that control frames carry; SPDY/3.1 kept the 3 of SPDY/3.
const VERSION: u16 = 3;
/// Every frame has a header of as many bytes.
const HEADER: usize = 8;
/// As long as a control frame may be. Data frames are passed on in parts, and may have the 16 MiB of the protocol.
const CONTROL: usize = 64 * 1024;
/// As much as one part of a data frame has.
pub(in crate::forward) const PART: usize = 16 * 1024;
/// The bit that marks a control frame, or is kept free in the number of a stream.
const CONTROL_BIT: u32 = 1 << 31;
const FIN: u8 = 1;

/// A frame, with what matters of it: priorities, slots and settings are read over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::forward) enum Frame {
    /// A new stream; `last` where its opener has nothing to send.
    SynStream {
        stream: u32,
        last: bool,
        headers: Headers,
    },
    /// The new stream is accepted.
    SynReply {
        stream: u32,
        last: bool,
        headers: Headers,
    },
    /// The stream is over.
    Reset {
        stream: u32,
        status: u32,
    },
    Settings,
    Ping(u32),
    /// The connection is over.
    GoAway {
        newest: u32,
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        stream: u32,
        last: bool,
        headers: Headers,
    },
    WindowUpdate {
        stream: u32,
        delta: u32,
    },
    /// Bytes of a stream; in decoding, a part of a frame's.
    Data {
        stream: u32,
        last: bool,
        bytes: Bytes,
    },
}

/// The types of control frames.
mod kind {
    pub(super) const SYN_STREAM: u16 = 1;
    pub(super) const SYN_REPLY: u16 = 2;
    pub(super) const RST_STREAM: u16 = 3;
    pub(super) const SETTINGS: u16 = 4;
    pub(super) const PING: u16 = 6;
    pub(super) const GOAWAY: u16 = 7;
    pub(super) const HEADERS: u16 = 8;
    pub(super) const WINDOW_UPDATE: u16 = 9;
}

/// What is no SPDY, or too much of it. The connection ends: what comes next cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::forward) enum FrameError {
    #[error("a control frame of another version than 3")]
    Version,
    #[error("a control frame of more than 64 KiB")]
    TooLarge,
    #[error("a control frame that does not have its length")]
    Length,
    #[error("stream 0")]
    Stream,
    #[error("headers that do not inflate")]
    Compression,
    #[error("headers of more than 64 KiB")]
    BlockTooLarge,
    #[error("headers that are none")]
    Headers,
}

/// Takes bytes in, and gives frames out.
pub(in crate::forward) struct Decoder {
    buffer: BytesMut,
    data: Option<DataFrame>,
    headers: Reader,
}

/// A data frame of which not all has come.
#[derive(Clone, Copy)]
struct DataFrame {
    stream: u32,
    last: bool,
    left: usize,
}

impl Decoder {
    pub(in crate::forward) fn new() -> Self {
        Self { buffer: BytesMut::new(), data: None, headers: Reader::new() }
    }

    /// Takes in what has come. [`next`](Self::next) is to be asked for all its frames before it is given more.
    pub(in crate::forward) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if it is there. After an error there is none.
    pub(in crate::forward) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(data) = self.data.take() {
                return Ok(self.part(data));
            }
            let Some((word, flags, length)) = self.peek() else { return Ok(None) };
            if word & CONTROL_BIT == 0 {
                if word == 0 {
                    return Err(FrameError::Stream);
                }
                self.buffer.advance(HEADER);
                self.data = Some(DataFrame { stream: word, last: flags & FIN != 0, left: length });
                continue;
            }
            let [_, version, kind @ ..] = word.to_be_bytes();
            if u16::from(version) | u16::try_from(word >> 16 & 0x7f00).unwrap_or(u16::MAX) != VERSION {
                return Err(FrameError::Version);
            }
            if length > CONTROL {
                return Err(FrameError::TooLarge);
            }
            if self.buffer.len() < HEADER + length {
                return Ok(None);
            }
            self.buffer.advance(HEADER);
            let payload = self.buffer.split_to(length).freeze();
            // A type that nobody knows is to be ignored (§2.2.1).
            if let Some(frame) = self.control(u16::from_be_bytes(kind), flags, payload)? {
                return Ok(Some(frame));
            }
        }
    }

    /// First word, flags and length of the frame that is next.
    fn peek(&self) -> Option<(u32, u8, usize)> {
        let mut header = self.buffer.get(..HEADER)?;
        let word = header.get_u32();
        let flags = header.get_u8();
        Some((word, flags, usize::try_from(header.get_uint(3)).ok()?))
    }

    /// As much of a data frame as is there, and is right to pass on at once.
    fn part(&mut self, data: DataFrame) -> Option<Frame> {
        let DataFrame { stream, last, left } = data;
        let length = self.buffer.len().min(left).min(PART);
        if length == 0 && left > 0 {
            self.data = Some(data);
            return None;
        }
        // Copied, so that a small part does not hold on to a large buffer.
        let bytes = Bytes::copy_from_slice(self.buffer.get(..length)?);
        self.buffer.advance(length);
        let left = left - length;
        self.data = (left > 0).then_some(DataFrame { left, ..data });
        Some(Frame::Data { stream, last: last && left == 0, bytes })
    }

    fn control(&mut self, kind: u16, flags: u8, mut payload: Bytes) -> Result<Option<Frame>, FrameError> {
        let last = flags & FIN != 0;
        let word = |payload: &mut Bytes| payload.try_get_u32().map_err(|_| FrameError::Length);
        let stream = |payload: &mut Bytes| match word(payload)? & !CONTROL_BIT {
            0 => Err(FrameError::Stream),
            stream => Ok(stream),
        };
        let frame = match kind {
            kind::SYN_STREAM => {
                let stream = stream(&mut payload)?;
                // The stream it belongs to, priority and slot.
                payload = payload.get(6..).map(|rest| payload.slice_ref(rest)).ok_or(FrameError::Length)?;
                let headers = self.headers.read(&payload)?;
                return Ok(Some(Frame::SynStream { stream, last, headers }));
            }
            kind::SYN_REPLY => {
                let stream = stream(&mut payload)?;
                let headers = self.headers.read(&payload)?;
                return Ok(Some(Frame::SynReply { stream, last, headers }));
            }
            kind::HEADERS => {
                let stream = stream(&mut payload)?;
                let headers = self.headers.read(&payload)?;
                return Ok(Some(Frame::Headers { stream, last, headers }));
            }
            kind::RST_STREAM => Frame::Reset { stream: stream(&mut payload)?, status: word(&mut payload)? },
            kind::SETTINGS => {
                let count = usize::try_from(word(&mut payload)?).unwrap_or(usize::MAX);
                if count.checked_mul(8) != Some(payload.len()) {
                    return Err(FrameError::Length);
                }
                return Ok(Some(Frame::Settings));
            }
            kind::PING => Frame::Ping(word(&mut payload)?),
            kind::GOAWAY => Frame::GoAway { newest: word(&mut payload)? & !CONTROL_BIT, status: word(&mut payload)? },
            // Stream 0 is the connection (3.1).
            kind::WINDOW_UPDATE => Frame::WindowUpdate {
                stream: word(&mut payload)? & !CONTROL_BIT,
                delta: word(&mut payload)? & !CONTROL_BIT,
            },
            _ => return Ok(None),
        };
        if payload.is_empty() { Ok(Some(frame)) } else { Err(FrameError::Length) }
    }
}

/// Takes frames in, and gives bytes out.
pub(in crate::forward) struct Encoder(Writer);

impl Encoder {
    pub(in crate::forward) fn new() -> Self {
        Self(Writer::new())
    }

    /// Appends a frame. Data is no longer than the 16 MiB of the protocol.
    pub(in crate::forward) fn encode(&mut self, frame: &Frame, into: &mut BytesMut) {
        let start = into.len();
        let (kind, flags) = match frame {
            Frame::Data { stream, last, bytes } => {
                into.put_u32(*stream);
                into.put_u8(u8::from(*last));
                put_length(into, bytes.len());
                into.extend_from_slice(bytes);
                return;
            }
            Frame::SynStream { last, .. } => (kind::SYN_STREAM, u8::from(*last)),
            Frame::SynReply { last, .. } => (kind::SYN_REPLY, u8::from(*last)),
            Frame::Headers { last, .. } => (kind::HEADERS, u8::from(*last)),
            Frame::Reset { .. } => (kind::RST_STREAM, 0),
            Frame::Settings => (kind::SETTINGS, 0),
            Frame::Ping(_) => (kind::PING, 0),
            Frame::GoAway { .. } => (kind::GOAWAY, 0),
            Frame::WindowUpdate { .. } => (kind::WINDOW_UPDATE, 0),
        };
        into.put_u32(CONTROL_BIT | u32::from(VERSION) << 16 | u32::from(kind));
        into.put_u8(flags);
        into.put_uint(0, 3);
        match frame {
            Frame::SynStream { stream, headers, .. } => {
                into.put_u32(*stream);
                into.put_bytes(0, 6);
                self.0.write(headers, into);
            }
            Frame::SynReply { stream, headers, .. } | Frame::Headers { stream, headers, .. } => {
                into.put_u32(*stream);
                self.0.write(headers, into);
            }
            Frame::Reset { stream: first, status: second }
            | Frame::GoAway { newest: first, status: second }
            | Frame::WindowUpdate { stream: first, delta: second } => {
                into.put_u32(*first);
                into.put_u32(*second);
            }
            Frame::Settings => into.put_u32(0),
            Frame::Ping(number) => into.put_u32(*number),
            Frame::Data { .. } => {}
        }
        let length = into.len() - start - HEADER;
        if let Some(mut place) = into.get_mut(start + HEADER - 3..start + HEADER) {
            put_length(&mut place, length);
        }
    }
}

/// Three bytes; frames are no longer.
fn put_length(into: &mut impl BufMut, length: usize) {
    into.put_uint(u64::try_from(length).unwrap_or(u64::MAX) & 0xff_ffff, 3);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn headers() -> Headers {
        [("streamtype", "data"), ("port", "80"), ("requestid", "7")].into_iter().collect()
    }

    /// All frames of `bytes`, given in pieces of `size`.
    fn decode(bytes: &[u8], size: usize) -> Result<Vec<Frame>, FrameError> {
        let mut decoder = Decoder::new();
        let mut frames = Vec::new();
        for piece in bytes.chunks(size) {
            decoder.feed(piece);
            while let Some(frame) = decoder.next()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_have_the_bytes_of_the_protocol() {
        let data = |last| Frame::Data { stream: 5, last, bytes: Bytes::from_static(b"ab") };
        for (frame, bytes) in [
            (data(false), &[0, 0, 0, 5, 0, 0, 0, 2, b'a', b'b'][..]),
            (data(true), &[0, 0, 0, 5, 1, 0, 0, 2, b'a', b'b']),
            (Frame::Data { stream: 1, last: true, bytes: Bytes::new() }, &[0, 0, 0, 1, 1, 0, 0, 0]),
            (Frame::Reset { stream: 3, status: 5 }, &[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 5]),
            (Frame::Settings, &[0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0]),
            (Frame::Ping(9), &[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9]),
            (Frame::GoAway { newest: 7, status: 1 }, &[0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 1]),
            (Frame::WindowUpdate { stream: 1, delta: 65_536 }, &[0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 1, 0, 0]),
        ] {
            let mut encoded = BytesMut::new();
            Encoder::new().encode(&frame, &mut encoded);
            assert_eq!(&encoded[..], bytes, "{frame:?}");
            assert_eq!(decode(bytes, bytes.len()), Ok(vec![frame]));
        }
    }

    #[test]
    fn frames_with_headers_come_out_as_they_went_in_however_they_are_cut() {
        let frames = vec![
            Frame::SynStream { stream: 1, last: true, headers: headers() },
            Frame::SynReply { stream: 1, last: false, headers: Headers::default() },
            Frame::Ping(1),
            Frame::Headers { stream: 1, last: true, headers: headers() },
            Frame::SynStream { stream: 3, last: false, headers: headers() },
        ];
        let (mut encoder, mut bytes) = (Encoder::new(), BytesMut::new());
        for frame in &frames {
            encoder.encode(frame, &mut bytes);
        }
        for size in [1, 2, 7, 9, bytes.len()] {
            assert_eq!(decode(&bytes, size).as_ref(), Ok(&frames), "{size}");
        }
    }

    #[test]
    fn a_stream_is_opened_by_the_bytes_that_go_sends() {
        // What kubectl 1.32 sends first, for `port-forward pod/x 18098:80`.
        #[rustfmt::skip]
        let bytes = [
            0x80, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00, 0x3d, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x78, 0xf9,
            0xe3, 0xc6, 0xa7, 0xc2, 0x02, 0x25, 0x3a, 0x70, 0x3a, 0x2b, 0x29, 0x4a, 0x4d, 0xcc, 0x85, 0x16, 0x25, 0xac, 0xa9, 0xa0,
            0x80, 0x86, 0x14, 0xcb, 0x45, 0xa0, 0x24, 0xcc, 0x64, 0x61, 0xc0, 0xc0, 0xc0, 0xc0, 0x59, 0x04, 0x89, 0xc4, 0x4c, 0x50,
            0xe2, 0x66, 0x34, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff,
        ];
        let headers = [("streamtype", "error"), ("port", "80"), ("requestid", "0")].into_iter().collect();
        assert_eq!(decode(&bytes, 64), Ok(vec![Frame::SynStream { stream: 1, last: false, headers }]));
    }

    #[test]
    fn a_long_data_frame_is_passed_on_in_parts_and_its_end_once() {
        let bytes = Bytes::from(vec![b'x'; PART * 2 + 1]);
        let mut encoded = BytesMut::new();
        Encoder::new().encode(&Frame::Data { stream: 1, last: true, bytes: bytes.clone() }, &mut encoded);
        let parts: Vec<_> = decode(&encoded, encoded.len())
            .unwrap()
            .into_iter()
            .map(|frame| match frame {
                Frame::Data { stream: 1, last, bytes } => (bytes.len(), last),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(parts, [(PART, false), (PART, false), (1, true)]);
    }

    #[test]
    fn what_is_no_frame_ends_the_connection_and_an_unknown_type_does_not() {
        for (bytes, expected) in [
            (&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1][..], Err(FrameError::Version)),
            (&[0x81, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1], Err(FrameError::Version)),
            (&[0x80, 3, 0, 1, 0, 1, 0, 1], Err(FrameError::TooLarge)),
            (&[0x80, 3, 0, 6, 0, 0, 0, 3, 0, 0, 0], Err(FrameError::Length)),
            (&[0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 0, 0], Err(FrameError::Length)),
            (&[0x80, 3, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1, 0], Err(FrameError::Length)),
            (&[0x80, 3, 0, 4, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff], Err(FrameError::Length)),
            (&[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5], Err(FrameError::Stream)),
            (&[0, 0, 0, 0, 0, 0, 0, 0], Err(FrameError::Stream)),
            (&[0x80, 3, 0, 2, 0, 0, 0, 6, 0, 0, 0, 1, 1, 2], Err(FrameError::Compression)),
            (&[0x80, 3, 0, 10, 0, 0, 0, 1, 0], Ok(vec![])),
            (&[0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 9], Ok(vec![Frame::Settings])),
        ] {
            assert_eq!(decode(bytes, bytes.len()), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_can_make_it_panic(bytes in vec(any::<u8>(), 0..2_000), size in 1_usize..100) {
            let _ = decode(&bytes, size);
        }

        #[test]
        fn nor_can_the_payload_of_a_control_frame(
            kind in 1_u8..12, flags in any::<u8>(), payload in vec(any::<u8>(), 0..200), zlib in any::<bool>()
        ) {
            let mut bytes = vec![0x80, 3, 0, kind, flags, 0, 0, 0];
            if zlib {
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2]);
            }
            bytes.extend(payload);
            bytes[7] = u8::try_from(bytes.len() - 8).unwrap();
            let _ = decode(&bytes, 64);
        }

        #[test]
        fn data_comes_out_whole(bytes in vec(any::<u8>(), 0..20_000), size in 100_usize..20_000) {
            let mut encoded = BytesMut::new();
            Encoder::new().encode(&Frame::Data { stream: 1, last: true, bytes: bytes.clone().into() }, &mut encoded);
            let mut whole = Vec::new();
            for frame in decode(&encoded, size).unwrap() {
                let Frame::Data { bytes, .. } = frame else { panic!("{frame:?}") };
                whole.extend(bytes);
            }
            prop_assert_eq!(whole, bytes);
        }
    }
}
