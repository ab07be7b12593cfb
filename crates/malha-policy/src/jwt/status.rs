//! Why a token is refused, and the texts that say so (Envoy, `source/common/jwt/status.cc`). Of a set of keys it is why
//! one of them is of no use.

use std::fmt;

macro_rules! statuses {
    ($($(#[$meta:meta])* $name:ident => $text:literal,)+) => {
        /// What is wrong with a token, or with a key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Status {
            $(#[doc = concat!("`", $text, "`")] $(#[$meta])* $name,)+
        }

        impl Status {
            /// Envoy's text: the body of the answer.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

statuses! {
    JwtMissed => "Jwt is missing",
    JwtNotYetValid => "Jwt not yet valid",
    JwtExpired => "Jwt is expired",
    JwtBadFormat => "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
    JwtHeaderBadBase64 => "Jwt header is an invalid Base64url encoded",
    JwtHeaderBadJson => "Jwt header is an invalid JSON",
    JwtHeaderBadAlg => "Jwt header [alg] field is required and must be a string",
    JwtHeaderUnsupportedAlg => "Jwt header [alg] is not supported",
    JwtHeaderBadKid => "Jwt header [kid] field is not a string",
    JwtPayloadBadBase64 => "Jwt payload is an invalid Base64url encoded",
    JwtEd25519SignatureWrongLength => "Jwt ED25519 signature is wrong length",
    JwtPayloadBadJson => "Jwt payload is an invalid JSON",
    JwtIssNotString => "Jwt payload [iss] field is not a string",
    JwtSubNotString => "Jwt payload [sub] field is not a string",
    JwtIatNotInteger => "Jwt payload [iat] field is not an integer",
    JwtIatOutOfRange => "Jwt payload [iat] field is not a positive 64 bit integer",
    JwtNbfNotInteger => "Jwt payload [nbf] field is not an integer",
    JwtNbfOutOfRange => "Jwt payload [nbf] field is not a positive 64 bit integer",
    JwtExpNotInteger => "Jwt payload [exp] field is not an integer",
    JwtExpOutOfRange => "Jwt payload [exp] field is not a positive 64 bit integer",
    JwtJtiNotString => "Jwt payload [jti] field is not a string",
    JwtAudNotString => "Jwt payload [aud] field is not a string or string list",
    JwtSignatureBadBase64 => "Jwt signature is an invalid Base64url encoded",
    JwtUnknownIssuer => "Jwt issuer is not configured",
    JwtAudienceNotAllowed => "Audiences in Jwt are not allowed",
    JwtVerificationFail => "Jwt verification fails",
    JwksParseError => "Jwks is an invalid JSON",
    JwksNoKeys => "Jwks does not have [keys] field",
    JwksBadKeys => "[keys] in Jwks is not an array",
    JwksNoValidKeys => "Jwks doesn't have any valid public key",
    JwksKidAlgMismatch => "Jwks doesn't have key to match kid or alg from Jwt",
    JwksRsaParseError => "Jwks RSA [n] or [e] field is missing or has a parse error",
    /// Ours: Envoy takes shorter keys.
    JwksRsaSizeUnsupported => "an RSA key of fewer than 2048 or more than 8192 bits is not supported",
    JwksEcBadBase64 => "Jwks EC [x] or [y] field is an invalid Base64.",
    JwksEcParseError => "Jwks EC [x] and [y] fields have a parse error.",
    JwksOctBadBase64 => "Jwks Oct key is an invalid Base64",
    JwksOkpXBadBase64 => "Jwks OKP [x] field is an invalid Base64.",
    JwksOkpXWrongLength => "Jwks OKP [x] field is wrong length.",
    JwksMissingKty => "[kty] is missing in [keys]",
    JwksBadKty => "[kty] is bad in [keys]",
    JwksUnsupportedKty => "[kty] is not supported in [keys]",
    JwksRsaBadAlg => "[alg] is not started with [RS] or [PS] for an RSA key",
    JwksRsaMissingN => "[n] field is missing for a RSA key",
    JwksRsaBadN => "[n] field is not string for a RSA key",
    JwksRsaMissingE => "[e] field is missing for a RSA key",
    JwksRsaBadE => "[e] field is not string for a RSA key",
    JwksEcBadAlg => "[alg] is not started with [ES] for an EC key",
    JwksEcBadCrv => "[crv] field is not string for an EC key",
    JwksEcAlgOrCrvUnsupported => "[crv] or [alg] field is not supported for an EC key",
    JwksEcAlgNotCompatibleWithCrv => "[crv] field specified is not compatible with [alg] for an EC key",
    JwksEcMissingX => "[x] field is missing for an EC key",
    JwksEcBadX => "[x] field is not string for an EC key",
    JwksEcMissingY => "[y] field is missing for an EC key",
    JwksEcBadY => "[y] field is not string for an EC key",
    JwksHmacBadAlg => "[alg] does not start with [HS] for an HMAC key",
    JwksHmacMissingK => "[k] field is missing for an HMAC key",
    JwksHmacBadK => "[k] field is not string for an HMAC key",
    JwksOkpBadAlg => "[alg] is not [EdDSA] for an OKP key",
    JwksOkpMissingCrv => "[crv] field is missing for an OKP key",
    JwksOkpBadCrv => "[crv] field is not string for an OKP key",
    JwksOkpCrvUnsupported => "[crv] field is not supported for an OKP key",
    JwksOkpMissingX => "[x] field is missing for an OKP key",
    JwksOkpBadX => "[x] field is not string for an OKP key",
    /// Ours: Envoy takes it.
    JwksX509Unsupported => "a set of certificates by kid, in place of [keys], is not supported",
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl std::error::Error for Status {}
