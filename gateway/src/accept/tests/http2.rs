//! HTTP/2 as frames written by hand: what ends a stream, what ends a connection, and what must not.

use serde_json::Value;

use super::{Front, client::Client, front};
use crate::{config::Limits, serve::tests::fakes::limits};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An integer of HPACK behind a prefix of 7 bits (RFC 7541, 5.1).
fn integer(mut value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![127];
    value -= 127;
    while value >= 128 {
        bytes.push(u8::try_from(value % 128 + 128).unwrap());
        value /= 128;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// A field as literal without index; `first` 0x40 adds it to the table.
fn field(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    [
        &[first][..],
        &integer(name.len()),
        name,
        &integer(value.len()),
        value,
    ]
    .concat()
}

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

fn block(fields: &Fields<'_>) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| field(0, name, value))
        .collect()
}

fn plain<'a>() -> Fields<'a> {
    vec![
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", b"/healthz"),
    ]
}

/// The plain request with one pseudo-header replaced.
fn with<'a>(name: &'a [u8], value: &'a [u8]) -> Fields<'a> {
    let replaced = |field: (&'a [u8], &'a [u8])| {
        if field.0 == name {
            (name, value)
        } else {
            field
        }
    };
    plain().into_iter().map(replaced).collect()
}

/// The plain request with a field behind it.
fn and<'a>(name: &'a [u8], value: &'a [u8]) -> Fields<'a> {
    [plain(), vec![(name, value)]].concat()
}

fn request(stream: u32, fields: &Fields<'_>) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields))
}

/// How a stream or its connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Body(Vec<u8>),
    Reset(u8),
    Goaway(u8),
    Closed,
}

impl End {
    /// Status and reason of a problem.
    fn problem(&self) -> (u64, String) {
        match self {
            Self::Body(body) => {
                let json: Value = serde_json::from_slice(body).unwrap_or_default();
                let reason = json["reason"].as_str().unwrap_or_default();
                (json["status"].as_u64().unwrap_or(200), reason.to_owned())
            }
            _ => (0, format!("{self:?}")),
        }
    }
}

async fn open(front: &Front, settings: &[u8]) -> Client {
    let mut client = front.connect("h2").await;
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(SETTINGS, 0, 0, settings));
    client.send(&hello).await;
    client
}

/// Reads until this stream or the connection ends.
async fn end(client: &mut Client, stream: u32) -> End {
    let mut body = Vec::new();
    loop {
        let Some(head) = client.take(9).await else {
            return End::Closed;
        };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some(payload) = client.take(length).await else {
            return End::Closed;
        };
        let (kind, flags) = (head[3], head[4]);
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match kind {
            GOAWAY if payload[7] != 0 => return End::Goaway(payload[7]),
            SETTINGS if flags == 0 => client.send(&frame(SETTINGS, 1, 0, &[])).await,
            RST_STREAM if of == stream => return End::Reset(payload[3]),
            DATA if of == stream => body.extend(payload),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && of == stream && flags & END_STREAM != 0 {
            return End::Body(body);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_messages_end_their_stream_or_connection() {
    let front = front(limits()).await;
    let mut swapped = plain();
    swapped.insert(0, (b"x-a", b"1"));
    let mut between = plain();
    between.insert(2, (b"x-a", b"1"));
    let without = |name: &[u8]| plain().into_iter().filter(|(n, _)| *n != name).collect();
    let rows: Vec<Fields<'_>> = vec![
        swapped,
        between,
        and(b":path", b"/other"),
        and(b":method", b"GET"),
        and(b":status", b"200"),
        [plain(), vec![(b":authority", b"localhost")]].concat(),
        without(b":method"),
        without(b":scheme"),
        without(b":path"),
        with(b":path", b""),
        with(b":method", b"G T"),
        with(b":method", b""),
        with(b":path", b"/health z"),
        with(b":path", b"/a\r\nX-A: 1"),
        with(b":authority", b"local host"),
        with(b":authority", b"localhost\r\nX-A: 1"),
        and(b"X-Upper", b"1"),
        and(b"x-uPper", b"1"),
        and(b"x a", b"1"),
        and(b"x:a", b"1"),
        and(b"x-a\r\nx-b", b"1"),
        and(b"x-\0", b"1"),
        and(b"", b"1"),
        and(b"x-a", b"1\r\nx-b: 2"),
        and(b"x-a", b"1\n"),
        and(b"x-a", b"1\r"),
        and(b"x-a", b"a\0b"),
        and(b"x-a", b"a\x7fb"),
        and(b"connection", b"close"),
        and(b"connection", b"x-a"),
        and(b"keep-alive", b"timeout=5"),
        and(b"proxy-connection", b"keep-alive"),
        and(b"transfer-encoding", b"chunked"),
        and(b"upgrade", b"h2c"),
        and(b"te", b"gzip"),
    ];
    for fields in &rows {
        let mut client = open(&front, &[]).await;
        client.send(&request(1, fields)).await;
        let ended = end(&mut client, 1).await;
        let shown = String::from_utf8_lossy(&block(fields)).into_owned();
        let is_refused =
            matches!(ended, End::Reset(1) | End::Goaway(1)) || ended.problem().0 == 400;
        assert!(is_refused, "{shown:?}: {ended:?}");
    }
    front.until_recorded(rows.len() as u64).await;
}

#[tokio::test]
async fn a_length_that_is_not_that_of_the_data_is_refused() {
    let front = front(limits()).await;
    let post = |length: &'static [u8]| -> Vec<u8> {
        block(&vec![
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", b"/api/v1/session"),
            (b"content-type", b"application/json"),
            (b"content-length", length),
        ])
    };
    for length in [&b"1"[..], b"3", b"0", b"2, 2", b"-2", b"+2", b"a", b""] {
        let mut client = open(&front, &[]).await;
        client
            .send(&frame(HEADERS, END_HEADERS, 1, &post(length)))
            .await;
        client.send(&frame(DATA, END_STREAM, 1, b"{}")).await;
        let ended = end(&mut client, 1).await;
        let is_refused = ended == End::Reset(1) || ended.problem().0 == 400;
        assert!(is_refused, "{length:?}: {ended:?}");
        assert_ne!(ended.problem().1, "malformed", "{length:?} was read");
    }
    // A trailer that would mean something.
    let mut client = open(&front, &[]).await;
    client
        .send(&frame(HEADERS, END_HEADERS, 1, &post(b"2")))
        .await;
    client.send(&frame(DATA, 0, 1, b"{}")).await;
    let trailers = block(&vec![(b"authorization", b"Bearer a")]);
    client
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers))
        .await;
    assert_eq!(
        end(&mut client, 1).await.problem(),
        (400, "trailer".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_mean_the_same_as_over_http1() {
    let front = front(limits()).await;
    let long = [&b"/"[..], &[b'a'; 9 << 10]].concat();
    let many: Fields<'_> = [plain(), vec![(&b"x-a"[..], &b"1"[..]); 65]].concat();
    let large = [b'a'; 40 << 10];
    let mut repeated = and(b"authorization", b"Bearer a");
    repeated.push((b"authorization", b"Bearer b"));
    let rows: Vec<(Fields<'_>, u64, &str)> = vec![
        (and(b"host", b"localhost"), 200, ""),
        (and(b"host", b"other"), 421, "misdirected"),
        (with(b":authority", b"other"), 421, "misdirected"),
        (with(b":authority", b"user@localhost"), 400, "host"),
        (with(b":scheme", b"http"), 421, "misdirected"),
        (with(b":method", b"TRACE"), 405, "method_not_allowed"),
        (with(b":method", b"OPTIONS"), 405, "method_not_allowed"),
        (with(b":method", b"POST"), 405, "method_not_allowed"),
        (with(b":path", b"/a/../b"), 400, "path_not_canonical"),
        (with(b":path", b"/a/%2e%2e/b"), 400, "path_not_canonical"),
        (with(b":path", b"/a%2fb"), 400, "path_not_canonical"),
        (with(b":path", b"//a"), 400, "path_not_canonical"),
        (with(b":path", b"/a%00"), 400, "path_not_canonical"),
        (with(b":path", b"/a%252e"), 400, "path_not_canonical"),
        (with(b":path", &long), 414, "target_too_long"),
        (many, 431, "headers_too_many"),
        (and(b"x-a", &large), 431, "head_too_large"),
        (repeated, 400, "header_repeated"),
        (
            and(b"authorization", b"Bearer \xfc"),
            400,
            "header_not_ascii",
        ),
        (and(b"expect", b"200-ok"), 417, "expectation"),
        (and(b"te", b"trailers"), 200, ""),
        (and(b"content_length", b"5"), 200, ""),
        (and(b"x-forwarded-for", b"1.2.3.4"), 200, ""),
        (and(b"x-a", b""), 200, ""),
        (and(b"x-a", b"\xc3\xa9"), 200, ""),
        (with(b":path", b"/healthz?a=b"), 200, ""),
        (with(b":path", b"/%68ealthz"), 200, ""),
        (with(b":authority", b"LOCALHOST:8443"), 200, ""),
    ];
    let mut client = open(&front, &[]).await;
    let mut refused = 0;
    for (index, (fields, status, reason)) in rows.iter().enumerate() {
        let stream = u32::try_from(index).unwrap() * 2 + 1;
        let block = block(fields);
        let mut pieces = block.chunks(16 << 10).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let ends = if pieces.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            let flags = ends | if kind == HEADERS { END_STREAM } else { 0 };
            client.send(&frame(kind, flags, stream, piece)).await;
            kind = CONTINUATION;
        }
        let ended = end(&mut client, stream).await;
        let shown = String::from_utf8_lossy(&block)
            .chars()
            .take(120)
            .collect::<String>();
        assert_eq!(
            ended.problem(),
            (*status, (*reason).to_owned()),
            "{shown:?} {ended:?}"
        );
        refused += u64::from(*status != 200);
    }
    front.until_recorded(refused).await;
}

#[tokio::test]
async fn a_malformed_message_leaves_other_streams_alone() {
    let front = front(limits()).await;
    let mut client = open(&front, &[]).await;
    client
        .send(&request(1, &and(b"connection", b"close")))
        .await;
    assert_eq!(end(&mut client, 1).await, End::Reset(1));
    client.send(&request(3, &plain())).await;
    assert_eq!(end(&mut client, 3).await, End::Body(b"ok\n".to_vec()));
    front.until_refused("http2_malformed", 1).await;
}

/// Frames that no peer may send; each ends the connection with this code, or another fault's.
fn forbidden() -> Vec<(&'static str, Vec<u8>)> {
    let plain = block(&plain());
    let whole = END_HEADERS | END_STREAM;
    let padded = [&[200][..], &plain].concat();
    vec![
        (
            "a pseudo-header that there is not",
            frame(HEADERS, whole, 1, &block(&and(b":unknown", b"1"))),
        ),
        ("DATA on stream 0", frame(DATA, 0, 0, b"a")),
        ("DATA on an idle stream", frame(DATA, 0, 5, b"a")),
        ("HEADERS on stream 0", frame(HEADERS, whole, 0, &plain)),
        (
            "HEADERS on an even stream",
            frame(HEADERS, whole, 2, &plain),
        ),
        (
            "HEADERS with more padding than payload",
            frame(HEADERS, whole | PADDED, 1, &padded),
        ),
        (
            "a header block that ends early",
            frame(HEADERS, whole, 1, &plain[..9]),
        ),
        (
            "an index that is not in the table",
            frame(HEADERS, whole, 1, &[0xff, 0x7f]),
        ),
        ("an index of 0", frame(HEADERS, whole, 1, &[0x80])),
        (
            "a table above what we allow",
            frame(
                HEADERS,
                whole,
                1,
                &[&[0x3f, 0xff, 0xff, 0x7f][..], &plain].concat(),
            ),
        ),
        (
            "CONTINUATION without HEADERS",
            frame(CONTINUATION, END_HEADERS, 1, &plain),
        ),
        (
            "another frame within a header block",
            [
                frame(HEADERS, END_STREAM, 1, &plain),
                frame(PING, 0, 0, &[0; 8]),
            ]
            .concat(),
        ),
        (
            "CONTINUATION of another stream",
            [
                frame(HEADERS, END_STREAM, 1, &plain),
                frame(CONTINUATION, END_HEADERS, 3, &[]),
            ]
            .concat(),
        ),
        ("PRIORITY of 4 bytes", frame(PRIORITY, 0, 0, &[0; 4])),
    ]
}

fn forbidden_without_headers() -> Vec<(&'static str, Vec<u8>)> {
    let setting = |id: u8, value: u32| {
        let payload = [&[0, id][..], &value.to_be_bytes()].concat();
        frame(SETTINGS, 0, 0, &payload)
    };
    vec![
        ("RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, &[0; 4])),
        (
            "RST_STREAM on an idle stream",
            frame(RST_STREAM, 0, 7, &[0; 4]),
        ),
        ("RST_STREAM of 3 bytes", frame(RST_STREAM, 0, 1, &[0; 3])),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[])),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        (
            "SETTINGS that acknowledge with a payload",
            frame(SETTINGS, 1, 0, &[0; 6]),
        ),
        ("ENABLE_PUSH of 2", setting(2, 2)),
        ("a window above 2^31 - 1", setting(4, 1 << 31)),
        ("frames below 16 kB", setting(5, 100)),
        ("frames above 16 MB", setting(5, 1 << 24)),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 8])),
        ("PING of 7 bytes", frame(PING, 0, 0, &[0; 7])),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8])),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8])),
        ("GOAWAY of 4 bytes", frame(GOAWAY, 0, 0, &[0; 4])),
        ("WINDOW_UPDATE of 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        (
            "WINDOW_UPDATE of 3 bytes",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
        ),
        (
            "WINDOW_UPDATE on an idle stream",
            frame(WINDOW_UPDATE, 0, 9, &[0, 0, 0, 1]),
        ),
        (
            "a connection window above 2^31 - 1",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        ("a frame above 16 kB", frame(DATA, 0, 1, &[0; 17 << 10])),
        (
            "a stream number that goes back",
            [request(5, &self::plain()), request(3, &self::plain())].concat(),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forbidden_frames_end_the_connection_with_a_goodbye() {
    let front = front(limits()).await;
    let rows = [forbidden(), forbidden_without_headers()].concat();
    for (name, bytes) in &rows {
        let mut client = open(&front, &[]).await;
        client.send(bytes).await;
        let ended = end(&mut client, u32::MAX).await;
        assert!(
            matches!(ended, End::Goaway(code) if code != 0),
            "{name}: {ended:?}"
        );
    }
    front.until_refused("http2_malformed", 1).await;
    front.until_recorded(rows.len() as u64).await;
    // No preface at all.
    let mut client = front.connect("h2").await;
    client
        .send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let ended = end(&mut client, u32::MAX).await;
    assert!(matches!(ended, End::Goaway(_) | End::Closed), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_end_the_connection_and_harm_nobody_else() {
    let front = front(limits()).await;
    let plain = block(&plain());
    let mut resets = Vec::new();
    let mut continued = frame(HEADERS, END_STREAM, 1, &plain);
    for index in 0..1000 {
        let stream = index * 2 + 1;
        resets.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &plain));
        resets.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        continued.extend(frame(CONTINUATION, 0, 1, b""));
    }
    let post = vec![
        (&b":method"[..], &b"POST"[..]),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", b"/api/v1/session"),
        (b"content-type", b"application/json"),
    ];
    let empty = [
        frame(HEADERS, END_HEADERS, 1, &block(&post)),
        frame(DATA, 0, 1, b"").repeat(1000),
    ]
    .concat();
    let floods = [
        ("rapid reset", resets),
        ("CONTINUATION", continued),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[]).repeat(1000)),
        ("PING", frame(PING, 0, 0, &[0; 8]).repeat(1000)),
        (
            "PRIORITY",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]).repeat(1000),
        ),
        ("unknown", frame(99, 0, 0, &[]).repeat(1000)),
        ("empty DATA", empty),
    ];
    let mut other = open(&front, &[]).await;
    for (index, (name, flood)) in floods.iter().enumerate() {
        let mut client = open(&front, &[]).await;
        client.send(flood).await;
        let ended = end(&mut client, u32::MAX).await;
        assert!(
            matches!(ended, End::Goaway(code) if code != 0),
            "{name}: {ended:?}"
        );
        let stream = u32::try_from(index).unwrap() * 2 + 1;
        other.send(&request(stream, &self::plain())).await;
        assert_eq!(
            end(&mut other, stream).await,
            End::Body(b"ok\n".to_vec()),
            "{name}"
        );
    }
    let told = [
        "http2_reset_flood",
        "http2_flood",
        "http2_continuation_flood",
        "http2_control_flood",
    ];
    let told: u64 = told.iter().map(|reason| front.refused(reason)).sum();
    assert_eq!(told, floods.len() as u64);
}

#[tokio::test]
async fn a_small_block_that_grows_large_is_refused() {
    let front = front(limits()).await;
    let mut client = open(&front, &[]).await;
    // One field of 4 kB in the table, named again and again by one byte (HPACK bomb).
    let value = [b'a'; 3 << 10];
    for (times, stream) in [(12, 1), (1000, 3)] {
        let bomb = [
            block(&plain()),
            field(0x40, b"x-a", &value),
            vec![0x80 | 62; times],
        ]
        .concat();
        client
            .send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb))
            .await;
        let ended = end(&mut client, stream).await;
        let is_refused = match &ended {
            // The library's own 431 has no body.
            End::Body(body) => body.is_empty() || ended.problem().0 == 431,
            End::Reset(_) | End::Goaway(_) => true,
            End::Closed => false,
        };
        assert!(is_refused, "{times}: {ended:?}");
    }
    assert_eq!(front.refused("head_too_large"), 1);
}

#[tokio::test]
async fn streams_are_bounded_and_windows_do_not_hold_answers_for_ever() {
    let front = front(Limits {
        send_timeout: std::time::Duration::from_secs(1),
        ..limits()
    })
    .await;
    let post = block(&vec![
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", b"/api/v1/session"),
        (b"content-type", b"application/json"),
    ]);
    let mut client = open(&front, &[]).await;
    for index in 0..129 {
        client
            .send(&frame(HEADERS, END_HEADERS, index * 2 + 1, &post))
            .await;
    }
    assert_eq!(end(&mut client, 257).await, End::Reset(7));
    front.until_refused("http2_streams", 1).await;

    let window = [0, 4, 0, 0, 0, 0];
    let mut client = open(&front, &window).await;
    client.send(&request(1, &plain())).await;
    assert_eq!(end(&mut client, 1).await, End::Closed);
    front.until_refused("send_timeout", 1).await;
}
