//! What a gateway tells of a client's certificate (Envoy, `setXfccHeader` in
//! `source/common/http/conn_manager_utility.cc`, with the parts that Istio asks a gateway for: certificate, subject, URIs
//! and DNS names).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Characters of base64 in a line of PEM.
const LINE: usize = 64;

/// Attributes that RFC 2253 and `BoringSSL` have a short name for, by the bytes of their identifiers.
const ATTRIBUTES: [(&[u8], &str); 14] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "street"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 12], "title"),
    (&[0x55, 4, 42], "GN"),
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 100, 1, 25], "DC"),
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 100, 1, 1], "UID"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 1], "emailAddress"),
];

/// The text of `x-forwarded-client-cert`.
pub(super) fn text(der: &[u8], subject: &[u8], uris: &[String], dns_names: &[String]) -> String {
    let mut text = String::from("Hash=");
    hex(&mut text, &Sha256::digest(der));
    text.push_str(";Cert=\"");
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, character) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    for byte in pem.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => text.push(char::from(byte)),
            // Writing to a text does not fail.
            _ => write!(text, "%{byte:02X}").unwrap_or_default(),
        }
    }
    text.extend(["\";Subject=\"", &name(subject).unwrap_or_default(), "\""]);
    if uris.is_empty() {
        text.push_str(";URI=");
    }
    text.extend(uris.iter().flat_map(|uri| [";URI=", uri]));
    text.extend(dns_names.iter().flat_map(|name| [";DNS=", name]));
    text
}

fn hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap_or_default();
    }
}

/// A distinguished name as RFC 2253 writes it: the last part first. `None` if it is none.
fn name(mut subject: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while !subject.is_empty() {
        let (_, mut set, rest) = value(subject)?;
        let mut part = String::new();
        while !set.is_empty() {
            let (_, attribute, others) = value(set)?;
            let (_, kind, content) = value(attribute)?;
            let (tag, own, _) = value(content)?;
            if !part.is_empty() {
                part.push('+');
            }
            let known = ATTRIBUTES.iter().find(|attribute| attribute.0 == kind);
            // UTF8String, PrintableString, TeletexString and IA5String.
            if let Some((_, short)) = known.filter(|_| [12, 19, 20, 22].contains(&tag)) {
                part.extend([short, "="]);
                escape(&mut part, own);
            } else {
                part.push_str(&known.map_or_else(|| dotted(kind), |known| known.1.to_owned()));
                part.push_str("=#");
                hex(&mut part, content);
            }
            set = others;
        }
        parts.push(part);
        subject = rest;
    }
    parts.reverse();
    Some(parts.join(","))
}

/// The tag, the content and the rest of a value in DER.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `1.2.840`, from the bytes of an identifier.
fn dotted(bytes: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number = 0_u64;
    for byte in bytes {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(number);
            number = 0;
        }
    }
    let first = numbers.first().map_or(0, |first| (first / 40).min(2));
    let mut text = first.to_string();
    for (index, number) in numbers.iter().enumerate() {
        let number = if index == 0 { number - 40 * first } else { *number };
        write!(text, ".{number}").unwrap_or_default();
    }
    text
}

/// RFC 2253, 2.4, and bytes beyond ASCII in hexadecimal.
fn escape(text: &mut String, content: &[u8]) {
    for (index, byte) in content.iter().enumerate() {
        let end = index == 0 || index + 1 == content.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => text.extend(['\\', char::from(*byte)]),
            b'#' if index == 0 => text.push_str("\\#"),
            b' ' if end => text.push_str("\\ "),
            0..0x20 | 0x7f.. => write!(text, "\\{byte:02X}").unwrap_or_default(),
            _ => text.push(char::from(*byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: &[u8], tag: u8, text: &str) -> Vec<u8> {
        let short = |length: usize| u8::try_from(length).unwrap();
        let inner = [&[6, short(kind.len())], kind, &[tag, short(text.len())], text.as_bytes()].concat();
        let pair = [&[0x30, short(inner.len())], inner.as_slice()].concat();
        [&[0x31, short(pair.len())], pair.as_slice()].concat()
    }

    #[test]
    fn a_name_is_written_from_its_end_and_escaped() {
        let cn = |text| attribute(&[0x55, 4, 3], 12, text);
        for (subject, want) in [
            (vec![], Some("")),
            ([attribute(&[0x55, 4, 6], 19, "DE"), cn("a.test")].concat(), Some("CN=a.test,C=DE")),
            (cn(" a, \"b\"é "), Some("CN=\\ a\\, \\\"b\\\"\\C3\\A9\\ ")),
            (cn("#x#"), Some("CN=\\#x#")),
            (attribute(&[0x2a, 3, 0x86, 0x48], 12, "x"), Some("1.2.3.840=#0c0178")),
            (vec![0x31, 9], None),
        ] {
            assert_eq!(name(&subject).as_deref(), want, "{subject:?}");
        }
    }
}
