//! Requests of HTTP/1 as bytes: what is refused, and what must not be.

use dataos_model::hash::Hash;

use super::{Front, front};
use crate::serve::tests::fakes::limits;

const HOST: &str = "Host: localhost\r\n";
/// A log-in that the fakes know nothing of: what matters is whether it is read.
const LOG_IN: &str =
    "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/// Lines that leave open where the message ends.
const FRAMINGS: &[(&str, &str)] = &[
    (
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "framing_ambiguous",
    ),
    (
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "framing_ambiguous",
    ),
    (
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "framing_ambiguous",
    ),
    (
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "header_repeated",
    ),
    (
        "Content-Length: 3\r\ncontent-length: 4\r\n",
        "header_repeated",
    ),
    ("Content-Length: 3, 3\r\n", "content_length"),
    ("Content-Length: 3,4\r\n", "content_length"),
    ("Content-Length: +3\r\n", "content_length"),
    ("Content-Length: -1\r\n", "content_length"),
    ("Content-Length: 0x3\r\n", "content_length"),
    ("Content-Length: 3 3\r\n", "content_length"),
    ("Content-Length:\r\n", "content_length"),
    ("Content-Length: 3.0\r\n", "content_length"),
    ("Content-Length: 18446744073709551616\r\n", "content_length"),
    (
        "Content-Length: 99999999999999999999999\r\n",
        "content_length",
    ),
    ("Transfer-Encoding: gzip\r\n", "transfer_encoding"),
    ("Transfer-Encoding: gzip, chunked\r\n", "transfer_encoding"),
    (
        "Transfer-Encoding: chunked, chunked\r\n",
        "transfer_encoding",
    ),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "transfer_encoding",
    ),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "transfer_encoding",
    ),
    ("Transfer-Encoding: identity\r\n", "transfer_encoding"),
    ("Transfer-Encoding: Chunked\r\n", "transfer_encoding"),
    ("Transfer-Encoding: xchunked\r\n", "transfer_encoding"),
    ("Transfer-Encoding: chunked;q=1\r\n", "transfer_encoding"),
    ("Transfer-Encoding: \"chunked\"\r\n", "transfer_encoding"),
    ("Transfer-Encoding:\r\n", "transfer_encoding"),
    ("Transfer-Encoding: chunked\x0b\r\n", "header_value"),
    ("Transfer-Encoding : chunked\r\n", "header_name"),
    ("Transfer-Encoding\r\n : chunked\r\n", "header_line"),
    ("Transfer-Encoding:\r\n chunked\r\n", "transfer_encoding"),
    (" Transfer-Encoding: chunked\r\n", "line_folded"),
];

/// Hosts that are none, or not ours.
const HOSTS: &[(&str, u16, &str)] = &[
    ("user@localhost", 400, "host"),
    ("user:pass@localhost", 400, "host"),
    ("localhost, other", 400, "host"),
    ("localhost:port", 400, "host"),
    ("localhost:70000", 400, "host"),
    ("localhost/x", 400, "host"),
    ("", 400, "host"),
    ("loc\u{e9}", 400, "host"),
    ("other", 421, "misdirected"),
    ("127.0.0.1", 421, "misdirected"),
    ("localhost.", 421, "misdirected"),
    ("localhost.evil.example", 421, "misdirected"),
];

/// Request lines.
const REQUEST_LINES: &[(&str, u16, &str)] = &[
    ("GET /healthz", 400, "request_line"),
    ("GET", 400, "request_line"),
    ("GET  /healthz HTTP/1.1", 400, "request_line"),
    ("GET /healthz  HTTP/1.1", 400, "request_line"),
    ("GET /healthz HTTP/1.1 ", 400, "request_line"),
    (" GET /healthz HTTP/1.1", 400, "request_line"),
    ("GET\t/healthz\tHTTP/1.1", 400, "request_line"),
    ("GET /health z HTTP/1.1", 400, "request_line"),
    ("GET /healthz http/1.1", 400, "request_line"),
    ("GET /healthz HTTP/1", 400, "request_line"),
    ("GET /healthz HTTP/1.1x", 400, "request_line"),
    ("GET /healthz HTTPS/1.1", 400, "request_line"),
    ("GET /healthz HTTP/01.1", 400, "request_line"),
    ("GET /healthz HTTP/a.b", 400, "request_line"),
    ("G(T /healthz HTTP/1.1", 400, "request_line"),
    ("G\u{e9}T /healthz HTTP/1.1", 400, "request_line"),
    ("GET /healthz#fragment HTTP/1.1", 400, "request_line"),
    ("GET /h\u{e9}althz HTTP/1.1", 400, "request_line"),
    ("GET /healthz HTTP/0.9", 505, "http_version"),
    ("GET /healthz HTTP/1.2", 505, "http_version"),
    ("GET /healthz HTTP/2.0", 505, "http_version"),
    ("GET /healthz HTTP/3.0", 505, "http_version"),
    ("PRI * HTTP/2.0", 505, "http_version"),
    ("GET * HTTP/1.1", 405, "method_not_allowed"),
    ("OPTIONS * HTTP/1.1", 405, "method_not_allowed"),
    ("CONNECT localhost:443 HTTP/1.1", 405, "method_not_allowed"),
    ("TRACE /healthz HTTP/1.1", 405, "method_not_allowed"),
    ("TRACK /healthz HTTP/1.1", 405, "method_not_allowed"),
    ("get /healthz HTTP/1.1", 405, "method_not_allowed"),
    ("POST /healthz HTTP/1.1", 405, "method_not_allowed"),
    ("GET http://localhost/healthz HTTP/1.1", 421, "misdirected"),
    ("GET https://other/healthz HTTP/1.1", 421, "misdirected"),
    (
        "GET https://localhost:1/healthz HTTP/1.1",
        421,
        "misdirected",
    ),
    (
        "GET https://user@localhost/healthz HTTP/1.1",
        421,
        "misdirected",
    ),
    ("GET ftp://localhost/healthz HTTP/1.1", 421, "misdirected"),
];

/// Lines that mean two things, or what nobody here does.
const MEANINGS: &[(&str, u16, &str)] = &[
    (
        "Authorization: a\r\nAuthorization: b\r\n",
        400,
        "header_repeated",
    ),
    (
        "Content-Type: a\r\nContent-Type: a\r\n",
        400,
        "header_repeated",
    ),
    ("DPoP: a\r\nDPoP: b\r\n", 400, "header_repeated"),
    (
        "X-Request-Id: a\r\nX-Request-Id: b\r\n",
        400,
        "header_repeated",
    ),
    (
        "If-Match: \"a\"\r\nIf-Match: \"b\"\r\n",
        400,
        "header_repeated",
    ),
    (
        "X-DataOS-CSRF: 1\r\nX-DataOS-CSRF: 1\r\n",
        400,
        "header_repeated",
    ),
    ("Authorization: Bearer \u{fc}\r\n", 400, "header_not_ascii"),
    (
        "Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABk\r\n",
        400,
        "upgrade",
    ),
    ("Upgrade: h2c\r\nConnection: upgrade\r\n", 400, "upgrade"),
    (
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        400,
        "upgrade",
    ),
    ("Upgrade: TLS/1.3\r\n", 400, "upgrade"),
    (
        "Connection: close, Authorization\r\n",
        400,
        "connection_nominates",
    ),
    ("Connection: cookie\r\n", 400, "connection_nominates"),
    ("Connection: Host\r\n", 400, "connection_nominates"),
    (
        "Connection: content-length\r\n",
        400,
        "connection_nominates",
    ),
    (
        "Connection: X-Forwarded-For\r\n",
        400,
        "connection_nominates",
    ),
    (
        "Connection: keep-alive\r\nConnection: x-forwarded-proto\r\n",
        400,
        "connection_nominates",
    ),
    ("Connection: x-dataos-csrf\r\n", 400, "connection_nominates"),
    (
        "Connection: X-Original-Url\r\n",
        400,
        "connection_nominates",
    ),
    ("Connection: Forwarded\r\n", 400, "connection_nominates"),
    ("Expect: 200-ok\r\n", 417, "expectation"),
    ("Expect: 100-continue, x\r\n", 417, "expectation"),
    ("Expect: \r\n", 417, "expectation"),
    (
        "Cookie: __Host-dataos-session=a; __Host-dataos-session=b\r\n",
        400,
        "cookie_repeated",
    ),
    (
        "Cookie: __Host-dataos-session=a\r\nCookie: __Host-dataos-session=b\r\n",
        400,
        "cookie_repeated",
    ),
    ("Cookie: a=\u{e9}\r\n", 400, "cookie"),
];

/// Chunked bodies.
const CHUNKS: &[(&str, &str)] = &[
    ("2\n{}\r\n0\r\n\r\n", "bare_lf"),
    ("2\r\n{}\n0\r\n\r\n", "chunk_end"),
    ("2\r\n{}\r\n0\n\n", "bare_lf"),
    ("2\r{}\r\n0\r\n\r\n", "bare_cr"),
    ("2\r\n{}}\r\n0\r\n\r\n", "chunk_end"),
    ("x\r\n{}\r\n0\r\n\r\n", "chunk_size"),
    ("\r\n{}\r\n0\r\n\r\n", "chunk_size"),
    (" 2\r\n{}\r\n0\r\n\r\n", "chunk_size"),
    ("0x2\r\n{}\r\n0\r\n\r\n", "chunk_extension"),
    ("00000000000000002\r\n{}\r\n0\r\n\r\n", "chunk_size"),
    ("2 x\r\n{}\r\n0\r\n\r\n", "chunk_extension"),
    ("2\r\n{}\r\n0\r\nContent-Length: 4\r\n\r\n", "trailer"),
    (
        "2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "trailer",
    ),
    ("2\r\n{}\r\n0\r\nHost: other\r\n\r\n", "trailer"),
    ("2\r\n{}\r\n0\r\nAuthorization: Bearer a\r\n\r\n", "trailer"),
    ("2\r\n{}\r\n0\r\nCookie: a=b\r\n\r\n", "trailer"),
    ("2\r\n{}\r\n0\r\nX-Forwarded-For: a\r\n\r\n", "trailer"),
    ("2\r\n{}\r\n0\r\nx y: a\r\n\r\n", "header_name"),
];

/// Lines that harm nobody.
const HEADERS_TAKEN: &[&str] = &[
    "",
    "Connection: keep-alive\r\n",
    "Connection: Keep-Alive, TE\r\nTE: trailers\r\n",
    "connection:\tkeep-alive \r\n",
    "X-A: \u{e9}\r\n",
    "X-A:\r\n",
    "X-A: a\tb\r\n",
    "X-A: a, \"b, c\"\r\nX-A: d\r\n",
    "Accept: text/html\r\nAccept: application/json\r\n",
    "Accept-Encoding: gzip, br\r\n",
    "Accept-Language: de-DE,de;q=0.9\r\n",
    "User-Agent: curl/8.5.0\r\n",
    "Content-Length: 0\r\n",
    "Cookie: a=b; c=d\r\nCookie: e=f\r\n",
    "Cookie: a=\"b\"\r\n",
    "Cookie: a=__Host-dataos-session\r\n",
    "Forwarded: for=1.2.3.4\r\n",
    "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n",
    "X-Forwarded-Host: other\r\n",
    "X-Forwarded-Uri: /admin\r\n",
    "X-Original-Url: /admin\r\n",
    "X-Rewrite-Url: /admin\r\n",
    "X-HTTP-Method-Override: DELETE\r\n",
    "X-DataOS-Principal: admin\r\n",
    "content_length: 5\r\n",
    "transfer_encoding: chunked\r\n",
    "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
    "Traceparent: garbage\r\n",
    "X-Request-Id: abc-1\r\n",
    "X-Request-Id: {not ours}\r\n",
    "Range: bytes=0-1\r\n",
    "Referer: https://localhost/console/\r\n",
    "Origin: https://localhost\r\n",
    "Sec-Fetch-Site: same-origin\r\n",
    "If-None-Match: \"a\"\r\n",
    "Cache-Control: no-cache\r\nPragma: no-cache\r\n",
    "Via: 1.1 proxy\r\n",
    "!#$%&'*+-.^_`|~: tokens\r\n",
    "DNT: 1\r\nUpgrade-Insecure-Requests: 1\r\n",
    "Max-Forwards: 3\r\n",
];

/// Targets with one reading.
const TARGETS_TAKEN: &[(&str, u16)] = &[
    ("https://localhost/healthz", 200),
    ("HTTPS://localhost/healthz", 200),
    ("/healthz?a=b", 200),
    ("/healthz?", 200),
    ("/healthz?a=%20+b&c", 200),
    ("/healthz?a=/../b", 200),
    ("/healthz?q=%2F%2e%2e", 200),
    ("/%68ealthz", 200),
    ("/nothing", 404),
    ("/nothing/", 404),
    ("/NOTHING", 404),
    ("/a%20b", 404),
    ("/a+b", 404),
    ("/a;b=c", 404),
    ("/a:b@c", 404),
    ("/a,b!c$d'e(f)g*h=i", 404),
    ("/%C3%A9", 404),
    ("/%E2%82%AC", 404),
    ("/%F0%9F%98%80", 404),
    ("/a.b.c", 404),
    ("/...", 404),
    ("/a...b", 404),
    ("/.well", 404),
    ("/..a", 404),
    ("/a..", 404),
    ("/~user", 404),
    ("/-", 404),
    ("/_", 404),
    ("/100%25", 404),
    ("/a%2541", 404),
];

/// Chunked bodies with one reading.
const BODIES_TAKEN: &[&str] = &[
    "2\r\n{}\r\n0\r\n\r\n",
    "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    "2;a=b\r\n{}\r\n0;c\r\n\r\n",
    "2 ;a=\"b\"\r\n{}\r\n0\r\n\r\n",
    "02\r\n{}\r\n00\r\n\r\n",
    "2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
    "2\r\n{}\r\n0\r\nServer-Timing: a\r\nX-B: c\r\n\r\n",
    "0000000000000002\r\n{}\r\n0\r\n\r\n",
    "A\r\n{        }\r\n0\r\n\r\n",
    "a\r\n{        }\r\n0\r\n\r\n",
];

/// A request with these lines behind `Host`.
fn get(lines: &str) -> String {
    format!("GET /healthz HTTP/1.1\r\n{HOST}{lines}\r\n")
}

fn line(line: &str) -> String {
    format!("{line}\r\n{HOST}\r\n")
}

fn chunked(body: &str) -> String {
    format!("{LOG_IN}Transfer-Encoding: chunked\r\n\r\n{body}")
}

/// Raw request, status, reason.
fn refused() -> Vec<(String, u16, &'static str)> {
    let mut rows = Vec::new();
    let mut row = |raw: String, status, reason| rows.push((raw, status, reason));
    // Framing.
    for &(lines, reason) in FRAMINGS {
        row(get(lines), 400, reason);
        row(format!("{LOG_IN}{lines}\r\nabc"), 400, reason);
    }
    let old =
        line("GET /healthz HTTP/1.0").replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
    row(old, 400, "transfer_encoding");
    // Host.
    row(
        "GET /healthz HTTP/1.1\r\n\r\n".to_owned(),
        400,
        "host_missing",
    );
    row(
        "GET /healthz HTTP/1.0\r\n\r\n".to_owned(),
        400,
        "host_missing",
    );
    for &(host, status, reason) in HOSTS {
        row(
            format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            status,
            reason,
        );
    }
    row(get("Host: localhost\r\n"), 400, "header_repeated");
    row(get("host: other\r\n"), 400, "header_repeated");
    // Line ends and characters.
    for (raw, reason) in [
        (get("").replace("\r\n", "\n"), "bare_lf"),
        (get("").replacen("\r\n", "\n", 1), "bare_lf"),
        (get("X-A: 1\n"), "bare_lf"),
        (get("X-A: 1\nX-B: 2\r\n"), "bare_lf"),
        (get("X-A: 1\rX-B: 2\r\n"), "bare_cr"),
        (get("X-A: 1\r\r\n"), "bare_cr"),
        (get("X-A: a\0b\r\n"), "nul"),
        (get("X-\0A: b\r\n"), "nul"),
        (line("GET /healthz\0 HTTP/1.1"), "nul"),
        (get("X-A: a\r\n folded\r\n"), "line_folded"),
        (get("X-A: a\r\n\tfolded\r\n"), "line_folded"),
        (get("X A: 1\r\n"), "header_name"),
        (get("X-A : 1\r\n"), "header_name"),
        (get("X-A\t: 1\r\n"), "header_name"),
        (get("X(A): 1\r\n"), "header_name"),
        (get("X@A: 1\r\n"), "header_name"),
        (get("X\u{e9}: 1\r\n"), "header_name"),
        (get("\"X\": 1\r\n"), "header_name"),
        (get(": 1\r\n"), "header_name"),
        (get("no colon\r\n"), "header_line"),
        (get("X-A: a\x01b\r\n"), "header_value"),
        (get("X-A: a\x7fb\r\n"), "header_value"),
        (get("X-A: a\x0bb\r\n"), "header_value"),
    ] {
        row(raw, 400, reason);
    }
    request_lines(&mut row);
    meanings(&mut row);
    chunks(&mut row);
    rows
}

fn request_lines(row: &mut impl FnMut(String, u16, &'static str)) {
    for &(text, status, reason) in REQUEST_LINES {
        row(line(text), status, reason);
    }
}

fn meanings(row: &mut impl FnMut(String, u16, &'static str)) {
    for &(lines, status, reason) in MEANINGS {
        row(get(lines), status, reason);
    }
    row(get("Content-Length: 3\r\n") + "abc", 400, "body_unexpected");
    let named = |path: &str| line(&format!("GET {path} HTTP/1.1"));
    row(
        named("/api/v1/openapi.json?a=1&a=2"),
        400,
        "query_not_canonical",
    );
    row(
        named("/api/v1/openapi.json?a=%"),
        400,
        "query_not_canonical",
    );
    row(
        named("/api/v1/openapi.json?a=%ff"),
        400,
        "query_not_canonical",
    );
    row(
        named("/api/v1/openapi.json?a=%00"),
        400,
        "query_not_canonical",
    );
    row(
        named(&format!("/{}", "a".repeat(8 << 10))),
        414,
        "target_too_long",
    );
    row(
        named(&format!("/?{}", "a".repeat(9 << 10))),
        414,
        "target_too_long",
    );
    row(
        format!("GET /{}", "a".repeat(12 << 10)),
        414,
        "target_too_long",
    );
    row(get(&"X-A: 1\r\n".repeat(64)), 431, "headers_too_many");
    row(
        get(&format!("X-A: {}\r\n", "a".repeat(33 << 10))),
        431,
        "head_too_large",
    );
    row(
        get(&"X-Long: aaaaaaaaaaaaaaaa\r\n".repeat(1400)),
        431,
        "head_too_large",
    );
}

fn chunks(row: &mut impl FnMut(String, u16, &'static str)) {
    for &(body, reason) in CHUNKS {
        row(chunked(body), 400, reason);
    }
    let extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(257));
    row(chunked(&extension), 400, "chunk_extension");
    row(
        format!("{LOG_IN}Content-Length: 1048577\r\n\r\n"),
        413,
        "body_too_large",
    );
    let large = format!("100001\r\n{}\r\n0\r\n\r\n", "a".repeat(0x10_0001));
    row(chunked(&large), 413, "body_too_large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ambiguous_gets_an_answer_a_record_and_an_end() {
    let front = front(limits()).await;
    let rows = refused();
    let mut expected = std::collections::BTreeMap::new();
    for (raw, status, reason) in &rows {
        let shown = raw.get(..raw.len().min(200)).unwrap_or(raw);
        let mut client = front.connect("http/1.1").await;
        // What stands behind must not be read as a request.
        let smuggled = format!("{raw}GET /smuggled HTTP/1.1\r\n{HOST}\r\n");
        client.send(smuggled.as_bytes()).await;
        let reply = client
            .reply()
            .await
            .unwrap_or_else(|| panic!("no answer to {shown:?}"));
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (*status, *reason),
            "{shown:?}"
        );
        assert!(reply.head.contains("application/problem+json"), "{shown:?}");
        assert!(reply.says_close(), "{shown:?}: {}", reply.head);
        assert!(client.is_ended().await, "{shown:?} is not the end");
        *expected.entry(*reason).or_insert(0) += 1;
    }
    for (reason, count) in expected {
        assert_eq!(front.refused(reason), count, "{reason}");
    }
    front.until_recorded(rows.len() as u64).await;
    assert!(rows.len() >= 180, "{}", rows.len());
}

/// Raw request and status; none of them is a refusal.
fn accepted(front: &Front) -> Vec<(String, u16)> {
    let bearer = &front.scene.bearer;
    let mut rows = Vec::new();
    for lines in HEADERS_TAKEN.iter().copied() {
        rows.push((get(lines), 200));
    }
    rows.push((get(&"X-A: 1\r\n".repeat(63)), 200));
    rows.push((get(&format!("X-A: {}\r\n", "a".repeat(30 << 10))), 200));
    rows.push((format!("\r\n{}", get("")), 200));
    for host in [
        "LOCALHOST",
        "localhost:8443",
        "localhost:1",
        "Localhost:443",
    ] {
        rows.push((format!("GET /healthz HTTP/1.1\r\nHost:{host}\r\n\r\n"), 200));
    }
    for &(target, status) in TARGETS_TAKEN {
        rows.push((line(&format!("GET {target} HTTP/1.1")), status));
    }
    for body in BODIES_TAKEN.iter().copied() {
        // Read whole, and found to hold neither user nor password.
        rows.push((chunked(body), 400));
    }
    rows.push((format!("{LOG_IN}Content-Length: 2\r\n\r\n{{}}"), 400));
    rows.push((format!("{LOG_IN}Content-Length: 02\r\n\r\n{{}}"), 400));
    rows.push((
        format!("{LOG_IN}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{{}}"),
        100,
    ));
    for way in ["Bearer", "bearer", "BEARER"] {
        let key = bearer.strip_prefix("Bearer").unwrap();
        let raw =
            format!("GET /api/v1/session HTTP/1.1\r\n{HOST}Authorization: {way}{key}\r\n\r\n");
        rows.push((raw, 200));
    }
    for (credential, status) in [
        ("Basic YTpi", 401),
        ("Bearer", 401),
        ("Bearer a.b.c", 401),
        ("", 401),
    ] {
        let raw =
            format!("GET /api/v1/session HTTP/1.1\r\n{HOST}Authorization: {credential}\r\n\r\n");
        rows.push((raw, status));
    }
    for path in [
        "/readyz",
        "/log/checkpoint",
        "/api/v1/openapi.json",
        "/.well-known/jwks.json",
        "/.well-known/authzen-configuration",
    ] {
        rows.push((line(&format!("GET {path} HTTP/1.1")), 200));
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_well_formed_is_answered_on_one_connection() {
    let front = front(limits()).await;
    let rows = accepted(&front);
    assert!(rows.len() >= 100, "{}", rows.len());
    // All on one connection, one after the other and then all at once.
    let mut client = front.connect("http/1.1").await;
    for (raw, status) in &rows {
        client.send(raw.as_bytes()).await;
        let reply = client
            .reply()
            .await
            .unwrap_or_else(|| panic!("no answer to {raw:?}"));
        assert_eq!(reply.status, *status, "{raw:?}: {:?}", reply.json());
        if reply.status == 100 {
            client.reply().await.unwrap();
        }
        assert!(!reply.says_close(), "{raw:?}: {:?}", reply.json());
    }
    let rows: Vec<_> = rows.iter().filter(|(_, status)| *status != 100).collect();
    let all: String = rows.iter().map(|(raw, _)| raw.as_str()).collect();
    client.send(all.as_bytes()).await;
    for (raw, status) in rows {
        assert_eq!(client.reply().await.unwrap().status, *status, "{raw:?}");
    }
    for old in [
        "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ] {
        let mut client = front.connect("http/1.1").await;
        client.send(old.as_bytes()).await;
        assert_eq!(client.reply().await.unwrap().status, 200);
        assert!(client.is_ended().await);
    }
}

#[tokio::test]
async fn a_refusal_waits_for_the_answers_before_it() {
    let front = front(limits()).await;
    let mut client = front.connect("http/1.1").await;
    let raw = format!("{0}{0}{1}{0}", get(""), get("X A: 1\r\n"));
    client.send(raw.as_bytes()).await;
    let mut statuses = Vec::new();
    while let Some(reply) = client.reply().await {
        statuses.push(reply.status);
    }
    assert_eq!(statuses, [200, 200, 400]);
}

#[tokio::test]
async fn the_record_commits_to_the_bytes_that_were_sent() {
    let front = front(limits()).await;
    let bearer = &front.scene.bearer;
    let mut client = front.connect("http/1.1").await;
    let body = r#"{"sql": "SELECT 1"}"#;
    let (begin, rest) = body.split_at(5);
    let head = "POST https://LOCALHOST:8443/%61pi/v1/query HTTP/1.1\r\nHost: localhost:8443\r\nContent-Type: application/json\r\nAccept: */*\r\naccept: b\r\n";
    let chunks = format!(
        "5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        begin,
        rest.len(),
        rest
    );
    let digest = Hash::of_parts([
        &b"POST"[..],
        b"localhost:8443",
        b"/api/v1/query",
        b"",
        b"application/json",
        b"*/*,b",
        &Hash::of(body).0,
    ]);
    for rest in [
        format!("Content-Length: {}\r\n\r\n{body}", body.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"),
    ] {
        let before = front.scene.record.entries.lock().unwrap().len();
        client
            .send(format!("{head}Authorization: {bearer}\r\n{rest}").as_bytes())
            .await;
        assert_eq!(client.reply().await.unwrap().status, 200);
        let entries = front.scene.record.entries.lock().unwrap();
        let entry = entries[before..]
            .iter()
            .find(|entry| entry.action == "query")
            .unwrap();
        assert_eq!(entry.request_digest, digest, "{rest}");
    }
}
