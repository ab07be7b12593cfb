//! What a pod is told about itself and its neighbours.

use std::time::Duration;

use service_kit::host::Host;

/// For a `call_timeout` that cannot be read: its default in `spin.toml`.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The variables, read.
pub(crate) struct Settings {
    pub(crate) service_key: String,
    pub(crate) service_name: String,
    pub(crate) hostname: String,
    pub(crate) next_service: String,
    pub(crate) next_port: String,
    pub(crate) next_route: String,
    pub(crate) remote_url: String,
    pub(crate) feature_message: String,
    pub(crate) database: bool,
    pub(crate) call_timeout: Duration,
    pub(crate) sleep_time: Duration,
}

impl Settings {
    /// Reads them, and what the log should say of those that are wrong. A pod with a wrong delay still answers.
    pub(crate) fn read(host: &impl Host) -> (Self, Vec<String>) {
        let mut remarks = Vec::new();
        let mut duration = |name: &str, otherwise: Duration| {
            seconds(name, &host.variable(name), otherwise).unwrap_or_else(|remark| {
                remarks.push(remark);
                otherwise
            })
        };
        let call_timeout = duration("call_timeout", CALL_TIMEOUT);
        let sleep_time = duration("sleep_time", Duration::ZERO);
        let database = switch("database", &host.variable("database")).unwrap_or_else(|remark| {
            remarks.push(remark);
            false
        });
        let settings = Self {
            call_timeout,
            sleep_time,
            database,
            service_key: host.variable("service_key"),
            service_name: host.variable("service_name"),
            hostname: host.variable("hostname"),
            next_service: host.variable("next_service"),
            next_port: host.variable("next_port"),
            next_route: host.variable("next_route"),
            remote_url: host.variable("remote_url"),
            feature_message: host.variable("feature_message"),
        };
        (settings, remarks)
    }
}

/// A number of seconds, `0.25` too; nothing written is the default.
fn seconds(name: &str, text: &str, otherwise: Duration) -> Result<Duration, String> {
    if text.trim().is_empty() {
        return Ok(otherwise);
    }
    let number = text.trim().parse().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
    number.ok_or_else(|| {
        format!(
            "{name} is `{text}`, which is not a number of seconds such as 2 or 0.25; taken as {}",
            otherwise.as_secs()
        )
    })
}

/// `on` or `off`; nothing written is off.
fn switch(name: &str, text: &str) -> Result<bool, String> {
    match text.trim() {
        "on" => Ok(true),
        "off" | "" => Ok(false),
        _ => Err(format!("{name} is `{text}`, which is neither on nor off; taken as off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_seconds_and_fractions_of_them() {
        for (text, expected) in [("2", 2_000), ("0.25", 250), (" 1.5 ", 1_500), ("0", 0), ("", 7_000)] {
            assert_eq!(seconds("x", text, Duration::from_secs(7)), Ok(Duration::from_millis(expected)), "{text}");
        }
        for text in ["soon", "2s", "-1", "NaN", "inf", "1e300"] {
            let remark = seconds("sleep_time", text, Duration::ZERO).unwrap_err();
            assert!(remark.starts_with(&format!("sleep_time is `{text}`, which is not a number")), "{remark}");
        }
    }
}
