//! Signature Version 4 of requests without a body. Pure.

use std::{fmt::Write as _, time::SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// Digest of the body that the requests here have: none.
pub(crate) const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const INSTANT: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");
/// Characters of an instant that are its date.
const DATE_LENGTH: usize = 8;

/// Who signs, and where it counts.
#[derive(Clone, Copy)]
pub(crate) struct Signer<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) secret: &'a [u8],
    pub(crate) region: &'a str,
}

/// A request to be signed: a GET whose path and query are encoded as they are sent.
#[derive(Clone, Copy)]
pub(crate) struct Unsigned<'a> {
    pub(crate) path: &'a str,
    /// In the order of its names.
    pub(crate) query: &'a str,
    /// In the order of their names, which are in lower case.
    pub(crate) headers: &'a [(&'static str, String)],
}

/// An instant as requests tell it.
pub(crate) fn instant(at: SystemTime) -> String {
    // Writing to memory fails for years beyond 9999 only; the store refuses the empty text.
    OffsetDateTime::from(at).format(INSTANT).unwrap_or_default()
}

/// Encodes all bytes of a text but letters, digits, `-`, `_`, `.`, `~` and those of `kept`.
pub(crate) fn encoded(text: &str, kept: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        let is_plain = byte.is_ascii_alphanumeric() || "-_.~".contains(character);
        if is_plain || (byte.is_ascii() && kept.contains(character)) {
            encoded.push(character);
        } else {
            // Writing to a string does not fail.
            let _written = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The header `Authorization` of a request that is made at `instant`.
pub(crate) fn authorization(signer: Signer<'_>, request: Unsigned<'_>, instant: &str) -> String {
    let date = instant.get(..DATE_LENGTH).unwrap_or_default();
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines = request
        .headers
        .iter()
        .fold(String::new(), |lines, (name, value)| {
            lines + name + ":" + value.trim() + "\n"
        });
    let Unsigned { path, query, .. } = request;
    let canonical = format!("GET\n{path}\n{query}\n{lines}\n{names}\n{NO_BODY}");
    let scope = format!("{date}/{}/s3/aws4_request", signer.region);
    let digest = hex::encode(Sha256::digest(canonical));
    let to_sign = format!("{ALGORITHM}\n{instant}\n{scope}\n{digest}");
    let first = [b"AWS4".as_slice(), signer.secret].concat();
    let steps = [date, signer.region, "s3", "aws4_request", &to_sign];
    let signature = steps
        .iter()
        .fold(first, |key, step| hmac(&key, step.as_bytes()));
    format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        signer.key_id,
        hex::encode(signature)
    )
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the Amazon S3 API reference, "Authenticating Requests (AWS Signature Version 4)".
    fn check(path: &str, query: &str, range: Option<&str>, expected: &str) {
        let mut headers = vec![("host", "examplebucket.s3.amazonaws.com".to_owned())];
        headers.extend(range.map(|range| ("range", range.to_owned())));
        headers.push(("x-amz-content-sha256", NO_BODY.to_owned()));
        headers.push(("x-amz-date", "20130524T000000Z".to_owned()));
        let signer = Signer {
            key_id: "AKIAIOSFODNN7EXAMPLE",
            secret: b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
        };
        let request = Unsigned {
            path,
            query,
            headers: &headers,
        };
        let header = authorization(signer, request, "20130524T000000Z");
        assert!(
            header.ends_with(&format!("Signature={expected}")),
            "{header}"
        );
    }

    #[test]
    fn published_examples_are_signed_alike() {
        check(
            "/test.txt",
            "",
            Some("bytes=0-9"),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        check(
            "/",
            "lifecycle=",
            None,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        );
        check(
            "/",
            "max-keys=2&prefix=J",
            None,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }

    #[test]
    fn texts_are_encoded_byte_by_byte() {
        assert_eq!(encoded("a/b c+é*~", "/"), "a/b%20c%2B%C3%A9%2A~");
        assert_eq!(encoded("a/b", ""), "a%2Fb");
        let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_369_353_600);
        assert_eq!(instant(later), "20130524T000000Z");
    }
}
