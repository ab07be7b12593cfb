//! The rules of a connection, on the side that clients open streams to: which frames mean what, when.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::frame::Frame;
use super::headers::Headers;
use super::status::{PROTOCOL_ERROR, REFUSED_STREAM};

/// What a frame of the client comes to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::forward) enum Event {
    /// Nothing.
    Nothing,
    /// A stream is opened. It is to be replied to, or [reset](Session::reset).
    Opened { stream: u32, ended: bool, headers: Headers },
    /// Bytes of a stream, and whether they are the last.
    Data { stream: u32, ended: bool, bytes: Bytes },
    /// The client has given a stream up.
    Reset { stream: u32 },
    /// This is to be sent.
    Answer(Frame),
    /// The client has given the connection up.
    Closed,
}

/// The streams of a connection.
#[derive(Debug)]
pub(in crate::forward) struct Session {
    streams: BTreeMap<u32, Halves>,
    /// The newest that the client opened.
    newest: u32,
    limit: usize,
}

/// Which directions of a stream are open.
#[derive(Clone, Copy, Debug)]
struct Halves {
    theirs: bool,
    ours: bool,
}

impl Session {
    /// With up to `limit` streams at a time.
    pub(in crate::forward) fn new(limit: usize) -> Self {
        Self { streams: BTreeMap::new(), newest: 0, limit }
    }

    /// The newest stream that the client opened, which is told when the connection ends.
    pub(in crate::forward) fn newest(&self) -> u32 {
        self.newest
    }

    /// Takes a frame of the client.
    pub(in crate::forward) fn receive(&mut self, frame: Frame) -> Event {
        match frame {
            Frame::SynStream { stream, last, headers } => self.open(stream, last, headers),
            // Others were on the way when the stream was reset, which is no fault.
            Frame::Data { stream, last, bytes } if self.theirs(stream, last) && (last || !bytes.is_empty()) => {
                Event::Data { stream, ended: last, bytes }
            }
            Frame::Headers { stream, last: true, .. } if self.theirs(stream, true) => {
                Event::Data { stream, ended: true, bytes: Bytes::new() }
            }
            Frame::Reset { stream, .. } => match self.streams.remove(&stream) {
                Some(_) => Event::Reset { stream },
                None => Event::Nothing,
            },
            // Odd ones are the client's, even ones answers to ours (§2.6.5).
            Frame::Ping(number) if number % 2 == 1 => Event::Answer(Frame::Ping(number)),
            Frame::GoAway { .. } => Event::Closed,
            Frame::Ping(_)
            | Frame::Data { .. }
            | Frame::Headers { .. }
            | Frame::SynReply { .. }
            | Frame::Settings
            | Frame::WindowUpdate { .. } => Event::Nothing,
        }
    }

    fn open(&mut self, stream: u32, last: bool, headers: Headers) -> Event {
        let answer = |status| Event::Answer(Frame::Reset { stream, status });
        // A client's streams are odd, and each is newer than those before (§2.3.2).
        if stream.is_multiple_of(2) || stream <= self.newest {
            return answer(PROTOCOL_ERROR);
        }
        self.newest = stream;
        if self.streams.len() >= self.limit {
            return answer(REFUSED_STREAM);
        }
        self.streams.insert(stream, Halves { theirs: !last, ours: true });
        Event::Opened { stream, ended: last, headers }
    }

    /// Whether the client may still send on a stream; it may not after what comes `last`.
    fn theirs(&mut self, stream: u32, last: bool) -> bool {
        let Some(halves) = self.streams.get_mut(&stream) else { return false };
        let open = halves.theirs;
        halves.theirs &= !last;
        if !halves.theirs && !halves.ours {
            self.streams.remove(&stream);
        }
        open
    }

    /// Gives a stream up.
    pub(in crate::forward) fn reset(&mut self, stream: u32, status: u32) -> Frame {
        self.streams.remove(&stream);
        Frame::Reset { stream, status }
    }

    /// Nothing more is sent on a stream, nor read from it where `dropped`.
    pub(in crate::forward) fn finish(&mut self, stream: u32, dropped: bool) {
        let Some(halves) = self.streams.get_mut(&stream) else { return };
        halves.ours = false;
        if dropped || !halves.theirs {
            self.streams.remove(&stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::CANCEL;
    use super::*;

    fn open(stream: u32) -> Frame {
        Frame::SynStream { stream, last: false, headers: Headers::default() }
    }

    fn opened(stream: u32) -> Event {
        Event::Opened { stream, ended: false, headers: Headers::default() }
    }

    fn data(stream: u32, last: bool, text: &'static str) -> Frame {
        Frame::Data { stream, last, bytes: text.into() }
    }

    fn read(stream: u32, ended: bool, text: &'static str) -> Event {
        Event::Data { stream, ended, bytes: text.into() }
    }

    fn refusal(stream: u32, status: u32) -> Event {
        Event::Answer(Frame::Reset { stream, status })
    }

    /// Each case is a connection of its own: frames that come in, and what each comes to.
    #[test]
    fn frames_come_to_what_the_protocol_says() {
        let end = |stream| Frame::Headers { stream, last: true, headers: Headers::default() };
        let cases: [(&str, Vec<(Frame, Event)>); 9] = [
            (
                "a stream is read to its end",
                vec![
                    (open(1), opened(1)),
                    (data(1, false, "ab"), read(1, false, "ab")),
                    (data(1, false, ""), Event::Nothing),
                    (data(1, true, ""), read(1, true, "")),
                    (data(1, false, "late"), Event::Nothing),
                ],
            ),
            ("the last bytes end it too", vec![(open(1), opened(1)), (data(1, true, "ab"), read(1, true, "ab"))]),
            ("headers can end it", vec![(open(1), opened(1)), (end(1), read(1, true, "")), (end(1), Event::Nothing)]),
            (
                "what is open from its start to its end in one frame",
                vec![(
                    Frame::SynStream { stream: 1, last: true, headers: Headers::default() },
                    Event::Opened { stream: 1, ended: true, headers: Headers::default() },
                )],
            ),
            (
                "a reset ends it at once",
                vec![
                    (open(1), opened(1)),
                    (Frame::Reset { stream: 1, status: CANCEL }, Event::Reset { stream: 1 }),
                    (Frame::Reset { stream: 1, status: CANCEL }, Event::Nothing),
                    (data(1, false, "late"), Event::Nothing),
                ],
            ),
            (
                "streams are odd, and go up",
                vec![
                    (open(2), refusal(2, PROTOCOL_ERROR)),
                    (open(5), opened(5)),
                    (open(5), refusal(5, PROTOCOL_ERROR)),
                    (open(3), refusal(3, PROTOCOL_ERROR)),
                    (open(7), opened(7)),
                ],
            ),
            (
                "there is a limit to streams that are open at a time",
                vec![
                    (open(1), opened(1)),
                    (open(3), opened(3)),
                    (open(5), refusal(5, REFUSED_STREAM)),
                    (Frame::Reset { stream: 1, status: CANCEL }, Event::Reset { stream: 1 }),
                    (open(7), opened(7)),
                ],
            ),
            (
                "pings are answered, answers are not",
                vec![(Frame::Ping(1), Event::Answer(Frame::Ping(1))), (Frame::Ping(2), Event::Nothing)],
            ),
            (
                "what is for the other side, or about windows, is passed over",
                vec![
                    (Frame::Settings, Event::Nothing),
                    (Frame::WindowUpdate { stream: 1, delta: 1 }, Event::Nothing),
                    (Frame::SynReply { stream: 1, last: true, headers: Headers::default() }, Event::Nothing),
                    (data(1, true, "no stream"), Event::Nothing),
                    (Frame::GoAway { newest: 0, status: 0 }, Event::Closed),
                ],
            ),
        ];
        for (what, frames) in cases {
            let mut session = Session::new(2);
            for (frame, event) in frames {
                let shown = format!("{what}: {frame:?}");
                assert_eq!(session.receive(frame), event, "{shown}");
            }
        }
    }

    #[test]
    fn a_stream_takes_a_place_until_both_sides_are_done_with_it() {
        let mut session = Session::new(1);
        let refused = |session: &mut Session, stream| session.receive(open(stream)) == refusal(stream, REFUSED_STREAM);
        assert_eq!(session.receive(open(1)), opened(1));
        session.receive(data(1, true, ""));
        assert!(refused(&mut session, 3), "we may still send");
        session.finish(1, false);
        assert_eq!(session.receive(open(5)), opened(5));
        session.finish(5, false);
        assert!(refused(&mut session, 7), "they may still send");
        session.finish(5, true);
        assert_eq!(session.receive(open(9)), opened(9));
        assert_eq!(session.reset(9, CANCEL), Frame::Reset { stream: 9, status: CANCEL });
        assert_eq!(session.receive(open(11)), opened(11));
        assert_eq!(session.newest(), 11);
    }
}
