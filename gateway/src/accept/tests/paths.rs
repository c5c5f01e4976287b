//! Spellings of paths: encoding x segment x position, each refused or read as one path by all.

use super::front;
use crate::serve::tests::fakes::limits;

/// Spellings of a segment that servers read differently.
const SEGMENTS: &[&str] = &[
    // Dot segments, plain and encoded, with path parameters, and encoded twice.
    ".",
    "..",
    "%2e",
    "%2E",
    "%2e%2e",
    "%2E%2E",
    ".%2e",
    "%2e.",
    "..;",
    "..;a=b",
    ".;x",
    "%2e%2e;x",
    "..%3b",
    "..%3Bx=1",
    "%252e%252e",
    "%252e",
    ".%252e",
    "%25%32%65",
    // Separators inside a segment.
    "\\",
    "..\\",
    "a\\b",
    "%2f",
    "%2F",
    "..%2f",
    "%2e%2e%2f",
    "a%2fb",
    "%2f..%2f",
    "%5c",
    "%5C",
    "..%5c",
    "..%5Cadmin",
    "%252f",
    "%252F",
    "%255c",
    // NUL and other control characters.
    "%00",
    "a%00",
    "%00.json",
    "%2500",
    "%01",
    "%09",
    "%0a",
    "%0d%0a",
    "%0d%0aX-A:%201",
    "%1f",
    "%7f",
    "%C2%80",
    "%250d%250a",
    // Not UTF-8: overlong, truncated, surrogate, beyond the last character.
    "%c0%ae",
    "%c0%ae%c0%ae",
    "%c0%af",
    "%c1%9c",
    "%e0%80%ae",
    "%e0%80%af",
    "%f0%80%80%ae",
    "%f8%80%80%80%ae",
    "%ff",
    "%fe",
    "%80",
    "%c3",
    "%e2%82",
    "%ed%a0%80",
    "%f4%90%80%80",
    // Bad escapes.
    "%",
    "%2",
    "%zz",
    "%2g",
    "%%32e",
    "%u002e",
    "%u2215",
    "a%",
    "%-1",
    "%0x2e",
    // Nothing.
    "",
    "/",
];

/// Places of a segment; CVE-2026-40912, CVE-2026-26205, CVE-2021-29492 are among the products.
const PLACES: &[&str] = &[
    "/{}/healthz",
    "/healthz/{}/x",
    "/api/v1/{}/session",
    "/v1/x{}/admin",
    "/console/a{}-b/c",
];

/// Texts that mean something as a whole segment alone, or only at its beginning.
fn is_harmless(segment: &str, place: &str) -> bool {
    let inside = place.contains("x{}") || place.contains("a{}");
    let is_dots = |text: &str| matches!(text, "." | "..");
    let plain = segment
        .replace("%2e", ".")
        .replace("%2E", ".")
        .replace("%3b", ";")
        .replace("%3B", ";");
    let bare = plain.split(';').next().unwrap_or_default();
    inside && (is_dots(bare) || matches!(segment, "" | "/"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spellings_that_two_readers_could_read_differently_are_refused() {
    let front = front(limits()).await;
    let mut count = 0;
    for place in PLACES {
        for segment in SEGMENTS {
            if is_harmless(segment, place) {
                continue;
            }
            let path = place.replace("{}", segment);
            let mut client = front.connect("http/1.1").await;
            let raw = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.send(raw.as_bytes()).await;
            let reply = client
                .reply()
                .await
                .unwrap_or_else(|| panic!("no answer to {path}"));
            assert_eq!(reply.status, 400, "{path}: {:?}", reply.json());
            assert_eq!(reply.reason(), "path_not_canonical", "{path}");
            assert!(client.is_ended().await, "{path}");
            count += 1;
        }
    }
    assert!(count >= 300, "{count}");
    assert_eq!(front.refused("path_not_canonical"), count);
    front.until_recorded(count).await;
}

#[tokio::test]
async fn paths_are_case_sensitive_and_keep_their_dots() {
    let front = front(limits()).await;
    let mut client = front.connect("http/1.1").await;
    for (path, status) in [
        ("/healthz", 200),
        ("/%68%65althz", 200),
        ("/Healthz", 404),
        ("/HEALTHZ", 404),
        ("/healthz/", 404),
        ("/healthz.", 404),
        ("/healthz;a", 404),
        ("/healthz%20", 404),
        ("/.healthz", 404),
    ] {
        let raw = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.send(raw.as_bytes()).await;
        assert_eq!(client.reply().await.unwrap().status, status, "{path}");
    }
}
