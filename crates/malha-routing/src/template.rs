//! Values of headers that speak of the request (Envoy, "Custom request/response headers" and
//! `source/common/formatter/substitution_format_string.cc`): `%REQ(x-user)%`, `%PROTOCOL%`, `%%`.
//!
//! A value without `%` stays the value that it is. An operator that is unknown here is refused when the manifest is
//! loaded.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use malha_policy::inline::{self, Side};

use crate::condition::{Field, parameter};
use crate::path::split_query;

/// What a value may speak of. What is missing leaves its operator's place empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exchange<'a> {
    /// When the request began.
    pub start: Option<SystemTime>,
    /// `HTTP/1.1` or `HTTP/2`, as the client speaks it.
    pub protocol: Option<&'a str>,
    /// Method.
    pub method: &'a str,
    /// Scheme.
    pub scheme: &'a str,
    /// Authority, as it is at this moment.
    pub authority: &'a str,
    /// Path and query, as they are at this moment.
    pub path_and_query: &'a str,
    /// Headers of the request. Not looked at while these are what changes.
    pub request: Option<&'a HeaderMap>,
    /// The client, as far as `x-forwarded-for` is believed.
    pub client: Option<SocketAddr>,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// This end of the connection.
    pub local: Option<SocketAddr>,
    /// The server name of the client's TLS.
    pub server_name: Option<&'a str>,
    /// The name of the route.
    pub route: &'a str,
    /// The name of the cluster, once there is one.
    pub cluster: Option<&'a str>,
    /// The address of the host, once there is one.
    pub host: Option<&'a str>,
    /// The status, once there is one.
    pub status: Option<StatusCode>,
    /// Response flags, `-` or nothing if there is none.
    pub flags: &'a str,
    /// The name of the machine: of the pod.
    pub hostname: Option<&'a str>,
}

/// A value, ready to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderValueTemplate(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Literal(HeaderValue),
    Pieces(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Operator { operator: Operator, longest: Option<usize> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    Request(Field, Option<Field>),
    Response(HeaderName, Option<HeaderName>),
    QueryParameter(String),
    StartTime,
    Protocol,
    Address(End, Part),
    ServerName,
    Route,
    Cluster,
    Host,
    Status,
    Flags,
    Hostname,
}

/// Whose address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Client,
    Peer,
    Local,
}

/// How much of an address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    WithoutPort,
    Port,
}

/// The operators that take no argument.
const PLAIN: [(&str, Operator); 17] = [
    ("START_TIME", Operator::StartTime),
    ("PROTOCOL", Operator::Protocol),
    ("DOWNSTREAM_REMOTE_ADDRESS", Operator::Address(End::Client, Part::Whole)),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Operator::Address(End::Client, Part::WithoutPort)),
    ("DOWNSTREAM_REMOTE_PORT", Operator::Address(End::Client, Part::Port)),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Operator::Address(End::Peer, Part::Whole)),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", Operator::Address(End::Peer, Part::WithoutPort)),
    ("DOWNSTREAM_LOCAL_ADDRESS", Operator::Address(End::Local, Part::Whole)),
    ("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Operator::Address(End::Local, Part::WithoutPort)),
    ("DOWNSTREAM_LOCAL_PORT", Operator::Address(End::Local, Part::Port)),
    ("REQUESTED_SERVER_NAME", Operator::ServerName),
    ("ROUTE_NAME", Operator::Route),
    ("UPSTREAM_CLUSTER", Operator::Cluster),
    ("UPSTREAM_HOST", Operator::Host),
    ("RESPONSE_CODE", Operator::Status),
    ("RESPONSE_FLAGS", Operator::Flags),
    ("HOSTNAME", Operator::Hostname),
];

impl HeaderValueTemplate {
    /// Reads a value.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it, or which operator malha does not know.
    pub fn new(text: &str) -> Result<Self, String> {
        let checked = |text: &str| {
            HeaderValue::from_bytes(text.as_bytes()).map_err(|_| format!("`{}` is no value", text.escape_debug()))
        };
        checked(text)?;
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                plain.push('%');
                rest = after;
                continue;
            }
            let (command, after) = split_command(after)
                .ok_or_else(|| format!("`{text}` has a `%` that begins nothing: a percent sign is written `%%`"))?;
            pieces.extend((!plain.is_empty()).then(|| Piece::Text(std::mem::take(&mut plain))));
            pieces.push(parse_command(command)?);
            rest = after;
        }
        plain.push_str(rest);
        if pieces.is_empty() {
            return Ok(Self(Form::Literal(checked(&plain)?)));
        }
        pieces.extend((!plain.is_empty()).then_some(Piece::Text(plain)));
        Ok(Self(Form::Pieces(pieces)))
    }

    /// Whether the value is always the same.
    pub(crate) fn is_literal(&self) -> bool {
        matches!(self.0, Form::Literal(_))
    }

    /// The value; `None` if it is empty, for then Envoy changes nothing. `headers` are those that change.
    pub(crate) fn make(&self, exchange: &Exchange<'_>, headers: &HeaderMap, side: Side) -> Option<HeaderValue> {
        match &self.0 {
            Form::Literal(value) => (!value.is_empty()).then(|| value.clone()),
            Form::Pieces(pieces) => {
                let mut out = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Operator { operator, longest } => {
                            let text = operator.text(exchange, headers, side).unwrap_or_default();
                            out.extend_from_slice(text.get(..longest.unwrap_or(usize::MAX)).unwrap_or(&text));
                        }
                    }
                }
                if out.is_empty() { None } else { HeaderValue::from_maybe_shared(out).ok() }
            }
        }
    }
}

impl From<HeaderValue> for HeaderValueTemplate {
    /// A value as it is, also with `%` in it.
    fn from(value: HeaderValue) -> Self {
        Self(Form::Literal(value))
    }
}

/// `NAME(argument):12%rest` → (`NAME(argument):12`, `rest`). A `%` in the argument does not end it.
fn split_command(text: &str) -> Option<(&str, &str)> {
    let start = match (text.find('('), text.find('%')) {
        (Some(open), Some(percent)) if open < percent => text.find(')')?,
        _ => 0,
    };
    let end = start + text[start..].find('%')?;
    Some((&text[..end], &text[end + 1..]))
}

fn parse_command(command: &str) -> Result<Piece, String> {
    let unknown = || format!("malha does not know `%{command}%`");
    let (call, longest) = match command.rsplit_once(':') {
        Some((call, digits)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            (call, Some(digits.parse().map_err(|_| unknown())?))
        }
        _ => (command, None),
    };
    let (name, argument) = match call.split_once('(') {
        Some((name, argument)) => (name, Some(argument.strip_suffix(')').ok_or_else(unknown)?)),
        None => (call, None),
    };
    let header = |name: &str| HeaderName::from_bytes(name.as_bytes()).map_err(|_| unknown());
    let field = |name: &str| Field::parse(name).ok_or_else(unknown);
    let (first, second) = argument.map_or(("", None), |argument| match argument.split_once('?') {
        Some((first, second)) => (first, Some(second)),
        None => (argument, None),
    });
    let operator = match (name, argument) {
        ("REQ", Some(_)) => Operator::Request(field(first)?, second.map(field).transpose()?),
        ("RESP", Some(_)) => Operator::Response(header(first)?, second.map(header).transpose()?),
        ("QUERY_PARAM", Some(parameter)) if !parameter.is_empty() => Operator::QueryParameter(parameter.to_owned()),
        (name, None) => {
            let (_, operator) = PLAIN.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
            operator.clone()
        }
        _ => return Err(unknown()),
    };
    Ok(Piece::Operator { operator, longest })
}

impl Operator {
    fn text<'a>(&self, exchange: &Exchange<'a>, headers: &'a HeaderMap, side: Side) -> Option<Cow<'a, [u8]>> {
        let borrowed = |text: &'a str| (!text.is_empty()).then_some(Cow::Borrowed(text.as_bytes()));
        let owned = |text: String| Some(Cow::Owned(text.into_bytes()));
        let request = if side == Side::Request { Some(headers) } else { exchange.request };
        let of_request = |field: &Field| match field {
            Field::Header(name) => inline::value(request?, Side::Request, name),
            Field::Method => borrowed(exchange.method),
            Field::Scheme => borrowed(exchange.scheme),
            Field::Authority => borrowed(exchange.authority),
            Field::Path => borrowed(exchange.path_and_query),
        };
        // While the request changes there is no response.
        let response = (side == Side::Response).then_some(headers);
        let of_response = |name: &HeaderName| inline::value(response?, Side::Response, name);
        match self {
            Self::Request(first, second) => of_request(first).or_else(|| of_request(second.as_ref()?)),
            Self::Response(first, second) => of_response(first).or_else(|| of_response(second.as_ref()?)),
            Self::QueryParameter(name) => parameter(split_query(exchange.path_and_query).1, name).and_then(borrowed),
            Self::StartTime => exchange.start.and_then(start_time).and_then(owned),
            Self::Protocol => exchange.protocol.and_then(borrowed),
            Self::Address(whose, part) => {
                let address = match whose {
                    End::Client => exchange.client?,
                    End::Peer => exchange.peer?,
                    End::Local => exchange.local?,
                };
                owned(match part {
                    Part::Whole => address.to_string(),
                    Part::WithoutPort => address.ip().to_string(),
                    Part::Port => address.port().to_string(),
                })
            }
            Self::ServerName => exchange.server_name.and_then(borrowed),
            Self::Route => borrowed(exchange.route),
            Self::Cluster => exchange.cluster.and_then(borrowed),
            Self::Host => exchange.host.and_then(borrowed),
            Self::Status => owned(exchange.status.map_or(0, |status| status.as_u16()).to_string()),
            Self::Flags => borrowed(if exchange.flags.is_empty() { "-" } else { exchange.flags }),
            Self::Hostname => exchange.hostname.and_then(borrowed),
        }
    }
}

/// `2026-11-21T15:55:44.897Z`: Envoy's `%START_TIME%`. `None` before 1970.
pub fn start_time(time: SystemTime) -> Option<String> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let millis = since.subsec_millis();
    Some(format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z"))
}

/// The date that is so many days after 1970-01-01. Years are counted from March: then the leap day is the last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn made(text: &str, side: Side) -> Option<String> {
        let mut request = HeaderMap::new();
        let mut response = HeaderMap::new();
        for (name, value) in [("x-keep", "k"), ("x-two", "a"), ("x-two", "b"), ("accept", "a"), ("accept", "b")] {
            request.append(name, HeaderValue::from_static(value));
        }
        response.append("x-up", HeaderValue::from_static("1"));
        let exchange = Exchange {
            start: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_276_544_897)),
            protocol: Some("HTTP/1.1"),
            method: "GET",
            scheme: "http",
            authority: "hdr",
            path_and_query: "/order?z=1",
            request: Some(&request),
            client: Some("[::1]:39246".parse().unwrap()),
            local: Some("127.0.0.1:29180".parse().unwrap()),
            cluster: Some("u"),
            status: (side == Side::Response).then_some(StatusCode::OK),
            ..Exchange::default()
        };
        let headers = if side == Side::Request { &request } else { &response };
        let value = HeaderValueTemplate::new(text).unwrap().make(&exchange, headers, side)?;
        Some(value.to_str().unwrap().to_owned())
    }

    /// Nearly all tried with Envoy 1.40.
    #[test]
    fn a_value_speaks_of_the_request() {
        for (text, want) in [
            ("plain", "plain"),
            ("", ""),
            ("100%%", "100%"),
            ("%REQ(x-src)%|%REQ(X-Keep)%", "|k"),
            ("%REQ(x-none?x-keep)%", "k"),
            ("%REQ(x-none)%", ""),
            ("%REQ(x-two)%", "a"),
            ("%REQ(accept)%", "a,b"),
            ("%REQ(:METHOD):2%", "GE"),
            ("%REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(host)% %REQ(:SCHEME)%", "/order?z=1 hdr hdr http"),
            ("%REQ(x-keep):0%", ""),
            ("%QUERY_PARAM(z)%", "1"),
            ("%RESP(x-up)%", ""),
            ("%PROTOCOL%", "HTTP/1.1"),
            ("%START_TIME%", "2026-11-21T15:55:44.897Z"),
            ("%RESPONSE_CODE% %RESPONSE_FLAGS%", "0 -"),
            ("%DOWNSTREAM_REMOTE_ADDRESS%", "[::1]:39246"),
            ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "::1"),
            ("%DOWNSTREAM_REMOTE_PORT%", "39246"),
            ("%DOWNSTREAM_LOCAL_ADDRESS%", "127.0.0.1:29180"),
            ("%UPSTREAM_CLUSTER%", "u"),
            ("<%UPSTREAM_HOST%%ROUTE_NAME%%REQUESTED_SERVER_NAME%%HOSTNAME%>", "<>"),
        ] {
            assert_eq!(made(text, Side::Request).unwrap_or_default(), want, "{text}");
        }
        for (text, want) in [
            ("%RESP(x-up)% %RESP(x-none?x-up)%", "1 1"),
            ("%REQ(x-keep)%", "k"),
            ("%REQ(:PATH)%", "/order?z=1"),
            ("%RESPONSE_CODE%", "200"),
        ] {
            assert_eq!(made(text, Side::Response).unwrap_or_default(), want, "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in [
            "100%",
            "%NO_SUCH%",
            "%REQ%",
            "%REQ()%",
            "%REQ(x%",
            "%REQ(a b)%",
            "%REQ(:status)%",
            "%PROTOCOL(x)%",
            "%PROTOCOL",
            "%START_TIME(%s)%",
            "%PROTOCOL:99999999999999999999999%",
            "a\nb",
        ] {
            assert!(HeaderValueTemplate::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, want) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_513, (2026, 3, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), want, "{days}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_refused(text in "([%()?:a-z0-9é]|REQ|RESP|PROTOCOL|%%){0,8}") {
            if let Ok(template) = HeaderValueTemplate::new(&text) {
                template.make(&Exchange::default(), &HeaderMap::new(), Side::Request);
            }
        }

        #[test]
        fn a_text_without_operators_is_itself(text in "[ -$&-~]{0,12}") {
            let want = text.replace('%', "%%");
            prop_assert_eq!(made(&want, Side::Request).unwrap_or_default(), text);
        }
    }
}
