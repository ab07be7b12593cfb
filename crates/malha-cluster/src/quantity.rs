//! Kubernetes' quantities: `128M`, `64Mi`, `100m`, `0.5`, `1e3` (apimachinery `api/resource/quantity.go`).

/// A quantity in thousandths, rounded up, as Kubernetes rounds what is finer than it can keep.
fn thousandths(text: &str) -> Option<u128> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '+').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number = number.strip_prefix('+').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The number is `mantissa` / 10^`scale`; nanos are the finest that a quantity knows.
    let fraction = &fraction[..fraction.len().min(9)];
    let mantissa: u128 = format!("{whole}{fraction}").parse().ok()?;
    let mut below = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let mut above: u128 = 1_000;
    match suffix {
        "n" => below *= 1_000_000_000,
        "u" => below *= 1_000_000,
        "m" => below *= 1_000,
        "" => {}
        "k" => above *= 1_000,
        "M" => above *= 1_000_000,
        "G" => above *= 1_000_000_000,
        "T" => above *= 1_000_000_000_000,
        "P" => above *= 1_000_000_000_000_000,
        "E" => above *= 1_000_000_000_000_000_000,
        "Ki" => above <<= 10,
        "Mi" => above <<= 20,
        "Gi" => above <<= 30,
        "Ti" => above <<= 40,
        "Pi" => above <<= 50,
        "Ei" => above <<= 60,
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { below = below.checked_mul(power)? } else { above = above.checked_mul(power)? }
        }
    }
    Some(mantissa.checked_mul(above)?.div_ceil(below))
}

/// Bytes of a `memory` quantity; `None` for what is not a quantity, is negative, or is beyond 64 bits.
pub fn bytes(text: &str) -> Option<u64> {
    u64::try_from(thousandths(text)?.div_ceil(1_000)).ok()
}

/// Millicores of a `cpu` quantity; `None` for what is not a quantity, is negative, or is beyond 64 bits.
pub fn millicores(text: &str) -> Option<u64> {
    u64::try_from(thousandths(text)?).ok()
}

/// Thousandths as Kubernetes writes a quantity: with the largest suffix that leaves no fraction.
pub fn of_thousandths(thousandths: i64) -> String {
    const SUFFIXES: [&str; 7] = ["m", "", "k", "M", "G", "T", "P"];
    let mut value = thousandths;
    let mut suffixes = SUFFIXES.iter();
    let mut suffix = suffixes.next();
    if value == 0 {
        return "0".to_owned();
    }
    while value % 1_000 == 0 {
        let Some(next) = suffixes.next() else { break };
        value /= 1_000;
        suffix = Some(next);
    }
    format!("{value}{}", suffix.copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        for (text, want) in [
            ("128M", 128_000_000),
            ("64Mi", 67_108_864),
            ("1Gi", 1_073_741_824),
            ("1.5Gi", 1_610_612_736),
            ("0", 0),
            ("1e3", 1_000),
            ("1E3", 1_000),
            ("1E", 1_000_000_000_000_000_000),
            ("25e-1", 3),
            ("100m", 1),
            (".5k", 500),
            ("+2k", 2_000),
            ("5.k", 5_000),
        ] {
            assert_eq!(bytes(text), Some(want), "{text}");
        }
    }

    #[test]
    fn cpu_is_read_in_millicores() {
        for (text, want) in
            [("100m", 100), ("0.1", 100), ("1", 1_000), ("2.5", 2_500), ("1u", 1), ("1n", 1), ("1k", 1_000_000)]
        {
            assert_eq!(millicores(text), Some(want), "{text}");
        }
    }

    #[test]
    fn quantities_are_written_as_kubernetes_writes_them() {
        for (thousandths, want) in [
            (0, "0"),
            (12, "12m"),
            (1_000, "1"),
            (1_500, "1500m"),
            (64_000_000_000, "64M"),
            (67_108_864_000, "67108864"),
            (1_000_000_000_000_000_000, "1P"),
        ] {
            assert_eq!(of_thousandths(thousandths), want);
        }
    }

    #[test]
    fn what_is_not_a_quantity_is_refused() {
        for text in [
            "",
            "M",
            "-1",
            "1.2.3",
            "1 M",
            "1MB",
            "1mi",
            "1K",
            "++1",
            "1+1",
            "e3",
            "1e",
            "99999999999999999999",
            "1e40",
            "１",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,24}|[0-9.]{0,30}[a-zA-Z]{0,2}[-+0-9]{0,9}") {
            if let (Some(bytes), Some(millis)) = (bytes(&text), millicores(&text)) {
                prop_assert!(u128::from(bytes) * 1_000 >= u128::from(millis));
            }
        }
    }
}
