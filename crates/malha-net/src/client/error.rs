//! Why a request has no answer, in Envoy's terms (`source/common/http/utility.cc`, `resetReasonToString`; the texts of
//! failed transports as Envoy 1.40 writes them to its access log).

use std::error::Error;
use std::fmt;
use std::io;
use std::iter::successors;
use std::sync::Arc;

use crate::client::tls::NoSuchName;

/// Envoy's reset reasons, as far as connections give rise to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The name has no address. Not a reset for Envoy: a cluster without addresses is one without healthy hosts (`UH`).
    Unresolved,
    /// No connection came about (`UF`): refused, unreachable, or the TLS handshake failed.
    RemoteConnectionFailure,
    /// No connection came about in time (`UF`).
    ConnectionTimeout,
    /// The connection ended before the head of the answer (`UC`).
    ConnectionTermination,
    /// The request itself broke off, such as a body that its sender did not finish (`LR`).
    LocalReset,
    /// The other side reset the stream (`UR`).
    RemoteReset,
    /// The other side did not take the stream up at all (`UR`); the request can safely be sent again.
    RemoteRefusedStreamReset,
    /// What came is not HTTP (`UPE`, which Envoy answers with 502).
    ProtocolError,
}

impl Reason {
    /// What Envoy's reply says behind `reset reason: `.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unresolved => "dns resolution failure",
            Self::RemoteConnectionFailure => "remote connection failure",
            Self::ConnectionTimeout => "connection timeout",
            Self::ConnectionTermination => "connection termination",
            Self::LocalReset => "local reset",
            Self::RemoteReset => "remote reset",
            Self::RemoteRefusedStreamReset => "remote refused stream reset",
            Self::ProtocolError => "protocol error",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is at the bottom of it, told apart further than Envoy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The name has no address.
    Unresolved,
    /// Nobody listens there.
    Refused,
    /// It took too long.
    TimedOut,
    /// The other side closed or reset the connection.
    Terminated,
    /// TLS: certificates, versions, or no TLS at all.
    Tls,
    /// Anything else; `detail` says what.
    Other,
}

/// A request without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct SendError {
    /// What Envoy calls it.
    pub reason: Reason,
    /// What is at the bottom of it.
    pub cause: Cause,
    /// Whether the other side may have seen any of the request.
    pub sent: bool,
    /// The innermost cause, for people and logs.
    pub detail: Arc<str>,
    /// Envoy's `%UPSTREAM_TRANSPORT_FAILURE_REASON%`, with spaces where its log shows underscores.
    pub transport_failure: Option<Arc<str>>,
}

impl SendError {
    fn new(reason: Reason, cause: Cause, sent: bool, detail: impl Into<Arc<str>>) -> Self {
        Self { reason, cause, sent, detail: detail.into(), transport_failure: None }
    }

    /// Of a name that has no address.
    pub(super) fn unresolved(detail: impl Into<Arc<str>>) -> Self {
        Self::new(Reason::Unresolved, Cause::Unresolved, false, detail)
    }

    /// Of a connection that did not come about in time.
    pub(super) fn connect_timeout() -> Self {
        Self::new(Reason::ConnectionTimeout, Cause::TimedOut, false, "no connection in time")
    }

    /// Of a connection that did not come about.
    pub(super) fn connect(error: &io::Error) -> Self {
        let error = innermost(error);
        let mut failure = Self::new(Reason::RemoteConnectionFailure, cause(error), false, error.to_string());
        failure.transport_failure = Some(format!("delayed connect error: {}", plain(error)).into());
        failure
    }

    /// Of a TLS handshake that failed.
    pub(super) fn handshake(error: &io::Error) -> Self {
        let error = innermost(error);
        let mut failure = Self::new(Reason::RemoteConnectionFailure, cause(error), false, error.to_string());
        failure.transport_failure = Some(boring(error).into());
        failure
    }

    /// Of a request that cannot be sent as it is.
    pub(super) fn request(detail: impl Into<Arc<str>>) -> Self {
        Self::new(Reason::LocalReset, Cause::Other, false, detail)
    }

    /// Of an exchange that broke off before the head of the answer was there. `begun`: some of the head was.
    pub(super) fn exchange(error: &hyper::Error, sent: bool, begun: bool) -> Self {
        let causes = || successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
        let detail = causes().last().unwrap_or(error).to_string();
        let of = |reason, cause| Self::new(reason, cause, sent, detail.clone());
        if error.is_user() {
            return of(Reason::LocalReset, Cause::Other);
        }
        if let Some(h2) = causes().find_map(|cause| cause.downcast_ref::<h2::Error>()) {
            return match h2.get_io() {
                Some(io) => Self::broken(io, sent),
                None => of(stream(h2), Cause::Other),
            };
        }
        if let Some(io) = causes().find_map(|cause| cause.downcast_ref::<io::Error>()) {
            return Self::broken(io, sent);
        }
        if error.is_incomplete_message() && begun {
            // A head that breaks off is no HTTP: Envoy answers 502.
            return of(Reason::ProtocolError, Cause::Terminated);
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return of(Reason::ConnectionTermination, Cause::Terminated);
        }
        of(Reason::ProtocolError, Cause::Other)
    }

    /// Of a connection that broke below HTTP.
    fn broken(error: &io::Error, sent: bool) -> Self {
        let error = innermost(error);
        let mut failure = Self::new(Reason::ConnectionTermination, cause(error), sent, error.to_string());
        if failure.cause == Cause::Tls {
            failure.transport_failure = Some(boring(error).into());
        }
        failure
    }

    /// Why the body of an answer broke off. One whose end does not come is no HTTP for Envoy (`UPE`), unless the connection
    /// was reset under it.
    pub fn of_body(error: &hyper::Error) -> Self {
        let mut failure = Self::exchange(error, true, false);
        let causes = || successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
        let mut io = causes().filter_map(|cause| cause.downcast_ref::<io::Error>());
        if error.is_incomplete_message() || io.any(|io| innermost(io).kind() == io::ErrorKind::UnexpectedEof) {
            failure.reason = Reason::ProtocolError;
        }
        failure
    }
}

/// A connection of HTTP/2 that goes away leaves streams that it did not take up; it may also reset one.
fn stream(error: &h2::Error) -> Reason {
    match error.reason() {
        Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Reason::RemoteRefusedStreamReset,
        Some(_) if error.is_remote() && error.is_go_away() => Reason::RemoteRefusedStreamReset,
        Some(_) if error.is_remote() => Reason::RemoteReset,
        _ => Reason::ProtocolError,
    }
}

fn cause(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        io::ErrorKind::TimedOut => Cause::TimedOut,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe => Cause::Terminated,
        // tokio-rustls gives each error of rustls this kind; nothing else below HTTP finds fault with data.
        io::ErrorKind::InvalidData => Cause::Tls,
        _ => Cause::Other,
    }
}

/// An error of the handshake may be wrapped into another `io::Error`, whose kind says nothing.
fn innermost(error: &io::Error) -> &io::Error {
    let mut innermost = error;
    while let Some(inner) = innermost.get_ref().and_then(|inner| inner.downcast_ref()) {
        innermost = inner;
    }
    innermost
}

/// The system's text without the number that `std` adds.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// What `BoringSSL` would say, for the failures that people meet; rustls' own words for the others.
fn boring(error: &io::Error) -> String {
    use rustls::{AlertDescription, CertificateError as Certificate, Error as Tls, InvalidMessage};
    const UNVERIFIED: &str = "268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: ";
    let depth = |what| format!("{UNVERIFIED}X509_verify_cert: certificate verification error at depth 0: {what}");
    let text = match error.get_ref().and_then(|error| error.downcast_ref::<Tls>()) {
        Some(Tls::InvalidCertificate(Certificate::Other(other))) => match other.0.downcast_ref::<NoSuchName>() {
            Some(NoSuchName { names }) => format!("{UNVERIFIED}SAN matcher, certificate SANs are [{names}]"),
            None => format!("{UNVERIFIED}{other}"),
        },
        Some(Tls::InvalidCertificate(Certificate::UnknownIssuer)) => depth("unable to get local issuer certificate"),
        Some(Tls::InvalidCertificate(Certificate::BadSignature)) => depth("certificate signature failure"),
        Some(Tls::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. })) => {
            depth("certificate has expired")
        }
        Some(Tls::InvalidCertificate(Certificate::NotValidYet | Certificate::NotValidYetContext { .. })) => {
            depth("certificate is not yet valid")
        }
        Some(Tls::InvalidCertificate(other)) => format!("{UNVERIFIED}{other}"),
        Some(Tls::AlertReceived(AlertDescription::HandshakeFailure)) => {
            "268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE".to_owned()
        }
        Some(Tls::AlertReceived(AlertDescription::CertificateRequired)) => {
            "268436572:SSL routines:OPENSSL_internal:TLSV1_ALERT_CERTIFICATE_REQUIRED".to_owned()
        }
        Some(Tls::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion)) => {
            "268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER".to_owned()
        }
        _ if cause(error) == Cause::Terminated => {
            "33554536:system library:OPENSSL_internal:Connection reset by peer".to_owned()
        }
        _ => plain(error),
    };
    format!("TLS_error:|{text}:TLS_error_end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_cause_says_what_became_of_a_handshake() {
        use io::ErrorKind::{ConnectionReset, InvalidData, UnexpectedEof};
        let wrapped = |kind| io::Error::other(io::Error::new(kind, "text"));
        for (error, want) in [
            (wrapped(InvalidData), Cause::Tls),
            (wrapped(UnexpectedEof), Cause::Terminated),
            (wrapped(ConnectionReset), Cause::Terminated),
            (io::Error::other("text"), Cause::Other),
        ] {
            let failure = SendError::handshake(&error);
            assert_eq!((failure.reason, failure.cause), (Reason::RemoteConnectionFailure, want), "{error:?}");
            assert!(!failure.sent);
        }
    }

    #[test]
    fn a_connection_that_did_not_come_about_is_told_in_envoys_words() {
        use io::ErrorKind::{ConnectionRefused, Other, TimedOut};
        for (error, want, text) in [
            (io::Error::from_raw_os_error(111), Cause::Refused, "delayed connect error: Connection refused"),
            (ConnectionRefused.into(), Cause::Refused, "delayed connect error: connection refused"),
            (TimedOut.into(), Cause::TimedOut, "delayed connect error: timed out"),
            (Other.into(), Cause::Other, "delayed connect error: other error"),
        ] {
            let failure = SendError::connect(&error);
            assert_eq!((failure.reason, failure.cause), (Reason::RemoteConnectionFailure, want), "{error:?}");
            assert_eq!(failure.transport_failure.as_deref(), Some(text));
        }
    }

    #[test]
    fn a_certificate_that_is_not_believed_is_told_in_boringssls_words() {
        let failed = |error: rustls::CertificateError| {
            boring(&io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(error)))
        };
        for (got, want) in [
            (
                failed(rustls::CertificateError::UnknownIssuer),
                "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: \
                 X509_verify_cert: certificate verification error at depth 0: unable to get local issuer \
                 certificate:TLS_error_end",
            ),
            (
                failed(NoSuchName { names: "good.example".into() }.into()),
                "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN \
                 matcher, certificate SANs are [good.example]:TLS_error_end",
            ),
        ] {
            assert_eq!(got, want);
        }
    }
}
