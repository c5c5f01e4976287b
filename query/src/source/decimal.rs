//! Decimal numbers in text.

/// The number in units of 10^-scale; `None` if the text is no decimal number or has more digits behind
/// the point than `scale`, zeros apart.
pub(super) fn units(text: &str, scale: u8) -> Option<i128> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let missing = usize::from(scale).checked_sub(fraction.len())?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let unsigned: i128 = format!("{whole}{fraction}{}", "0".repeat(missing))
        .parse()
        .ok()?;
    Some(if is_negative { -unsigned } else { unsigned })
}

/// A number of 10^-4 as a decimal literal.
pub(super) fn literal(units: i64) -> String {
    text(units.into(), 4)
}

/// A number of 10^-scale as a decimal literal.
pub(super) fn text(units: i128, scale: u8) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:0>1$}", units.unsigned_abs(), usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_have_four_decimal_places() {
        for (units, expected) in [
            (0, "0.0000"),
            (-1, "-0.0001"),
            (12_345, "1.2345"),
            (i64::MIN, "-922337203685477.5808"),
        ] {
            assert_eq!(literal(units), expected);
        }
    }

    #[test]
    fn literals_have_the_places_of_their_type() {
        for (units, scale, expected) in [
            (0, 0, "0"),
            (-7, 0, "-7"),
            (0, 2, "0.00"),
            (-5, 2, "-0.05"),
            (100, 2, "1.00"),
            (
                10_i128.pow(38) - 1,
                38,
                "0.99999999999999999999999999999999999999",
            ),
        ] {
            assert_eq!(text(units, scale), expected);
            assert_eq!(super::units(expected, scale), Some(units));
        }
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        for (text, scale, expected) in [
            ("12.30", 2, Some(1_230)),
            ("-12.3", 2, Some(-1_230)),
            ("12.300", 2, Some(1_230)),
            ("12.345", 2, None),
            ("0", 0, Some(0)),
            ("-0.01", 2, Some(-1)),
            (
                "99999999999999999999999999999999999999",
                0,
                Some(10_i128.pow(38) - 1),
            ),
            ("9999999999999999999999999999999999999999999", 0, None),
            ("", 2, None),
            (".5", 2, None),
            ("1e5", 2, None),
            ("--1", 2, None),
            ("NaN", 2, None),
        ] {
            assert_eq!(units(text, scale), expected, "{text}");
        }
    }
}
