//! HTTP Basic (RFC 7617): a name and a password in a header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use service_kit::bearer::REALM;
use service_kit::http::{Request, Response};
use service_kit::problem::problem;

/// The longest header value that is decoded, in bytes. bcrypt reads 72 bytes of a password; a name needs no more.
const MAX_LENGTH: usize = 512;

/// Who someone claims to be, and what they know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// The credentials of a request that has one readable `Authorization: Basic` header.
pub(crate) fn credentials(request: &Request) -> Option<Credentials> {
    let mut values = request.header_values("authorization");
    let (value, None) = (values.next()?, values.next()) else { return None };
    if value.len() > MAX_LENGTH {
        return None;
    }
    let (scheme, encoded) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim_matches(' ')).ok()?).ok()?;
    // Section 2: the name cannot hold a colon, the password can.
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials { user: user.to_owned(), password: password.to_owned() })
}

/// `401` with the challenge of section 2, and section 2.1's promise that we read UTF-8. It does not say which of the two
/// was wrong.
pub(crate) fn refusal(detail: &str) -> Response {
    problem(401, detail).with_header("www-authenticate", format!("Basic realm=\"{REALM}\", charset=\"UTF-8\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_kit::testing::request;

    fn read(value: &str) -> Option<(String, String)> {
        credentials(&request("POST", "/auth", &[("Authorization", value)])).map(|found| (found.user, found.password))
    }

    #[test]
    fn name_and_password_part_at_the_first_colon() {
        // The first two are the examples of RFC 7617 sections 2 and 2.1.
        assert_eq!(read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Some(("Aladdin".into(), "open sesame".into())));
        assert_eq!(read("basic dGVzdDoxMjPCow=="), Some(("test".into(), "123£".into())));
        assert_eq!(read("Basic YTpiOmM="), Some(("a".into(), "b:c".into())));
    }

    #[test]
    fn anything_else_is_no_credentials() {
        let long = format!("Basic {}", "QTpB".repeat(MAX_LENGTH));
        for value in ["", "Basic", "Basic ", "Basic ???", "Basic YWJj", "Basic /zov", "Bearer YTpi", &long] {
            assert_eq!(read(value), None, "{value:?}");
        }
        let twice = request("POST", "/auth", &[("authorization", "Basic YTpi"), ("authorization", "Basic YTpi")]);
        assert_eq!(credentials(&twice), None);
    }
}
