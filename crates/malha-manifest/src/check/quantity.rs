//! Kubernetes' quantities: `128Mi`, `100m`, `0.5`, `1e3`.
//!
//! Source: `k8s.io/apimachinery/pkg/api/resource`, `ParseQuantity`.

/// The value in thousandths, rounded up; `None` if the text is no quantity. Beyond 128 bits it is the largest number.
pub(super) fn milli(text: &str) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 30 {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    // The value is digits × factor × 10^power; in thousandths, the power is three more.
    let (factor, power) = scale(suffix)?;
    let power = power + 3 - i32::try_from(fraction.len()).ok()?;
    let ten = 10i128.checked_pow(power.unsigned_abs())?;
    let value = digits.saturating_mul(factor);
    let value = if power >= 0 { value.saturating_mul(ten) } else { (value + ten - 1) / ten };
    Some(if negative { -value } else { value })
}

fn scale(suffix: &str) -> Option<(i128, i32)> {
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']).filter(|rest| !rest.is_empty()) {
        let exponent: i32 = exponent.parse().ok()?;
        return (-30..=30).contains(&exponent).then_some((1, exponent));
    }
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::milli;

    #[test]
    fn reads_what_kubernetes_reads() {
        for (text, value) in [
            ("1", 1_000),
            ("100m", 100),
            ("0.5", 500),
            (".5", 500),
            ("128M", 128_000_000_000),
            ("1Ki", 1_024_000),
            ("1e3", 1_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("0.1m", 1),
            ("-1", -1_000),
            ("1.5Gi", 1_610_612_736_000),
        ] {
            assert_eq!(milli(text), Some(value), "{text}");
        }
        for text in ["", "m", "1 Gi", "1mb", "1.2.3", "128MB", "1e", "--1", "ten"] {
            assert_eq!(milli(text), None, "{text}");
        }
    }
}
