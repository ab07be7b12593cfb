//! The words of `retryOn` (Envoy, `x-envoy-retry-on` and `x-envoy-retry-grpc-on`).

use super::RetryOn;

pub(super) const SERVER_ERROR: u32 = 1;
pub(super) const GATEWAY_ERROR: u32 = 1 << 1;
pub(super) const RESET: u32 = 1 << 2;
pub(super) const RESET_BEFORE_REQUEST: u32 = 1 << 3;
pub(super) const CONNECT_FAILURE: u32 = 1 << 4;
pub(super) const RATE_LIMITED: u32 = 1 << 5;
pub(super) const RETRIABLE_4XX: u32 = 1 << 6;
pub(super) const REFUSED_STREAM: u32 = 1 << 7;
pub(super) const STATUS_CODES: u32 = 1 << 8;
const HEADERS: u32 = 1 << 9;
const HTTP3: u32 = 1 << 10;
/// gRPC's words are above this bit, each with its status.
const GRPC: u32 = 16;

/// Words about HTTP. Of two, nothing follows: Istio has no field for the headers of `retriable-headers`, and there is no
/// HTTP/3 to fail.
const HTTP_WORDS: [(&str, u32); 11] = [
    ("5xx", SERVER_ERROR),
    ("gateway-error", GATEWAY_ERROR),
    ("reset", RESET),
    ("reset-before-request", RESET_BEFORE_REQUEST),
    ("connect-failure", CONNECT_FAILURE),
    ("envoy-ratelimited", RATE_LIMITED),
    ("retriable-4xx", RETRIABLE_4XX),
    ("refused-stream", REFUSED_STREAM),
    ("retriable-status-codes", STATUS_CODES),
    ("retriable-headers", HEADERS),
    ("http3-post-connect-failure", HTTP3),
];

/// Words about gRPC, and the statuses that they mean.
const GRPC_WORDS: [(&str, u32); 5] =
    [("cancelled", 1), ("deadline-exceeded", 4), ("resource-exhausted", 8), ("internal", 13), ("unavailable", 14)];

/// `connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes`
pub(super) const ISTIO_DEFAULT: u32 = CONNECT_FAILURE | REFUSED_STREAM | grpc_bit(14) | grpc_bit(1) | STATUS_CODES;

/// All bits of gRPC's words.
pub(super) const ANY_GRPC: u32 = grpc_bit(1) | grpc_bit(4) | grpc_bit(8) | grpc_bit(13) | grpc_bit(14);

/// The bit of a gRPC status that has a word; 0 for others. Statuses go to 16, so bit and status fit in 32 bits.
pub(super) const fn grpc_bit(status: u32) -> u32 {
    match status {
        1 | 4 | 8 | 13 | 14 => 1 << (GRPC + status),
        _ => 0,
    }
}

/// The words of a list that say something about HTTP (`parseRetryOn`); all others are passed over.
pub(super) fn http_words(text: &str) -> u32 {
    split(text).filter_map(|word| find(&HTTP_WORDS, word)).fold(0, |all, bit| all | bit)
}

/// The words of a list that say something about gRPC (`parseRetryGrpcOn`).
pub(super) fn grpc_words(text: &str) -> u32 {
    split(text).filter_map(|word| find(&GRPC_WORDS, word)).fold(0, |all, status| all | grpc_bit(status))
}

fn find(table: &[(&str, u32)], word: &str) -> Option<u32> {
    table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

impl RetryOn {
    /// Reads `retryOn` as Istio does: words, and numbers that are statuses. What nobody knows comes back beside it;
    /// Istio's validation refuses a `VirtualService` for it, Envoy would pass it over.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let mut on = Self::default();
        let mut unknown = Vec::new();
        for word in split(text) {
            if let Some(bit) = find(&HTTP_WORDS, word) {
                on.words |= bit;
            } else if let Some(status) = find(&GRPC_WORDS, word) {
                on.words |= grpc_bit(status);
            } else if let Some(code) = status_code(word) {
                on.status_codes.push(code);
                on.words |= STATUS_CODES;
            } else {
                unknown.push(word.to_owned());
            }
        }
        (on, unknown)
    }
}

/// A number that Go's `http.StatusText` has a text for, as Istio demands it.
fn status_code(word: &str) -> Option<u16> {
    word.parse().ok().filter(|code| {
        matches!(
            code,
            100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451
                | 500..=508 | 510 | 511
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_a_bit_of_its_own() {
        let mut all = 0;
        for (word, _) in HTTP_WORDS.iter().chain(&GRPC_WORDS) {
            let (on, unknown) = RetryOn::parse(word);
            assert!(unknown.is_empty(), "{word}");
            assert_eq!(on.words.count_ones(), 1, "{word}");
            assert_eq!(all & on.words, 0, "{word}");
            all |= on.words;
        }
        assert_eq!(all & ANY_GRPC, ANY_GRPC);
    }

    #[test]
    fn istios_default_is_what_it_is_written_as() {
        let written = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
        assert_eq!(RetryOn::parse(written).0.words, ISTIO_DEFAULT);
    }

    #[test]
    fn numbers_are_statuses_and_bring_their_word() {
        for (text, codes, unknown) in [
            ("503", &[503][..], &[][..]),
            ("5xx, 409 ,425", &[409, 425], &[]),
            ("", &[], &[]),
            (" , ,", &[], &[]),
            ("99", &[], &["99"]),
            ("103,306", &[103], &["306"]),
            ("599", &[], &["599"]),
            ("70000", &[], &["70000"]),
            ("5XX,reset ,no-such", &[], &["5XX", "no-such"]),
        ] {
            let (on, others) = RetryOn::parse(text);
            assert_eq!(
                (on.status_codes.as_slice(), on.words & STATUS_CODES != 0),
                (codes, !codes.is_empty()),
                "{text}"
            );
            assert_eq!(others, unknown, "{text}");
        }
    }
}
