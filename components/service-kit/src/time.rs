//! Wall time as the services write it.

use std::fmt;
use std::time::Duration;

/// Time since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub Duration);

impl Timestamp {
    /// A whole number of seconds, as JWT's `NumericDate` counts them (RFC 7519 section 2).
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The whole seconds.
    pub const fn as_secs(self) -> u64 {
        self.0.as_secs()
    }

    /// RFC 3339 in UTC, to the second: `2026-11-21T08:30:00Z`.
    pub fn to_seconds_string(self) -> String {
        let Civil { year, month, day } = Civil::from_days(self.as_secs() / 86_400);
        let second = self.as_secs() % 86_400;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the millisecond: `2026-11-21T08:30:00.125Z`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_seconds_string();
        write!(formatter, "{}.{:03}Z", text.trim_end_matches('Z'), self.0.subsec_millis())
    }
}

/// A date of the proleptic Gregorian calendar.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
}

impl Civil {
    /// The date that many days after 1970-01-01.
    ///
    /// Years are counted from March, so that the leap day is the last of its year and every month's first day follows
    /// from one division. The calendar repeats every 400 years, which are 146 097 days.
    fn from_days(days: u64) -> Self {
        // 719 468 days lie between 0000-03-01 and 1970-01-01.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // From March on, months of 31 30 31 30 31 days repeat: 153 days every five months.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = 400 * era + year_of_era + u64::from(month <= 2);
        Self { year, month, day }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_have_their_known_names() {
        for (seconds, name) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp::from_secs(seconds).to_seconds_string(), name);
        }
    }

    #[test]
    fn every_day_of_two_centuries_follows_the_day_before() {
        let mut before = Civil::from_days(0);
        for days in 1..73_049 {
            let date = Civil::from_days(days);
            let next_day = (date.year, date.month, date.day) == (before.year, before.month, before.day + 1);
            let next_month = (date.year, date.month, date.day) == (before.year, before.month + 1, 1);
            let next_year = (date.year, date.month, date.day) == (before.year + 1, 1, 1) && before.month == 12;
            assert!(next_day || (next_month && before.day >= 28) || next_year, "day {days}");
            before = date;
        }
    }

    #[test]
    fn logs_show_milliseconds_cut_not_rounded() {
        let timestamp = Timestamp(Duration::new(1_000_000_000, 7_999_999));
        assert_eq!(timestamp.to_string(), "2001-09-09T01:46:40.007Z");
    }
}
