//! `format_preserving`: digits exchanged for digits by a keyed permutation of all texts that have as
//! many of them, so that two values stay apart and each comes back the same.
//!
//! A Feistel network over decimal halves, of the shape of FF1 (NIST SP 800-38G) with HMAC-SHA-256 in
//! place of AES. It is not FF1, and has no certificate.

use super::key::MaskKeys;

/// As many as FF1 has.
const ROUNDS: usize = 10;
/// Fewer digits are guessed too soon: FF1 demands a million values.
const DIGITS_MIN: usize = 6;
/// A half must fit a number of 128 bits.
const DIGITS_MAX: usize = 72;

/// The text with other digits; `None` if it has too few or too many.
pub(super) fn permuted(text: &str, keys: &MaskKeys) -> Option<String> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(u8::is_ascii_digit)
        .map(|digit| digit - b'0')
        .collect();
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) {
        return None;
    }
    let mut shown = encrypted(&digits, keys).into_iter();
    let text = text.chars().map(|sign| {
        if sign.is_ascii_digit() {
            char::from(b'0' + shown.next().unwrap_or_default())
        } else {
            sign
        }
    });
    Some(text.collect())
}

fn encrypted(digits: &[u8], keys: &MaskKeys) -> Vec<u8> {
    let short = digits.len() / 2;
    let (left, right) = digits.split_at(short);
    let (mut left, mut right) = (left.to_vec(), right.to_vec());
    for round in 0..ROUNDS {
        let width = left.len();
        let mut message = vec![
            u8::try_from(digits.len()).unwrap_or_default(),
            u8::try_from(round).unwrap_or_default(),
        ];
        message.extend(&right);
        let modulus = 10_u128.pow(u32::try_from(width).unwrap_or_default());
        let moved = keys.draw("format_preserving", &message).below(modulus);
        let value = left
            .iter()
            .fold(0_u128, |value, digit| value * 10 + u128::from(*digit));
        left = std::mem::replace(&mut right, written((value + moved) % modulus, width));
    }
    left.extend(right);
    left
}

/// A number in so many digits.
fn written(mut value: u128, width: usize) -> Vec<u8> {
    let mut digits = vec![0; width];
    for digit in digits.iter_mut().rev() {
        *digit = u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
    digits
}
