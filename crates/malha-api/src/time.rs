//! Time as the API writes it.

use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;

/// Wall time as a timestamp; what a timestamp cannot say is its end.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanos = i32::try_from(since.subsec_nanos()).unwrap_or_default();
    i64::try_from(since.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::new(seconds, nanos).ok())
        .unwrap_or(Timestamp::MAX)
}

/// The wall time of a timestamp; what was before the epoch is the epoch.
pub(crate) fn wall(time: Timestamp) -> SystemTime {
    let seconds = u64::try_from(time.as_second()).unwrap_or_default();
    let nanos = u32::try_from(time.subsec_nanosecond()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}
