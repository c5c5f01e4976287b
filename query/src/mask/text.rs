//! Masks whose result is text.

use std::{borrow::Cow, sync::Arc};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder};
use dataos_model::{dataset::ColumnType, secret::Secret};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{canonical, key::MaskKeys};

/// `change` of every text; NULL stays NULL.
pub(super) fn each<'a>(input: &'a dyn Array, change: impl Fn(&'a str) -> Cow<'a, str>) -> ArrayRef {
    let Some(texts) = input.as_string_view_opt() else {
        return nulls(input.len());
    };
    let mut builder = StringViewBuilder::with_capacity(texts.len());
    for text in texts {
        builder.append_option(text.map(&change));
    }
    Arc::new(builder.finish())
}

/// `change` of every text, which may make it NULL.
pub(super) fn each_or_null(input: &dyn Array, change: impl Fn(&str) -> Option<String>) -> ArrayRef {
    let Some(texts) = input.as_string_view_opt() else {
        return nulls(input.len());
    };
    let mut builder = StringViewBuilder::with_capacity(texts.len());
    for text in texts {
        builder.append_option(text.and_then(&change));
    }
    Arc::new(builder.finish())
}

/// So many letters and digits of a keyed pseudonym.
pub(super) fn token(text: &str, length: u32, keys: &MaskKeys) -> String {
    /// RFC 4648 in lower case: no sign looks like another.
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits = keys.draw("token", text.as_bytes()).first;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (mut token, mut held, mut count) = (String::new(), 0_u32, 0_u32);
    for byte in bits {
        held = (held << 8) | u32::from(byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            let letter = usize::try_from((held >> count) & 31).unwrap_or_default();
            token.push(ALPHABET.get(letter).copied().unwrap_or(b'a').into());
        }
        held &= (1 << count) - 1;
    }
    token.truncate(length);
    token
}

/// HMAC-SHA-256 of the canonical text, in lower-case hex.
pub(super) fn hash(input: &dyn Array, column_type: &ColumnType, key: &Secret) -> ArrayRef {
    // HMAC takes a key of any length; without one nothing is shown.
    let Ok(keyed) = Hmac::<Sha256>::new_from_slice(key.expose()) else {
        return nulls(input.len());
    };
    let mut builder = StringViewBuilder::with_capacity(input.len());
    for index in 0..input.len() {
        builder.append_option(canonical::bytes(input, index, column_type).map(|bytes| {
            let mut mac = keyed.clone();
            mac.update(&bytes);
            hex::encode(mac.finalize().into_bytes())
        }));
    }
    Arc::new(builder.finish())
}

/// The canonical text of every value; bytes that are no text show as hex.
pub(super) fn canonical(input: &dyn Array, column_type: &ColumnType) -> ArrayRef {
    let mut builder = StringViewBuilder::with_capacity(input.len());
    for index in 0..input.len() {
        builder.append_option(canonical::bytes(input, index, column_type).map(|bytes| {
            match column_type {
                ColumnType::Binary => hex::encode(bytes),
                _ => String::from_utf8_lossy(&bytes).into_owned(),
            }
        }));
    }
    Arc::new(builder.finish())
}

/// Keeps the first and last characters. A text with nothing between them is filled whole: showing
/// it would be no mask.
pub(super) fn partial(text: &str, first: usize, last: usize, fill: &str) -> String {
    let length = text.chars().count();
    let kept = first.saturating_add(last);
    let is_kept =
        |index: usize| kept < length && (index < first || index >= length.saturating_sub(last));
    let mut shown = String::with_capacity(text.len());
    for (index, character) in text.chars().enumerate() {
        if is_kept(index) {
            shown.push(character);
        } else {
            shown.push_str(fill);
        }
    }
    shown
}

fn nulls(count: usize) -> ArrayRef {
    Arc::new(StringViewArray::new_null(count))
}
