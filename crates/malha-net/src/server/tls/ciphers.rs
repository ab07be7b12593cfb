//! Cipher suites of TLS 1.2 by the names that OpenSSL, Envoy and Istio give them.

use rustls::crypto::ring::{ALL_CIPHER_SUITES, cipher_suite as ring};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

/// Those that there are. The others that Istio lets one name (`security.IsValidCipherSuite`), with CBC or without
/// forward secrecy, are not to be had from rustls.
pub const CIPHERS: [(&str, SupportedCipherSuite); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", ring::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", ring::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", ring::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES256-GCM-SHA384", ring::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", ring::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", ring::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The suites with these names, and all of TLS 1.3; otherwise the name that is none.
pub(super) fn named(names: &[String]) -> Result<Vec<SupportedCipherSuite>, String> {
    let is_newer = |suite: &&SupportedCipherSuite| {
        let of: &'static SupportedProtocolVersion = suite.version();
        of == &version::TLS13
    };
    let mut suites: Vec<_> = ALL_CIPHER_SUITES.iter().filter(is_newer).copied().collect();
    for name in names {
        let known = CIPHERS.iter().find(|(known, _)| known == name).ok_or(name)?;
        suites.push(known.1);
    }
    Ok(suites)
}
