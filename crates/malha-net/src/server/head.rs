//! Reads the head of an HTTP/1 request as far as it takes to know where it ends, where its body ends, and that nobody
//! can read it in another way.
//!
//! hyper parses it again for what it says. It is not asked to refuse, since it is not told by its settings to be as
//! strict as Envoy (1.40, with the parser Balsa), and what it forgives cannot be seen any more in the request that it
//! hands over: of `Content-Length` beside `Transfer-Encoding` it drops the former. So each head is looked at before
//! hyper gets it. The table in this module's tests is what Envoy was measured to do. Where the two of them differ, the
//! stricter one wins:
//!
//! | in a request | Envoy 1.40 | here |
//! | --- | --- | --- |
//! | a header's value goes on in the next line (obs-fold) | joined by a space | 400 |
//! | CR without LF, before the request line or in a header's value | dropped | 400 |
//! | a tab, or space at the end, in the request line | skipped | 400 |
//! | `"`, `<` and `>` in a query, for which http's `Uri` has no place | stay | escaped |
//! | LF instead of CRLF behind a chunk's data | accepted | 400 |
//! | chunk sizes and extensions of more than 16 KiB in a body | accepted | 400 |
//! | `Content-Length` beyond 2⁶³ | waits for it | 400 |

use http::Uri;

use super::host;
use super::limits::{HEAD_BYTES, HEADERS};
use super::refusal::Refusal;

/// The methods that Envoy knows (`source/common/http/http1/balsa_parser.cc`, `kValidMethods`); there are no others.
const METHODS: [&str; 34] = [
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "PATCH",
    "CONNECT",
    "TRACE",
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// What the bytes of a connection begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A head of so many bytes, empty lines before it included, and what comes after it.
    Whole(usize, Framing),
    /// A head of so many bytes, and how it is to be written for it to pass.
    Rewritten(usize, Vec<u8>),
    /// The beginning of one.
    Partial,
    /// None that may pass.
    Refused(Refusal),
}

/// How a body ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// As it says itself.
    Chunked,
}

/// Looks at what `bytes` begin with. `secure` says whether they came through TLS.
pub(super) fn examine(bytes: &[u8], secure: bool) -> Found {
    match read(bytes, secure) {
        Ok(Some(Head { length, .. })) if length > HEAD_BYTES => Found::Refused(Refusal::TooLarge),
        Ok(Some(Head { length, escapes: true, .. })) => Found::Rewritten(length, escaped(&bytes[..length])),
        Ok(Some(Head { length, framing, .. })) => Found::Whole(length, framing),
        Ok(None) if bytes.len() > HEAD_BYTES => Found::Refused(Refusal::TooLarge),
        Ok(None) => Found::Partial,
        Err(refusal) => Found::Refused(refusal),
    }
}

/// The empty lines that may come before a head (RFC 9112 §2.2).
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| b"\r\n".contains(byte))
}

/// What a head is, as far as it is looked at.
struct Head {
    length: usize,
    framing: Framing,
    /// Its target has bytes that [have no place](misplaced).
    escapes: bool,
}

/// Whether http's `Uri` has no place for a byte that Envoy takes. In a path Envoy escapes them itself.
fn misplaced(byte: u8, in_query: bool) -> bool {
    matches!((byte, in_query), (b'<' | b'>', _) | (b'`', false) | (b'"', true))
}

/// A head with escapes in its target for what has no place there.
fn escaped(head: &[u8]) -> Vec<u8> {
    let start = head.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or_default();
    let end = start + head[start..].iter().position(|byte| *byte == b'\n').unwrap_or_default();
    let mut out = Vec::with_capacity(head.len() + 16);
    let mut in_query = false;
    for byte in &head[start..end] {
        in_query |= *byte == b'?';
        if misplaced(*byte, in_query) {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out.extend_from_slice(&head[end..]);
    out
}

fn read(bytes: &[u8], secure: bool) -> Result<Option<Head>, Refusal> {
    let mut lines = Lines { bytes, at: 0 };
    let request = loop {
        match lines.next()? {
            Some([]) => {}
            Some(line) => break request_line(line, secure)?,
            None => return begins(lines.rest()).then_some(None).ok_or(Refusal::Malformed),
        }
    };
    let (mut length, mut codings, mut chunked) = (None, 0, false);
    for count in 0.. {
        let Some(line) = lines.next()? else { return Ok(None) };
        if line.is_empty() {
            break;
        }
        let (name, value) = field(line)?;
        if count == HEADERS {
            return Err(Refusal::TooLarge);
        }
        // By length first: most names are none of these.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let fits = request.names_host || value.iter().copied().all(host::is_host_byte);
                fits.then_some(()).ok_or(Refusal::Malformed)?;
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                // Not even the same twice (RFC 9110 §8.6 leaves the choice).
                let before = length.replace(content_length(value).ok_or(Refusal::Malformed)?);
                before.is_none().then_some(()).ok_or(Refusal::Malformed)?;
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                codings += 1;
                chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
    }
    let framing = match (length, codings) {
        (Some(_), 1..) => return Err(Refusal::Malformed),
        (Some(1..), 0) if request.is_connect => return Err(Refusal::Malformed),
        (None, 1) if chunked && !request.is_connect => Framing::Chunked,
        (None, 1..) => return Err(Refusal::Coding),
        (length, _) => Framing::Length(length.unwrap_or_default()),
    };
    Ok(Some(Head { length: lines.at, framing, escapes: request.escapes }))
}

/// Whether a request line may begin like this: garbage is not waited for.
fn begins(line: &[u8]) -> bool {
    let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    if method.len() < line.len() {
        return METHODS.iter().any(|known| known.as_bytes() == method);
    }
    is_blank(line) || METHODS.iter().any(|known| known.as_bytes().starts_with(method))
}

/// The lines of a head. LF alone ends one too (RFC 9112 §2.2), as it does for hyper and Envoy; CR alone does nothing.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, Refusal> {
        let Some(end) = self.rest().iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = &self.rest()[..end];
        self.at += end + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.contains(&b'\r') { Err(Refusal::Malformed) } else { Ok(Some(line)) }
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }
}

/// What of a request line decides about the lines below it.
#[derive(Default)]
struct RequestLine {
    is_connect: bool,
    /// The target has an authority, and `Host` will not be looked at.
    names_host: bool,
    /// The target has bytes that [have no place](misplaced).
    escapes: bool,
}

fn request_line(line: &[u8], secure: bool) -> Result<RequestLine, Refusal> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(Refusal::Malformed) };
    if !METHODS.iter().any(|known| known.as_bytes() == method) || !line.starts_with(method) {
        return Err(Refusal::Malformed);
    }
    match words.next() {
        Some(b"HTTP/1.1") if words.next().is_none() && !line.ends_with(b" ") => {}
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]) if *major != b'1' || *minor != b'1' => {
            let numbered = major.is_ascii_digit() && minor.is_ascii_digit();
            return Err(if numbered { Refusal::Version } else { Refusal::Malformed });
        }
        None => return Err(Refusal::Version),
        _ => return Err(Refusal::Malformed),
    }
    check_target(method, target, secure)
}

fn check_target(method: &[u8], target: &[u8], secure: bool) -> Result<RequestLine, Refusal> {
    if method == b"CONNECT" {
        let mut parts = target.rsplitn(2, |byte| *byte == b':');
        let (port, host) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let fits = !port.is_empty() && port.iter().all(u8::is_ascii_digit);
        let fits =
            fits && !host.is_empty() && host.iter().copied().all(host::is_host_byte) && Uri::try_from(target).is_ok();
        return if fits {
            Ok(RequestLine { is_connect: true, names_host: true, escapes: false })
        } else {
            Err(Refusal::Malformed)
        };
    }
    if target == b"*" {
        return if method == b"OPTIONS" { Ok(RequestLine::default()) } else { Err(Refusal::Malformed) };
    }
    if target.starts_with(b"/") {
        return check_path(target).map(|escapes| RequestLine { escapes, ..RequestLine::default() });
    }
    let after = |scheme: &[u8]| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let (rest, scheme_is_secure) = match (after(b"http://"), after(b"https://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => return Err(Refusal::Malformed),
    };
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    if host.is_empty() || !host.iter().copied().all(host::is_host_byte) {
        return Err(Refusal::Malformed);
    }
    let escapes = check_path(path)?;
    // With escapes, it is looked at again.
    if !escapes && Uri::try_from(target).is_err() {
        return Err(Refusal::Malformed);
    }
    if scheme_is_secure && !secure {
        return Err(Refusal::Scheme);
    }
    Ok(RequestLine { is_connect: false, names_host: true, escapes })
}

/// Whether a path and query have bytes that [have no place](misplaced).
fn check_path(path: &[u8]) -> Result<bool, Refusal> {
    let (mut fragment, mut in_query, mut escapes) = (false, false, false);
    for byte in path {
        match byte {
            b'#' => fragment = true,
            b'?' => in_query = true,
            b'!'..=b'~' => escapes |= misplaced(*byte, in_query),
            _ => return Err(Refusal::Malformed),
        }
    }
    // http's `Uri` would drop it without a word.
    if fragment {
        return Err(Refusal::Fragment);
    }
    Ok(escapes)
}

/// The name and value of a header or trailer line.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Refusal::Malformed)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    // `trim_ascii` takes no more than that: other white space is refused below, wherever it is.
    let value_fits = line[colon + 1..].iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) || !value_fits {
        return Err(Refusal::Malformed);
    }
    Ok((name, value))
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Digits alone: no sign, no list, and no more than a file can have bytes.
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let length: u64 = digits.then(|| str::from_utf8(value).ok()?.parse().ok()).flatten()?;
    i64::try_from(length).is_ok().then_some(length)
}
