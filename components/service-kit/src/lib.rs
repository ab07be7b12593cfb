//! What the workshop's services share.
//!
//! A service is a function from a [`Request`](http::Request) and a [`Host`](host::Host) to a
//! [`Response`](http::Response), so all of it runs in native tests. The only code that knows WASI is `wasi`, which
//! turns one `wasi:http` request into one call of that function.

#![forbid(unsafe_code)]

pub mod bearer;
pub mod collection;
pub mod es256;
pub mod forward;
pub mod health;
pub mod host;
pub mod http;
pub mod log;
pub mod member;
pub mod problem;
pub mod query;
pub mod time;
pub mod token;

#[cfg(feature = "testing")]
pub mod testing;

#[cfg(target_family = "wasm")]
pub mod wasi;

/// The version that was built: `APP_VERSION` of the build (`malha build --app-version`), else the package's own.
pub const VERSION: &str = match option_env!("APP_VERSION") {
    Some(version) if !version.is_empty() => version,
    _ => env!("CARGO_PKG_VERSION"),
};

/// The git commit that was built, twelve hexadecimal digits, or `unknown`.
pub const COMMIT: &str = env!("SERVICE_KIT_COMMIT");
