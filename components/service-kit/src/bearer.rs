//! Bearer tokens (RFC 6750): who may do what, and how a refusal is worded.

use crate::es256::public_key_from_pem;
use crate::host::Host;
use crate::http::{Request, Response};
use crate::problem::{not_configured, problem};
use crate::token::{Claims, Policy, TokenError, verify};

/// The protection space of RFC 9110 section 11.5; one for all services.
pub const REALM: &str = "workshop";

/// Lets a request pass whose token is believed and has the scope, or words the refusal.
///
/// # Errors
/// The response to send instead: 503 without a usable key, 401 or 403 with `WWW-Authenticate`.
pub fn authorize(request: &Request, host: &impl Host, scope: &str) -> Result<Claims, Box<Response>> {
    let token = token(request)?;
    let policy = policy(host)?;
    let claims = verify(token, &policy, host.now()).map_err(|error| Box::new(invalid_token(error)))?;
    if claims.scopes.iter().any(|granted| granted == scope) {
        Ok(claims)
    } else {
        Err(Box::new(insufficient_scope(scope)))
    }
}

/// The token of the one `Authorization: Bearer` header. RFC 6750 section 2.2 and 2.3 know two more places for a token;
/// neither is for servers that can read headers.
fn token(request: &Request) -> Result<&str, Box<Response>> {
    let mut values = request.header_values("authorization");
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        let refusal = problem(400, "There is more than one Authorization header.");
        return Err(Box::new(refusal.with_header("www-authenticate", challenge(r#"error="invalid_request""#))));
    }
    first.and_then(|value| std::str::from_utf8(value).ok()).and_then(bearer_credentials).ok_or_else(|| {
        // Section 3.1: who shows no token is told the scheme, not an error.
        let refusal = problem(401, "Send a token as `Authorization: Bearer <token>`; POST /auth gives one.");
        Box::new(refusal.with_header("www-authenticate", format!("Bearer realm=\"{REALM}\"")))
    })
}

/// What follows `Bearer`, a scheme in any case (RFC 9110 section 11.1) and spaces.
fn bearer_credentials(value: &str) -> Option<&str> {
    let (scheme, credentials) = value.split_once(' ')?;
    let credentials = credentials.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !credentials.is_empty()).then_some(credentials)
}

fn policy(host: &impl Host) -> Result<Policy, Box<Response>> {
    let required = |name: &str| {
        let value = host.variable(name);
        if value.is_empty() {
            Err(Box::new(not_configured(format!("the variable {name} is not set: no token can be verified"))))
        } else {
            Ok(value)
        }
    };
    let pem = required("jwt_public_key")?;
    let key = public_key_from_pem(&pem)
        .map_err(|error| Box::new(not_configured(format!("the variable jwt_public_key cannot be used: {error}"))))?;
    Ok(Policy { key, issuer: required("jwt_issuer")?, audience: required("jwt_audience")? })
}

fn invalid_token(error: TokenError) -> Response {
    let refusal = problem(401, &format!("The token is not accepted: {error}."))
        .with_header("www-authenticate", challenge(&format!(r#"error="invalid_token", error_description="{error}""#)));
    refusal.with_log_message(format!("token refused: {error}"))
}

fn insufficient_scope(scope: &str) -> Response {
    let refusal = problem(403, &format!("The token lacks the scope {scope}."));
    let challenge = challenge(&format!(r#"error="insufficient_scope", scope="{scope}""#));
    refusal.with_header("www-authenticate", challenge)
}

fn challenge(parameters: &str) -> String {
    format!("Bearer realm=\"{REALM}\", {parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_follow_the_scheme_in_any_case() {
        assert_eq!(bearer_credentials("Bearer abc"), Some("abc"));
        assert_eq!(bearer_credentials("bearer   abc "), Some("abc"));
        for value in ["", "Bearer", "Bearer ", "Basic abc", "Bearerabc", "abc"] {
            assert_eq!(bearer_credentials(value), None, "{value:?}");
        }
    }
}
